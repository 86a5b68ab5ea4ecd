//! The service behind a [`Server`](super::Server): finds the route of a request, says what becomes of its body, and
//! answers what no route answers: 404, 405 with `Allow`, OPTIONS, and paths that are refused.

use std::fmt;

use super::answer::Answer;
use super::path;
use super::request::Request;
use super::tree::{Spans, Tree};
use crate::proto::http1::head::{Form, Head, Method};
use crate::proto::http1::{self, BodyPlan, Cx, Reply, Service};

/// Calls the embedder's function.
pub(super) type Call<S> = Box<dyn FnMut(&mut S, &Request<'_>, &mut Reply<'_, S>, &mut Cx<'_, S>)>;

/// Wraps a function whose result is an answer.
pub(super) fn call<S: 'static, R: Into<Answer<S>>>(
    mut f: impl FnMut(&mut S, &Request<'_>, &mut Cx<'_, S>) -> R + 'static,
) -> Call<S> {
    Box::new(move |state, request, reply, cx| {
        let answer: Answer<S> = f(state, request, cx).into();
        answer.give(state, reply, cx);
    })
}

/// What becomes of a request's body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Plan {
    /// It means nothing and is skipped.
    Skip,
    /// It is collected, up to so many bytes or the server's bound.
    Collect(Option<u64>),
    /// A sink takes it, up to so many bytes.
    Stream(u64),
}

/// Something to call, with the names of its pattern's parameters.
pub(super) struct Route<S: 'static> {
    pub(super) names: Box<[Box<str>]>,
    pub(super) plan: Plan,
    pub(super) call: Call<S>,
}

/// What the patterns that match the same paths answer, by method.
#[derive(Debug, Default)]
pub(super) struct Resource {
    /// Methods and the numbers of their routes. A method is a name of the program's own.
    pub(super) methods: Vec<(Method<'static>, usize)>,
    /// The route of every other method.
    pub(super) any: Option<usize>,
    /// The value of `Allow`.
    pub(super) allow: String,
}

impl Resource {
    fn route(&self, method: &Method<'_>) -> Option<usize> {
        self.methods.iter().find(|(other, _)| other == method).map(|(_, route)| *route)
    }

    /// Writes down what is allowed (RFC 9110 section 10.2.1).
    pub(super) fn note_allowed(&mut self) {
        self.allow = if self.any.is_some() {
            "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH".to_owned()
        } else {
            let mut names: Vec<&str> = self.methods.iter().map(|(method, _)| method.as_str()).collect();
            if names.contains(&"GET") {
                names.push("HEAD");
            }
            names.push("OPTIONS");
            names.sort_unstable();
            names.dedup();
            names.join(", ")
        };
    }
}

/// What was found for a request.
enum Found {
    Route(usize, Spans),
    /// There is something at this path, for other methods.
    Resource(usize),
    /// OPTIONS of the server itself.
    Server,
    Missing,
    Refused(u16),
}

/// Routes requests.
pub(super) struct Router<S: 'static> {
    pub(super) tree: Tree,
    pub(super) resources: Vec<Resource>,
    pub(super) routes: Vec<Route<S>>,
    pub(super) fallback: Option<Route<S>>,
    pub(super) encoded_slashes: bool,
    /// The bound of bodies that are collected by routes with none of their own.
    pub(super) body_bytes_max: u64,
    /// What is allowed somewhere.
    pub(super) allow: String,
}

impl<S> fmt::Debug for Router<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("resources", &self.resources).finish_non_exhaustive()
    }
}

impl<S: 'static> Router<S> {
    fn find(&self, head: &Head<'_>) -> Found {
        if head.form == Form::Asterisk {
            return Found::Server;
        }
        if let Err(status) = path::judge(head.path, self.encoded_slashes) {
            return Found::Refused(status);
        }
        let Some((at, spans)) = self.tree.find(head.path) else { return Found::Missing };
        let Some(resource) = self.resources.get(at) else { return Found::Missing };
        let get = Method::Get;
        let by_get = (head.method == Method::Head).then_some(&get);
        let route = resource.route(&head.method).or_else(|| resource.route(by_get?));
        // TRACE would send back what the client does not know that it sends, credentials among it.
        let any = resource.any.filter(|_| head.method != Method::Trace);
        route.or(any).map_or(Found::Resource(at), |route| Found::Route(route, spans))
    }

    const fn plan(&self, plan: Plan) -> BodyPlan {
        match plan {
            Plan::Skip => BodyPlan::Skip,
            Plan::Collect(None) => BodyPlan::Collect(self.body_bytes_max as usize),
            Plan::Collect(Some(max)) => BodyPlan::Collect(max as usize),
            Plan::Stream(max) => BodyPlan::Stream(max),
        }
    }
}

impl<S: 'static> Service<S> for Router<S> {
    fn body_plan(&mut self, _: &mut S, head: &Head<'_>) -> BodyPlan {
        match self.find(head) {
            Found::Route(route, _) => {
                self.routes.get(route).map_or(BodyPlan::Refuse, |route| self.plan(route.plan))
            }
            Found::Missing => self.fallback.as_ref().map_or(BodyPlan::Refuse, |route| self.plan(route.plan)),
            Found::Resource(_) | Found::Server | Found::Refused(_) => BodyPlan::Refuse,
        }
    }

    fn on_request(
        &mut self,
        state: &mut S,
        request: &http1::Request<'_>,
        reply: &mut Reply<'_, S>,
        cx: &mut Cx<'_, S>,
    ) {
        let (route, spans) = match self.find(request.head) {
            Found::Route(route, spans) => (self.routes.get_mut(route), spans),
            Found::Missing => (self.fallback.as_mut(), Spans::default()),
            Found::Resource(at) => {
                let allow = self.resources.get(at).map_or("", |resource| &resource.allow);
                return not_allowed(&request.head.method, allow, reply);
            }
            Found::Server => return reply.send(204, &[("Allow", self.allow.as_bytes())], b""),
            Found::Refused(status) => return reply.status(status),
        };
        let Some(route) = route else {
            return reply.status(404);
        };
        let request = Request::new(request, &route.names, spans);
        (route.call)(state, &request, reply, cx);
    }
}

/// Answers a method that no route at its path has.
fn not_allowed<S: 'static>(method: &Method<'_>, allow: &str, reply: &mut Reply<'_, S>) {
    let fields: &[(&str, &[u8])] = &[("Allow", allow.as_bytes())];
    match method {
        Method::Options => reply.send(204, fields, b""),
        // One that the server does not know anywhere (RFC 9110 section 9.1).
        Method::Other(_) => reply.status(501),
        Method::Get | Method::Head | Method::Post | Method::Put | Method::Delete => {
            reply.status_with(405, fields)
        }
        Method::Connect | Method::Trace | Method::Patch => reply.status_with(405, fields),
    }
}

#[cfg(test)]
mod tests;
