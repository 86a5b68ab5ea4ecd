//! The contract suite: runs an embedder's handler through everything that a peer or a kernel may do to it, on the
//! simulated kernel and on the real one.
//!
//! It owns what a suite is told ([`Contract`], [`Subject`], [`Rules`], [`Conversation`]) and which [`Property`] it
//! holds; how each is tried lies in the files beneath. It never knows a protocol: an answer is right when it is what
//! the conversation expects, or, where that is not said, what the same bytes sent whole are answered with.
//!
//! In every run, whatever the property: [`Reactor::check`](crate::reactor::Reactor::check) holds after each turn, the
//! callbacks of each connection come in their order, none panics, the handler rests when there is nothing to do, the
//! parts of each ledger sum to its total, each accepted connection has its `on_close` once, and when all peers are gone
//! no socket, connection, state, buffer, closing record, deadline or task is left.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crate::reactor::{Handler, Limits};

mod conversation;
mod crowd;
mod macros;
mod properties;
mod real;
mod record;
mod stage;
mod strain;

pub use conversation::{Conversation, mask};

/// How many positions of a long conversation are tried.
const POSITIONS: usize = 60;

/// A handler that brings what the suite has to know, for [`contract!`](super::contract!).
pub trait Contract: Handler {
    /// A handler as a reactor would be given it. Each run gets one of its own.
    fn make() -> Self;

    /// What peers say to it; the more of the protocol they use, the more is tried.
    fn conversations() -> Vec<Conversation>;

    /// Takes out of an answer what legitimately differs from run to run: dates, ports, random names. It is also
    /// given beginnings of answers, of which it has to make beginnings of the whole; [`mask`] does.
    fn normalize(answer: Vec<u8>) -> Vec<u8> {
        answer
    }

    /// Where the handler differs from what the suite takes for granted.
    fn rules() -> Rules {
        Rules::default()
    }
}

/// What the suite takes for granted of a handler; change what is not so.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rules {
    /// How long a handler may take, in simulated time, to answer and to end once its peer has ended: the sum of its
    /// own timers. No deadline of its `Limits` may be shorter. Default 1 s.
    pub patience: Duration,
    /// The grace of a drain, within which every connection has to end by itself. Default 5 s.
    pub grace: Duration,
    /// Connections hear of each other, as in a chat: answers are compared with one connection at a time. Default no.
    pub meets: bool,
    /// A silent peer is kept beyond the idle deadline on purpose. Default no.
    pub keeps_silent: bool,
    /// Tasks outlive the connections that they were made for, such as work that is done every second. Default no.
    pub keeps_tasks: bool,
    /// Seeds of each property with random numbers, where the environment does not say how many. Default 24.
    pub seeds: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(1),
            grace: Duration::from_secs(5),
            meets: false,
            keeps_silent: false,
            keeps_tasks: false,
            seeds: 24,
        }
    }
}

/// One thing that the suite holds a handler to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Property {
    /// The answer does not depend on how the bytes were cut, and is the expected one.
    Cuts,
    /// A peer whose kernel takes one byte at a time gets the same answer.
    OneByteRoom,
    /// A peer that repeats itself and reads late loses nothing, though the transmit buffer fills.
    LateReader,
    /// A half-close behind any byte ends the connection; what was answered before it is a beginning of the whole
    /// answer.
    HalfClose,
    /// A reset or a hang-up behind any byte ends the connection at once.
    Reset,
    /// A peer that never reads is ended by the stall deadline.
    NeverReads,
    /// A peer that falls silent is ended by a deadline.
    Silence,
    /// Input without end is read, or ends the connection.
    EndlessInput,
    /// A drain ends each connection within its grace, wherever it is.
    Drain,
    /// Short reads, late events and several connections at once change no answer.
    BenignFaults,
    /// Resets, exhausted descriptors and jumping clocks break no rule; what was answered is a beginning.
    HostileFaults,
    /// The real kernel gives the same answers, over TCP and over a Unix socket.
    RealKernel,
    /// The same with the smallest socket buffers and a slow reader.
    RealSlowReader,
}

impl Property {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Cuts,
        Self::OneByteRoom,
        Self::LateReader,
        Self::HalfClose,
        Self::Reset,
        Self::NeverReads,
        Self::Silence,
        Self::EndlessInput,
        Self::Drain,
        Self::BenignFaults,
        Self::HostileFaults,
        Self::RealKernel,
        Self::RealSlowReader,
    ];

    /// The property as a sentence; the tests that [`contract!`](super::contract!) writes are named so.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Cuts => "the answer is the same whole, in pieces and byte by byte",
            Self::OneByteRoom => "a peer that takes one byte at a time gets the same answer",
            Self::LateReader => "a peer that repeats itself and reads late loses nothing",
            Self::HalfClose => "a half-close behind any byte ends the connection",
            Self::Reset => "a reset behind any byte ends the connection at once",
            Self::NeverReads => "a peer that never reads is ended by the stall deadline",
            Self::Silence => "a peer that falls silent is ended by a deadline",
            Self::EndlessInput => "input without end is read or ends the connection",
            Self::Drain => "a drain at any byte ends within its grace",
            Self::BenignFaults => "benign faults change no answer",
            Self::HostileFaults => "hostile faults break no rule",
            Self::RealKernel => "the real kernel gives the same answers over tcp and unix",
            Self::RealSlowReader => "the real kernel with the smallest buffers gives the same answers",
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

/// A handler under the suite: how it is made, what is said to it, what is taken for granted.
pub struct Subject<H: Handler> {
    make: Box<dyn Fn() -> H>,
    conversations: Vec<Conversation>,
    normalize: Box<dyn Fn(Vec<u8>) -> Vec<u8>>,
    rules: Rules,
}

impl<H: Handler> fmt::Debug for Subject<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let f = &mut f.debug_struct("Subject");
        f.field("conversations", &self.conversations).field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl<H: Contract> Subject<H> {
    /// A handler that brings everything itself.
    #[must_use]
    pub fn of() -> Self {
        Self::new(H::make, H::conversations()).normalize(H::normalize).rules(H::rules())
    }
}

impl<H: Handler> Subject<H> {
    /// A handler made by `make`, to which peers say `conversations`.
    ///
    /// # Panics
    /// When there is no conversation: nothing would be tried.
    #[must_use]
    pub fn new(
        make: impl Fn() -> H + 'static,
        conversations: impl IntoIterator<Item = Conversation>,
    ) -> Self {
        let conversations: Vec<_> = conversations.into_iter().collect();
        assert!(!conversations.is_empty(), "a contract needs at least one conversation");
        Self {
            make: Box::new(make),
            conversations,
            normalize: Box::new(|answer| answer),
            rules: Rules::default(),
        }
    }

    /// Answers are compared after this; see [`Contract::normalize`].
    #[must_use]
    pub fn normalize(mut self, normalize: impl Fn(Vec<u8>) -> Vec<u8> + 'static) -> Self {
        self.normalize = Box::new(normalize);
        self
    }

    /// Where the handler differs from what is taken for granted.
    #[must_use]
    pub fn rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Tries one property.
    ///
    /// # Panics
    /// When it does not hold: with what went wrong, the conversation, the position or seed, and how to see more.
    pub fn holds(&self, property: Property) {
        if let Err(failure) = self.test(property) {
            panic!("{failure}");
        }
    }

    /// Tries one property.
    ///
    /// # Errors
    /// When it does not hold.
    pub fn test(&self, property: Property) -> Result<(), Failure> {
        let held = match property {
            Property::Cuts => properties::cuts(self),
            Property::OneByteRoom => strain::one_byte_room(self),
            Property::LateReader => strain::late_reader(self),
            Property::HalfClose => properties::half_close(self),
            Property::Reset => properties::reset(self),
            Property::NeverReads => strain::never_reads(self),
            Property::Silence => strain::silence(self),
            Property::EndlessInput => strain::endless_input(self),
            Property::Drain => properties::drain(self),
            Property::BenignFaults => crowd::benign(self),
            Property::HostileFaults => crowd::hostile(self),
            Property::RealKernel => real::same_answers(self),
            Property::RealSlowReader => real::slow_reader(self),
        };
        held.map_err(|what| Failure { property, what })
    }

    /// Tries every property, for those who have no test harness.
    ///
    /// # Panics
    /// As [`Subject::holds`], at the first that does not hold.
    pub fn check(&self) {
        for property in Property::ALL {
            self.holds(property);
        }
    }

    // ── For the files beneath ──

    fn normal(&self, answer: &[u8]) -> Vec<u8> {
        (self.normalize)(answer.to_vec())
    }

    fn limits(&self) -> Limits {
        (self.make)().limits()
    }

    /// After this time, a connection that no peer holds has met every deadline that it can have.
    fn every_deadline(&self) -> Duration {
        let limits = self.limits();
        let deadlines = [limits.idle_timeout, limits.stall_timeout, limits.connect_timeout];
        let sum: Duration = deadlines.into_iter().flatten().sum();
        2 * sum + limits.linger_timeout + self.rules.patience + Duration::from_secs(1)
    }

    /// Runs `f` on each conversation, and names the one that failed.
    fn each(&self, f: impl Fn(&Conversation) -> Held) -> Held {
        for (nth, conversation) in self.conversations.iter().enumerate() {
            f(conversation).map_err(|what| {
                format!("{what}\n  conversation {nth} of {}: {conversation}", self.conversations.len())
            })?;
        }
        Ok(())
    }

    /// The seeds to run: what the environment says, else as many as the rules ask for.
    fn seeds(&self) -> Range<u64> {
        super::runner::range(self.rules.seeds)
    }
}

/// A property that does not hold, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    property: Property,
    what: String,
}

impl Failure {
    /// Which property it is.
    #[must_use]
    pub const fn property(&self) -> Property {
        self.property
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thread = std::thread::current();
        let test = thread.name().filter(|name| *name != "main").unwrap_or("<this test>");
        let seed = self.what.split_once("SIM_SEED=").map_or("", |(_, rest)| {
            rest.split_once(|c: char| !c.is_ascii_digit()).map_or(rest, |(digits, _)| digits)
        });
        write!(f, "the contract is broken: {}\n  {}\n  replay: ", self.property, self.what)?;
        if !seed.is_empty() {
            write!(f, "SIM_SEED={seed} ")?;
        }
        write!(f, "SIM_TRACE=1 cargo test {test}")
    }
}

impl std::error::Error for Failure {}

/// What a run says: nothing, or what went wrong and where.
type Held<T = ()> = Result<T, String>;

/// Adds where it was to what went wrong.
fn at<T>(held: Held<T>, place: impl FnOnce() -> String) -> Held<T> {
    held.map_err(|what| format!("{what}\n  where: {}", place()))
}
