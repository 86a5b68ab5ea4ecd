//! Globs over decoded paths: compiled when they are configured, matched in one pass, without backtracking.
//!
//! Owns the syntax. Never touches the disk and knows nothing of requests. The states of a pattern are the bits of one
//! number, moved together for each byte of the path: time is linear in the path whatever the pattern is.
//!
//! | in a pattern | matches |
//! |---|---|
//! | `?` | one byte but `/` |
//! | `*` | any bytes but `/`, none too |
//! | `**` | any bytes; `/**/` also matches a single `/` |
//! | `[a-z]`, `[!a-z]` | one byte of the set, or not of it; never `/` |
//! | `{a,b}` | either; braces may hold braces |
//! | `\x` | `x` itself |

use std::fmt;

/// The longest alternative, in bytes and wildcards: the bits of a state less one.
const TOKENS_MAX: usize = 127;

/// The most alternatives that braces and `/**/` may make of one pattern.
const ALTERNATIVES_MAX: usize = 64;

/// Why a pattern is no glob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GlobError {
    /// A `[` without its `]`, or an empty set.
    Set,
    /// A `{` without its `}`, or the other way round.
    Brace,
    /// A `\` at the end.
    Escape,
    /// Longer than 127 bytes and wildcards.
    Long,
    /// Its braces make more than 64 patterns.
    Many,
}

impl fmt::Display for GlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Set => "a '[' is not closed, or its set is empty",
            Self::Brace => "braces do not match",
            Self::Escape => "it ends in a backslash",
            Self::Long => "it is longer than 127 characters",
            Self::Many => "its braces stand for more than 64 patterns",
        })
    }
}

impl std::error::Error for GlobError {}

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Exactly one byte of these.
    One(Box<[bool; 256]>),
    /// `*`.
    Star,
    /// `**`.
    Stars,
}

/// One alternative: bit `i` of a mask speaks of token `i`.
#[derive(Clone)]
struct Automaton {
    /// For each byte, the tokens that take it and are done.
    takes: Box<[u128; 256]>,
    star: u128,
    stars: u128,
    end: u128,
}

/// A compiled pattern.
///
/// ```
/// use tidemill::service::site::Glob;
///
/// let images = Glob::new("/img/**/*.{png,webp}").unwrap();
/// assert!(images.matches(b"/img/2026/a.png") && images.matches(b"/img/a.webp"));
/// assert!(!images.matches(b"/img/a.svg"));
/// ```
#[derive(Clone)]
pub struct Glob {
    text: String,
    any: Vec<Automaton>,
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Glob").field(&self.text).finish()
    }
}

impl Glob {
    /// Compiles `text`, by the table at the head of this module.
    ///
    /// # Errors
    /// [`GlobError`].
    pub fn new(text: &str) -> Result<Self, GlobError> {
        let any =
            alternatives(text)?.iter().map(|tokens| Automaton::new(tokens)).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), any })
    }

    /// Whether the whole of `path` matches.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.any.iter().any(|automaton| automaton.matches(path))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Automaton {
    fn new(tokens: &[Token]) -> Result<Self, GlobError> {
        if tokens.len() > TOKENS_MAX {
            return Err(GlobError::Long);
        }
        let mut made = Self { takes: Box::new([0; 256]), star: 0, stars: 0, end: 1 << tokens.len() };
        for (at, token) in tokens.iter().enumerate() {
            let bit = 1_u128 << at;
            match token {
                Token::One(set) => {
                    for (takes, _) in made.takes.iter_mut().zip(set.iter()).filter(|(_, of)| **of) {
                        *takes |= bit;
                    }
                }
                Token::Star => made.star |= bit,
                Token::Stars => made.stars |= bit,
            }
        }
        Ok(made)
    }

    fn matches(&self, path: &[u8]) -> bool {
        let mut at = self.skip(1);
        for &byte in path {
            let stay = if byte == b'/' { self.stars } else { self.star | self.stars };
            let takes = self.takes.get(usize::from(byte)).copied().unwrap_or_default();
            at = self.skip((at & takes) << 1 | at & stay);
            if at == 0 {
                return false;
            }
        }
        at & self.end != 0
    }

    /// A star may match nothing. No two stars stand side by side, so that one step is enough.
    fn skip(&self, at: u128) -> u128 {
        at | (at & (self.star | self.stars)) << 1
    }
}

/// `text` without its braces: every pattern that it stands for.
pub(super) fn alternatives(text: &str) -> Result<Vec<Vec<Token>>, GlobError> {
    let mut left = vec![text.as_bytes().to_vec()];
    let mut done = Vec::new();
    while let Some(pattern) = left.pop() {
        if left.len() + done.len() >= ALTERNATIVES_MAX {
            return Err(GlobError::Many);
        }
        match first_brace(&pattern)? {
            Some((open, commas, close)) => {
                let mut from = open;
                for end in commas.into_iter().chain([close]) {
                    let parts = [pattern.get(..open), pattern.get(from + 1..end), pattern.get(close + 1..)];
                    left.push(parts.map(Option::unwrap_or_default).concat());
                    from = end;
                }
            }
            None => match pattern.windows(4).position(|four| four == b"/**/") {
                // The mark keeps the first half from being found again: three stars mean what two do.
                Some(at) => {
                    let (head, tail) = pattern.split_at(at);
                    left.push([head, tail.get(3..).unwrap_or_default()].concat());
                    left.push([head, b"/***", tail.get(3..).unwrap_or_default()].concat());
                }
                None => done.push(tokens(&pattern)?),
            },
        }
    }
    Ok(done)
}

/// The places of the first `{`, of the commas that belong to it, and of its `}`.
fn first_brace(pattern: &[u8]) -> Result<Option<(usize, Vec<usize>, usize)>, GlobError> {
    let (mut open, mut commas, mut depth, mut set) = (None, Vec::new(), 0_u32, false);
    let mut bytes = pattern.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next().ok_or(GlobError::Escape)?;
            }
            b'[' => set = true,
            b']' => set = false,
            _ if set => {}
            b'{' => {
                open = open.or(Some(at));
                depth += 1;
            }
            b',' if depth == 1 => commas.push(at),
            b'}' => {
                depth = depth.checked_sub(1).ok_or(GlobError::Brace)?;
                if let (0, Some(open)) = (depth, open) {
                    return Ok(Some((open, commas, at)));
                }
            }
            _ => {}
        }
    }
    if depth == 0 { Ok(None) } else { Err(GlobError::Brace) }
}

fn tokens(pattern: &[u8]) -> Result<Vec<Token>, GlobError> {
    let mut out = Vec::new();
    let mut bytes = pattern.iter().copied();
    while let Some(byte) = bytes.next() {
        let token = match byte {
            b'?' => one(|b| b != b'/'),
            b'*' => Token::Star,
            b'[' => set(&mut bytes)?,
            b'\\' => {
                let escaped = bytes.next().ok_or(GlobError::Escape)?;
                one(|b| b == escaped)
            }
            plain => one(|b| b == plain),
        };
        match (out.last_mut(), &token) {
            // Two stars are one that crosses slashes, and so is every star beside it.
            (Some(last @ (Token::Star | Token::Stars)), Token::Star) => *last = Token::Stars,
            _ => out.push(token),
        }
    }
    Ok(out)
}

fn one(takes: impl Fn(u8) -> bool) -> Token {
    let mut set = Box::new([false; 256]);
    for (byte, of) in (0..=u8::MAX).zip(set.iter_mut()) {
        *of = takes(byte);
    }
    Token::One(set)
}

/// What follows a `[`, up to its `]`.
fn set(bytes: &mut impl Iterator<Item = u8>) -> Result<Token, GlobError> {
    let mut inside = Vec::new();
    loop {
        match bytes.next().ok_or(GlobError::Set)? {
            b']' => break,
            b'\\' => inside.push((bytes.next().ok_or(GlobError::Escape)?, true)),
            plain => inside.push((plain, false)),
        }
    }
    let not = matches!(inside.first(), Some((b'!' | b'^', false)));
    let mut rest = inside.get(usize::from(not)..).unwrap_or_default();
    if rest.is_empty() {
        return Err(GlobError::Set);
    }
    let mut ranges = Vec::new();
    while let [(from, _), tail @ ..] = rest {
        match tail {
            [(b'-', false), (to, _), tail @ ..] => {
                ranges.push(*from..=*to);
                rest = tail;
            }
            _ => {
                ranges.push(*from..=*from);
                rest = tail;
            }
        }
    }
    Ok(one(|byte| byte != b'/' && ranges.iter().any(|range| range.contains(&byte)) != not))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wildcards_match_as_the_table_says() {
        for (glob, yes, no) in [
            ("", &[""][..], &["a", "/"][..]),
            ("/a", &["/a"], &["/", "/ab", "/a/", "a"]),
            ("/?", &["/a"], &["/", "//", "/ab"]),
            ("/*", &["/", "/a", "/a.b"], &["/a/", "/a/b", ""]),
            ("/**", &["/", "/a/b/c"], &["", "a"]),
            ("/a/**/b", &["/a/b", "/a/x/b", "/a/x/y/b"], &["/ab", "/a/xb", "/b"]),
            ("**/x/**/*.js", &["/x/a.js", "/p/q/x/y/z/a.js"], &["/y/a.js", "/x/a.jsx"]),
            ("/[a-c]", &["/a", "/c"], &["/d", "/-", "//"]),
            ("/[!a-c]", &["/d", "/-"], &["/a", "//"]),
            ("/[a\\-c]", &["/a", "/-", "/c"], &["/b"]),
            ("/{a,b{c,d},}x", &["/ax", "/bcx", "/bdx", "/x"], &["/bx", "/ac"]),
            ("/\\*", &["/*"], &["/a"]),
            ("/\\{a", &["/{a"], &["/a"]),
            ("/[{]", &["/{"], &["/a"]),
            ("*.{html,htm}", &["a.html", "b.htm"], &["/a.html"]),
        ] {
            let compiled = Glob::new(glob).unwrap();
            assert!(yes.iter().all(|path| compiled.matches(path.as_bytes())), "{glob} {yes:?}");
            assert!(!no.iter().any(|path| compiled.matches(path.as_bytes())), "{glob} {no:?}");
        }
    }

    #[test]
    fn what_is_no_glob_is_refused_and_so_is_one_beyond_its_bounds() {
        for (text, error) in [
            ("[a", GlobError::Set),
            ("[]", GlobError::Set),
            ("[!]", GlobError::Set),
            ("{a", GlobError::Brace),
            ("a}", GlobError::Brace),
            ("a\\", GlobError::Escape),
        ] {
            assert_eq!(Glob::new(text).unwrap_err(), error, "{text}");
        }
        assert!(Glob::new(&"a".repeat(TOKENS_MAX)).is_ok());
        assert_eq!(Glob::new(&"a".repeat(TOKENS_MAX + 1)).unwrap_err(), GlobError::Long);
        assert!(Glob::new(&"{a,b}".repeat(5)).is_ok());
        assert_eq!(Glob::new(&"{a,b}".repeat(7)).unwrap_err(), GlobError::Many);
        assert_eq!(Glob::new(&"{a,b}".repeat(1000)).unwrap_err(), GlobError::Many);
    }

    #[test]
    fn the_longest_pattern_of_stars_takes_no_longer_than_its_path() {
        let glob = Glob::new(&"*a".repeat(60)).unwrap();
        assert!(!glob.matches(&[b'a'; 8000].map(|_| b'b')));
        assert!(glob.matches(&[b'a'; 8000]));
    }

    /// Tries every way, which is right and slow.
    fn naive(tokens: &[Token], path: &[u8]) -> bool {
        match (tokens, path) {
            ([], path) => path.is_empty(),
            ([Token::One(set), rest @ ..], [byte, tail @ ..]) => set[usize::from(*byte)] && naive(rest, tail),
            ([Token::One(_), ..], []) => false,
            ([Token::Star, rest @ ..], path) => {
                naive(rest, path) || matches!(path, [b, tail @ ..] if *b != b'/' && naive(tokens, tail))
            }
            ([Token::Stars, rest @ ..], path) => {
                naive(rest, path) || matches!(path, [_, tail @ ..] if naive(tokens, tail))
            }
        }
    }

    proptest! {
        #[test]
        fn a_glob_matches_what_trying_every_way_matches(glob in "[ab/*?{},\\[\\]!]{0,10}", path in "[ab/]{0,8}") {
            if let Ok(compiled) = Glob::new(&glob) {
                let want = alternatives(&glob).unwrap().iter().any(|tokens| naive(tokens, path.as_bytes()));
                prop_assert_eq!(compiled.matches(path.as_bytes()), want, "{} {}", glob, path);
            }
        }

        #[test]
        fn any_text_is_a_glob_or_an_error(glob in ".{0,200}", path in proptest::collection::vec(any::<u8>(), 0..50)) {
            if let Ok(compiled) = Glob::new(&glob) {
                compiled.matches(&path);
            }
        }
    }
}
