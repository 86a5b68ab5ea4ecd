//! Files compressed when they are asked for: on a thread of the pool, each state of a file once, within bounds.
//!
//! Owns the bounds, the work itself and what is kept of it. The loop starts a [`Job`] and is given back a [`Done`]; it
//! never compresses and never waits. What cannot be compressed now is sent as it is.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Weak};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::AtFlags;

use super::entry::{Body, Entry};
use super::meta::{self, Meta};
use super::path::RelPath;

/// Bounds of compressing on the fly.
///
/// The types that are compressed are text, and what is known to shrink: JSON, XML, SVG, WebAssembly, fonts that are not
/// compressed within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gzip {
    /// The smallest file that is compressed, in bytes: below, the head of the answer is most of it.
    pub size_min: u64,
    /// The largest one, in bytes. A larger one should lie compressed beside the original.
    pub size_max: u64,
    /// From 1, fast, to 9, small.
    pub level: u8,
    /// Memory for what was compressed, in bytes, names and bookkeeping included. With 0, each request compresses anew.
    pub kept_max: usize,
    /// Files that are compressed at one time; further requests get the file as it is. It leaves threads of the pool to
    /// others.
    pub jobs_max: usize,
}

impl Default for Gzip {
    fn default() -> Self {
        Self { size_min: 1 << 10, size_max: 8 << 20, level: 5, kept_max: 32 << 20, jobs_max: 2 }
    }
}

impl Gzip {
    fn level(&self) -> u8 {
        self.level.clamp(1, 9)
    }

    /// What tells this representation's entity tag from the original's: the coding, and all that its bytes depend on
    /// beside the original's, which are the level and the compressor of this release.
    pub(super) fn mark(&self) -> String {
        format!("-gz{}-{}", self.level(), env!("CARGO_PKG_VERSION"))
    }
}

/// How much is read and compressed at a time.
const CHUNK: usize = 64 * 1024;

/// So much is tried of a file that does not shrink.
const TRIAL: u64 = 256 * 1024;

/// What is kept, and what is under way.
#[derive(Debug)]
pub(super) struct Store {
    config: Gzip,
    kept: HashMap<Arc<[u8]>, Slot>,
    /// Names in the order in which they came, those that were asked for again behind the others.
    order: VecDeque<Arc<[u8]>>,
    bytes: usize,
    /// What jobs work on, and whether they still do.
    running: Vec<(RelPath, Weak<()>)>,
}

#[derive(Debug)]
struct Slot {
    /// The state of the original. The original itself is not held: it may be a descriptor.
    origin: Meta,
    outcome: Outcome,
    cost: usize,
    was_used: bool,
}

/// What became of a file.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// It is smaller, and ready to be sent.
    Smaller(Arc<Entry>),
    /// It is not, so that the original is sent.
    NotSmaller,
}

impl Store {
    pub(super) fn new(config: Gzip) -> Self {
        Self { config, kept: HashMap::new(), order: VecDeque::new(), bytes: 0, running: Vec::new() }
    }

    /// What is known of `origin` in this very state.
    pub(super) fn find(&mut self, origin: &Entry) -> Option<Outcome> {
        let slot = self.kept.get_mut(origin.rel().as_bytes())?;
        if slot.origin != *origin.meta() {
            return None;
        }
        slot.was_used = true;
        Some(slot.outcome.clone())
    }

    /// A job for `origin`, unless as many as may run are under way, or one for the same file is.
    pub(super) fn start(&mut self, origin: &Arc<Entry>) -> Option<Job> {
        self.running.retain(|(_, alive)| alive.strong_count() > 0);
        let is_same = |(other, _): &(RelPath, Weak<()>)| other == origin.rel();
        if self.running.len() >= self.config.jobs_max || self.running.iter().any(is_same) {
            return None;
        }
        let alive = Arc::new(());
        self.running.push((origin.rel().clone(), Arc::downgrade(&alive)));
        Some(Job { origin: Arc::clone(origin), config: self.config, alive })
    }

    /// Takes in what a job has come to: what is to be sent, the compressed form or the original. It is kept if the
    /// original was at rest, so that its state stands for its bytes.
    pub(super) fn finish(&mut self, done: Done) -> Arc<Entry> {
        let Done { origin, outcome, alive } = done;
        drop(alive);
        let Ok(outcome) = outcome else { return origin };
        if origin.is_at_rest() {
            self.keep(&origin, outcome.clone());
        }
        match outcome {
            Outcome::Smaller(entry) => entry,
            Outcome::NotSmaller => origin,
        }
    }

    /// Forgets everything that is kept.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.order.clear();
        self.bytes = 0;
    }

    fn keep(&mut self, origin: &Entry, outcome: Outcome) {
        let key: Arc<[u8]> = origin.rel().as_bytes().into();
        let held = match &outcome {
            Outcome::Smaller(entry) => entry.cost(),
            Outcome::NotSmaller => 0,
        };
        let cost = key.len() + SLOT_COST + held;
        if let Some(old) = self.kept.remove(&key) {
            self.bytes = self.bytes.saturating_sub(old.cost);
            self.order.retain(|name| *name != key);
        }
        if cost > self.config.kept_max {
            return;
        }
        while self.bytes.saturating_add(cost) > self.config.kept_max && self.evict() {}
        self.bytes += cost;
        self.order.push_back(Arc::clone(&key));
        self.kept.insert(key, Slot { origin: *origin.meta(), outcome, cost, was_used: false });
    }

    /// Drops the oldest one that was not asked for since it last came to the front; false when there is none.
    fn evict(&mut self) -> bool {
        while let Some(key) = self.order.pop_front() {
            match self.kept.get_mut(&key) {
                Some(slot) if slot.was_used => {
                    slot.was_used = false;
                    self.order.push_back(key);
                }
                _ => {
                    let cost = self.kept.remove(&key).map_or(0, |slot| slot.cost);
                    self.bytes = self.bytes.saturating_sub(cost);
                    return true;
                }
            }
        }
        false
    }
}

/// What a slot costs beside what it holds.
const SLOT_COST: usize = size_of::<Slot>() + 2 * size_of::<Arc<[u8]>>() + 4 * size_of::<usize>();

/// One file to be compressed. [`Job::run`] is for a thread.
#[derive(Debug)]
pub(super) struct Job {
    origin: Arc<Entry>,
    config: Gzip,
    /// Dropped with the job or with what came of it, wherever that happens: then it is no longer under way.
    alive: Arc<()>,
}

/// What came of a [`Job`].
#[derive(Debug)]
pub(super) struct Done {
    origin: Arc<Entry>,
    outcome: Result<Outcome, io::Error>,
    alive: Arc<()>,
}

impl Job {
    /// Reads and compresses, waiting for the disk if need be.
    pub(super) fn run(self) -> Done {
        let Self { origin, config, alive } = self;
        let outcome = compress(&origin, config.level()).map(|bytes| match bytes {
            Some(bytes) => Outcome::Smaller(Arc::new(Entry::gzipped(&origin, bytes.into(), &config.mark()))),
            None => Outcome::NotSmaller,
        });
        Done { origin, outcome, alive }
    }
}

/// The bytes of `origin` compressed; `None` when that saves less than a sixteenth.
fn compress(origin: &Entry, level: u8) -> io::Result<Option<Vec<u8>>> {
    let size = origin.size();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(u32::from(level)));
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < size {
        let len = (size - at).min(CHUNK as u64) as usize;
        match origin.body() {
            Body::Bytes(bytes) => {
                let start = usize::try_from(at).unwrap_or(usize::MAX);
                let chunk =
                    bytes.get(start..start.saturating_add(len)).ok_or(io::ErrorKind::UnexpectedEof)?;
                encoder.write_all(chunk)?;
            }
            Body::File(file) => {
                buffer.resize(len, 0);
                file.read_exact_at(&mut buffer, at)?;
                encoder.write_all(&buffer)?;
            }
        }
        at += len as u64;
        if at >= TRIAL && !pays(encoder.get_ref().len(), at) {
            return Ok(None);
        }
    }
    let bytes = encoder.finish()?;
    if let Body::File(file) = origin.body() {
        // It may have been written to meanwhile, and then the bytes are of two states.
        let (after, _) = meta::stat_at(file.as_fd(), c"", AtFlags::EMPTY_PATH)?;
        if after != *origin.meta() {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(Some(bytes).filter(|bytes| pays(bytes.len(), size)))
}

fn pays(compressed: usize, size: u64) -> bool {
    compressed as u64 <= size - size / 16
}

#[cfg(test)]
mod tests;
