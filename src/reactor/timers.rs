//! Deadlines: a hierarchical timing wheel with at most one live entry per key.
//!
//! Owns the filed times and nothing else. It never reads a clock, never calls anybody and, once it has grown to
//! the largest key, never allocates. The reactor files the deadline of each link here under the link's slot
//! number, asks [`Wheel::next`] how long it may sleep, and takes what is due with [`Wheel::pop`] once per turn.
//!
//! # Time
//! Time is `u32` milliseconds on a clock that may start anywhere and wraps after 49.7 days; only differences are
//! compared. Seen from the wheel's own time ([`Wheel::now`], the last one given to `pop`), `1..=AHEAD_MAX`
//! ahead is the future and everything else is past: a key filed for the past is due at once, and a `pop` with
//! a time in the past moves nothing. So file at most [`AHEAD_MAX`] (24.8 days) ahead, and while a key is filed
//! let no more than that pass between two calls of `pop`; sleeping until `next` keeps this by itself. An empty
//! wheel takes over whatever time it is given, so a reactor may idle for years.
//!
//! # How it works
//! Six levels of 64 slots; a slot of level `n` is `64^n` ms wide. A time is filed at the level of the highest
//! base-64 digit in which it differs from `now`, so all entries of a level are later than those of the level
//! below, and the earliest slot is found in one bitmap. When `now` enters a slot, its entries are filed again,
//! further down; those of the millisecond `now` itself, and what is filed for the past, are the due ones. Each
//! slot also knows its earliest time, so that nobody has to wake only to file again.

/// The farthest that a key can be filed ahead of the wheel's time, in milliseconds.
pub const AHEAD_MAX: u32 = 1 << 31;

const LEVELS: usize = 6;
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// The top level holds the two bits that are left of 32: four slots, used as a ring.
const TOP: usize = LEVELS - 1;
/// `Node::slot` of a key that is not filed.
const FREE: u16 = u16::MAX;
/// The head of an empty list.
const NONE: u32 = u32::MAX;

/// One key's place in the circular list of its slot. The head's `prev` is the tail.
#[derive(Clone, Copy)]
struct Node {
    prev: u32,
    next: u32,
    at: u32,
    slot: u16,
}

const _: () = assert!(size_of::<Node>() == 16);

/// A timing wheel over small dense keys; see the module's head for its notion of time.
///
/// Memory is 16 bytes per key up to the largest one ever filed, and 3 KiB.
///
/// ```
/// use tidemill::reactor::timers::Wheel;
///
/// let mut wheel = Wheel::new(0);
/// wheel.file(7, 30_000);
/// wheel.file(8, 20);
/// wheel.file(7, 60_000); // moved, not doubled
/// assert_eq!(wheel.next(), Some(20));
/// assert_eq!(wheel.pop(19), None);
/// assert_eq!(wheel.pop(20), Some(8));
/// assert!(wheel.cancel(7));
/// assert_eq!(wheel.next(), None);
/// ```
pub struct Wheel {
    now: u32,
    len: u32,
    /// One bit per slot that holds a key: beyond the digit of `now`, or, on the lowest level, at it (due).
    occupied: [u64; LEVELS],
    heads: [u32; LEVELS * SLOTS],
    /// Of each occupied slot a lower bound of its times: the minimum itself, unless that was taken out.
    earliest: [u32; LEVELS * SLOTS],
    nodes: Vec<Node>,
}

impl Wheel {
    /// An empty wheel whose time is `now`, in milliseconds.
    pub const fn new(now: u32) -> Self {
        Self {
            now,
            len: 0,
            occupied: [0; LEVELS],
            heads: [NONE; LEVELS * SLOTS],
            earliest: [0; LEVELS * SLOTS],
            nodes: Vec::new(),
        }
    }

    /// Makes room for the keys below `keys`, so that filing them does not allocate.
    pub fn reserve(&mut self, keys: u32) {
        self.nodes.reserve((keys as usize).saturating_sub(self.nodes.len()));
    }

    /// The wheel's own time in milliseconds: how far [`Wheel::pop`] has come.
    pub const fn now(&self) -> u32 {
        self.now
    }

    /// How many keys are filed.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether no key is filed.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Files `key` for the time `at` (milliseconds), or moves it there if it is filed already. O(1).
    ///
    /// A time that has come, or is more than [`AHEAD_MAX`] ahead, is due at once. Memory grows to the largest
    /// key, so keys must be small numbers, and `u32::MAX` is none.
    pub fn file(&mut self, key: u32, at: u32) {
        debug_assert!(key != NONE, "keys are slot numbers");
        let index = key as usize;
        if index >= self.nodes.len() {
            self.nodes.resize(index + 1, Node { prev: NONE, next: NONE, at: 0, slot: FREE });
        }
        let (old, new) = (self.nodes[index].slot, self.slot_of(at));
        if old == FREE {
            self.len += 1;
        } else if old == new {
            self.move_within(key, at);
            return;
        } else {
            self.unlink(key);
        }
        self.link(key, at, new);
    }

    /// Takes `key` out and says whether it was filed. O(1).
    pub fn cancel(&mut self, key: u32) -> bool {
        let filed = self.filed(key).is_some();
        if filed {
            self.remove(key);
        }
        filed
    }

    /// The time for which `key` is filed, in milliseconds.
    pub fn filed(&self, key: u32) -> Option<u32> {
        self.nodes.get(key as usize).filter(|node| node.slot != FREE).map(|node| node.at)
    }

    /// When to call [`Wheel::pop`] next: the earliest filed time, or the wheel's own time if a key is due
    /// already; nothing if no key is filed.
    ///
    /// It is never later than the earliest filed time, and exact unless that time's key was cancelled or moved
    /// later: then it may once be the old time, and `pop` at that time gives nothing and makes it exact again.
    pub fn next(&self) -> Option<u32> {
        let (level, digit) = self.first()?;
        Some(if level == 0 { self.start_of(0, digit) } else { self.earliest[level * SLOTS + digit as usize] })
    }

    /// Takes out one key that is due at `now` (milliseconds); call it until it answers `None`.
    ///
    /// Keys come in the order of their times; those of one millisecond in the order in which they were filed,
    /// except for moved ones. Filing and cancelling between two calls is fine, but a key that is filed again for
    /// the past each time it comes is due each time: bound that loop, or use [`Wheel::expire`].
    pub fn pop(&mut self, now: u32) -> Option<u32> {
        loop {
            let Some((level, digit)) = self.first() else {
                self.now = now;
                return None;
            };
            let start = self.start_of(level, digit);
            let ahead = start.wrapping_sub(self.now);
            if ahead > 0 {
                let step = now.wrapping_sub(self.now);
                if step > AHEAD_MAX {
                    return None; // the clock went back
                }
                if ahead > step {
                    self.now = now;
                    return None;
                }
                self.now = start;
            }
            let slot = level * SLOTS + digit as usize;
            if level == 0 {
                let key = self.heads[slot];
                self.remove(key);
                return Some(key);
            }
            self.cascade(slot);
        }
    }

    /// Takes out all keys that are due at `now` (milliseconds) and appends them to `out`, ordered as
    /// [`Wheel::pop`] gives them. A key filed while the caller works `out` off waits for the next call, and one
    /// that he cancels is still in `out`: ask [`Wheel::filed`] or the link itself.
    pub fn expire(&mut self, now: u32, out: &mut Vec<u32>) {
        while let Some(key) = self.pop(now) {
            out.push(key);
        }
    }

    /// The earliest occupied slot: level and digit.
    fn first(&self) -> Option<(usize, u32)> {
        let level = self.occupied.iter().position(|&bits| bits != 0)?;
        let bits = self.occupied[level];
        if level < TOP {
            return Some((level, bits.trailing_zeros()));
        }
        let after = digit(self.now, TOP) + 1; // the slot of `now` is empty here
        Some((TOP, (((bits | bits << 4) >> after).trailing_zeros() + after) & 3))
    }

    /// The first millisecond of an occupied slot.
    fn start_of(&self, level: usize, digit: u32) -> u32 {
        let shift = DIGIT_BITS * level as u32;
        let above = if level < TOP { self.now >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS) } else { 0 };
        above | digit << shift
    }

    /// The slot to which the time `at` belongs now; that of `now` itself if it is due.
    fn slot_of(&self, at: u32) -> u16 {
        let ahead = at.wrapping_sub(self.now);
        if ahead == 0 || ahead > AHEAD_MAX {
            return digit(self.now, 0) as u16;
        }
        let level = ((at ^ self.now).ilog2() / DIGIT_BITS) as usize;
        (level * SLOTS) as u16 + digit(at, level) as u16
    }

    /// Files the keys of a slot, whose first millisecond is `now`, into the levels below.
    fn cascade(&mut self, slot: usize) {
        let head = self.heads[slot];
        self.heads[slot] = NONE;
        self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
        let mut key = head;
        loop {
            let Node { next, at, .. } = self.nodes[key as usize];
            self.link(key, at, self.slot_of(at));
            if next == head {
                return;
            }
            key = next;
        }
    }

    /// Appends a key that is in no list.
    fn link(&mut self, key: u32, at: u32, slot: u16) {
        let list = slot as usize;
        let head = self.heads[list];
        let earliest = &mut self.earliest[list];
        *earliest = if head == NONE { at } else { at.min(*earliest) };
        let (prev, next) = if head == NONE {
            self.heads[list] = key;
            self.occupied[list / SLOTS] |= 1 << (list % SLOTS);
            (key, key)
        } else {
            let tail = self.nodes[head as usize].prev;
            self.nodes[tail as usize].next = key;
            self.nodes[head as usize].prev = key;
            (tail, head)
        };
        self.nodes[key as usize] = Node { prev, next, at, slot };
    }

    /// Takes a key out of its list; the caller links it again or marks it free.
    fn unlink(&mut self, key: u32) {
        let Node { prev, next, slot, .. } = self.nodes[key as usize];
        let list = slot as usize;
        if next == key {
            self.heads[list] = NONE;
            self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
            return;
        }
        self.nodes[prev as usize].next = next;
        self.nodes[next as usize].prev = prev;
        if self.heads[list] == key {
            self.heads[list] = next;
        }
    }

    fn remove(&mut self, key: u32) {
        self.unlink(key);
        self.nodes[key as usize].slot = FREE;
        self.len -= 1;
    }

    /// A new time in the same slot: no list changes.
    fn move_within(&mut self, key: u32, at: u32) {
        let node = &mut self.nodes[key as usize];
        node.at = at;
        let earliest = &mut self.earliest[node.slot as usize];
        *earliest = if node.next == key { at } else { at.min(*earliest) };
    }
}

impl Default for Wheel {
    fn default() -> Self {
        Self::new(0)
    }
}

impl std::fmt::Debug for Wheel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wheel")
            .field("now", &self.now)
            .field("len", &self.len)
            .field("next", &self.next())
            .finish_non_exhaustive()
    }
}

/// The base-64 digit of a time at a level.
const fn digit(at: u32, level: usize) -> u32 {
    (at >> (DIGIT_BITS * level as u32)) & (SLOTS as u32 - 1)
}

#[cfg(test)]
mod tests;
