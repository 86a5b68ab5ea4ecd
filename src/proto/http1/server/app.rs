//! Who answers: an [`App`], which is its own state, or a [`Service`] beside the state.

use crate::proto::http1::head::Head;
use crate::proto::http1::reply::{Reply, Request};
use crate::proto::http1::server::Cx;

/// What to do with the body of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyPlan {
    /// Read it and drop it, up to the configured bound; then ask for the answer.
    Skip,
    /// Collect up to so many bytes; then ask for the answer. A larger body is answered with 413.
    Collect(usize),
    /// Ask for the answer at once, without it. What comes of it is skipped up to the configured bound.
    Refuse,
    /// Ask at once, and have a [`Sink`](super::Sink) take up to so many bytes as they come: the answer is
    /// [`Reply::sink`]. Any other answer is as for [`BodyPlan::Refuse`].
    Stream(u64),
}

/// An application: answers requests.
pub trait App: Sized + 'static {
    /// What to do with the body of this request; asked once, when its head is whole and it has a body.
    fn body_plan(&mut self, head: &Head<'_>) -> BodyPlan {
        let _ = head;
        BodyPlan::Skip
    }

    /// Answers a request. Called in the order of the requests of a connection, one at a time: the next one is not
    /// looked at before this one's answer is over.
    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, cx: &mut Cx<'_, Self>);
}

/// Answers requests with the help of a state that it does not own.
pub trait Service<S: 'static>: 'static {
    /// As [`App::body_plan`].
    fn body_plan(&mut self, state: &mut S, head: &Head<'_>) -> BodyPlan {
        let _ = (state, head);
        BodyPlan::Skip
    }

    /// As [`App::on_request`].
    fn on_request(
        &mut self,
        state: &mut S,
        request: &Request<'_>,
        reply: &mut Reply<'_, S>,
        cx: &mut Cx<'_, S>,
    );
}

/// The service of an application that is its own state.
#[derive(Debug)]
pub(super) struct Direct;

impl<A: App> Service<A> for Direct {
    fn body_plan(&mut self, app: &mut A, head: &Head<'_>) -> BodyPlan {
        app.body_plan(head)
    }

    fn on_request(
        &mut self,
        app: &mut A,
        request: &Request<'_>,
        reply: &mut Reply<'_, A>,
        cx: &mut Cx<'_, A>,
    ) {
        app.on_request(request, reply, cx);
    }
}
