//! Runs a test over many seeds, and says how to replay the one that failed.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// How many seeds a plain `cargo test` runs.
const SEEDS: u64 = 256;

/// Runs `test` with seeds 0 to 255.
///
/// `SIM_SEEDS=10000` runs that many instead, `SIM_SEED=17` that one alone, and `SIM_TRACE=1` prints every call of the
/// simulated kernel. When a seed fails, the line `SIM_SEED=… replays …` goes to standard error and the panic goes on.
///
/// # Panics
/// As `test` does, and when one of the variables is no number.
pub fn seeds(name: &str, test: impl Fn(u64)) {
    for seed in range(SEEDS) {
        let outcome: Result<(), Box<dyn Any + Send>> = catch_unwind(AssertUnwindSafe(|| test(seed)));
        if let Err(panic) = outcome {
            eprintln!("SIM_SEED={seed} replays {name}");
            resume_unwind(panic);
        }
    }
}

/// The seeds that the environment asks for, else the first `count`.
pub(super) fn range(count: u64) -> Range<u64> {
    let (first, count) = match (variable("SIM_SEED"), variable("SIM_SEEDS")) {
        (Some(one), _) => (one, 1),
        (None, many) => (0, many.unwrap_or(count)),
    };
    first..first.saturating_add(count)
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    match text.parse() {
        Ok(n) => Some(n),
        Err(_) => panic!("{name}={text} is no number"),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn every_seed_runs_and_a_failing_one_stops_the_run() {
        if variable("SIM_SEED").is_some() || variable("SIM_SEEDS").is_some() {
            return;
        }
        let ran = Cell::new(0);
        seeds("counting", |_| ran.set(ran.get() + 1));
        assert_eq!(ran.get(), SEEDS);
        let failed = catch_unwind(|| seeds("the seed that is meant to fail", |seed| assert!(seed < 3)));
        assert!(failed.is_err());
    }
}
