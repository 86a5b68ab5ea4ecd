//! The access log: lines go to a bounded buffer, and one thread writes them to their file.
//!
//! A record costs the loop its formatting and a short lock. The thread takes the buffer whole, by a swap, as soon as
//! much is in it and at the latest [`LINGER`] after its first line. Whatever the file does (a full disk, a FIFO that
//! nobody reads, a closed pipe), the loop never waits: what finds no room is dropped and counted, and the count told in
//! the ordinary log, at most once a second. It knows no format beyond its [`Formatter`].

mod sink;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use tidemill::proto::http1::{Log, Record};
use tidemill::service::access::{Format, Formatter, LINE_BYTES_MAX};

use self::sink::{Sink, Wrote};
use super::failure::{self, Failure};

/// Bytes of lines that wait at most. As many again can be in the writer's hands.
const BUFFER_MAX: usize = 1 << 20;
/// The writer is woken when so many bytes wait.
const BATCH: usize = 256 * 1024;
/// Lines wait so long for company at most.
const LINGER: Duration = Duration::from_millis(500);
/// Losses are told so long after the last line at the latest.
const TELL: Duration = Duration::from_secs(1);
/// How long the last lines may take to be written when the program ends.
const EXIT_WAIT: Duration = Duration::from_millis(500);
/// The sink waits a tenth of a second at a time: so often within that.
const LAST_WAITS: u32 = 4;

/// Where lines go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// Standard output, behind the ready lines.
    Stdout,
    /// A file, made if need be, and appended to; or a FIFO or device.
    File(PathBuf),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => write!(f, "'{}'", path.display()),
        }
    }
}

/// What the writer waits for.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Wait {
    /// Nothing: it is at work.
    #[default]
    No,
    /// The first line.
    Line,
    /// A batch; that its time passes, too.
    Batch,
}

/// Why records were lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    /// Nobody took them in time.
    Slow,
    Failed(Errno),
}

#[derive(Default)]
struct State {
    /// Whole lines.
    buffer: Vec<u8>,
    /// How many.
    lines: u64,
    /// Lines that the writer has taken and not yet written.
    in_hand: u64,
    lost: u64,
    why: Option<Why>,
    /// The second of the latest record, and the one in which losses were told last.
    second: u64,
    told: Option<u64>,
    wait: Wait,
    reopen: bool,
    stop: bool,
    /// The writer has ended.
    done: bool,
}

impl State {
    fn lose(&mut self, lines: u64, why: Why) {
        self.lost = self.lost.saturating_add(lines);
        self.why = Some(why);
    }

    /// What is to be told of losses in this second.
    fn loss(&mut self) -> Option<Loss> {
        if self.lost == 0 || self.told == Some(self.second) {
            return None;
        }
        self.told = Some(self.second);
        Some(Loss { records: std::mem::take(&mut self.lost), why: self.why.take() })
    }

    /// Whether the writer has to be woken now; once.
    fn wakes(&mut self) -> bool {
        let wakes = match self.wait {
            Wait::No => false,
            Wait::Line => true,
            Wait::Batch => self.buffer.len() >= BATCH,
        };
        if wakes {
            self.wait = Wait::No;
        }
        wakes
    }
}

/// Records that were lost.
#[derive(PartialEq, Eq, Debug)]
struct Loss {
    records: u64,
    why: Option<Why>,
}

impl Loss {
    fn tell(self) {
        log::warn!("{self}");
    }
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "access log: {} records dropped: ", self.records)?;
        match self.why {
            Some(Why::Failed(errno)) => f.write_str(&failure::plain(&errno.into())),
            Some(Why::Slow) | None => f.write_str("they were not taken in time"),
        }
    }
}

/// What the loop and the writer share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to do for the writer.
    wanted: Condvar,
    /// The writer has ended.
    ended: Condvar,
}

/// What the writer is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Order {
    reopen: bool,
    stop: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what waits into `hand`, which is empty. Sleeps until there is something, or something else to do.
    fn take(&self, hand: &mut Vec<u8>) -> Order {
        let mut state = self.lock();
        while !(state.reopen || state.stop) {
            if state.buffer.len() >= BATCH {
                break;
            }
            let (wait, limit) = match (state.buffer.is_empty(), state.lost > 0) {
                (true, false) => (Wait::Line, Duration::MAX),
                (true, true) => (Wait::Line, TELL),
                (false, _) => (Wait::Batch, LINGER),
            };
            state.wait = wait;
            let late;
            (state, late) = self.wait(state, limit);
            state.wait = Wait::No;
            if late && wait == Wait::Batch {
                break;
            }
            if late && state.buffer.is_empty() {
                state.told = None;
                if let Some(loss) = state.loss() {
                    drop(state);
                    loss.tell();
                    state = self.lock();
                }
            }
        }
        std::mem::swap(&mut state.buffer, hand);
        state.in_hand = std::mem::take(&mut state.lines);
        Order { reopen: std::mem::take(&mut state.reopen), stop: state.stop }
    }

    /// Waits to be woken, at most `limit`. Whether it took so long.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, limit: Duration) -> (MutexGuard<'a, State>, bool) {
        if limit == Duration::MAX {
            return (self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner), false);
        }
        let (state, waited) = self.wanted.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner);
        (state, waited.timed_out())
    }

    /// Adds a line, which `write` appends to the buffer; it is lost when there is no room.
    #[inline]
    fn add(&self, second: u64, write: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        state.second = second;
        if BUFFER_MAX.saturating_sub(state.buffer.len()) < LINE_BYTES_MAX {
            state.lose(1, Why::Slow);
        } else {
            write(&mut state.buffer);
            state.lines = state.lines.saturating_add(1);
        }
        let (wakes, loss) = (state.wakes(), state.loss());
        drop(state);
        if wakes {
            self.wanted.notify_one();
        }
        if let Some(loss) = loss {
            loss.tell();
        }
    }

    fn order(&self, what: impl FnOnce(&mut State)) {
        what(&mut self.lock());
        self.wanted.notify_one();
    }
}

/// Has the file opened anew; for signals. Clones are of the same log.
#[derive(Clone)]
pub(crate) struct Reopen(Arc<Shared>);

impl Reopen {
    /// Asks the writer to; it says in the log how that went. Never waits.
    pub(crate) fn ask(&self) {
        self.0.order(|state| state.reopen = true);
    }
}

impl std::fmt::Debug for Reopen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reopen")
    }
}

/// A running access log. Dropped, it has what is left written, for at most [`EXIT_WAIT`].
pub(crate) struct AccessLog {
    shared: Arc<Shared>,
    format: Format,
}

impl std::fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessLog").field("format", &self.format).finish_non_exhaustive()
    }
}

impl AccessLog {
    /// Opens `target` and starts the writer. A FIFO needs no reader for that.
    ///
    /// # Errors
    /// The file cannot be opened, or there is no thread to be had.
    pub(crate) fn start(target: Target, format: Format) -> Result<Self, Failure> {
        let sink = Sink::open(&target).map_err(|e| Failure::access_log(&target, &e))?;
        let shared = Arc::new(Shared::default());
        shared.lock().buffer.reserve_exact(BUFFER_MAX);
        let writer = Writer { shared: Arc::clone(&shared), target, sink, last_waits: LAST_WAITS };
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer.run())
            .map_err(|e| Failure::system("start the thread that writes the access log", &e))?;
        Ok(Self { shared, format })
    }

    /// A front for a service: what it is told is written.
    pub(crate) fn front(&self) -> Box<dyn Log> {
        Box::new(Front { shared: Arc::clone(&self.shared), formatter: Formatter::new(self.format.clone()) })
    }

    /// What signals use.
    pub(crate) fn reopen(&self) -> Reopen {
        Reopen(Arc::clone(&self.shared))
    }

    /// Ends the writer, and says what it could not write within `wait`.
    fn finish(&self, wait: Duration) {
        self.shared.order(|state| state.stop = true);
        let state = self.shared.lock();
        let waited = self.shared.ended.wait_timeout_while(state, wait, |state| !state.done);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let left = state.lines.saturating_add(state.in_hand);
        if left > 0 {
            state.lose(left, Why::Slow);
        }
        state.told = None;
        let loss = state.loss();
        drop(state);
        if let Some(loss) = loss {
            loss.tell();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.finish(EXIT_WAIT);
    }
}

/// What a service has of the log.
struct Front {
    shared: Arc<Shared>,
    formatter: Formatter,
}

impl Log for Front {
    fn record(&mut self, record: &Record<'_>) {
        let Self { shared, formatter } = self;
        shared.add(record.unix_time, |buffer| formatter.write(record, buffer));
    }
}

/// The thread's own.
struct Writer {
    shared: Arc<Shared>,
    target: Target,
    sink: Sink,
    /// How often it still waits for a file that takes nothing, once the program ends.
    last_waits: u32,
}

impl Writer {
    fn run(mut self) {
        let mut hand = Vec::with_capacity(BUFFER_MAX);
        loop {
            let order = self.shared.take(&mut hand);
            self.write(&hand);
            hand.clear();
            if order.reopen {
                self.open_anew();
            }
            if order.stop {
                self.shared.lock().done = true;
                return self.shared.ended.notify_all();
            }
        }
    }

    /// Writes `lines`; what cannot be written is lost.
    fn write(&mut self, lines: &[u8]) {
        let mut rest = lines;
        while !rest.is_empty() {
            match self.sink.write(rest) {
                Wrote::All => rest = &[],
                Wrote::Blocked(n) => {
                    rest = rest.get(n..).unwrap_or_default();
                    let (reopen, stop) = {
                        let mut state = self.shared.lock();
                        (std::mem::take(&mut state.reopen), state.stop)
                    };
                    if reopen {
                        rest = self.move_on(rest);
                    } else if stop {
                        self.last_waits = self.last_waits.saturating_sub(1);
                        if self.last_waits == 0 {
                            self.lose(rest, Why::Slow);
                            rest = &[];
                        }
                    }
                }
                Wrote::Failed(n, errno) => {
                    self.lose(rest.get(n..).unwrap_or_default(), Why::Failed(errno));
                    rest = &[];
                }
            }
        }
        self.shared.lock().in_hand = 0;
    }

    /// Opens the file anew while lines wait for the old one. What waits goes to the new one, but for the line of which
    /// the old one has a part.
    fn move_on<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let in_line = self.sink.is_in_line();
        if !self.open_anew() || !in_line {
            return rest;
        }
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let (part, behind) = rest.split_at(end);
        self.lose(part, Why::Slow);
        behind
    }

    fn lose(&self, lines: &[u8], why: Why) {
        let lines = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        let mut state = self.shared.lock();
        state.in_hand = state.in_hand.saturating_sub(lines);
        state.lose(lines, why);
        let loss = state.loss();
        drop(state);
        if let Some(loss) = loss {
            loss.tell();
        }
    }

    /// Whether there is a new file.
    fn open_anew(&mut self) -> bool {
        let target = &self.target;
        if *target == Target::Stdout {
            log::info!("access log: {target} cannot be reopened, and goes on");
            return false;
        }
        match Sink::open(target) {
            Ok(sink) => {
                self.sink.replace(sink);
                log::info!("access log: reopened {target}");
                true
            }
            Err(e) => {
                let why = failure::plain(&e);
                log::error!("access log: cannot reopen {target}: {why}; records go on to the old file");
                false
            }
        }
    }
}
