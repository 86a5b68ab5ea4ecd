//! What the Rust programs of this folder share: the counts, the delays, and phases repeated until they are long enough
//! to be told apart from luck. `common.py` is the same for Python.

use std::time::Instant;

pub(crate) const MILLION: f64 = 1e6;
pub(crate) const FIRES: f64 = 2e5;
pub(crate) const THREADS: usize = 4;
pub(crate) const RESETS_A_TURN: usize = 1_000;
pub(crate) const SLICE_S: f64 = 50e-6;
pub(crate) const JOB_S: f64 = 1.0;
/// A phase is repeated until it has taken this long, so that a short one is not a matter of luck.
const PHASE_S: f64 = 0.5;
const REPEATS_MAX: u32 = 40;

/// Adds up what the phases of several repeats have cost, and says when it is enough.
pub(crate) struct Phases<const N: usize> {
    rows: [&'static str; N],
    sums: [(f64, f64); N],
    repeats: u32,
    enough_s: f64,
}

impl<const N: usize> Phases<N> {
    pub(crate) fn new(rows: [&'static str; N], scale: f64) -> Self {
        Self { rows, sums: [(0.0, 0.0); N], repeats: 0, enough_s: PHASE_S * scale }
    }

    /// Whether to go round again. The first round is the warm-up: its figures are forgotten.
    pub(crate) fn more(&mut self) -> bool {
        self.repeats += 1;
        if self.repeats == 2 {
            self.sums = [(0.0, 0.0); N];
        }
        let short = self.sums.iter().any(|(_, seconds)| *seconds < self.enough_s);
        self.repeats <= 2 || (short && self.repeats <= REPEATS_MAX)
    }

    pub(crate) fn add(&mut self, row: usize, n: usize, began: Instant) {
        self.sums[row].0 += n as f64;
        self.sums[row].1 += began.elapsed().as_secs_f64();
    }

    pub(crate) fn print(&self) {
        for (row, (n, seconds)) in self.rows.iter().zip(self.sums) {
            println!("{{\"row\": \"{row}\", \"n\": {n}, \"seconds\": {seconds:.9}}}");
        }
    }
}

/// The same fixed sequence in every peer: neither sorted nor random.
pub(crate) fn scrambled(i: usize) -> u64 {
    u64::from((i as u32).wrapping_mul(2_654_435_761) >> 8)
}

/// Work of this length; how long it was.
pub(crate) fn spin(seconds: f64) -> f64 {
    let began = Instant::now();
    loop {
        let took = began.elapsed().as_secs_f64();
        if took >= seconds {
            return took;
        }
    }
}

/// What a control connection is told when its job is done.
pub(crate) fn job_done(steps: u32, worked: f64) -> String {
    format!("{{\"steps\": {steps}, \"worked\": {worked:.6}}}\n")
}
