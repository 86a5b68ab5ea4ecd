//! Failure classes: a stable name, the cause and the remedy in plain words, and whether trying again can help.
//!
//! A class is a `static`, so that a close reason carries one pointer. The families are `socket.*`, `tcp.*` and
//! `task.*` here; protocols define their own beside their code (`http.*` in `proto::http1`).

use std::fmt;

/// One class of failure. Compare classes by [`Class::name`]; the texts may be reworded in any release.
#[derive(Debug)]
#[non_exhaustive]
pub struct Class {
    /// Stable dotted name, for example `tcp.reset`.
    pub name: &'static str,
    /// What happened, in one sentence.
    pub cause: &'static str,
    /// What to do about it, in one sentence.
    pub remedy: &'static str,
    /// Whether the same attempt can succeed later without a change.
    pub retryable: bool,
}

impl Class {
    /// Defines a class. Names are `family.snake_case`.
    pub const fn new(name: &'static str, cause: &'static str, remedy: &'static str, retryable: bool) -> Self {
        Self { name, cause, remedy, retryable }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Class {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Class {}
