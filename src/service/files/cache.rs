//! A bounded cache of files, keyed by the request path as it came in, so that the hot path decodes nothing.
//!
//! Owns the bounds and the rule of when a kept file may be used: its name is looked at with one `statx` in every
//! turn that asks for it, and never trusted by age. Never opens a file, and is never told of one that was not found,
//! so that peers cannot fill it with names of their own making. Eviction is CLOCK, in two rings: files in memory and
//! files held open, so that a scarce descriptor is freed without a walk past thousands of small files.

use std::collections::HashMap;
use std::sync::Arc;

use super::entry::{Body, Entry};
use super::root::Root;

/// Bounds of a [`Cache`]. Zero entries turn it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory of all entries, keys and bookkeeping included, in bytes.
    pub bytes_max: usize,
    /// Number of entries.
    pub entries_max: usize,
    /// Number of files held open.
    pub descriptors_max: usize,
    /// The largest file that is kept in memory rather than open, in bytes.
    pub small_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_max: 16 << 20, entries_max: 1024, descriptors_max: 64, small_max: 64 << 10 }
    }
}

/// What a [`Cache`] holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory, as [`Limits::bytes_max`] counts it.
    pub bytes: usize,
    /// Number of entries.
    pub entries: usize,
    /// Number of files held open.
    pub descriptors: usize,
}

/// The cache. Keys are chosen by peers, so they are hashed with the standard library's keyed hasher.
#[derive(Debug)]
pub struct Cache {
    limits: Limits,
    index: HashMap<Arc<[u8]>, Place>,
    small: Ring,
    large: Ring,
    bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    is_large: bool,
    at: usize,
}

#[derive(Debug)]
struct Slot {
    key: Arc<[u8]>,
    entry: Arc<Entry>,
    cost: usize,
    was_used: bool,
    checked_in: u64,
    /// Looking at its name does not wait for long.
    is_near: bool,
}

/// An entry that the cache has.
#[derive(Debug)]
pub enum Kept {
    /// Its name still leads to this file in this state.
    Current(Arc<Entry>),
    /// Whether it does takes a look that may wait without end: [`Cache::confirm`] is to be told.
    Unchecked(Arc<Entry>),
}

impl Cache {
    /// An empty cache.
    pub fn new(limits: Limits) -> Self {
        Self { limits, index: HashMap::new(), small: Ring::default(), large: Ring::default(), bytes: 0 }
    }

    /// The bounds.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The entry under `key`, if its name still leads to the same file in the same state. It is looked at beneath
    /// `root` unless it was in this very `turn`; one that changed is dropped. One that is not near is not looked at:
    /// it comes back [`Kept::Unchecked`].
    pub fn find(&mut self, key: &[u8], root: &Root, turn: u64) -> Option<Kept> {
        let place = *self.index.get(key)?;
        let slot = self.ring(place.is_large).slots.get_mut(place.at)?;
        if slot.checked_in != turn {
            if !slot.is_near {
                return Some(Kept::Unchecked(Arc::clone(&slot.entry)));
            }
            if root.stat(slot.entry.rel()).ok().as_ref() != Some(slot.entry.meta()) {
                self.remove(place);
                return None;
            }
            slot.checked_in = turn;
        }
        slot.was_used = true;
        Some(Kept::Current(Arc::clone(&slot.entry)))
    }

    /// Somebody has looked, and what is under `key` was still what its name leads to: it is of use. Who asks next looks
    /// for himself, since it may have changed while the word was on its way.
    pub fn confirm(&mut self, key: &[u8]) {
        let Some(&place) = self.index.get(key) else { return };
        if let Some(slot) = self.ring(place.is_large).slots.get_mut(place.at) {
            slot.was_used = true;
        }
    }

    /// Forgets what is under `key`.
    pub fn forget(&mut self, key: &[u8]) {
        if let Some(&place) = self.index.get(key) {
            self.remove(place);
        }
    }

    /// Keeps `entry`, opened in this `turn`, under `key`; evicts what has to make room. An entry that is not at rest
    /// or exceeds a bound by itself is not kept. `is_near`: to look at its name does not wait for long.
    pub fn keep(&mut self, key: &[u8], entry: &Arc<Entry>, turn: u64, is_near: bool) {
        if let Some(&old) = self.index.get(key) {
            self.remove(old);
        }
        let is_large = matches!(entry.body(), Body::File(_));
        let cost = entry.cost() + key.len() + SLOT_COST;
        let has_place = self.limits.entries_max > 0 && (!is_large || self.limits.descriptors_max > 0);
        if !entry.is_at_rest() || !has_place || cost > self.limits.bytes_max {
            return;
        }
        while is_large && self.large.slots.len() >= self.limits.descriptors_max && self.evict(true) {}
        let is_full = |cache: &Self| {
            cache.index.len() >= cache.limits.entries_max
                || cache.bytes.saturating_add(cost) > cache.limits.bytes_max
        };
        while is_full(self) && (self.evict(is_large) || self.evict(!is_large)) {}
        let key: Arc<[u8]> = key.into();
        let ring = self.ring(is_large);
        let place = Place { is_large, at: ring.slots.len() };
        let entry = Arc::clone(entry);
        ring.slots.push(Slot {
            key: Arc::clone(&key),
            entry,
            cost,
            was_used: false,
            checked_in: turn,
            is_near,
        });
        self.index.insert(key, place);
        self.bytes += cost;
    }

    /// Lets go of every file held open and says how many there were. Those being sent stay open until they are.
    pub fn release_descriptors(&mut self) -> usize {
        let count = self.large.slots.len();
        while self.evict(true) {}
        count
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.limits);
    }

    /// What is held.
    pub fn usage(&self) -> Usage {
        Usage { bytes: self.bytes, entries: self.index.len(), descriptors: self.large.slots.len() }
    }

    fn ring(&mut self, is_large: bool) -> &mut Ring {
        if is_large { &mut self.large } else { &mut self.small }
    }

    /// Removes one entry of a ring; false when there is none.
    fn evict(&mut self, is_large: bool) -> bool {
        let ring = self.ring(is_large);
        let has_slots = !ring.slots.is_empty();
        if has_slots {
            let at = ring.victim();
            self.remove(Place { is_large, at });
        }
        has_slots
    }

    /// Removes the slot at `place`; the last slot of its ring takes its position.
    fn remove(&mut self, place: Place) {
        let ring = self.ring(place.is_large);
        if place.at >= ring.slots.len() {
            return;
        }
        let slot = ring.slots.swap_remove(place.at);
        let moved = ring.slots.get(place.at).map(|moved| Arc::clone(&moved.key));
        self.bytes = self.bytes.saturating_sub(slot.cost);
        self.index.remove(&slot.key);
        if let Some(moved) = moved.and_then(|key| self.index.get_mut(&key)) {
            moved.at = place.at;
        }
    }
}

/// What an entry costs beside itself: its slot, its place in the index, and the counts of three `Arc`s.
const SLOT_COST: usize = size_of::<Slot>() + size_of::<(Arc<[u8]>, Place)>() + 6 * size_of::<usize>();

#[derive(Debug, Default)]
struct Ring {
    slots: Vec<Slot>,
    hand: usize,
}

impl Ring {
    /// The next slot that was not used since the hand last passed it. Each use pays for one step of the hand, so
    /// that the cost is constant on average.
    fn victim(&mut self) -> usize {
        for _ in 0..self.slots.len() {
            self.hand = if self.hand < self.slots.len() { self.hand } else { 0 };
            let Some(slot) = self.slots.get_mut(self.hand) else { break };
            if !slot.was_used {
                break;
            }
            slot.was_used = false;
            self.hand += 1;
        }
        self.hand = if self.hand < self.slots.len() { self.hand } else { 0 };
        self.hand
    }
}

#[cfg(test)]
mod tests;
