//! Which resource a path names: a tree over the segments of the patterns, and the walk through it.
//!
//! At each segment a fixed name comes before a parameter and a parameter before a tail, whatever the order in which
//! the patterns were given; a choice that leads nowhere further down is taken back. Each node is reached by one path
//! only, so that a walk visits every node at most once and compares every byte of the path at most once for each.
//! It knows no methods and calls nobody. Matching allocates nothing.

use std::fmt;

use super::path;

/// The most parameters of a pattern, its tail included.
pub(super) const PARAMS_MAX: usize = 8;
/// The most segments of a pattern: what bounds the depth of a walk.
const SEGMENTS_MAX: usize = 64;

/// Where the parameters of a match stand in the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans {
    places: [(u32, u32); PARAMS_MAX],
    len: usize,
}

impl Spans {
    /// The raw bytes of the parameter with this number.
    pub(super) fn of<'p>(&self, path: &'p [u8], nth: usize) -> Option<&'p [u8]> {
        let (from, to) = *self.places.get(..self.len)?.get(nth)?;
        path.get(from as usize..to as usize)
    }

    fn push(&mut self, from: usize, to: usize) {
        if let (Some(place), Ok(from), Ok(to)) =
            (self.places.get_mut(self.len), u32::try_from(from), u32::try_from(to))
        {
            *place = (from, to);
            self.len += 1;
        }
    }
}

/// A pattern, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    segments: Vec<Segment>,
    /// The names of its parameters, in order.
    pub(super) names: Box<[Box<str>]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Fixed(Box<[u8]>),
    Param,
    Tail,
}

impl Pattern {
    /// Takes a pattern apart: `/a/:id/*rest`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(pattern: &str) -> Result<Self, &'static str> {
        let rest = pattern.strip_prefix('/').ok_or("it does not begin with a slash")?;
        let mut segments = Vec::new();
        let mut names: Vec<Box<str>> = Vec::new();
        let count = rest.split('/').count();
        if count > SEGMENTS_MAX {
            return Err("it has more than 64 segments");
        }
        for (at, segment) in rest.split('/').enumerate() {
            let is_last = at + 1 == count;
            let (kind, name) = match segment.as_bytes() {
                [b':', ..] => (Segment::Param, segment.get(1..)),
                [b'*', ..] if is_last => (Segment::Tail, segment.get(1..)),
                [b'*', ..] => return Err("something follows a tail"),
                b"" if !is_last => return Err("it has an empty segment"),
                b"." | b".." => return Err("it has a dot segment, which no request may have"),
                bytes if bytes.iter().any(|b| matches!(b, b'?' | b'#') || b.is_ascii_control()) => {
                    return Err("it holds a byte that no path holds");
                }
                bytes => (Segment::Fixed(bytes.into()), None),
            };
            if let Some(name) = name {
                if name.is_empty() || names.iter().any(|other| **other == *name) {
                    return Err("a parameter has no name, or one that another has");
                }
                names.push(name.into());
            }
            segments.push(kind);
        }
        if names.len() > PARAMS_MAX {
            return Err("it has more than 8 parameters");
        }
        Ok(Self { segments, names: names.into() })
    }
}

/// The patterns.
#[derive(Default)]
pub(super) struct Tree {
    root: Node,
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tree")
    }
}

#[derive(Default)]
struct Node {
    /// Ordered by name.
    fixed: Vec<(Box<[u8]>, Node)>,
    param: Option<Box<Node>>,
    /// What takes all that is left, which may be nothing behind a slash.
    tail: Option<usize>,
    /// The resource that ends here.
    here: Option<usize>,
}

impl Tree {
    /// The resource at `pattern`; where there is none yet it becomes `new`.
    pub(super) fn insert(&mut self, pattern: &Pattern, new: usize) -> usize {
        let mut node = &mut self.root;
        for segment in &pattern.segments {
            node = match segment {
                Segment::Fixed(name) => node.fixed_child(name),
                Segment::Param => &mut **node.param.get_or_insert_default(),
                Segment::Tail => return *node.tail.get_or_insert(new),
            };
        }
        *node.here.get_or_insert(new)
    }

    /// The resource that `path` names, and where its parameters stand.
    pub(super) fn find(&self, path: &[u8]) -> Option<(usize, Spans)> {
        let mut spans = Spans::default();
        let begin = usize::from(path.first() == Some(&b'/'));
        if begin == 0 {
            return None;
        }
        self.root.find(path, begin, &mut spans).map(|resource| (resource, spans))
    }
}

impl Node {
    fn fixed_child(&mut self, name: &[u8]) -> &mut Self {
        let at = match self.fixed.binary_search_by(|(other, _)| (**other).cmp(name)) {
            Ok(at) => at,
            Err(at) => {
                self.fixed.insert(at, (name.into(), Self::default()));
                at
            }
        };
        #[allow(clippy::indexing_slicing, reason = "found or put there a line above; patterns are no peer's")]
        &mut self.fixed[at].1
    }

    /// Walks on with the segment that begins at `from`.
    fn find(&self, path: &[u8], from: usize, spans: &mut Spans) -> Option<usize> {
        let rest = path.get(from..)?;
        let slash = memchr::memchr(b'/', rest);
        let to = slash.map_or(path.len(), |n| from + n);
        let segment = path.get(from..to)?;
        let go_on = |node: &Self, spans: &mut Spans| match slash {
            Some(_) => node.find(path, to + 1, spans),
            None => node.here,
        };
        if let Ok(at) = self.fixed.binary_search_by(|(name, _)| path::compare(name, segment))
            && let Some((_, node)) = self.fixed.get(at)
        {
            let before = *spans;
            if let found @ Some(_) = go_on(node, spans) {
                return found;
            }
            *spans = before;
        }
        if let Some(node) = self.param.as_deref().filter(|_| !segment.is_empty()) {
            let before = *spans;
            spans.push(from, to);
            if let found @ Some(_) = go_on(node, spans) {
                return found;
            }
            *spans = before;
        }
        if self.tail.is_some() {
            spans.push(from, path.len());
        }
        self.tail
    }
}

#[cfg(test)]
mod tests;
