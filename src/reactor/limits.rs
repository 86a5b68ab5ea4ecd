//! Bounds: of a reactor ([`Config`]), of its threads for blocking work ([`WorkersConfig`]) and of the connections of one
//! service ([`Limits`]). All have safe defaults.

use std::time::Duration;

use super::time::millis;

/// Bounds and deadlines of every connection of one service. `None` switches a deadline off.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Outbound: from the connect to the established connection. Default 10 s.
    pub connect_timeout: Option<Duration>,
    /// No byte in either direction while the connection waits for its peer. Default 10 min.
    pub idle_timeout: Option<Duration>,
    /// No byte acknowledged by the peer while bytes wait to be sent. Default 30 s.
    ///
    /// The kernel is asked for acknowledgements only while bytes wait, four times in this time, and the first answer
    /// is where counting starts: a peer that stops reading is found after one to one and a half of it.
    pub stall_timeout: Option<Duration>,
    /// Lingering close: silence of the peer after our FIN. Default 2 s.
    pub linger_silence: Duration,
    /// Lingering close: the whole of it. Default 10 s.
    pub linger_timeout: Duration,
    /// Connections of this service at one time; more are refused with a word. Default: unlimited.
    pub connections_max: Option<u32>,
    /// Connections of this service from one client address at one time. Default: unlimited.
    pub per_client_max: Option<u32>,
    /// Whether a reactor that drains waits for the connections of this service. Default: yes. No for helpers of the
    /// program itself, such as a descriptor that brings signals.
    pub hold_drain: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Some(Duration::from_secs(10)),
            idle_timeout: Some(Duration::from_secs(600)),
            stall_timeout: Some(Duration::from_secs(30)),
            linger_silence: Duration::from_secs(2),
            linger_timeout: Duration::from_secs(10),
            connections_max: None,
            per_client_max: None,
            hold_drain: true,
        }
    }
}

/// Bounds of a reactor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Connections of all services at which listeners pause (the rest waits in the kernel's queue). `None`: the
    /// limit of descriptors less a reserve of an eighth, at least 16.
    pub connections_gate: Option<u32>,
    /// Bytes that one connection may move in one turn. Default 256 KiB.
    pub turn_bytes_max: usize,
    /// Reads that one connection may make in one turn. Default 16.
    pub turn_reads_max: u32,
    /// Connections that one listener may accept in one turn. Default 64.
    pub turn_accepts_max: u32,
    /// Wait before a listener that ran out of descriptors tries again without a close. Default 100 ms.
    pub accept_pause: Duration,
    /// A callback, or a stretch of several, that takes longer is named in the log and in
    /// [`Reactor::slow`](super::Reactor::slow). `None`: none is. Default 100 ms.
    pub slow_callback: Option<Duration>,
    /// Tasks that run in one turn: posts, results, timers. The rest is first in the next turn. Default 1024.
    pub turn_tasks_max: u32,
    /// Time a turn for work in slices ([`Table::cooperate`](super::Table::cooperate)), and so about what such work adds
    /// to the latency of connections. Default 50 µs: a turn around it costs one or two.
    pub cooperate_slice: Duration,
    /// Posts of other threads that may wait in the queue of a [`Handle`](super::Handle). Default 65,536.
    pub posts_max: usize,
    /// A task that is started later than this is reported as `task.late`. `None`: never. Default 1 s.
    pub task_late: Option<Duration>,
    /// The threads beside the loop, for work that blocks.
    pub workers: WorkersConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections_gate: None,
            turn_bytes_max: 256 * 1024,
            turn_reads_max: 16,
            turn_accepts_max: 64,
            accept_pause: Duration::from_millis(100),
            slow_callback: Some(Duration::from_millis(100)),
            turn_tasks_max: 1024,
            cooperate_slice: Duration::from_micros(50),
            posts_max: 1 << 16,
            task_late: Some(Duration::from_secs(1)),
            workers: WorkersConfig::default(),
        }
    }
}

/// Bounds of a reactor's threads for work that blocks. Where a bound is 0, every job is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkersConfig {
    /// Threads at one time, each started when a job finds no free one. `None`: as many as the machine runs at once,
    /// at least 2 and at most 16; 4 on a simulated kernel, so that a seed means the same on every machine.
    pub threads_max: Option<usize>,
    /// Jobs that no thread has begun; one more is refused. Default 1024.
    pub queue_max: usize,
    /// How long a thread waits for a job before it ends. Default 10 s.
    pub idle: Duration,
}

impl Default for WorkersConfig {
    fn default() -> Self {
        Self { threads_max: None, queue_max: 1024, idle: Duration::from_secs(10) }
    }
}

/// The deadlines of [`Limits`] as the links count them, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) connect: Option<u32>,
    pub(crate) idle: Option<u32>,
    pub(crate) stall: Option<u32>,
    pub(crate) linger_silence: u32,
    pub(crate) linger: u32,
}

impl From<&Limits> for Timeouts {
    fn from(l: &Limits) -> Self {
        Self {
            connect: l.connect_timeout.map(millis),
            idle: l.idle_timeout.map(millis),
            stall: l.stall_timeout.map(millis),
            linger_silence: millis(l.linger_silence),
            linger: millis(l.linger_timeout),
        }
    }
}
