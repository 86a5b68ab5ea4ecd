//! Patterns over names beneath a root. Pure.
//!
//! Owns their syntax and a matcher whose cost is at most the length of the pattern times that of the name, whatever
//! the two are: no pattern backtracks. Names are bytes; where they are UTF-8, a character is what one `?` stands for.
//!
//! | in a pattern | matches |
//! |---|---|
//! | `*` | any characters but `/`, also none |
//! | `?` | one character but `/` |
//! | `**` as a whole segment | any segments, also none; at the end at least one |
//! | `[abc]`, `[a-z]`, `[!a-z]`, `[^a-z]` | one character of, or not of, these; never `/` |
//! | `{a,b,}` | one of these, which may hold patterns in turn; no `**` within |
//! | `\x` | `x` itself |
//!
//! A pattern without a slash is compared with the last segment of a name, wherever it lies; one with a slash with the
//! whole name. A slash at the beginning only says that: `/index.html` is the one in the root.

use std::fmt;

/// The longest pattern, in bytes.
const PATTERN_MAX: usize = 1024;

/// How deep braces may be nested.
const DEPTH_MAX: u32 = 8;

/// A compiled pattern.
///
/// ```
/// use tidemill::service::files::Glob;
///
/// let glob = Glob::new("assets/**/*.{js,css}").unwrap();
/// assert!(glob.matches(b"assets/app.js") && glob.matches(b"assets/a/b/app.css"));
/// assert!(!glob.matches(b"app.js"));
/// assert!(Glob::new("*.js").unwrap().matches(b"anywhere/app.js"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Glob {
    pattern: Box<str>,
    is_name: bool,
    nodes: Vec<Node>,
    start: usize,
}

/// Why a pattern is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GlobError {
    /// Nothing stands in it.
    Empty,
    /// It is longer than 1 KiB or nested deeper than eight braces.
    TooLong,
    /// A `[` without its `]`, an empty class, or a range whose end comes before its beginning.
    Class,
    /// A `{` without its `}`, or a `}` without its `{`.
    Brace,
    /// `**` that is no whole segment, or stands within braces.
    Stars,
    /// A `\` at the end.
    Escape,
}

impl fmt::Display for GlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the pattern is empty",
            Self::TooLong => "the pattern is longer than 1 KiB, or braces are nested more than eight deep",
            Self::Class => "a '[' needs its ']', with characters or ranges such as a-z between",
            Self::Brace => "a '{' needs its '}' and a '}' its '{'; write '\\{' for the character",
            Self::Stars => {
                "'**' stands for whole segments: write '**/x', 'x/**' or 'x/**/y', not within braces"
            }
            Self::Escape => "a '\\' at the end escapes nothing",
        })
    }
}

impl std::error::Error for GlobError {}

#[derive(Clone, PartialEq, Eq)]
enum Node {
    /// One character that `what` admits, then the node `next`.
    One { what: What, next: usize },
    /// Either of two nodes, for nothing.
    Split(usize, usize),
    /// The end of the pattern.
    End,
}

#[derive(Clone, PartialEq, Eq)]
enum What {
    Char(char),
    /// Anything but `/`.
    InSegment,
    /// Anything.
    Any,
    Class {
        is_negated: bool,
        ranges: Box<[(char, char)]>,
    },
}

/// A character of a name: a byte that is no part of one is equal to no character of a pattern.
type Unit = Option<char>;

impl What {
    fn admits(&self, unit: Unit) -> bool {
        match self {
            Self::Char(c) => unit == Some(*c),
            Self::InSegment => unit != Some('/'),
            Self::Any => true,
            Self::Class { is_negated, ranges } => {
                let listed = unit.is_some_and(|c| ranges.iter().any(|&(low, high)| low <= c && c <= high));
                unit != Some('/') && listed != *is_negated
            }
        }
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Glob").field(&self.pattern).finish()
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}

impl Glob {
    /// Compiles `pattern`, by the table at the head of this module.
    ///
    /// # Errors
    /// [`GlobError`].
    pub fn new(pattern: &str) -> Result<Self, GlobError> {
        let anchored = pattern.strip_prefix('/').unwrap_or(pattern);
        if anchored.is_empty() {
            return Err(GlobError::Empty);
        }
        if pattern.len() > PATTERN_MAX {
            return Err(GlobError::TooLong);
        }
        let tokens = Parser { rest: anchored, depth: 0, before: '/' }.sequence()?;
        let is_name = !pattern.contains('/');
        let mut nodes = vec![Node::End];
        let start = compile(&tokens, 0, &mut nodes);
        Ok(Self { pattern: pattern.into(), is_name, nodes, start })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// Whether `name`, a path beneath the root without a slash at its beginning, is one of those meant.
    pub fn matches(&self, name: &[u8]) -> bool {
        let name = if self.is_name { name.rsplit(|&b| b == b'/').next().unwrap_or_default() } else { name };
        let mut now = Set::new(self.nodes.len());
        let mut next = Set::new(self.nodes.len());
        now.add(self.start, &self.nodes);
        for unit in units(name) {
            for &at in &now.members {
                if let Some(Node::One { what, next: then }) = self.nodes.get(at)
                    && what.admits(unit)
                {
                    next.add(*then, &self.nodes);
                }
            }
            if next.members.is_empty() {
                return false;
            }
            std::mem::swap(&mut now, &mut next);
            next.clear();
        }
        now.members.contains(&0)
    }
}

fn units(name: &[u8]) -> impl Iterator<Item = Unit> {
    name.utf8_chunks().flat_map(|chunk| {
        let broken = std::iter::repeat_n(None, chunk.invalid().len());
        chunk.valid().chars().map(Some).chain(broken)
    })
}

/// The nodes that a name can have come to, each once.
struct Set {
    members: Vec<usize>,
    is_in: Vec<bool>,
    todo: Vec<usize>,
}

impl Set {
    fn new(len: usize) -> Self {
        Self { members: Vec::with_capacity(len), is_in: vec![false; len], todo: Vec::new() }
    }

    /// Adds a node and what can be reached from it for nothing.
    fn add(&mut self, node: usize, nodes: &[Node]) {
        self.todo.push(node);
        while let Some(at) = self.todo.pop() {
            let Some(is_in) = self.is_in.get_mut(at).filter(|is_in| !**is_in) else { continue };
            *is_in = true;
            self.members.push(at);
            if let Some(Node::Split(one, other)) = nodes.get(at) {
                self.todo.extend([*one, *other]);
            }
        }
    }

    fn clear(&mut self) {
        self.members.clear();
        self.is_in.fill(false);
    }
}

enum Token {
    One(What),
    /// `*`.
    Star,
    /// `**/`.
    Deep,
    /// `**` at the end.
    DeepTail,
    Choice(Vec<Vec<Token>>),
}

struct Parser<'p> {
    rest: &'p str,
    depth: u32,
    /// The character before, `/` at the beginning.
    before: char,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        Some(c)
    }

    /// Up to the end, or within braces up to the `,` or `}` that ends an alternative, which is left.
    fn sequence(&mut self) -> Result<Vec<Token>, GlobError> {
        let mut tokens = Vec::new();
        while let Some(c) = self.rest.chars().next() {
            if self.depth > 0 && matches!(c, ',' | '}') {
                break;
            }
            self.next();
            let before = std::mem::replace(&mut self.before, c);
            tokens.push(match c {
                '*' if self.rest.starts_with('*') => self.stars(before)?,
                '*' => Token::Star,
                '?' => Token::One(What::InSegment),
                '[' => Token::One(self.class()?),
                '{' => self.choice()?,
                '}' => return Err(GlobError::Brace),
                '\\' => Token::One(What::Char(self.next().ok_or(GlobError::Escape)?)),
                other => Token::One(What::Char(other)),
            });
        }
        Ok(tokens)
    }

    fn stars(&mut self, before: char) -> Result<Token, GlobError> {
        self.next();
        if before != '/' || self.depth > 0 {
            return Err(GlobError::Stars);
        }
        match self.next() {
            None => Ok(Token::DeepTail),
            Some('/') => {
                self.before = '/';
                Ok(Token::Deep)
            }
            Some(_) => Err(GlobError::Stars),
        }
    }

    fn class(&mut self) -> Result<What, GlobError> {
        let is_negated = self.rest.starts_with(['!', '^']);
        if is_negated {
            self.next();
        }
        let mut ranges = Vec::new();
        loop {
            let low = match self.next().ok_or(GlobError::Class)? {
                ']' if !ranges.is_empty() => break,
                '\\' => self.next().ok_or(GlobError::Class)?,
                c => c,
            };
            let mut ahead = self.rest.chars();
            let high = match (ahead.next(), ahead.next()) {
                (Some('-'), Some(end)) if end != ']' => {
                    self.next();
                    match self.next().ok_or(GlobError::Class)? {
                        '\\' => self.next().ok_or(GlobError::Class)?,
                        c => c,
                    }
                }
                _ => low,
            };
            if high < low {
                return Err(GlobError::Class);
            }
            ranges.push((low, high));
        }
        Ok(What::Class { is_negated, ranges: ranges.into() })
    }

    fn choice(&mut self) -> Result<Token, GlobError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(GlobError::TooLong);
        }
        let mut choices = Vec::new();
        loop {
            choices.push(self.sequence()?);
            match self.next() {
                Some(',') => {}
                Some(_) => break,
                None => return Err(GlobError::Brace),
            }
        }
        self.depth -= 1;
        self.before = '}';
        Ok(Token::Choice(choices))
    }
}

/// Adds the nodes of `tokens`, back to front, and gives the one to begin with; `next` is the one after them.
fn compile(tokens: &[Token], next: usize, nodes: &mut Vec<Node>) -> usize {
    let push = |nodes: &mut Vec<Node>, node| {
        nodes.push(node);
        nodes.len() - 1
    };
    let mut next = next;
    for token in tokens.iter().rev() {
        next = match token {
            Token::One(what) => push(nodes, Node::One { what: what.clone(), next }),
            Token::Star => loop_over(What::InSegment, next, nodes),
            Token::Deep => {
                let slash = push(nodes, Node::One { what: What::Char('/'), next });
                let within = loop_over(What::Any, slash, nodes);
                push(nodes, Node::Split(within, next))
            }
            Token::DeepTail => {
                let more = loop_over(What::Any, next, nodes);
                push(nodes, Node::One { what: What::Any, next: more })
            }
            Token::Choice(choices) => {
                let mut start = None;
                for choice in choices {
                    let this = compile(choice, next, nodes);
                    start = Some(start.map_or(this, |other| push(nodes, Node::Split(other, this))));
                }
                start.unwrap_or(next)
            }
        };
    }
    next
}

/// Any number of `what`, then `next`.
fn loop_over(what: What, next: usize, nodes: &mut Vec<Node>) -> usize {
    let split = nodes.len() + 1;
    nodes.push(Node::One { what, next: split });
    nodes.push(Node::Split(nodes.len() - 1, next));
    split
}

#[cfg(test)]
mod tests;
