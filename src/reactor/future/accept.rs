//! Streams coming in and going out: acceptors, and connecting.

use std::error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::marker::PhantomData;
use std::task::{Context, Poll};

use super::error::{broken, outside};
use super::executor::Promise;
use super::local;
use super::ops::Op;
use super::state::{AcceptorState, Futures, Leftover, SERVICE};
use super::stream::{End, Stream};
use super::streams::born;
use super::task::{Expected, NotSend, OUTSIDE};
use crate::reactor::close::Error;
use crate::reactor::core::Core;
use crate::reactor::endpoint::{Address, Endpoint};
use crate::reactor::id::{ConnId, ListenerId};
use crate::reactor::limits::Limits;
use crate::reactor::sys::Peer;
use crate::reactor::table::dial;

/// Streams that wait in one acceptor; when there are as many, its listener pauses and the rest waits in the kernel.
pub(crate) const WAITING_MAX: usize = 128;

/// Why an acceptor gives no more streams.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AcceptError {
    /// The reactor was told to stop.
    Draining,
    /// Its listener was closed or broke, or it is used outside its reactor.
    Closed,
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draining => "the reactor stops: no more connections are accepted",
            Self::Closed => "the listener is closed",
        })
    }
}

impl error::Error for AcceptError {}

/// Accepts streams. Dropped, it stops listening, and closes those that nobody took.
pub struct Acceptor {
    tag: u64,
    index: u32,
    local: Endpoint,
    _here: NotSend,
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Acceptor").field(&self.local.short()).finish()
    }
}

impl Acceptor {
    pub(super) const fn new(tag: u64, index: u32, local: Endpoint) -> Self {
        Self { tag, index, local, _here: PhantomData }
    }

    /// Where it listens, with the port that the kernel chose.
    pub const fn local(&self) -> &Endpoint {
        &self.local
    }

    /// The next stream, and who it is. While nobody asks, 128 wait here and the rest in the kernel.
    ///
    /// # Errors
    /// Once those that were accepted before have been given: why there are no more.
    pub async fn accept(&mut self) -> Result<(Stream, Peer), AcceptError> {
        let index = self.index;
        let (id, peer, index) = poll_fn(|cx| {
            let polled = local::with(self.tag, |core| core.poll_accept(index, cx));
            polled.unwrap_or(Poll::Ready(Err(AcceptError::Closed)))
        })
        .await?;
        Ok((Stream { end: End::new(self.tag, index, id, peer) }, peer))
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        local::give_back(self.tag, Leftover::Acceptor(self.index));
    }
}

impl Core {
    fn poll_accept(
        &mut self,
        index: u32,
        cx: &Context<'_>,
    ) -> Poll<Result<(ConnId, Peer, u32), AcceptError>> {
        let Futures { acceptors, streams, trash, resume_listeners, .. } = &mut self.futures;
        let Some(acceptor) = acceptors.get_mut(index as usize) else {
            return Poll::Ready(Err(AcceptError::Closed));
        };
        if let Some(index) = acceptor.queue.pop_front() {
            *resume_listeners |= acceptor.queue.len() + 1 == WAITING_MAX;
            let Some(stream) = streams.get(index as usize) else { return Poll::Pending };
            let peer = match (&stream.report, self.links.get(stream.id.slot as usize)) {
                (Some(report), _) => report.peer,
                (None, Some(link)) => link.peer.unpack(),
                (None, None) => Peer::Unknown,
            };
            return Poll::Ready(Ok((stream.id, peer, index)));
        }
        if let Some(why) = acceptor.over {
            return Poll::Ready(Err(why));
        }
        Futures::register(&mut acceptor.waker, cx, trash);
        Poll::Pending
    }

    /// The acceptor of a listener, if it has one.
    pub(super) fn acceptor_of(&self, listener: ListenerId) -> Option<&AcceptorState> {
        let index = self.futures.by_listener.get(&listener)?;
        self.futures.acceptors.get(*index as usize)
    }

    /// Whether an acceptor wants no more streams for now.
    pub(crate) fn is_full(&self, listener: ListenerId) -> bool {
        // A stop closes the listener: what the kernel still has queued for it would be reset.
        !self.draining && self.acceptor_of(listener).is_some_and(|a| a.queue.len() >= WAITING_MAX)
    }

    /// A listener is no more; its acceptor, if it has one, hears why.
    pub(crate) fn listener_gone(&mut self, listener: ListenerId) {
        let why = if self.draining { AcceptError::Draining } else { AcceptError::Closed };
        let Futures { acceptors, by_listener, wakes, .. } = &mut self.futures;
        let index = by_listener.get(&listener);
        if let Some(acceptor) = index.and_then(|index| acceptors.get_mut(*index as usize)) {
            acceptor.over = Some(why);
            wakes.extend(acceptor.waker.take());
        }
    }

    pub(super) fn drop_acceptor(&mut self, index: u32) {
        let Some(acceptor) = self.futures.acceptors.try_remove(index as usize) else { return };
        self.futures.by_listener.remove(&acceptor.listener);
        self.futures.trash.extend(acceptor.waker.map(super::state::Trash::Waker));
        if acceptor.over.is_none() {
            self.futures.ops.push(Op::Unlisten(acceptor.listener));
        }
        self.drop_queued(acceptor.queue);
    }

    /// Dials, as the stream of that index.
    fn dial_stream(&mut self, service: u16, to: &Endpoint) -> io::Result<(u32, ConnId, Peer)> {
        if matches!(to.address, Address::TcpName(..) | Address::Fd(_)) {
            let what = "only an address can be connected to: resolve the name first";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        if self.grace_over {
            let what = "the reactor has stopped";
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, what));
        }
        let index = self.futures.streams.vacant_key() as u32;
        let id = dial(self, service, index, to);
        self.futures.streams.insert(born(id, false));
        Ok((index, id, self.link(id.slot).peer.unpack()))
    }
}

/// Listens for streams with the default [`Limits`], from within a future.
///
/// # Errors
/// The step that failed, with its class.
///
/// # Panics
/// When it is polled outside a reactor.
pub async fn listen(at: &Endpoint) -> Result<Acceptor, Error> {
    listen_with(at, Limits::default()).await
}

/// As [`listen`], with bounds of the caller's choice; see
/// [`Reactor::acceptor_with`](crate::reactor::Reactor::acceptor_with).
///
/// # Errors
/// The step that failed, with its class.
///
/// # Panics
/// When it is polled outside a reactor.
#[allow(clippy::expect_used, reason = "polled outside a reactor: a programmer's error")]
pub async fn listen_with(at: &Endpoint, limits: Limits) -> Result<Acceptor, Error> {
    let (made, shot) = Expected::<Result<Acceptor, Error>>::begin().expect(OUTSIDE);
    let promise = Promise::new(made.tag(), shot);
    let op = Op::Listen { at: at.clone(), limits, promise };
    local::with(made.tag(), |core| core.futures.ops.push(op));
    made.await.unwrap_or_else(|_| Err(Error::new("listen on", Some(at.short()), outside())))
}

/// Connects, with the default [`Limits`]: 10 s for the connect. Dropped before it is done, it gives up the attempt.
///
/// # Errors
/// How the attempt ended; [`StreamError`](super::StreamError) has the class. `InvalidInput` for a name:
/// [`Endpoint::resolve`] blocks, so [`offload`](super::offload) it.
pub async fn connect(to: &Endpoint) -> io::Result<Stream> {
    connect_by(to, SERVICE).await
}

/// As [`connect`], with bounds of the caller's choice. Each different set of limits makes a service that stays as long
/// as the reactor.
///
/// # Errors
/// As [`connect`].
pub async fn connect_with(to: &Endpoint, limits: Limits) -> io::Result<Stream> {
    let known = local::with_any(|core| {
        core.futures.services.iter().find(|(of, _)| *of == limits).map(|(_, index)| *index)
    });
    let service = match known.ok_or_else(outside)? {
        Some(index) => index,
        None => {
            let (index, shot) = Expected::<u16>::begin().ok_or_else(outside)?;
            let op = Op::Service { limits, promise: Promise::new(index.tag(), shot) };
            local::with(index.tag(), |core| core.futures.ops.push(op));
            index.await.map_err(|_| outside())?
        }
    };
    connect_by(to, service).await
}

async fn connect_by(to: &Endpoint, service: u16) -> io::Result<Stream> {
    let tag = local::tag();
    let (index, id, peer) = local::with(tag, |core| core.dial_stream(service, to)).ok_or_else(outside)??;
    // From here on a drop gives the attempt up.
    let stream = Stream { end: End::new(tag, index, id, peer) };
    poll_fn(|cx| {
        let polled = local::with(tag, |core| {
            let Futures { streams, trash, .. } = &mut core.futures;
            let Some(stream) = streams.get_mut(index as usize) else { return Poll::Ready(Err(outside())) };
            if stream.opened {
                return Poll::Ready(Ok(()));
            }
            if let Some(report) = &stream.report {
                return Poll::Ready(Err(broken(report, true)));
            }
            Futures::register(&mut stream.writer, cx, trash);
            stream.writing = true;
            Poll::Pending
        });
        polled.unwrap_or_else(|| Poll::Ready(Err(outside())))
    })
    .await?;
    Ok(stream)
}
