//! Who takes the body of a request as it comes.

use super::Cx;
use crate::proto::http1::reply::Reply;
use crate::reactor::class::Class;

/// What a [`Sink`] says when it returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// Go on.
    Go,
    /// Read no more until [`Cx::wake`]: what the peer sends meanwhile waits in the kernel. At most what was read before
    /// (64 KiB) still comes.
    Wait,
}

/// Takes the body of a request, piece by piece, in order. Dropped when the request is over.
///
/// To answer before the body is whole, call [`Cx::respond`] with [`Cx::ticket`]: what still comes is not read, and the
/// connection ends behind the answer.
///
/// ```
/// use tidemill::proto::http1::{Cx, Flow, Reply, Sink};
///
/// /// Counts bytes.
/// struct Count(u64);
///
/// impl<S: 'static> Sink<S> for Count {
///     fn on_data(&mut self, _: &mut S, bytes: &[u8], _: &mut Cx<'_, S>) -> Flow {
///         self.0 += bytes.len() as u64;
///         Flow::Go
///     }
///     fn on_end(self: Box<Self>, _: &mut S, reply: &mut Reply<'_, S>, _: &mut Cx<'_, S>) {
///         reply.respond(format!("{} bytes\n", self.0));
///     }
/// }
/// ```
pub trait Sink<S: 'static>: 'static {
    /// Content has come; never empty. All of it is taken.
    fn on_data(&mut self, state: &mut S, bytes: &[u8], cx: &mut Cx<'_, S>) -> Flow;

    /// The body is whole: answer, now or later.
    fn on_end(self: Box<Self>, state: &mut S, reply: &mut Reply<'_, S>, cx: &mut Cx<'_, S>);

    /// It will not become whole, and why: it was malformed, too large, too slow or cut, which the server answers by
    /// itself, or the connection is no more (`None`: by the peer's own end).
    fn on_gone(self: Box<Self>, state: &mut S, class: Option<&'static Class>, cx: &mut Cx<'_, S>) {
        let _ = (state, class, cx);
    }
}
