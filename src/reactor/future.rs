//! Futures on the reactor (feature `async`): `async` code beside the handlers, on the same loop, thread and clock,
//! without another runtime and without `Send`.
//!
//! [`Reactor::spawn`](super::Reactor::spawn) runs a future, [`Reactor::block_on`](super::Reactor::block_on) one of the
//! caller's; within them [`sleep`], [`connect`], [`Acceptor::accept`], [`Stream::read`] and the other leaves of this
//! module wait. A future is a task of the reactor: it has a [`TaskId`](super::TaskId), a name and its records T and P for
//! each poll, it can be put into a group and cancelled. A panic costs that task alone: who awaits it gets
//! [`TaskError::Panicked`](super::TaskError), else its handler is told.
//!
//! **Order.** Who was woken by connections, timers or tasks of a turn is polled in that turn, and what it writes goes out
//! in that turn; who was woken by another future is polled in the next. At most `Config::turn_tasks_max` polls a turn:
//! futures and handlers do not starve each other.
//!
//! **Place.** The leaves find their reactor through a cell of the thread that is filled only while that reactor polls.
//! Elsewhere, on a foreign executor say, they answer with an error where their type has one, and panic where it has
//! none; each says which. Dropping them is harmless anywhere on the thread. Wakers may go to any thread, and outlive
//! the task and the reactor.
//!
//! **Cancelling.** Every future here can be dropped at any await. What that loses is said where it loses something.
//!
//! ```
//! use tidemill::reactor::future::{self, Stream};
//! use tidemill::reactor::Reactor;
//!
//! async fn echo(mut stream: Stream) -> std::io::Result<()> {
//!     let mut buf = [0; 4096];
//!     loop {
//!         let n = stream.read(&mut buf).await?;
//!         if n == 0 {
//!             return Ok(());
//!         }
//!         stream.write_all(&buf[..n]).await?;
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut reactor = Reactor::new(Default::default())?;
//! let mut acceptor = reactor.acceptor(&"127.0.0.1:0".parse()?)?;
//! let at = acceptor.local().clone();
//! reactor.spawn(async move {
//!     while let Ok((stream, _)) = acceptor.accept().await {
//!         future::spawn(echo(stream)).detach();
//!     }
//! }).detach();
//! let answer = reactor.block_on(async {
//!     let mut stream = future::connect(&at).await?;
//!     stream.write_all(b"high tide").await?;
//!     let mut nine = [0; 9];
//!     stream.read_exact(&mut nine).await?;
//!     std::io::Result::Ok(nine)
//! })??;
//! assert_eq!(&answer, b"high tide");
//! # Ok(())
//! # }
//! ```

mod accept;
#[cfg(any(test, feature = "testing"))]
mod check;
mod combine;
mod end;
mod error;
mod executor;
mod io;
mod local;
mod ops;
mod spare;
pub(crate) mod state;
mod stream;
mod streams;
mod sync;
mod task;
mod time;

pub use self::accept::{AcceptError, Acceptor, connect, connect_with, listen, listen_with};
pub use self::combine::{Either, join, join_all, race};
pub use self::error::StreamError;
pub use self::io::copy;
pub use self::stream::{ReadHalf, Stream, WriteHalf};
pub use self::sync::{
    acquire, call, offload, post_to, push, queue, semaphore, take, take_within, try_acquire, try_push,
};
pub use self::task::{Task, spawn};
pub use self::time::{
    Draining, Interval, Sleep, draining, interval, now, sleep, sleep_until, timeout, yield_now,
};
