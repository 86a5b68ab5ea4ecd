//! What a site is made of, in plain values: routes with a match, an action and a policy. Without serialisation, and
//! without effect until a [`Site`](super::Site) is made of it, which judges the whole.

use std::fmt;

use super::auth::{AuthError, BasicAuth};
use super::cors::{Cors, CorsError};
use super::fields::{FieldRule, Security};
use super::pages::PageError;
use super::pattern::{HostPattern, PathPattern, PatternError};
use super::target::{Target, TargetError};
use crate::service::files::Files;

/// A site: routes, the first of which that matches a request answers it.
///
/// ```no_run
/// use tidemill::proto::http1::Http;
/// use tidemill::service::files::{Files, Limits, Root};
/// use tidemill::service::site::{Match, Policy, Redirect, Route, Security, Site, SiteConfig};
///
/// let files = |dir: &str| Root::open(dir.as_ref()).map(|root| Files::new(root, Limits::default()));
/// let safe = || Policy { security: Some(Security::default()), ..Policy::default() };
/// let site = Site::new(SiteConfig {
///     routes: vec![
///         Route::redirect(Match::path("/old/*")?, Redirect::new(308, "/new/$rest$query")?),
///         Route::files(Match::host("docs.example.org")?, files("docs")?).with(safe()),
///         Route::files(Match::any(), files("www")?).with(safe()),
///     ],
/// })?;
/// let handler = Http::new(site);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct SiteConfig {
    /// Tried in order.
    pub routes: Vec<Route>,
}

/// Which requests, what is done with them, and what goes with the answer.
#[derive(Debug)]
pub struct Route {
    /// Which requests.
    pub when: Match,
    /// What is done.
    pub action: Action,
    /// What goes with the answer, and who may have it.
    pub policy: Policy,
}

impl Route {
    /// Sends files.
    pub fn files(when: Match, files: Files) -> Self {
        Self::new(when, Action::Files(FilesRoute { files, strip_prefix: false, spa: None }))
    }

    /// Redirects.
    pub fn redirect(when: Match, redirect: Redirect) -> Self {
        Self::new(when, Action::Redirect(redirect))
    }

    /// Goes on with another path, from the first route anew.
    ///
    /// # Errors
    /// A target that is not local.
    pub fn rewrite(when: Match, target: &str) -> Result<Self, TargetError> {
        Ok(Self::new(when, Action::Rewrite(Target::local(target)?)))
    }

    /// With an action of the caller's choice, and no policy.
    pub fn new(when: Match, action: Action) -> Self {
        Self { when, action, policy: Policy::default() }
    }

    /// With a policy.
    #[must_use]
    pub fn with(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }
}

/// Which requests a route is for: all of its parts must match.
///
/// ```
/// use tidemill::service::site::{HostPattern, Match, PathPattern};
///
/// let api = Match {
///     hosts: vec![HostPattern::new("*.example.org").unwrap()],
///     methods: vec!["GET".into(), "POST".into()],
///     ..Match::path("/api/*").unwrap()
/// };
/// assert!(api.path.matches(b"/api/users"));
/// ```
#[derive(Debug, Clone)]
pub struct Match {
    /// Any of these; empty: every host, and requests without one.
    pub hosts: Vec<HostPattern>,
    /// The path.
    pub path: PathPattern,
    /// Any of these; `GET` stands for `HEAD` too. Empty: what the action answers (files: GET and HEAD; else all).
    pub methods: Vec<String>,
}

impl Match {
    /// Every request.
    pub const fn any() -> Self {
        Self { hosts: Vec::new(), path: PathPattern::any(), methods: Vec::new() }
    }

    /// Paths as [`PathPattern::parse`] reads them, on every host.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn path(path: &str) -> Result<Self, PatternError> {
        Ok(Self { path: PathPattern::parse(path)?, ..Self::any() })
    }

    /// Every path of one host, or of those beneath one (`*.example.org`).
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn host(host: &str) -> Result<Self, PatternError> {
        Ok(Self { hosts: vec![HostPattern::new(host)?], ..Self::any() })
    }
}

/// What a route does.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a site has a handful of them, made once")]
pub enum Action {
    /// Sends files.
    Files(FilesRoute),
    /// Sends the client elsewhere.
    Redirect(Redirect),
    /// Goes on with this path, normalised anew, from the first route; at most [`REWRITES_MAX`](super::REWRITES_MAX)
    /// times a request. What a route of this kind has of a policy is its auth alone.
    Rewrite(Target),
}

/// Files beneath a root.
#[derive(Debug)]
pub struct FilesRoute {
    /// The files.
    pub files: Files,
    /// Whether the prefix of the route's path is taken off first: `/docs/a` is then `a` beneath the root, not `docs/a`.
    pub strip_prefix: bool,
    /// One page for every path that has no file.
    pub spa: Option<Spa>,
}

/// The page of a single-page application, which answers for paths that only its script knows.
///
/// It answers, with 200, a GET or HEAD of a path that is missing, has no `.` in its last segment and is not excluded,
/// from a client that accepts `text/html` by name. Everything else that is missing stays 404.
#[derive(Debug, Clone)]
pub struct Spa {
    /// The page, as a path beneath the root.
    pub page: String,
    /// Paths of which a missing one stays missing.
    pub exclude: Vec<PathPattern>,
}

impl Default for Spa {
    /// `/index.html`, not for anything in `/api` and `/.well-known`.
    fn default() -> Self {
        let exclude =
            ["/api", "/.well-known"].iter().filter_map(|path| PathPattern::prefix(path).ok()).collect();
        Self { page: "/index.html".to_owned(), exclude }
    }
}

/// A redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Where to.
    pub target: Target,
}

impl Redirect {
    /// Sends clients to `target`: a path such as `/new/$rest$query`, or a whole URL such as `https://example.org$path`.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn new(status: u16, target: &str) -> Result<Self, TargetError> {
        Ok(Self { status, target: Target::new(target)? })
    }
}

/// What goes with the answers of a route, errors included, and who may have them.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Fields to be added, set and removed, in order.
    pub fields: Vec<FieldRule>,
    /// The preset of security fields; rules of the same name in `fields` replace its own.
    pub security: Option<Security>,
    /// Which other origins may read the answers. Preflights are answered before a password is asked for.
    pub cors: Option<Cors>,
    /// Whose answers these are.
    pub auth: Option<BasicAuth>,
    /// Pages for errors: a status from 400 to 599, and a path beneath the route's root.
    pub error_pages: Vec<(u16, String)>,
}

/// Why a [`Site`](super::Site) cannot be made.
#[derive(Debug)]
pub struct SiteError {
    /// Which route, from 0.
    pub route: usize,
    /// What is wrong with it.
    pub why: Problem,
}

/// What is wrong with a route.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// Not 301, 302, 303, 307 or 308.
    Status(u16),
    /// A method is none that this server knows.
    Method(String),
    /// The redirect or rewrite leads back to where it was: the path that it was followed from.
    Loop(String),
    /// A rewrite has more of a policy than auth.
    RewritePolicy,
    /// A prefix is to be taken off a path that is a glob or exact.
    Strip,
    /// The page of a single-page application is no path.
    Spa(String),
    /// The rules for other origins.
    Cors(CorsError),
    /// The password file, and why it cannot be used.
    Auth(std::path::PathBuf, AuthError),
    /// An error page: its status, its name, and why it is none.
    Page(u16, String, PageError),
}

impl fmt::Display for SiteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route {}: {}", self.route + 1, self.why)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "a redirect has status 301, 302, 303, 307 or 308, not {status}"),
            Self::Method(method) => write!(
                f,
                "'{}' is no method of a route: GET, HEAD, POST, PUT, DELETE or PATCH",
                method.escape_debug()
            ),
            Self::Loop(path) => write!(f, "{path} leads back to itself. Exclude its target, or place a route before it"),
            Self::RewritePolicy => {
                f.write_str("a rewrite has no answer of its own: give its policy, auth excepted, to the route it leads to")
            }
            Self::Strip => f.write_str("only a prefix can be taken off a path: write it as /prefix/*"),
            Self::Spa(page) => write!(f, "'{}' is no page beneath the root", page.escape_debug()),
            Self::Cors(e) => write!(f, "{e}"),
            Self::Auth(path, e) => write!(f, "password file '{}': {e}", path.display()),
            Self::Page(status, name, e) => write!(f, "error page '{}' for {status}: {e}", name.escape_debug()),
        }
    }
}

impl std::error::Error for SiteError {}
