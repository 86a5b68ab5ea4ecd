//! The builder of an HTTP server: routes and bounds in, a handler for the reactor out.

use std::fmt;

use super::answer::Answer;
use super::request::Request;
use super::router::{Call, Plan, Resource, Route, Router, call};
use super::tree::{PARAMS_MAX, Pattern, Tree};
use crate::proto::http1::head::Method;
use crate::proto::http1::{Cx, Http, HttpConfig, Log, Prepared, Reply, Response};
use crate::service::files::Files;

/// What is wrong with the routes of a [`Server`]: the first mistake that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteError {
    /// A pattern that can match nothing.
    Pattern {
        /// As it was given.
        pattern: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A method and path that another route has.
    Conflict {
        /// The second of the two.
        pattern: String,
        /// The method; empty for every method.
        method: String,
    },
    /// A fixed answer that cannot be sent.
    Response {
        /// Of its route.
        pattern: String,
    },
    /// A bound that was given before the first route.
    NoRoute,
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern { pattern, reason } => write!(f, "the pattern `{pattern}` is wrong: {reason}"),
            Self::Conflict { pattern, method } if method.is_empty() => {
                write!(f, "a second route for every method of `{pattern}`")
            }
            Self::Conflict { pattern, method } => write!(f, "a second route for {method} `{pattern}`"),
            Self::Response { pattern } => {
                write!(f, "the fixed answer of `{pattern}` has a bad status, a bad field, or no fixed body")
            }
            Self::NoRoute => f.write_str("a body's bound was given before the first route"),
        }
    }
}

impl std::error::Error for RouteError {}

/// An HTTP server in the making: a state of type `S`, which every call gets by `&mut`, and routes.
///
/// A pattern is a path whose segments may be parameters (`:name`, one segment that is not empty) or, as the last, a tail
/// (`*name`, everything that is left, which may be nothing). At each segment a fixed name comes before a parameter and a
/// parameter before a tail, whatever the order of the calls; then the method decides. Patterns are written decoded.
///
/// The server answers by itself: HEAD where there is GET; OPTIONS; 405 with `Allow` for other methods, 501 for unknown
/// ones; 404; and by the rules for hostile paths in `docs/http.md` 400 and 404. A request whose body is not wanted is
/// answered before it.
///
/// ```
/// use tidemill::http::Server;
/// use tidemill::reactor::{Config, Endpoint, Reactor};
///
/// let http = Server::new(0u64)
///     .get("/", |_, _, _| "Hello, World!")
///     .get("/hits", |hits, _, _| {
///         *hits += 1;
///         format!("{hits}\n")
///     })
///     .put("/hits/:n", |hits, req, _| match req.param("n").and_then(|n| n.parse().ok()) {
///         Some(n) => {
///             *hits = n;
///             204
///         }
///         None => 400,
///     })
///     .build()?;
/// let mut reactor = Reactor::new(Config::default())?;
/// let http = reactor.add(http);
/// reactor.listen(http, &Endpoint::tcp(([127, 0, 0, 1], 0)))?;
/// # reactor.handle().stop(std::time::Duration::from_secs(1));
/// reactor.run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server<S: 'static> {
    state: S,
    router: Router<S>,
    config: HttpConfig,
    log: Option<Box<dyn Log>>,
    /// The route that was made last.
    last: Last,
    error: Option<RouteError>,
}

/// The route that was made last.
enum Last {
    None,
    Route(usize),
    Fallback,
}

impl<S: 'static> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("router", &self.router)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// Routes. Each function gets the state, the request and everything else that it may do, and returns what makes an
/// [`Answer`].
impl<S: 'static> Server<S> {
    /// A server without routes.
    pub fn new(state: S) -> Self {
        let router = Router {
            tree: Tree::default(),
            resources: Vec::new(),
            routes: Vec::new(),
            fallback: None,
            encoded_slashes: false,
            body_bytes_max: 0,
            allow: String::new(),
        };
        Self { state, router, config: HttpConfig::default(), log: None, last: Last::None, error: None }
    }

    /// A route for GET, and for HEAD where there is none of its own.
    pub fn get<R: Into<Answer<S>>>(
        self,
        pattern: &str,
        f: impl FnMut(&mut S, &Request<'_>, &mut Cx<'_, S>) -> R + 'static,
    ) -> Self {
        self.route(Method::Get, pattern, f)
    }

    /// A route for POST. The body is collected first, up to [`HttpConfig::body_bytes_max`] or [`Server::body_max`].
    pub fn post<R: Into<Answer<S>>>(
        self,
        pattern: &str,
        f: impl FnMut(&mut S, &Request<'_>, &mut Cx<'_, S>) -> R + 'static,
    ) -> Self {
        self.route(Method::Post, pattern, f)
    }

    /// A route for PUT, with its body collected as for [`Server::post`].
    pub fn put<R: Into<Answer<S>>>(
        self,
        pattern: &str,
        f: impl FnMut(&mut S, &Request<'_>, &mut Cx<'_, S>) -> R + 'static,
    ) -> Self {
        self.route(Method::Put, pattern, f)
    }

    /// A route for PATCH, with its body collected as for [`Server::post`].
    pub fn patch<R: Into<Answer<S>>>(
        self,
        pattern: &str,
        f: impl FnMut(&mut S, &Request<'_>, &mut Cx<'_, S>) -> R + 'static,
    ) -> Self {
        self.route(Method::Patch, pattern, f)
    }

    /// A route for DELETE, with its body collected as for [`Server::post`].
    pub fn delete<R: Into<Answer<S>>>(
        self,
        pattern: &str,
        f: impl FnMut(&mut S, &Request<'_>, &mut Cx<'_, S>) -> R + 'static,
    ) -> Self {
        self.route(Method::Delete, pattern, f)
    }

    /// A route for one method, whichever. The bodies of GET and HEAD are skipped, others are collected.
    ///
    /// ```
    /// # use tidemill::http::{Method, Server};
    /// let http = Server::new(()).route(Method::Other("PROPFIND"), "/dav/*path", |_, _, _| 501);
    /// ```
    pub fn route<R: Into<Answer<S>>>(
        mut self,
        method: Method<'static>,
        pattern: &str,
        f: impl FnMut(&mut S, &Request<'_>, &mut Cx<'_, S>) -> R + 'static,
    ) -> Self {
        let skips = matches!(method, Method::Get | Method::Head);
        let plan = if skips { Plan::Skip } else { Plan::Collect(None) };
        self.add(&[Some(method)], pattern, plan, call(f));
        self
    }

    /// A route for every method that has none of its own at the same path, TRACE excepted.
    pub fn any<R: Into<Answer<S>>>(
        mut self,
        pattern: &str,
        f: impl FnMut(&mut S, &Request<'_>, &mut Cx<'_, S>) -> R + 'static,
    ) -> Self {
        self.add(&[None], pattern, Plan::Collect(None), call(f));
        self
    }

    /// As [`Server::any`] for all paths that begin with `prefix`, which ends in a slash; `path` is the parameter that
    /// holds the rest.
    ///
    /// ```
    /// # use tidemill::http::Server;
    /// let http = Server::new(()).prefix("/old/", |_, req, _| {
    ///     tidemill::http::Response::redirect(308, &format!("/new/{}", req.path().trim_start_matches("/old/")))
    /// });
    /// ```
    pub fn prefix<R: Into<Answer<S>>>(
        mut self,
        prefix: &str,
        f: impl FnMut(&mut S, &Request<'_>, &mut Cx<'_, S>) -> R + 'static,
    ) -> Self {
        match prefix.ends_with('/') {
            true => self.add(&[None], &format!("{prefix}*path"), Plan::Collect(None), call(f)),
            false => self.mistake(RouteError::Pattern {
                pattern: prefix.to_owned(),
                reason: "a prefix ends in a slash",
            }),
        }
        self
    }

    /// A route for POST and PUT whose body is not collected: the function is called behind the head and returns
    /// [`Answer::sink`], or any other answer, with which the body is not read. Without bound, unless
    /// [`Server::body_max`] sets one; then more is a 413.
    pub fn upload<R: Into<Answer<S>>>(
        mut self,
        pattern: &str,
        f: impl FnMut(&mut S, &Request<'_>, &mut Cx<'_, S>) -> R + 'static,
    ) -> Self {
        self.add(&[Some(Method::Post), Some(Method::Put)], pattern, Plan::Stream(u64::MAX), call(f));
        self
    }

    /// The same answer to every GET, rendered once: sending it allocates and formats nothing.
    ///
    /// ```
    /// # use tidemill::http::{Response, Server};
    /// let robots = Response::from("User-agent: *\nDisallow:\n").field("Cache-Control", "max-age=3600");
    /// let http = Server::new(()).fixed("/robots.txt", robots);
    /// ```
    pub fn fixed(mut self, pattern: &str, response: impl Into<Response>) -> Self {
        match Prepared::of(&response.into()) {
            Ok(mut prepared) => {
                let call: Call<S> = Box::new(move |_, _, reply, _| reply.prepared(&mut prepared));
                self.add(&[Some(Method::Get)], pattern, Plan::Skip, call);
            }
            Err(_) => self.mistake(RouteError::Response { pattern: pattern.to_owned() }),
        }
        self
    }

    /// Files at all paths that begin with `prefix`, which ends in a slash; without that slash it is redirected.
    ///
    /// ```no_run
    /// # use tidemill::http::Server;
    /// use tidemill::service::files::{Files, Limits, Root};
    ///
    /// let files = Files::new(Root::open("site".as_ref())?, Limits::default());
    /// let http = Server::new(()).files("/static/", files);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn files(mut self, prefix: &str, files: Files) -> Self {
        let Some(bare) = prefix.strip_suffix('/') else {
            self.mistake(RouteError::Pattern {
                pattern: prefix.to_owned(),
                reason: "a prefix ends in a slash",
            });
            return self;
        };
        if !bare.is_empty() {
            let name = bare.rsplit('/').next().unwrap_or_default().to_owned();
            self = self
                .get(bare, move |_, req, _| super::files::to_directory(name.as_bytes(), req.head().query));
        }
        self.add(&[Some(Method::Get)], &format!("{prefix}*path"), Plan::Skip, super::files::call(files));
        self
    }

    /// What answers when no route has the path, instead of a plain 404.
    pub fn fallback<R: Into<Answer<S>>>(
        mut self,
        f: impl FnMut(&mut S, &Request<'_>, &mut Cx<'_, S>) -> R + 'static,
    ) -> Self {
        self.router.fallback =
            Some(Route { names: Box::default(), plan: Plan::Collect(None), call: call(f) });
        self.last = Last::Fallback;
        self
    }

    /// Bounds the body of the route that was made last, in bytes. More is answered with 413.
    pub fn body_max(mut self, bytes: u64) -> Self {
        let route = match self.last {
            Last::Route(at) => self.router.routes.get_mut(at),
            Last::Fallback => self.router.fallback.as_mut(),
            Last::None => None,
        };
        match route.map(|route| &mut route.plan) {
            Some(Plan::Stream(max)) => *max = bytes,
            Some(plan) => *plan = Plan::Collect(Some(bytes)),
            // After a mistake there may be no route, and the mistake is what is told.
            None => self.mistake(RouteError::NoRoute),
        }
        self
    }

    fn add(&mut self, methods: &[Option<Method<'static>>], pattern: &str, plan: Plan, call: Call<S>) {
        let parsed = match Pattern::parse(pattern) {
            Ok(parsed) => parsed,
            Err(reason) => return self.mistake(RouteError::Pattern { pattern: pattern.to_owned(), reason }),
        };
        debug_assert!(parsed.names.len() <= PARAMS_MAX);
        let at = self.router.tree.insert(&parsed, self.router.resources.len());
        if at == self.router.resources.len() {
            self.router.resources.push(Resource::default());
        }
        let route = self.router.routes.len();
        self.router.routes.push(Route { names: parsed.names, plan, call });
        self.last = Last::Route(route);
        let Some(resource) = self.router.resources.get_mut(at) else { return };
        for method in methods {
            let taken = match method {
                Some(method) => resource.methods.iter().any(|(other, _)| other == method),
                None => resource.any.is_some(),
            };
            if taken {
                let method = method.map_or("", |method| method.as_str()).to_owned();
                return self.mistake(RouteError::Conflict { pattern: pattern.to_owned(), method });
            }
            match method {
                Some(method) => resource.methods.push((*method, route)),
                None => resource.any = Some(route),
            }
        }
    }

    fn mistake(&mut self, error: RouteError) {
        self.error.get_or_insert(error);
    }
}

/// Everything but routes.
impl<S: 'static> Server<S> {
    /// With these bounds instead of the default ones.
    pub fn config(mut self, config: HttpConfig) -> Self {
        self.config = config;
        self
    }

    /// With a log, told of each request when it is over.
    pub fn log(mut self, log: Box<dyn Log>) -> Self {
        self.log = Some(log);
        self
    }

    /// Lets `%2F` pass in paths. It separates nothing, but is a slash in a decoded parameter: one that is used as the
    /// name of a file then needs a look for `..` first.
    pub const fn encoded_slashes(mut self, pass: bool) -> Self {
        self.router.encoded_slashes = pass;
        self
    }

    /// The handler, for [`Reactor::add`](crate::reactor::Reactor::add).
    ///
    /// # Errors
    /// The first mistake in the routes.
    pub fn build(mut self) -> Result<Http<S>, RouteError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.router.body_bytes_max = self.config.body_bytes_max;
        let mut all = Resource::default();
        for resource in &mut self.router.resources {
            resource.note_allowed();
            all.any = all.any.or(resource.any);
            all.methods.extend_from_slice(&resource.methods);
        }
        all.note_allowed();
        self.router.allow = all.allow;
        let http = Http::with_service(self.state, Box::new(self.router), self.config);
        Ok(match self.log {
            Some(log) => http.with_log(log),
            None => http,
        })
    }
}

/// For routes that answer by the [`Reply`] itself, and may be asked again.
impl<S: 'static> Server<S> {
    /// A route for one method whose function answers by the [`Reply`]: for what goes through [`Reply::offload`] and is
    /// asked again, as services are. The body is skipped, or collected with [`Server::body_max`].
    ///
    /// ```
    /// # use tidemill::http::{Method, Server};
    /// let http = Server::new(()).direct(Method::Get, "/slow", |_, _, reply, _| match reply.take_done::<u64>() {
    ///     None => reply.offload(|| (1..1_000_000u64).sum::<u64>()),
    ///     Some(Ok(sum)) => reply.respond(format!("{sum}\n")),
    ///     Some(Err(_)) => reply.status(503),
    /// });
    /// ```
    pub fn direct(
        mut self,
        method: Method<'static>,
        pattern: &str,
        f: impl FnMut(&mut S, &Request<'_>, &mut Reply<'_, S>, &mut Cx<'_, S>) + 'static,
    ) -> Self {
        self.add(&[Some(method)], pattern, Plan::Skip, Box::new(f));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(server: Server<()>) -> Option<RouteError> {
        server.build().err()
    }

    #[test]
    fn a_second_route_for_the_same_is_a_mistake_and_the_first_mistake_is_told() {
        let twice =
            Server::new(()).get("/a/:x", |_, _, _| 200).get("/a/:y", |_, _, _| 200).get("b", |_, _, _| 200);
        let conflict = RouteError::Conflict { pattern: "/a/:y".into(), method: "GET".into() };
        assert_eq!(error(twice), Some(conflict));
        let any = Server::new(()).prefix("/a/", |_, _, _| 200).any("/a/*rest", |_, _, _| 200);
        assert!(matches!(error(any), Some(RouteError::Conflict { method, .. }) if method.is_empty()));
        let both = Server::new(()).upload("/a", |_, _, _| 200).put("/a", |_, _, _| 200);
        assert!(matches!(error(both), Some(RouteError::Conflict { method, .. }) if method == "PUT"));
        let fine =
            Server::new(()).get("/a", |_, _, _| 200).post("/a", |_, _, _| 200).any("/a", |_, _, _| 200);
        assert_eq!(error(fine), None);
    }

    #[test]
    fn what_can_never_answer_is_a_mistake() {
        assert!(matches!(error(Server::new(()).get("a", |_, _, _| 200)), Some(RouteError::Pattern { .. })));
        assert!(matches!(
            error(Server::new(()).prefix("/a", |_, _, _| 200)),
            Some(RouteError::Pattern { .. })
        ));
        assert_eq!(error(Server::new(()).body_max(1)), Some(RouteError::NoRoute));
        let bad = Response::from("x").field("Content-Length", "9");
        assert!(matches!(error(Server::new(()).fixed("/", bad)), Some(RouteError::Response { .. })));
        let pieces = Response::pieces([vec![1]]);
        assert!(matches!(error(Server::new(()).fixed("/", pieces)), Some(RouteError::Response { .. })));
        for mistake in [
            RouteError::Pattern { pattern: "a".into(), reason: "r" },
            RouteError::Conflict { pattern: "/a".into(), method: String::new() },
            RouteError::Response { pattern: "/".into() },
            RouteError::NoRoute,
        ] {
            assert!(mistake.to_string().len() > 20);
        }
    }
}
