//! [`Histogram`]: how often values of which size came, in a fixed array. It knows no units, allocates nothing and
//! never fails; the accounting records into it and embedders read it.

use std::fmt;

/// Linear buckets per power of two, as bits: 8.
const SUB_BITS: u32 = 3;
const SUBS: usize = 1 << SUB_BITS;

/// Values below 16 have buckets of their own; each of the 60 powers of two from there on has 8.
const BUCKETS: usize = (64 - SUB_BITS as usize + 1) * SUBS;

/// Counts of `u64` values (nanoseconds, lengths) in log-linear buckets: 8 to each power of two.
///
/// Values below 16 are counted exactly. Above, a bucket is at most an eighth as wide as its values are large, so a
/// [`quantile`](Self::quantile) is never below the true one and at most 12.5 % above. All counts saturate.
/// About 4 KiB, without a heap block.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    sum: u64,
    min: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], sum: 0, min: u64::MAX, max: 0 }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .field("min", &self.min())
            .field("mean", &self.mean())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish()
    }
}

/// The bucket that counts `value`.
const fn bucket_of(value: u64) -> usize {
    if value < SUBS as u64 {
        return value as usize;
    }
    let power = 63 - value.leading_zeros();
    let sub = (value >> (power - SUB_BITS)) as usize & (SUBS - 1);
    (power - SUB_BITS + 1) as usize * SUBS + sub
}

/// The largest value that bucket `at` counts.
const fn upper_bound(at: usize) -> u64 {
    if at < 2 * SUBS {
        return at as u64;
    }
    let shift = (at / SUBS - 1) as u32;
    let lowest = ((SUBS + at % SUBS) as u64) << shift;
    lowest + ((1 << shift) - 1)
}

impl Histogram {
    /// Counts one value. A few nanoseconds.
    #[inline]
    pub fn record(&mut self, value: u64) {
        // Every bucket number is below `BUCKETS`; `get_mut` only spares the proof to the compiler.
        if let Some(count) = self.counts.get_mut(bucket_of(value)) {
            *count = count.saturating_add(1);
        }
        self.sum = self.sum.saturating_add(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |all, n| all.saturating_add(*n))
    }

    /// Whether no value was counted.
    pub const fn is_empty(&self) -> bool {
        self.min > self.max
    }

    /// The sum of all values, exact until it saturates.
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// The smallest value, exactly; 0 when there is none.
    pub const fn min(&self) -> u64 {
        if self.is_empty() { 0 } else { self.min }
    }

    /// The largest value, exactly; 0 when there is none.
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// The mean, rounded down; 0 when there is no value.
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.count()).unwrap_or(0)
    }

    /// A value that at least the part `q` (0 to 1) of all values do not exceed: the upper bound of the bucket in
    /// which the `q`-quantile lies, at most [`max`](Self::max), and so at most 12.5 % above it. 0 when there is no
    /// value; a `q` out of range, or not a number, counts as the nearest end, or as 0.
    pub fn quantile(&self, q: f64) -> u64 {
        let count = self.count();
        // NaN passes the clamp, and the cast takes it for 0.
        let rank = ((q.clamp(0.0, 1.0) * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut below = 0u64;
        for (upper, n) in self.buckets() {
            below = below.saturating_add(n);
            if below >= rank {
                return upper.min(self.max);
            }
        }
        0
    }

    /// The buckets that counted anything, in ascending order: the largest value that a bucket counts, and its count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let counted = self.counts.iter().enumerate().filter(|(_, n)| **n > 0);
        counted.map(|(at, n)| (upper_bound(at), *n))
    }

    /// Adds the counts of `other`, such as another reactor's.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Histogram {
        let mut h = Histogram::default();
        values.iter().for_each(|v| h.record(*v));
        h
    }

    #[test]
    fn buckets_follow_one_another_without_gap_or_overlap() {
        let mut lowest = 0u64;
        for at in 0..BUCKETS {
            let upper = upper_bound(at);
            assert_eq!((bucket_of(lowest), bucket_of(upper)), (at, at));
            assert!(upper - lowest <= lowest / 8, "bucket {at} is too wide");
            lowest = upper.wrapping_add(1);
        }
        assert_eq!(lowest, 0, "the last bucket ends at the largest value");
    }

    #[test]
    fn an_empty_histogram_answers_with_zeros() {
        let h = Histogram::default();
        assert!(h.is_empty() && h.buckets().next().is_none());
        assert_eq!((h.count(), h.sum(), h.min(), h.max(), h.mean(), h.quantile(0.5)), (0, 0, 0, 0, 0, 0));
        assert!(!of(&[0]).is_empty(), "a zero is a value");
    }

    #[test]
    fn small_values_are_exact_and_a_quantile_never_exceeds_the_maximum() {
        let h = of(&[1, 2, 3, 4, 1000]);
        assert_eq!([0.2, 0.4, 0.6, 0.8].map(|q| h.quantile(q)), [1, 2, 3, 4]);
        assert_eq!((h.quantile(1.0), h.mean()), (1000, 202));
        assert_eq!([f64::NAN, -1.0, 7.0].map(|q| h.quantile(q)), [1, 1, 1000]);
    }

    #[test]
    fn counts_and_sums_saturate() {
        let mut h = of(&[u64::MAX, u64::MAX, 1]);
        assert_eq!((h.sum(), h.count(), h.max()), (u64::MAX, 3, u64::MAX));
        h.counts[1] = u64::MAX;
        h.record(1);
        assert_eq!(h.count(), u64::MAX);
        let again = h.clone();
        h.merge(&again);
        assert_eq!((h.quantile(0.5), h.quantile(1.0)), (1, 1));
    }

    #[test]
    fn what_is_printed_is_a_summary() {
        let text = format!("{:?}", of(&[5, 7]));
        assert_eq!(text, "Histogram { count: 2, min: 5, mean: 6, p50: 5, p99: 7, max: 7 }");
    }

    /// Values of every magnitude.
    fn values() -> impl Strategy<Value = Vec<u64>> {
        // Below 2^54, so that the sum of a few hundred does not saturate.
        prop::collection::vec((any::<u64>(), 10u32..64).prop_map(|(v, s)| v >> s), 1..300)
    }

    proptest! {
        #[test]
        fn every_figure_agrees_with_a_sorted_list(mut all in values(), q in 0.0f64..=1.0) {
            let h = of(&all);
            all.sort_unstable();
            let sum = all.iter().sum::<u64>();
            prop_assert_eq!(h.count(), all.len() as u64);
            prop_assert_eq!((h.sum(), h.mean()), (sum, sum / all.len() as u64));
            prop_assert_eq!((h.min(), h.max()), (all[0], all[all.len() - 1]));
            for q in [q, 0.0, 0.5, 0.9, 0.99, 1.0] {
                let rank = ((q * all.len() as f64).ceil() as usize).max(1);
                let (exact, told) = (all[rank - 1], h.quantile(q));
                prop_assert!(exact <= told && told - exact <= exact / 8, "{} for {} at {}", told, exact, q);
            }
        }

        #[test]
        fn buckets_hold_what_lies_between_their_bounds(all in values()) {
            let mut below = None;
            for (upper, n) in of(&all).buckets() {
                let inside = all.iter().filter(|v| below.is_none_or(|b| **v > b) && **v <= upper).count();
                prop_assert_eq!(inside as u64, n);
                below = Some(upper);
            }
            prop_assert!(all.iter().all(|v| Some(*v) <= below));
        }

        #[test]
        fn merging_is_recording_both(a in values(), b in values()) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }
    }
}
