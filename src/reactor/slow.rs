//! What held the loop up, in words: [`Slow`], what [`Ran`] in it, and the names of the callbacks. Data and text only;
//! `account.rs` decides what is slow, and `watchdog.rs` speaks of what still runs.

use std::fmt;
use std::time::Duration;

use super::id::{ConnId, TaskId};
use super::link::Call;
use super::time::Time;

/// A callback of a handler.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[non_exhaustive]
pub enum Callback {
    /// [`Handler::on_accept`](super::Handler::on_accept).
    Accept,
    /// [`Handler::on_limit`](super::Handler::on_limit).
    Limit,
    /// [`Handler::on_open`](super::Handler::on_open).
    Open,
    /// [`Handler::on_data`](super::Handler::on_data).
    Data,
    /// [`Handler::on_room`](super::Handler::on_room).
    Room,
    /// [`Handler::on_eof`](super::Handler::on_eof).
    Eof,
    /// [`Handler::on_timer`](super::Handler::on_timer).
    Timer,
    /// [`Handler::on_deadline`](super::Handler::on_deadline).
    Deadline,
    /// [`Handler::on_drain`](super::Handler::on_drain).
    Drain,
    /// [`Handler::on_close`](super::Handler::on_close).
    Close,
    /// [`Handler::on_task_error`](super::Handler::on_task_error).
    TaskError,
    /// A hook of [`Table::at_shutdown`](super::Table::at_shutdown).
    Shutdown,
    /// The callback of a watched descriptor, see [`Reactor::watch`](super::Reactor::watch).
    Watch,
}

impl Callback {
    /// All, in the order of their numbers.
    pub(super) const ALL: [Self; 13] = [
        Self::Accept,
        Self::Limit,
        Self::Open,
        Self::Data,
        Self::Room,
        Self::Eof,
        Self::Timer,
        Self::Deadline,
        Self::Drain,
        Self::Close,
        Self::TaskError,
        Self::Shutdown,
        Self::Watch,
    ];

    /// The name of the method.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "on_accept",
            Self::Limit => "on_limit",
            Self::Open => "on_open",
            Self::Data => "on_data",
            Self::Room => "on_room",
            Self::Eof => "on_eof",
            Self::Timer => "on_timer",
            Self::Deadline => "on_deadline",
            Self::Drain => "on_drain",
            Self::Close => "on_close",
            Self::TaskError => "on_task_error",
            Self::Shutdown => "at_shutdown",
            Self::Watch => "watch",
        }
    }
}

impl From<Call> for Callback {
    fn from(call: Call) -> Self {
        match call {
            Call::Open => Self::Open,
            Call::Data => Self::Data,
            Call::Room => Self::Room,
            Call::Eof => Self::Eof,
            Call::Timer => Self::Timer,
            Call::Deadline => Self::Deadline,
            Call::Drain => Self::Drain,
        }
    }
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that the reactor called. Its text names it: "on_data of app::Chat, connection 4.18".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Ran {
    /// A callback of a handler.
    #[non_exhaustive]
    Callback {
        /// Which.
        callback: Callback,
        /// The type of the handler.
        handler: &'static str,
        /// The connection; an error of a task has none.
        conn: Option<ConnId>,
    },
    /// A task or a timer's callback.
    #[non_exhaustive]
    Task {
        /// The type name of its closure, which says where it was written.
        name: &'static str,
        /// Which.
        id: TaskId,
    },
}

impl Ran {
    /// Whether a summary counts both as one kind.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Callback { callback: a, handler: x, .. },
                Self::Callback { callback: b, handler: y, .. },
            ) => a == b && x == y,
            (Self::Task { name: a, .. }, Self::Task { name: b, .. }) => a == b,
            _ => false,
        }
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Callback { callback, handler, conn: Some(conn) } => {
                write!(f, "{callback} of {handler}, connection {conn}")
            }
            Self::Callback { callback, handler, conn: None } => write!(f, "{callback} of {handler}"),
            Self::Task { name, id } => write!(f, "task {name}, {id}"),
        }
    }
}

/// A callback, or a stretch of several, that took longer than [`Config::slow_callback`](super::Config).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Slow {
    /// When it ended.
    pub at: Time,
    /// How long it took, in nanoseconds.
    pub ns: u64,
    /// Whether that is the time of one callback alone. Else it is the time between two stamps, of everything in
    /// `ran` and of the reactor's own work and system calls there.
    pub single: bool,
    /// What ran, in its order. Empty when the time went by outside of all callbacks: in system calls, or because
    /// the process was not running.
    pub ran: Vec<Ran>,
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = Duration::from_nanos(self.ns);
        match self.ran.as_slice() {
            [one] if self.single => return write!(f, "{one}, took {took:?}"),
            [] => return write!(f, "{took:?} went by outside of callbacks"),
            _ => write!(f, "a stretch took {took:?}, with ")?,
        }
        let mut between = "";
        for (at, ran) in self.ran.iter().enumerate() {
            if self.ran[..at].iter().any(|before| before.is_like(ran)) {
                continue;
            }
            let count = self.ran[at..].iter().filter(|other| other.is_like(ran)).count();
            match count {
                1 => write!(f, "{between}{ran}")?,
                _ => write!(f, "{between}{ran} ({count} of the kind)")?,
            }
            between = "; ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callback(callback: Callback, slot: u32) -> Ran {
        Ran::Callback { callback, handler: "Chat", conn: Some(ConnId { slot, serial: 2 }) }
    }

    #[test]
    fn the_numbers_of_callbacks_are_their_places_in_the_list() {
        assert!(Callback::ALL.iter().enumerate().all(|(n, c)| *c as usize == n));
    }

    #[test]
    fn a_slow_record_reads_as_a_sentence() {
        let text = |single, ran: &[Ran]| {
            Slow { at: Time::ZERO, ns: 200_000_000, single, ran: ran.to_vec() }.to_string()
        };
        let data = |slot| callback(Callback::Data, slot);
        assert_eq!(text(true, &[data(4)]), "on_data of Chat, connection 4.2, took 200ms");
        assert_eq!(text(false, &[]), "200ms went by outside of callbacks");
        let task = Ran::Task { name: "sweep", id: TaskId { slot: 9, serial: 3 } };
        assert_eq!(text(true, &[task]), "task sweep, t9.3, took 200ms");
        assert_eq!(
            text(false, &[data(4), callback(Callback::Close, 5), data(6)]),
            "a stretch took 200ms, with on_data of Chat, connection 4.2 (2 of the kind); \
             on_close of Chat, connection 5.2"
        );
    }
}
