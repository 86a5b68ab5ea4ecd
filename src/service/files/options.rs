//! How files are told about and which of them are served: [`Options`], checked when they are made, so that no request
//! can fail on them.
//!
//! Owns the defaults and what follows from a name alone ([`Shape`]). Never looks at a file.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::encoding::Coding;
use super::glob::{Glob, GlobError};
use super::gzip::Gzip;
use super::mime::{self, Types};

/// What becomes of names with a segment that begins with a dot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hidden {
    /// They are not found, but for what lies beneath `/.well-known/` (RFC 8615).
    #[default]
    Refuse,
    /// They are names like others: `.git` and `.env` are served if they are there.
    Allow,
}

/// Which symbolic links beneath the root are followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Symlinks {
    /// Relative ones that stay beneath the root.
    #[default]
    Inside,
    /// None: a name with a link in it is forbidden.
    None,
    /// All, wherever they lead: whoever can make a link beneath the root can publish any file that the server may read.
    Follow,
}

/// How the files beneath a root are served. The default is what is safe everywhere: types by extension, text in UTF-8,
/// `index.html`, no hidden files, no link that leaves, and each file as it is.
///
/// ```
/// use tidemill::service::files::{Coding, Gzip, Options};
///
/// let options = Options::default()
///     .mime("md", "text/markdown")?
///     .cache_control("assets/**", "public, max-age=31536000, immutable")?
///     .cache_control("**", "no-cache")?
///     .precompressed(&Coding::ALL)
///     .gzip(Some(Gzip::default()));
/// assert!(Options::default().cache_control("[", "no-cache").is_err());
/// # let _ = options;
/// # Ok::<(), tidemill::service::files::OptionsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    types: Types,
    cache_control: Vec<(Glob, Arc<str>)>,
    precompressed: Vec<Coding>,
    gzip: Option<Gzip>,
    index: Vec<Box<[u8]>>,
    hidden: Hidden,
    symlinks: Symlinks,
}

/// What is wrong with an option.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionsError {
    /// An extension or its media type: `text/html` is one, in visible ASCII.
    Mime {
        /// As it was given.
        extension: String,
        /// As it was given.
        kind: String,
    },
    /// No name of a charset.
    Charset(String),
    /// A pattern.
    Glob {
        /// As it was given.
        pattern: String,
        /// What is wrong with it.
        error: GlobError,
    },
    /// A value of `Cache-Control` that is empty, or not visible ASCII.
    CacheControl(String),
    /// The name of an index file that is no single ordinary name.
    Index(String),
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mime { extension, kind } => write!(
                f,
                "'{}' as the type of '{}': write an extension of at most 32 letters and a type such as text/html",
                kind.escape_debug(),
                extension.escape_debug()
            ),
            Self::Charset(name) => write!(f, "'{}' is no name of a charset", name.escape_debug()),
            Self::Glob { pattern, error } => write!(f, "the pattern '{}': {error}", pattern.escape_debug()),
            Self::CacheControl(value) => write!(
                f,
                "'{}' is no value of Cache-Control: write directives such as no-cache or max-age=60",
                value.escape_debug()
            ),
            Self::Index(name) => {
                write!(f, "'{}' is no name of an index file: one name without a slash", name.escape_debug())
            }
        }
    }
}

impl std::error::Error for OptionsError {}

impl Default for Options {
    fn default() -> Self {
        Self {
            types: Types::default(),
            cache_control: Vec::new(),
            precompressed: Vec::new(),
            gzip: None,
            index: vec![(*b"index.html").into()],
            hidden: Hidden::default(),
            symlinks: Symlinks::default(),
        }
    }
}

impl Options {
    /// Files that end in `.extension`, in either case, are of `kind`, whatever the built-in table says. Text gets the
    /// charset unless `kind` names one.
    ///
    /// # Errors
    /// [`OptionsError::Mime`].
    pub fn mime(mut self, extension: &str, kind: &str) -> Result<Self, OptionsError> {
        if self.types.add(extension, kind) {
            return Ok(self);
        }
        Err(OptionsError::Mime { extension: extension.to_owned(), kind: kind.to_owned() })
    }

    /// What text is declared to be in: at first `utf-8`; `None` declares nothing.
    ///
    /// # Errors
    /// [`OptionsError::Charset`].
    pub fn charset(mut self, charset: Option<&str>) -> Result<Self, OptionsError> {
        if self.types.set_charset(charset) {
            return Ok(self);
        }
        Err(OptionsError::Charset(charset.unwrap_or_default().to_owned()))
    }

    /// Files whose name beneath the root matches the [`Glob`] `pattern` are sent with `Cache-Control: value`. The first
    /// pattern that matches decides; a file that none matches has no such field. The name is that of the file, so
    /// that an index file is matched by its own name.
    ///
    /// # Errors
    /// [`OptionsError::Glob`] and [`OptionsError::CacheControl`].
    pub fn cache_control(mut self, pattern: &str, value: &str) -> Result<Self, OptionsError> {
        let wrong = |error| OptionsError::Glob { pattern: pattern.to_owned(), error };
        let glob = Glob::new(pattern).map_err(wrong)?;
        let is_visible = |b: u8| b == b' ' || b.is_ascii_graphic();
        let value = value.trim_matches(' ');
        if value.is_empty() || !value.bytes().all(is_visible) {
            return Err(OptionsError::CacheControl(value.to_owned()));
        }
        self.cache_control.push((glob, value.into()));
        Ok(self)
    }

    /// Codings in which files may lie beside the original, `app.js.br` beside `app.js`, the one that is preferred first.
    /// Such a file counts when it may be served itself, is no older than the original, and has
    /// [settled](super::SETTLE_S): one that is still being written is no harm then. Files that are packed by their type
    /// (images, archives) are not looked for.
    #[must_use]
    pub fn precompressed(mut self, codings: &[Coding]) -> Self {
        self.precompressed.clear();
        for &coding in codings {
            if !self.precompressed.contains(&coding) {
                self.precompressed.push(coding);
            }
        }
        self
    }

    /// Whether files are compressed when they are asked for, and within which bounds.
    #[must_use]
    pub fn gzip(mut self, gzip: Option<Gzip>) -> Self {
        self.gzip = gzip;
        self
    }

    /// Names of the file that answers for its directory, in the order in which they are tried; none for no such file.
    ///
    /// # Errors
    /// [`OptionsError::Index`].
    pub fn index<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Result<Self, OptionsError> {
        self.index.clear();
        for name in names {
            if matches!(name, "" | "." | "..") || name.bytes().any(|b| matches!(b, b'/' | 0)) {
                return Err(OptionsError::Index(name.to_owned()));
            }
            self.index.push(name.as_bytes().into());
        }
        Ok(self)
    }

    /// What becomes of names that begin with a dot.
    #[must_use]
    pub fn hidden(mut self, hidden: Hidden) -> Self {
        self.hidden = hidden;
        self
    }

    /// Which symbolic links are followed.
    #[must_use]
    pub fn symlinks(mut self, symlinks: Symlinks) -> Self {
        self.symlinks = symlinks;
        self
    }

    pub(super) fn index_names(&self) -> &[Box<[u8]>] {
        &self.index
    }

    pub(super) fn hidden_policy(&self) -> Hidden {
        self.hidden
    }

    pub(super) fn symlink_policy(&self) -> Symlinks {
        self.symlinks
    }

    pub(super) fn gzip_config(&self) -> Option<&Gzip> {
        self.gzip.as_ref()
    }

    pub(super) fn codings(&self) -> &[Coding] {
        &self.precompressed
    }

    /// What is told of the file called `name`, a path beneath the root, when it is sent as it is.
    pub(super) fn shape(&self, name: &[u8]) -> Shape {
        let content_type = self.types.content_type(name);
        let rule = self.cache_control.iter().find(|(glob, _)| glob.matches(name));
        let is_sibling = || {
            let end = mime::extension(name).unwrap_or_default();
            self.precompressed.iter().any(|coding| coding.extension().as_bytes() == end)
        };
        let has_siblings = !self.precompressed.is_empty() && !mime::is_packed(&content_type) && !is_sibling();
        let gzip = self.gzip.as_ref().filter(|_| mime::is_compressible(&content_type));
        Shape {
            cache_control: rule.map(|(_, value)| Arc::clone(value)),
            has_siblings,
            gzip: gzip.map(|gzip| (gzip.size_min, gzip.size_max)),
            coding: None,
            content_type,
        }
    }
}

/// What is told of a file beside its state: it follows from the options and the name.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) content_type: Cow<'static, str>,
    pub(super) cache_control: Option<Arc<str>>,
    /// It may lie there in other codings too.
    pub(super) has_siblings: bool,
    /// It may be compressed when its size lies between these, both included.
    pub(super) gzip: Option<(u64, u64)>,
    /// The coding that its bytes are in.
    pub(super) coding: Option<Coding>,
}

impl Shape {
    /// That of the same resource in `coding`.
    pub(super) fn coded(&self, coding: Coding) -> Self {
        Self { coding: Some(coding), ..self.clone() }
    }

    /// Whether an original of `size` bytes may be compressed.
    pub(super) fn gzips(&self, size: u64) -> bool {
        self.coding.is_none() && self.gzip.is_some_and(|(min, max)| (min..=max).contains(&size))
    }

    /// Whether what is sent depends on `Accept-Encoding`, for an original of `size` bytes.
    pub(super) fn varies(&self, size: u64) -> bool {
        self.coding.is_some() || self.has_siblings || self.gzips(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_decides() {
        let options = Options::default()
            .cache_control("assets/**", " public, max-age=31536000, immutable ")
            .and_then(|o| o.cache_control("*.html", "no-cache"))
            .and_then(|o| o.cache_control("**", "max-age=60"))
            .unwrap();
        let of = |name: &str| options.shape(name.as_bytes()).cache_control.map(|value| value.to_string());
        assert_eq!(of("assets/a.html").as_deref(), Some("public, max-age=31536000, immutable"));
        assert_eq!(of("docs/index.html").as_deref(), Some("no-cache"));
        assert_eq!(of("x.png").as_deref(), Some("max-age=60"));
        assert!(Options::default().shape(b"x").cache_control.is_none());
    }

    #[test]
    fn what_can_be_in_another_coding_varies_and_nothing_else_does() {
        let gzip = Gzip { size_min: 10, size_max: 20, ..Gzip::default() };
        let by_gzip = Options::default().gzip(Some(gzip));
        let beside = Options::default().precompressed(&[Coding::Gzip, Coding::Brotli, Coding::Gzip]);
        assert_eq!(beside.codings(), [Coding::Gzip, Coding::Brotli]);
        let varies = |options: &Options, name: &str, size| options.shape(name.as_bytes()).varies(size);
        assert!(!varies(&Options::default(), "a.html", 15));
        for (size, want) in [(9, false), (10, true), (20, true), (21, false)] {
            assert_eq!(varies(&by_gzip, "a.html", size), want, "{size}");
            assert!(varies(&beside, "a.html", size));
        }
        assert!(!varies(&by_gzip, "a.png", 15) && !varies(&beside, "a.png", 15));
        assert!(!varies(&by_gzip, "a.pdf", 15) && varies(&beside, "a.pdf", 15));
        assert!(!varies(&beside, "a.js.br", 15) && !varies(&beside, "a.gz", 15));
        assert!(beside.shape(b"a.png").coded(Coding::Gzip).varies(0));
    }

    #[test]
    fn a_bad_option_is_an_error_that_names_it() {
        let default = Options::default;
        let errors = [
            (default().mime("a/b", "text/html").err(), "'text/html' as the type of 'a/b'"),
            (default().mime("a", "html").err(), "'html' as the type of 'a'"),
            (default().charset(Some("a b")).err(), "'a b' is no name of a charset"),
            (default().cache_control("[", "x").err(), "the pattern '[': a '[' needs"),
            (default().cache_control("*", "a\r\nb").err(), "'a\\r\\nb' is no value"),
            (default().cache_control("*", "  ").err(), "'' is no value"),
            (default().index(["a", "a/b"]).err(), "'a/b' is no name of an index file"),
            (default().index([".."]).err(), "'..' is no name"),
        ];
        for (error, want) in errors {
            let text = error.unwrap().to_string();
            assert!(text.starts_with(want), "{text}");
        }
    }
}
