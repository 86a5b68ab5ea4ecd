//! Basic authentication (RFC 7617) against a password file that is read again when it changes.
//!
//! Owns who may pass. Hashing is handed out as work for the pool, never done here; what was right is remembered by a
//! keyed digest for some minutes, so that a page with forty pictures costs one hash. Never keeps a password, never logs
//! a credential, and a name that does not exist costs what one that exists costs.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blake2::Blake2sMac256;
use blake2::digest::{KeyInit, Mac};

use super::htpasswd::{FileError, Hash, Users};
use crate::proto::http1::head::Head;
use crate::reactor::TaskError;

/// The largest password file, in bytes.
const FILE_MAX: u64 = 2 * 1024 * 1024;

/// How many verifications wait or run at one time; more are answered with 503.
pub const VERIFICATIONS_MAX: usize = 16;

/// How long a right password is remembered, in seconds, and how many are.
const REMEMBER_S: u64 = 300;
const REMEMBER_MAX: usize = 1024;

/// A file that changed within so many seconds may change again without its times showing it.
const SETTLE_S: i64 = 2;

/// Who may use a route: the users of a password file, as `htpasswd -B` makes one.
///
/// ```
/// use tidemill::service::site::BasicAuth;
///
/// let staff = BasicAuth::new("staff.htpasswd").realm("Staff only");
/// assert_eq!(staff.file.to_str(), Some("staff.htpasswd"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasicAuth {
    /// The password file: `user:hash` lines with bcrypt (`$2y$`, `$2b$`) or Argon2id hashes.
    pub file: PathBuf,
    /// What a browser shows when it asks for a password.
    pub realm: String,
}

impl BasicAuth {
    /// The users of `file`, and the realm `Restricted`.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), realm: "Restricted".to_owned() }
    }

    /// With another realm.
    #[must_use]
    pub fn realm(self, realm: impl Into<String>) -> Self {
        Self { realm: realm.into(), ..self }
    }
}

/// Why a [`BasicAuth`] cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuthError {
    /// The file cannot be read.
    Io(io::Error),
    /// It is no regular file.
    NotAFile,
    /// It has more than 2 MiB.
    Large,
    /// One of its lines is not good.
    Line(FileError),
    /// It has no user, so that nobody could pass.
    Empty,
    /// The realm holds a control character.
    Realm,
    /// The system gives no random bytes.
    Random,
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => write!(f, "{e}"),
            Self::NotAFile => f.write_str("not a regular file"),
            Self::Large => f.write_str("larger than 2 MiB. Split it"),
            Self::Line(e) => write!(f, "{e}"),
            Self::Empty => f.write_str("no user in it. Add one with 'htpasswd -B FILE USER'"),
            Self::Realm => f.write_str("a realm holds no control character"),
            Self::Random => f.write_str("the system gives no random bytes"),
        }
    }
}

impl std::error::Error for AuthError {}

/// What a request's credentials are worth.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Go on.
    Allowed,
    /// 401.
    Denied,
    /// Ask again with what this work, which takes long, says.
    Ask(Question),
    /// 503: too many are being verified.
    Busy,
    /// 500: the work for the question failed.
    Failed(TaskError),
}

/// One verification, to be done on a thread.
#[derive(Debug)]
pub(super) struct Question {
    hash: Arc<Hash>,
    known: bool,
    password: Vec<u8>,
    digest: [u8; 32],
    _turn: Turn,
}

/// What came of a [`Question`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checked {
    digest: [u8; 32],
    right: bool,
}

impl Question {
    /// Hashes. An unknown user's password is hashed too.
    pub(super) fn answer(self) -> Checked {
        let right = self.hash.verify(&self.password) & self.known;
        Checked { digest: self.digest, right }
    }
}

/// One of the verifications that may be under way.
#[derive(Debug)]
struct Turn(Arc<AtomicUsize>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A password file in use.
pub(super) struct Auth {
    path: PathBuf,
    users: Users,
    state: Option<State>,
    /// The second of the last look at the file.
    looked: u64,
    key: [u8; 32],
    remembered: Remembered,
    busy: Arc<AtomicUsize>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("path", &self.path)
            .field("users", &self.users.len())
            .finish_non_exhaustive()
    }
}

impl Auth {
    /// Reads `path`.
    ///
    /// # Errors
    /// [`AuthError`].
    pub(super) fn load(path: &Path) -> Result<Self, AuthError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| AuthError::Random)?;
        let (state, users) = read(path)?;
        if users.len() == 0 {
            return Err(AuthError::Empty);
        }
        let (remembered, busy) = (Remembered::default(), Arc::default());
        Ok(Self { path: path.to_owned(), users, state: Some(state), looked: 0, key, remembered, busy })
    }

    /// Judges the credentials of `head` at `now`, in seconds since 1970. `checked` takes what came of the question that
    /// this very request had asked before; it is called only when that is wanted.
    pub(super) fn judge(
        &mut self,
        head: &Head<'_>,
        checked: impl FnOnce() -> Option<Result<Checked, TaskError>>,
        now: u64,
    ) -> Verdict {
        self.look(now);
        let Some((name, password)) = credentials(head) else { return Verdict::Denied };
        let Some((hash, known)) = self.users.find(&name, self.pick(&name)) else { return Verdict::Denied };
        let digest = self.digest(&name, &password, &hash);
        // A user who was taken out may have left the very hash that is now compared with instead.
        if self.remembered.holds(&digest, now) & known {
            return Verdict::Allowed;
        }
        match checked() {
            // The pool's queue is full.
            Some(Err(TaskError::Full)) => return Verdict::Busy,
            Some(Err(e)) => return Verdict::Failed(e),
            Some(Ok(checked)) if checked.digest == digest => {
                if !checked.right {
                    return Verdict::Denied;
                }
                self.remembered.add(digest, now);
                return Verdict::Allowed;
            }
            // Nothing was asked, or about another line of the file.
            Some(Ok(_)) | None => {}
        }
        if self.busy.load(Ordering::Relaxed) >= VERIFICATIONS_MAX {
            return Verdict::Busy;
        }
        self.busy.fetch_add(1, Ordering::Relaxed);
        Verdict::Ask(Question { hash, known, password, digest, _turn: Turn(Arc::clone(&self.busy)) })
    }

    /// Reads the file anew when it is another than before. One that cannot be read, or has a bad line, changes nothing:
    /// whoever writes it may not be done.
    fn look(&mut self, now: u64) {
        if self.looked == now {
            return;
        }
        self.looked = now;
        let state = std::fs::metadata(&self.path).ok().map(|meta| State::of(&meta));
        if state == self.state && state.is_none_or(|state| state.is_settled(now)) {
            return;
        }
        let changed = state != self.state;
        match read(&self.path) {
            Ok((state, users)) => {
                if changed {
                    log::info!("{}: read again, {} users", self.path.display(), users.len());
                }
                (self.state, self.users) = (Some(state), users);
            }
            Err(e) => {
                if changed {
                    log::error!("{}: {e}. The users read before stay in force", self.path.display());
                }
                self.state = state;
            }
        }
    }

    /// A number that is always the same for one name and tells nothing about it.
    fn pick(&self, name: &[u8]) -> u64 {
        let digest = self.mac(&[b"name", name]);
        digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// What stands for a name, its password and the line they were compared with.
    fn digest(&self, name: &[u8], password: &[u8], hash: &Hash) -> [u8; 32] {
        match hash {
            Hash::Bcrypt(text) => self.mac(&[b"bcrypt", name, password, text.as_bytes()]),
            Hash::Argon2id { salt, digest, .. } => self.mac(&[b"argon2id", name, password, salt, digest]),
        }
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Blake2sMac256::new(&self.key.into());
        for part in parts {
            // Lengths first: no two lists of parts are one text.
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// The line that asks for a password.
pub(super) fn challenge(realm: &str) -> Result<Vec<u8>, AuthError> {
    if realm.chars().any(char::is_control) {
        return Err(AuthError::Realm);
    }
    let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
    Ok(format!("Basic realm=\"{quoted}\", charset=\"UTF-8\"").into_bytes())
}

/// Name and password of a request that has them once and well-formed.
pub(super) fn credentials(head: &Head<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut values = head.field_all("authorization");
    let value = values.next().filter(|_| values.next().is_none())?;
    parse(value)
}

/// `Basic` and the base64 of `name:password`, in which no control character is allowed (RFC 7617 section 2).
pub(super) fn parse(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, rest) = value.split_at_checked(5)?;
    let token = rest.trim_ascii_start();
    if !scheme.eq_ignore_ascii_case(b"basic") || token.len() == rest.len() {
        return None;
    }
    let plain = STANDARD.decode(token).ok()?;
    let colon = plain.iter().position(|&b| b == b':')?;
    if plain.iter().any(u8::is_ascii_control) {
        return None;
    }
    let (name, password) = plain.split_at_checked(colon)?;
    Some((name.to_vec(), password.get(1..)?.to_vec()))
}

/// One state of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    len: u64,
    dev: u64,
    ino: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl State {
    fn of(meta: &std::fs::Metadata) -> Self {
        Self {
            len: meta.len(),
            dev: meta.dev(),
            ino: meta.ino(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            ctime: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    fn is_settled(&self, now: u64) -> bool {
        i64::try_from(now)
            .is_ok_and(|now| now.saturating_sub(self.ctime.0.max(self.mtime.0)).abs() > SETTLE_S)
    }
}

fn read(path: &Path) -> Result<(State, Users), AuthError> {
    // Looked at before it is opened: to open a FIFO would wait for its writer.
    if !std::fs::metadata(path).map_err(AuthError::Io)?.is_file() {
        return Err(AuthError::NotAFile);
    }
    let file = File::open(path).map_err(AuthError::Io)?;
    let state = State::of(&file.metadata().map_err(AuthError::Io)?);
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(AuthError::Io)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(AuthError::Large);
    }
    Ok((state, Users::parse(&bytes).map_err(AuthError::Line)?))
}

/// Digests of what was right lately, the oldest out first.
#[derive(Debug, Default)]
struct Remembered {
    since: HashMap<[u8; 32], u64>,
    order: VecDeque<[u8; 32]>,
}

impl Remembered {
    /// A clock that was set back makes an entry look younger than none: such an entry does not count.
    fn holds(&self, digest: &[u8; 32], now: u64) -> bool {
        self.since
            .get(digest)
            .is_some_and(|since| now.checked_sub(*since).is_some_and(|age| age < REMEMBER_S))
    }

    fn add(&mut self, digest: [u8; 32], now: u64) {
        if self.since.insert(digest, now).is_none() {
            self.order.push_back(digest);
        }
        while self.order.len() > REMEMBER_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.since.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests;
