//! The routes of a site, checked and ready: which one a request takes, and where redirects and rewrites lead.
//!
//! Owns matching and the search for loops. Never answers anything.

use super::auth::challenge;
use super::config::{
    Action, FilesRoute, Match, Policy, Problem, Redirect, Route, SiteConfig, SiteError, Spa,
};
use super::cors;
use super::fields::FieldSet;
use super::pages::Pages;
use super::pattern::NormalPath;
use super::target::Target;
use crate::proto::http1::head::Method;
use crate::service::files::{Files, encode_path};

/// The methods that a route may be for, in the order of an Allow.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"];

/// How far redirects and rewrites are followed when a site is made. A browser gives up after about twenty.
const HOPS_MAX: usize = 16;

/// One route, checked.
#[derive(Debug)]
pub(super) struct Ruled {
    pub(super) when: Match,
    /// Which of [`METHODS`] it answers.
    methods: [bool; METHODS.len()],
    pub(super) action: Ready,
    pub(super) fields: FieldSet,
    pub(super) cors: Option<cors::Rules>,
    /// The place of its password file among those of the site, and the value of WWW-Authenticate.
    pub(super) auth: Option<(usize, Vec<u8>)>,
}

/// An action, checked.
#[derive(Debug)]
pub(super) enum Ready {
    Files(Box<Served>),
    Redirect(Redirect),
    Rewrite(Target),
}

/// Files with what belongs to them.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) files: Files,
    pub(super) strip: usize,
    pub(super) spa: Option<Spa>,
    pub(super) pages: Pages,
}

/// Which route a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Route(usize),
    /// Routes are for this path, but none for this method; the first of them.
    WrongMethod(usize),
    /// Routes are for this host, but none for this path.
    NoPath,
    /// No route is for this host.
    NoHost,
}

/// Checks every route. The paths of password files come along, each once.
///
/// # Errors
/// The first problem, with its route.
pub(super) fn check(config: SiteConfig) -> Result<(Vec<Ruled>, Vec<std::path::PathBuf>), SiteError> {
    let mut files = Vec::new();
    let mut routes = Vec::new();
    for (route, given) in config.routes.into_iter().enumerate() {
        routes.push(check_route(given, &mut files).map_err(|why| SiteError { route, why })?);
    }
    for route in 0..routes.len() {
        follow(&routes, route).map_err(|why| SiteError { route, why })?;
    }
    Ok((routes, files))
}

fn check_route(route: Route, auth_files: &mut Vec<std::path::PathBuf>) -> Result<Ruled, Problem> {
    let Route { when, action, policy } = route;
    let methods = methods(&when, &action)?;
    let strip_at = when.path.prefix_len();
    let action = match action {
        Action::Files(served) => Ready::Files(Box::new(check_files(served, &policy, strip_at)?)),
        Action::Redirect(redirect) if !matches!(redirect.status, 301 | 302 | 303 | 307 | 308) => {
            return Err(Problem::Status(redirect.status));
        }
        Action::Redirect(redirect) => Ready::Redirect(redirect),
        Action::Rewrite(target) => Ready::Rewrite(target),
    };
    if let (Ready::Redirect(_) | Ready::Rewrite(_), Some((status, name))) =
        (&action, policy.error_pages.first())
    {
        return Err(Problem::Page(*status, name.clone(), super::pages::PageError::NoFiles));
    }
    let bare = policy.fields.is_empty() && policy.security.is_none() && policy.cors.is_none();
    if matches!(action, Ready::Rewrite(_)) && !bare {
        return Err(Problem::RewritePolicy);
    }
    let auth = policy.auth.map(|auth| {
        let challenge = challenge(&auth.realm).map_err(|e| Problem::Auth(auth.file.clone(), e))?;
        let known = auth_files.iter().position(|file| *file == auth.file);
        let at = known.unwrap_or(auth_files.len());
        if known.is_none() {
            auth_files.push(auth.file);
        }
        Ok((at, challenge))
    });
    Ok(Ruled {
        methods,
        action,
        fields: FieldSet::new(policy.security.as_ref(), &policy.fields),
        cors: policy.cors.as_ref().map(cors::Rules::new).transpose().map_err(Problem::Cors)?,
        auth: auth.transpose()?,
        when,
    })
}

fn check_files(route: FilesRoute, policy: &Policy, strip_at: Option<usize>) -> Result<Served, Problem> {
    let FilesRoute { files, strip_prefix, spa } = route;
    if let Some(spa) = &spa {
        let page = NormalPath::new(spa.page.as_bytes()).ok().filter(|page| !page.is_dir());
        page.ok_or_else(|| Problem::Spa(spa.page.clone()))?;
    }
    let strip = if strip_prefix { strip_at.ok_or(Problem::Strip)? } else { 0 };
    let pages = Pages::load(&policy.error_pages, files.root());
    let pages = pages.map_err(|(status, name, why)| Problem::Page(status, name, why))?;
    Ok(Served { files, strip, spa, pages })
}

fn methods(when: &Match, action: &Action) -> Result<[bool; METHODS.len()], Problem> {
    let mut is = [false; METHODS.len()];
    for (is, name) in is.iter_mut().zip(METHODS) {
        *is = match action {
            _ if !when.methods.is_empty() => {
                when.methods.iter().any(|m| m == name || (m == "GET" && name == "HEAD"))
            }
            Action::Files(_) => matches!(name, "GET" | "HEAD"),
            Action::Redirect(_) | Action::Rewrite(_) => true,
        };
    }
    match when.methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
        Some(unknown) => Err(Problem::Method(unknown.clone())),
        None => Ok(is),
    }
}

impl Ruled {
    fn is_for_host(&self, host: Option<&[u8]>) -> bool {
        self.when.hosts.is_empty()
            || host.is_some_and(|host| self.when.hosts.iter().any(|of| of.matches(host)))
    }

    fn is_for(&self, host: Option<&[u8]>, path: &NormalPath) -> bool {
        self.is_for_host(host) && self.when.path.matches(path.as_bytes())
    }

    fn answers(&self, method: &Method<'_>) -> bool {
        METHODS.iter().zip(self.methods).any(|(name, is)| is && *name == method.as_str())
    }
}

/// The first route for this host, path and method. `None` is any method, as for OPTIONS.
pub(super) fn find(
    routes: &[Ruled],
    host: Option<&[u8]>,
    path: &NormalPath,
    method: Option<&Method<'_>>,
) -> Found {
    let (mut wrong, mut any_host) = (None, false);
    for (at, route) in routes.iter().enumerate() {
        if !route.is_for_host(host) {
            continue;
        }
        any_host = true;
        if route.when.path.matches(path.as_bytes()) {
            if method.is_none_or(|method| route.answers(method)) {
                return Found::Route(at);
            }
            wrong = wrong.or(Some(at));
        }
    }
    match wrong {
        Some(first) => Found::WrongMethod(first),
        None if any_host => Found::NoPath,
        None => Found::NoHost,
    }
}

/// The first route of this host that is for every path: its policy goes with errors that no route answers.
pub(super) fn general(routes: &[Ruled], host: Option<&[u8]>) -> Option<usize> {
    routes.iter().position(|route| route.is_for_host(host) && route.when.path.prefix_len() == Some(0))
}

/// The methods of all routes for this host and path, as an Allow has them.
pub(super) fn allow(routes: &[Ruled], host: Option<&[u8]>, path: &NormalPath) -> String {
    let mut out = String::new();
    for (at, name) in METHODS.iter().enumerate() {
        let is = |route: &Ruled| route.is_for(host, path) && route.methods.get(at).copied().unwrap_or(false);
        if routes.iter().any(is) {
            out.push_str(name);
            out.push_str(", ");
        }
    }
    out.push_str("OPTIONS");
    out
}

/// Follows where the redirect or rewrite of `start` leads for the least path that it matches.
fn follow(routes: &[Ruled], start: usize) -> Result<(), Problem> {
    let Some(route) = routes.get(start).filter(|route| !matches!(route.action, Ready::Files(_))) else {
        return Ok(());
    };
    let host = route.when.hosts.first().map(super::pattern::HostPattern::sample);
    let Some(sample) = route.when.path.sample() else { return Ok(()) };
    let encoded: String = encode_path(&sample).collect();
    let (Ok(first), name) =
        (NormalPath::new(encoded.as_bytes()), METHODS.iter().zip(route.methods).find(|(_, is)| *is))
    else {
        return Ok(());
    };
    let method = Method::Other(name.map_or("GET", |(name, _)| name));
    let mut path = first;
    for hop in 0..HOPS_MAX {
        let Found::Route(at) = find(routes, host.as_deref(), &path, Some(&method)) else { return Ok(()) };
        let Some(route) = routes.get(at) else { return Ok(()) };
        // A route before this one takes the sample: it is looked at by itself.
        if hop == 0 && at != start {
            return Ok(());
        }
        let target = match &route.action {
            Ready::Files(_) => return Ok(()),
            Ready::Redirect(redirect) => &redirect.target,
            Ready::Rewrite(target) => target,
        };
        if target.is_absolute() {
            return Ok(());
        }
        let to = target.expand(&route.when.path, &path, None);
        let end = to.find(['?', '#']).unwrap_or(to.len());
        let Ok(next) = NormalPath::new(to.get(..end).unwrap_or_default().as_bytes()) else { return Ok(()) };
        path = next;
    }
    Err(Problem::Loop(encoded))
}
