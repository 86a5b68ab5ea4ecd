//! Header fields that a site adds, sets and removes, and the preset for security: judged when they are configured.
//!
//! Owns which fields may be touched at all, and renders them, so that a request costs a copy of bytes. Never sees an
//! answer. Fields in which an answer says what it is and where it ends stay with those who make it.

use std::fmt;

use crate::proto::http1::encode::{DateCache, EncodeError, HeadWriter};
use crate::service::files::Glob;

/// The fields that no rule may touch, in lower case: framing, what the connection does, and what belongs to a status.
const OWN: [&str; 16] = [
    "allow",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "date",
    "keep-alive",
    "location",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "www-authenticate",
];

/// Those that a rule may remove and not set: conditions are judged by the state of a file, and by nothing else.
const VALIDATORS: [&str; 3] = ["accept-ranges", "etag", "last-modified"];

/// Why a rule for a field is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldError {
    /// The name is no token.
    Name,
    /// The value holds a line break or another control character.
    Value,
    /// The server writes this field itself. `Vary` may be added to, but neither set nor removed.
    Own,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "a field name has letters, digits and !#$%&'*+-.^_`|~ only",
            Self::Value => "a value holds no line break or other control character",
            Self::Own => "the server writes this field itself",
        })
    }
}

impl std::error::Error for FieldError {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Add,
    Set,
    Remove,
}

/// What is done about one field, of every answer or of those for some paths.
///
/// ```
/// use tidemill::service::files::Glob;
/// use tidemill::service::site::FieldRule;
///
/// let _ = FieldRule::set("Cache-Control", "no-store").unwrap().on(Glob::new("*.html").unwrap());
/// let _ = FieldRule::remove("ETag").unwrap();
/// assert!(FieldRule::add("Content-Length", "3").is_err());
/// ```
#[derive(Debug, Clone)]
pub struct FieldRule {
    verb: Verb,
    name: String,
    /// `Name: value` with its CR LF; empty to remove.
    line: Vec<u8>,
    glob: Option<Glob>,
}

impl FieldRule {
    /// Adds a line, beside others of its name.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn add(name: &str, value: &str) -> Result<Self, FieldError> {
        let own = is_own(name) && !name.eq_ignore_ascii_case("vary");
        let line = line(name, value)?;
        if own {
            Err(FieldError::Own)
        } else {
            Ok(Self { verb: Verb::Add, name: name.to_owned(), line, glob: None })
        }
    }

    /// Replaces all lines of this name.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn set(name: &str, value: &str) -> Result<Self, FieldError> {
        let line = line(name, value)?;
        if is_own(name) || VALIDATORS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            Err(FieldError::Own)
        } else {
            Ok(Self { verb: Verb::Set, name: name.to_owned(), line, glob: None })
        }
    }

    /// Removes all lines of this name.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn remove(name: &str) -> Result<Self, FieldError> {
        line(name, "")?;
        if is_own(name) {
            return Err(FieldError::Own);
        }
        Ok(Self { verb: Verb::Remove, name: name.to_owned(), line: Vec::new(), glob: None })
    }

    /// For paths that match `glob` alone. They are compared without the slash at their beginning, as names beneath a
    /// root are: `*.html` is for every such name, `assets/**` for all in that directory.
    #[must_use]
    pub fn on(self, glob: Glob) -> Self {
        Self { glob: Some(glob), ..self }
    }
}

fn is_own(name: &str) -> bool {
    OWN.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// The rendered line, judged by the encoder itself. What is the encoder's own is judged by [`is_own`], `Server`, which
/// an operator may name or hide, excepted.
pub(super) fn line(name: &str, value: &str) -> Result<Vec<u8>, FieldError> {
    let mut buf = vec![0; name.len() + value.len() + 128];
    let mut head = HeadWriter::new(&mut buf, 200, &DateCache::new(0));
    head.field(name, value.as_bytes());
    match head.finish() {
        Ok(_) | Err(EncodeError::Reserved) => Ok(format!("{name}: {value}\r\n").into_bytes()),
        Err(EncodeError::BadName) => Err(FieldError::Name),
        Err(_) => Err(FieldError::Value),
    }
}

/// The fields that browsers heed about what a page may do and who may embed it.
///
/// `X-Content-Type-Options: nosniff`, `Referrer-Policy: strict-origin-when-cross-origin`, `X-Frame-Options: SAMEORIGIN`
/// with `Content-Security-Policy: frame-ancestors 'self'`, and `Permissions-Policy` without camera, microphone and
/// position. `Strict-Transport-Security` only when it is asked for: a host cannot take it back before its time.
///
/// ```
/// use tidemill::service::site::Security;
///
/// let plain = Security::default();
/// let strict = Security { frames: false, hsts: Some(31_536_000), ..plain.clone() };
/// assert!(plain.frames && !strict.hsts_subdomains);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// Whether pages of the same origin may embed these; nobody may otherwise.
    pub frames: bool,
    /// How many seconds browsers are to use HTTPS alone for this host. `None`: the field is not sent.
    pub hsts: Option<u64>,
    /// Whether that is meant for all names beneath this host too.
    pub hsts_subdomains: bool,
}

impl Default for Security {
    fn default() -> Self {
        Self { frames: true, hsts: None, hsts_subdomains: false }
    }
}

impl Security {
    fn rules(&self) -> Vec<FieldRule> {
        let (old, new) = if self.frames { ("SAMEORIGIN", "'self'") } else { ("DENY", "'none'") };
        let hsts = self.hsts.map(|age| {
            let beneath = if self.hsts_subdomains { "; includeSubDomains" } else { "" };
            FieldRule::set("Strict-Transport-Security", &format!("max-age={age}{beneath}"))
        });
        let fixed = [
            FieldRule::set("X-Content-Type-Options", "nosniff"),
            FieldRule::set("Referrer-Policy", "strict-origin-when-cross-origin"),
            FieldRule::set("X-Frame-Options", old),
            // Beside the policy that a listing has of its own: a browser heeds both.
            FieldRule::add("Content-Security-Policy", &format!("frame-ancestors {new}")),
            FieldRule::set("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
        ];
        // They are constants and numbers, which the tests have the encoder judge.
        fixed.into_iter().chain(hsts).filter_map(Result::ok).collect()
    }
}

/// Everything about the fields of one route, ready for use.
#[derive(Debug, Clone, Default)]
pub(super) struct FieldSet {
    rules: Vec<FieldRule>,
    /// Whether any rule depends on the path.
    by_path: bool,
    whole: Edits,
}

/// What is to be done to the head of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Edits {
    /// Names whose lines go, in any case.
    pub(super) drop: Vec<String>,
    /// Lines that come, each with its CR LF.
    pub(super) lines: Vec<u8>,
}

impl FieldSet {
    /// The preset first, so that rules of the same name replace it.
    pub(super) fn new(security: Option<&Security>, rules: &[FieldRule]) -> Self {
        let mut all = security.map(Security::rules).unwrap_or_default();
        // A policy of the operator's own stands for the preset's.
        let own =
            |name: &str| rules.iter().any(|rule| rule.glob.is_none() && rule.name.eq_ignore_ascii_case(name));
        all.retain(|preset| !own(&preset.name));
        all.extend_from_slice(rules);
        let by_path = all.iter().any(|rule| rule.glob.is_some());
        let whole = if by_path { Edits::default() } else { edits(&all, b"/") };
        Self { rules: all, by_path, whole }
    }

    /// What is to be done to an answer for `path`.
    pub(super) fn edits(&self, path: &[u8]) -> std::borrow::Cow<'_, Edits> {
        if self.by_path {
            std::borrow::Cow::Owned(edits(&self.rules, path))
        } else {
            std::borrow::Cow::Borrowed(&self.whole)
        }
    }
}

fn edits(rules: &[FieldRule], path: &[u8]) -> Edits {
    let name = path.strip_prefix(b"/").unwrap_or(path);
    let mut kept: Vec<&FieldRule> = Vec::new();
    let mut drop: Vec<String> = Vec::new();
    for rule in rules.iter().filter(|rule| rule.glob.as_ref().is_none_or(|glob| glob.matches(name))) {
        if rule.verb != Verb::Add {
            kept.retain(|earlier| !earlier.name.eq_ignore_ascii_case(&rule.name));
            if !drop.iter().any(|name| name.eq_ignore_ascii_case(&rule.name)) {
                drop.push(rule.name.clone());
            }
        }
        if rule.verb != Verb::Remove {
            kept.push(rule);
        }
    }
    Edits { drop, lines: kept.iter().flat_map(|rule| rule.line.iter().copied()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(edits: &Edits) -> String {
        String::from_utf8(edits.lines.clone()).unwrap()
    }

    #[test]
    fn fields_that_end_answers_or_belong_to_a_status_are_refused() {
        for name in OWN {
            assert_eq!(FieldRule::set(name, "x").unwrap_err(), FieldError::Own, "{name}");
            assert_eq!(FieldRule::remove(&name.to_uppercase()).unwrap_err(), FieldError::Own, "{name}");
            assert_eq!(FieldRule::add(name, "x").is_err(), name != "vary", "{name}");
        }
        assert_eq!(FieldRule::add("a b", "x").unwrap_err(), FieldError::Name);
        assert_eq!(FieldRule::add("", "x").unwrap_err(), FieldError::Name);
        for value in ["a\r\nb: c", "a\nb", "a\0"] {
            assert_eq!(FieldRule::set("X", value).unwrap_err(), FieldError::Value);
        }
        assert!(FieldRule::remove("Server").is_ok() && FieldRule::set("Server", "x").is_ok());
    }

    #[test]
    fn later_rules_replace_earlier_ones_of_their_name() {
        let rules = [
            FieldRule::add("X", "1").unwrap(),
            FieldRule::add("x", "2").unwrap(),
            FieldRule::set("Y", "3").unwrap(),
            FieldRule::set("X", "4").unwrap(),
            FieldRule::add("X", "5").unwrap(),
            FieldRule::remove("y").unwrap(),
        ];
        let edits = edits(&rules, b"/");
        assert_eq!(text(&edits), "X: 4\r\nX: 5\r\n");
        assert_eq!(edits.drop, ["Y", "X"]);
    }

    #[test]
    fn rules_of_a_glob_are_for_its_paths_alone() {
        let html = Glob::new("*.html").unwrap();
        let set = FieldSet::new(
            None,
            &[
                FieldRule::set("Cache-Control", "max-age=9").unwrap(),
                FieldRule::set("Cache-Control", "no-cache").unwrap().on(html),
            ],
        );
        assert_eq!(text(&set.edits(b"/a.html")), "Cache-Control: no-cache\r\n");
        assert_eq!(text(&set.edits(b"/a.css")), "Cache-Control: max-age=9\r\n");
    }

    #[test]
    fn the_preset_is_whole_and_gives_way_to_the_operator() {
        let preset = Security { hsts: Some(300), hsts_subdomains: true, ..Security::default() };
        assert_eq!(preset.rules().len(), 6, "every constant is a good field");
        let own = [FieldRule::set("content-security-policy", "default-src 'self'").unwrap()];
        let set = FieldSet::new(Some(&preset), &own);
        let lines = text(&set.edits(b"/"));
        assert_eq!(lines.matches("olicy: ").count(), 3, "{lines}");
        assert!(!lines.contains("frame-ancestors") && lines.contains("default-src 'self'"), "{lines}");
        assert!(lines.contains("Strict-Transport-Security: max-age=300; includeSubDomains\r\n"), "{lines}");
        let none = FieldSet::new(Some(&Security { frames: false, ..Security::default() }), &[]);
        let lines = text(&none.edits(b"/"));
        assert!(
            lines.contains("DENY") && lines.contains("'none'") && !lines.contains("Strict-Transport"),
            "{lines}"
        );
    }
}
