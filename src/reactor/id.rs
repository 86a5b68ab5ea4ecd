//! Names for connections, listeners, watches and tasks, and their packing into poll tokens.

use std::fmt;

/// A connection of one reactor: a slot in its slab and a serial that no other connection of this reactor had.
///
/// An id outlives its connection harmlessly: verbs on a stale id do nothing and say so.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub(crate) slot: u32,
    pub(crate) serial: u32,
}

impl ConnId {
    /// Slot and serial in one number, for logs and tokens.
    pub const fn as_u64(self) -> u64 {
        (self.serial as u64) << 32 | self.slot as u64
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.serial)
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A listener of one reactor. As with [`ConnId`], a stale one is harmless.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ListenerId {
    pub(crate) slot: u32,
    pub(crate) serial: u32,
}

/// A watched descriptor of one reactor; see [`Reactor::watch`](super::Reactor::watch). As with [`ConnId`], a stale one
/// is harmless.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchId {
    pub(crate) slot: u32,
    pub(crate) serial: u32,
}

impl fmt::Debug for WatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}.{}", self.slot, self.serial)
    }
}

impl fmt::Display for WatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A task of one reactor: work that was posted, filed for a time, waits for a result or is done on a thread. As with
/// [`ConnId`], a stale one is harmless.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    pub(crate) slot: u32,
    pub(crate) serial: u32,
}

impl TaskId {
    /// Slot and serial in one number, for logs.
    pub const fn as_u64(self) -> u64 {
        (self.serial as u64) << 32 | self.slot as u64
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.slot == u32::MAX {
            // A post of another thread: it never had a slot.
            write!(f, "t-.{}", self.serial)
        } else {
            write!(f, "t{}.{}", self.slot, self.serial)
        }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Tasks that are cancelled together, see [`Table::group`](super::Table::group). A stale one is harmless.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct GroupId {
    pub(crate) slot: u32,
    pub(crate) serial: u32,
}

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a poll token must hold a slot and a serial, 64 bits");

/// The bit of a token's slot that tells watches from listeners, neither of which ever has 2^31 slots.
const WATCH: u32 = 1 << 31;

/// What a kernel event is about. Serials of connections are even, those of listeners and watches odd, and the slots of
/// watches carry one bit more: so one token space holds all three, and an event for a freed slot of any kind names
/// nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token {
    /// A connection.
    Conn(ConnId),
    /// A listener.
    Listener(ListenerId),
    /// A watched descriptor.
    Watch(WatchId),
    /// A wake-up from a [`Handle`](super::Handle).
    Wake,
}

impl Token {
    /// The token as the poll carries it.
    pub const fn pack(self) -> u64 {
        match self {
            Self::Conn(id) => id.as_u64(),
            Self::Listener(id) => (id.serial as u64) << 32 | id.slot as u64,
            Self::Watch(id) => (id.serial as u64) << 32 | (id.slot | WATCH) as u64,
            Self::Wake => u64::MAX,
        }
    }

    /// The inverse of [`Token::pack`].
    pub const fn unpack(raw: u64) -> Self {
        let (slot, serial) = (raw as u32, (raw >> 32) as u32);
        if raw == u64::MAX {
            Self::Wake
        } else if serial % 2 == 0 {
            Self::Conn(ConnId { slot, serial })
        } else if slot & WATCH != 0 {
            Self::Watch(WatchId { slot: slot & !WATCH, serial })
        } else {
            Self::Listener(ListenerId { slot, serial })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_packing() {
        for token in [
            Token::Wake,
            Token::Conn(ConnId { slot: 7, serial: 4 }),
            Token::Conn(ConnId { slot: u32::MAX, serial: u32::MAX - 1 }),
            Token::Listener(ListenerId { slot: 0, serial: 1 }),
            Token::Watch(WatchId { slot: 0, serial: 1 }),
            Token::Watch(WatchId { slot: WATCH - 2, serial: u32::MAX }),
        ] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
