//! The site as an HTTP application: request in, the answer of the first route that matches out.
//!
//! Owns the order in which a request meets the rules: path, route, fields, preflight, password, then the action. What
//! is in each rule is its own file's affair.

use std::borrow::Cow;

use super::auth::{Auth, Checked, Verdict};
use super::config::{Problem, SiteConfig, SiteError, Spa};
use super::cors::preflight_method;
use super::pattern::NormalPath;
use super::routes::{self, Found, Ready, Ruled};
use crate::proto::http1::encode::reason;
use crate::proto::http1::head::{Form, Head, Method};
use crate::proto::http1::{App, BodyPlan, Caught, Cx, Reply, Request};
use crate::service::files::{PathError, encode_path, encode_query, error_page};

/// How often the path of one request is rewritten; once more is a mistake of the configuration, answered with 500.
pub const REWRITES_MAX: usize = 8;

/// The files are asked for the path itself, for it as a directory, and for the page of a single-page application.
const FIRST: u8 = 0;
const DIRECTORY: u8 = 1;
const PAGE: u8 = 2;

/// How long a client is asked to wait when too many passwords are being verified, in seconds.
const RETRY_AFTER: &[u8] = b"1";

/// A site, checked: an application, or a part of one.
#[derive(Debug)]
pub struct Site {
    routes: Vec<Ruled>,
    auths: Vec<Auth>,
}

/// A request on its way through the routes.
struct Walk<'r> {
    host: Option<&'r [u8]>,
    path: NormalPath,
    /// The path as the files are asked for it.
    raw: Cow<'r, [u8]>,
    rewrites: usize,
}

impl Site {
    /// Checks `config` and reads its password files and error pages.
    ///
    /// # Errors
    /// The first mistake, with its route.
    pub fn new(config: SiteConfig) -> Result<Self, SiteError> {
        let (routes, files) = routes::check(config)?;
        let mut auths = Vec::with_capacity(files.len());
        for (at, file) in files.into_iter().enumerate() {
            let uses = |route: &Ruled| route.auth.as_ref().is_some_and(|(of, _)| *of == at);
            let route = routes.iter().position(uses).unwrap_or(0);
            auths.push(Auth::load(&file).map_err(|e| SiteError { route, why: Problem::Auth(file, e) })?);
        }
        Ok(Self { routes, auths })
    }

    /// Answers `request`, or hands work to a thread after which it is to be called again with the same request: an
    /// embedder's own [`App`] may pass on what it does not answer itself.
    pub fn respond<S: 'static>(&mut self, request: &Request<'_>, reply: &mut Reply<'_, S>) {
        let head = request.head;
        if matches!(head.method, Method::Other(_)) {
            return page(reply, 501, &[]);
        }
        match head.form {
            Form::Asterisk => return reply.send(204, &[("Allow", b"GET, HEAD, OPTIONS")], b""),
            // CONNECT names no resource here.
            Form::Authority => return page(reply, 405, &[("Allow", b"GET, HEAD, OPTIONS")]),
            Form::Origin | Form::Absolute => {}
        }
        let host = head.authority.filter(|host| !host.is_empty());
        let path = match NormalPath::new(head.path) {
            Ok(path) => path,
            Err(e) => {
                let status = if e == PathError::BadRequest { 400 } else { 404 };
                return self.fail(None, status, &[], request, reply);
            }
        };
        self.walk(Walk { host, path, raw: Cow::Borrowed(head.path), rewrites: 0 }, request, reply);
    }

    fn walk<S: 'static>(&mut self, mut walk: Walk<'_>, request: &Request<'_>, reply: &mut Reply<'_, S>) {
        let head = request.head;
        let preflight = preflight_method(head);
        let wanted = match (&preflight, head.method) {
            (Some(method), _) => Some(method),
            (None, Method::Options) => None,
            (None, _) => Some(&head.method),
        };
        loop {
            let at = match routes::find(&self.routes, walk.host, &walk.path, wanted) {
                Found::Route(at) => at,
                Found::WrongMethod(at) => {
                    return self.wrong_method(at, &walk, preflight.is_some(), request, reply);
                }
                Found::NoPath => return self.fail(None, 404, &[], request, reply),
                Found::NoHost => return page(reply, 421, &[]),
            };
            if preflight.is_none() && !self.may_pass(at, request, reply) {
                return;
            }
            match self.routes.get(at).map(|route| (&route.action, &route.when.path)) {
                Some((Ready::Rewrite(target), pattern)) => {
                    if walk.rewrites == REWRITES_MAX {
                        log::error!("{} is rewritten without end", head.path.escape_ascii());
                        return self.fail(None, 500, &[], request, reply);
                    }
                    walk.rewrites += 1;
                    let to = target.expand(pattern, &walk.path, None).into_bytes();
                    match NormalPath::new(&to) {
                        Ok(path) => (walk.path, walk.raw) = (path, Cow::Owned(to)),
                        Err(_) => return self.fail(Some(at), 404, &[], request, reply),
                    }
                }
                _ if head.method == Method::Options => {
                    return self.options(at, &walk, head, preflight.is_some(), reply);
                }
                Some((Ready::Redirect(_), _)) => return self.redirect(at, &walk, request, reply),
                _ => return self.files(at, &walk, request, reply),
            }
        }
    }

    /// Whether the route's password rule lets the request on; else it has been answered, or will be asked again.
    fn may_pass<S: 'static>(&mut self, at: usize, request: &Request<'_>, reply: &mut Reply<'_, S>) -> bool {
        let Some((auth, challenge)) = self.routes.get(at).and_then(|route| route.auth.as_ref()) else {
            return true;
        };
        let challenge = challenge.clone();
        // A site has read every file that its routes name.
        let Some(auth) = self.auths.get_mut(*auth) else { return false };
        match auth.judge(request.head, || reply.take_done::<Checked>(), request.unix_time) {
            Verdict::Allowed => return true,
            Verdict::Denied => self.fail(Some(at), 401, &[("WWW-Authenticate", &challenge)], request, reply),
            Verdict::Busy => self.fail(Some(at), 503, &[("Retry-After", RETRY_AFTER)], request, reply),
            Verdict::Failed(e) => {
                log::error!("a password could not be verified: {e}");
                self.fail(Some(at), 500, &[], request, reply);
            }
            Verdict::Ask(question) => reply.offload(move || question.answer()),
        }
        false
    }

    fn wrong_method<S: 'static>(
        &mut self,
        at: usize,
        walk: &Walk<'_>,
        preflight: bool,
        request: &Request<'_>,
        reply: &mut Reply<'_, S>,
    ) {
        if preflight {
            // A browser takes an Allow-Methods without the method for a refusal.
            return self.options(at, walk, request.head, true, reply);
        }
        if !self.may_pass(at, request, reply) {
            return;
        }
        let allow = routes::allow(&self.routes, walk.host, &walk.path);
        self.fail(Some(at), 405, &[("Allow", allow.as_bytes())], request, reply);
    }

    fn options<S: 'static>(
        &self,
        at: usize,
        walk: &Walk<'_>,
        head: &Head<'_>,
        preflight: bool,
        reply: &mut Reply<'_, S>,
    ) {
        let Some(route) = self.routes.get(at) else { return };
        let allow = routes::allow(&self.routes, walk.host, &walk.path);
        edit(route, &walk.path, reply);
        if let Some(cors) = &route.cors {
            let mut lines = Vec::new();
            if preflight {
                let methods = allow.strip_suffix(", OPTIONS").unwrap_or(&allow);
                cors.preflight(head, methods, &mut lines);
            } else {
                cors.answer(head, &mut lines);
            }
            reply.add_lines(&lines);
        }
        reply.send(204, &[("Allow", allow.as_bytes())], b"");
    }

    fn redirect<S: 'static>(
        &mut self,
        at: usize,
        walk: &Walk<'_>,
        request: &Request<'_>,
        reply: &mut Reply<'_, S>,
    ) {
        let Some(route) = self.routes.get(at) else { return };
        let Ready::Redirect(redirect) = &route.action else { return };
        let location = redirect.target.expand(&route.when.path, &walk.path, request.head.query);
        if location.as_bytes() == request.head.target {
            log::error!("{location} would be redirected to itself");
            return self.fail(Some(at), 500, &[], request, reply);
        }
        self.decorate(at, request.head, &walk.path, reply);
        let body = error_page(redirect.status, reason(redirect.status));
        let fields: [(&str, &[u8]); 2] =
            [("Location", location.as_bytes()), ("Content-Type", b"text/html; charset=utf-8")];
        reply.send(redirect.status, &fields, body.as_bytes());
    }

    fn files<S: 'static>(
        &mut self,
        at: usize,
        walk: &Walk<'_>,
        request: &Request<'_>,
        reply: &mut Reply<'_, S>,
    ) {
        self.decorate(at, request.head, &walk.path, reply);
        let Some(Ready::Files(served)) = self.routes.get_mut(at).map(|route| &mut route.action) else {
            return;
        };
        let stripped: Cow<'_, [u8]> = match walk.path.as_bytes().get(served.strip..) {
            Some(rest) if served.strip > 0 => {
                let rest = rest.strip_prefix(b"/").unwrap_or(rest);
                Cow::Owned(format!("/{}", encode_path(rest).collect::<String>()).into_bytes())
            }
            _ => Cow::Borrowed(&walk.raw),
        };
        let moved = walk.rewrites > 0 || served.strip > 0;
        if !moved && served.spa.is_none() && served.pages.is_empty() {
            return served.files.respond(&stripped, request, reply);
        }
        // A prefix without its slash is a directory, of which the root's own answer would not know.
        if served.strip > 0 && !walk.path.is_dir() && walk.path.as_bytes().len() <= served.strip {
            return to_directory(request, reply);
        }
        let mut stage = reply.resume();
        let mut caught = Caught { status: 404, fields: Vec::new(), body: Vec::new() };
        if stage == FIRST {
            match attempt(served, &stripped, FIRST, request, reply) {
                Some(error) => caught = error,
                None => return,
            }
            // The name that the files would send the client to is none of its business.
            if caught.status == 301 && moved {
                if !request.head.path.ends_with(b"/") {
                    return to_directory(request, reply);
                }
                stage = DIRECTORY;
            }
        }
        if stage == DIRECTORY {
            match attempt(served, &[&stripped[..], b"/"].concat(), DIRECTORY, request, reply) {
                Some(error) => caught = error,
                None => return,
            }
        }
        let page = served.spa.as_ref().filter(|spa| caught.status == 404 && is_virtual(spa, &walk.path));
        if let Some(page) = page.map(|spa| spa.page.clone()) {
            reply.add_lines(b"Vary: Accept\r\n");
            if accepts_html(request.head) {
                match attempt(served, page.as_bytes(), PAGE, request, reply) {
                    Some(error) => caught = error,
                    None => return,
                }
            }
        }
        finish(served, caught, request, reply);
    }

    /// Adds what the route has for every answer.
    fn decorate<S: 'static>(&self, at: usize, head: &Head<'_>, path: &NormalPath, reply: &mut Reply<'_, S>) {
        let Some(route) = self.routes.get(at) else { return };
        edit(route, path, reply);
        if let Some(cors) = &route.cors {
            let mut lines = Vec::new();
            cors.answer(head, &mut lines);
            reply.add_lines(&lines);
        }
    }

    /// Answers with an error that no file service made, as the route would: its fields, its page.
    fn fail<S: 'static>(
        &mut self,
        at: Option<usize>,
        status: u16,
        fields: &[(&str, &[u8])],
        request: &Request<'_>,
        reply: &mut Reply<'_, S>,
    ) {
        let host = request.head.authority.filter(|host| !host.is_empty());
        let general = || routes::general(&self.routes, host);
        let Some(at) = at.or_else(general) else { return page(reply, status, fields) };
        // Redirects and rewrites have no root to find pages in: they use those of the host.
        let is_files =
            |at: &usize| self.routes.get(*at).is_some_and(|route| matches!(route.action, Ready::Files(_)));
        let paged = Some(at).filter(is_files).or_else(general);
        let path = NormalPath::new(request.head.path).or_else(|_| NormalPath::new(b"/"));
        if let Ok(path) = path {
            self.decorate(at, request.head, &path, reply);
        }
        let caught = Caught {
            status,
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
            body: Vec::new(),
        };
        match paged.and_then(|at| self.routes.get_mut(at)).map(|route| &mut route.action) {
            Some(Ready::Files(served)) => finish(served, caught, request, reply),
            _ => page(reply, status, fields),
        }
    }
}

impl App for Site {
    fn body_plan(&mut self, head: &Head<'_>) -> BodyPlan {
        // Whatever has a body here is refused or redirected before it comes.
        if matches!(head.method, Method::Get | Method::Head) { BodyPlan::Skip } else { BodyPlan::Refuse }
    }

    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, _cx: &mut Cx<'_, Self>) {
        self.respond(request, reply);
    }
}

/// Asks the files for `path`. What they would have answered, if that is an error; else they answer, or will be asked again
/// in the same stage.
fn attempt<S: 'static>(
    served: &mut routes::Served,
    path: &[u8],
    stage: u8,
    request: &Request<'_>,
    reply: &mut Reply<'_, S>,
) -> Option<Caught> {
    reply.set_stage(stage);
    reply.catch_errors();
    served.files.respond(path, request, reply);
    reply.caught()
}

fn edit<S: 'static>(route: &Ruled, path: &NormalPath, reply: &mut Reply<'_, S>) {
    let edits = route.fields.edits(path.as_bytes());
    if !edits.drop.is_empty() {
        reply.drop_lines(&edits.drop);
    }
    if !edits.lines.is_empty() {
        reply.add_lines(&edits.lines);
    }
}

/// The path as it was asked for, with a slash at its end.
fn to_directory<S: 'static>(request: &Request<'_>, reply: &mut Reply<'_, S>) {
    let Ok(path) = NormalPath::new(request.head.path) else { return page(reply, 400, &[]) };
    let mut location: String = encode_path(path.as_bytes()).collect();
    if !location.ends_with('/') {
        location.push('/');
    }
    if let Some(query) = request.head.query {
        location.push('?');
        location.extend(encode_query(query));
    }
    page(reply, 301, &[("Location", location.as_bytes())]);
}

/// Sends an error with the route's page for it, if there is one.
fn finish<S: 'static>(
    served: &mut routes::Served,
    caught: Caught,
    request: &Request<'_>,
    reply: &mut Reply<'_, S>,
) {
    let Caught { status, fields, body } = caught;
    let mut fields: Vec<(&str, &[u8])> =
        fields.iter().map(|(name, value)| (name.as_str(), &value[..])).collect();
    match served.pages.page(status, served.files.root(), request.turn) {
        Some((content_type, page)) => {
            fields.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
            fields.push(("Content-Type", content_type.as_bytes()));
            reply.send(status, &fields, &page);
        }
        None if body.is_empty() => page(reply, status, &fields),
        None => reply.send(status, &fields, &body),
    }
}

/// Whether a missing path may be one that only the page's script knows.
fn is_virtual(spa: &Spa, path: &NormalPath) -> bool {
    !path.last().contains(&b'.') && !spa.exclude.iter().any(|of| of.matches(path.as_bytes()))
}

/// Whether the client names HTML among what it accepts, as a browser that opens a page does and a script that fetches
/// data does not.
fn accepts_html(head: &Head<'_>) -> bool {
    head.field_all("accept").flat_map(|value| value.split(|&b| b == b',')).any(|range| {
        let mut parts = range.split(|&b| b == b';').map(<[u8]>::trim_ascii);
        let is_html = parts.next().is_some_and(|kind| {
            kind.eq_ignore_ascii_case(b"text/html") || kind.eq_ignore_ascii_case(b"application/xhtml+xml")
        });
        let refused = |param: &[u8]| {
            let weight = param.strip_prefix(b"q=").or_else(|| param.strip_prefix(b"Q="));
            weight.is_some_and(|weight| weight.iter().all(|b| matches!(b, b'0' | b'.')))
        };
        is_html && !parts.any(refused)
    })
}

fn page<S: 'static>(reply: &mut Reply<'_, S>, status: u16, fields: &[(&str, &[u8])]) {
    let body = error_page(status, reason(status));
    let mut all: Vec<(&str, &[u8])> = vec![("Content-Type", b"text/html; charset=utf-8")];
    all.extend_from_slice(fields);
    reply.send(status, &all, body.as_bytes());
}

#[cfg(test)]
mod tests;
