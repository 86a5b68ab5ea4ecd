//! What futures ask for and only the reactor can do, since it has the sockets and the services: listening, services
//! with other limits. Done right after the polls that asked.

use super::accept::Acceptor;
use super::executor::Promise;
use super::state::AcceptorState;
use crate::reactor::Reactor;
use crate::reactor::endpoint::Endpoint;
use crate::reactor::id::ListenerId;
use crate::reactor::limits::Limits;
use crate::reactor::sys::Sys;
use crate::reactor::{Error, Key};

/// A wish of a future.
pub(crate) enum Op {
    /// Gives an `Acceptor`, or the `Error`.
    Listen {
        at: Endpoint,
        limits: Limits,
        promise: Promise,
    },
    /// Gives the index of a service of streams.
    Service {
        limits: Limits,
        promise: Promise,
    },
    Unlisten(ListenerId),
}

impl<S: Sys> Reactor<S> {
    pub(super) fn do_for_futures(&mut self, op: Op) {
        match op {
            Op::Listen { at, limits, promise } => {
                let made = self.acceptor_with(&at, limits);
                promise.keep(&mut self.core.futures, Ok(Box::new(made)));
            }
            Op::Service { limits, promise } => {
                let index = self.streams(limits);
                promise.keep(&mut self.core.futures, Ok(Box::new(index)));
            }
            Op::Unlisten(id) => {
                self.unlisten(id);
            }
        }
    }

    /// The service of streams with these limits.
    fn streams(&mut self, limits: Limits) -> u16 {
        let known = self.core.futures.services.iter().find(|(of, _)| *of == limits);
        match known {
            Some((_, index)) => *index,
            None => self.add_streams(limits),
        }
    }

    /// Listens for streams with the default [`Limits`].
    ///
    /// # Errors
    /// The step that failed, with its class.
    pub fn acceptor(&mut self, at: &Endpoint) -> Result<Acceptor, Error> {
        self.acceptor_with(at, Limits::default())
    }

    /// Listens for streams that have these bounds. Each different set of limits makes a service that stays as long as
    /// the reactor.
    ///
    /// # Errors
    /// The step that failed, with its class.
    pub fn acceptor_with(&mut self, at: &Endpoint, limits: Limits) -> Result<Acceptor, Error> {
        if self.core.draining {
            let source = std::io::ErrorKind::Interrupted.into();
            return Err(Error::new("listen while stopping on", Some(at.short()), source));
        }
        let service: Key<super::streams::Face> = Key::new(self.streams(limits), self.handle.reactor());
        let listener = self.listen(service, at)?;
        let local = self.local(listener).unwrap_or(at).clone();
        let (queue, waker, over) = Default::default();
        let state = AcceptorState { listener, queue, waker, over };
        let index = self.core.futures.acceptors.insert(state) as u32;
        self.core.futures.by_listener.insert(listener, index);
        Ok(Acceptor::new(self.core.futures.tag, index, local))
    }
}
