//! Password files as `htpasswd -B` writes them: one `user:hash` a line. Parsing and hashing, pure.
//!
//! Owns which hashes are good enough: bcrypt and Argon2id, within bounds, so that no line of a file can make one
//! verification take the memory or the minutes of all others. Never keeps a password, never reads a file.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The most users of a file.
pub const USERS_MAX: usize = 10_000;

/// The highest bcrypt cost: one verification then takes some seconds.
const BCRYPT_COST_MAX: u32 = 16;

/// The most memory of one Argon2 verification, in KiB, and its most passes and lanes.
const ARGON2_KIB_MAX: u32 = 128 * 1024;
const ARGON2_PASSES_MAX: u32 = 16;
const ARGON2_LANES_MAX: u32 = 16;

/// What is wrong with a line, and what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineError {
    /// There is no colon, or no name before it, or a control character in the name.
    NoUser,
    /// The name stands in an earlier line.
    Twice,
    /// Apache's MD5, which is broken within hours.
    Md5,
    /// An unsalted SHA-1.
    Sha1,
    /// crypt(3), or a password as plain text: the two cannot be told apart.
    CryptOrPlain,
    /// Another bcrypt, an Argon2 other than id, or SHA-256 and SHA-512 crypt.
    Kind,
    /// It begins like a good hash, but is cut or garbled.
    Garbled,
    /// It would cost more than one request may: bcrypt above 16, Argon2id above 128 MiB, 16 passes or 16 lanes.
    Costly,
    /// The file has more than 10,000 users.
    Many,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoUser => "no user name before a ':'. Write user:hash, as 'htpasswd -B' does",
            Self::Twice => "this user stands in an earlier line. Keep one of them",
            Self::Md5 => "an MD5 hash, which is no longer safe. Set the password anew with 'htpasswd -B'",
            Self::Sha1 => "a SHA-1 hash, which is no longer safe. Set the password anew with 'htpasswd -B'",
            Self::CryptOrPlain => "no hash that is safe, or none at all. Set the password anew with 'htpasswd -B'",
            Self::Kind => "this kind of hash is not supported. Set the password anew with 'htpasswd -B', or use Argon2id",
            Self::Garbled => "the hash is cut or garbled. Set the password anew with 'htpasswd -B'",
            Self::Costly => {
                "the hash costs more than a request may. Use a bcrypt cost up to 16 (htpasswd -B -C 12), or Argon2id up to \
                 m=131072,t=16,p=16"
            }
            Self::Many => "more than 10000 users. Split the file",
        })
    }
}

/// A line that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: LineError,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for FileError {}

/// A hash that was checked, ready to be compared with.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Hash {
    /// The whole text, which is what the crate takes.
    Bcrypt(String),
    Argon2id {
        kib: u32,
        passes: u32,
        lanes: u32,
        salt: Vec<u8>,
        digest: Vec<u8>,
    },
}

/// Never the hash itself: logs are read by more people than password files.
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bcrypt(_) => "Bcrypt",
            Self::Argon2id { .. } => "Argon2id",
        })
    }
}

impl Hash {
    fn parse(text: &str) -> Result<Self, LineError> {
        let is = |prefix: &str| text.starts_with(prefix);
        if is("$2y$") || is("$2b$") {
            return bcrypt(text);
        }
        if is("$argon2id$") {
            return argon2id(text);
        }
        Err(match text {
            _ if is("$apr1$") || is("$1$") => LineError::Md5,
            _ if is("{SHA}") => LineError::Sha1,
            _ if is("$") => LineError::Kind,
            _ => LineError::CryptOrPlain,
        })
    }

    /// Whether `password` is the one, by a comparison that takes the same time wherever it fails. Takes long, by design.
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt(text) => bcrypt::verify(password, text).unwrap_or(false),
            Self::Argon2id { kib, passes, lanes, salt, digest } => {
                let Ok(params) = Params::new(*kib, *passes, *lanes, Some(digest.len())) else { return false };
                let mut out = vec![0; digest.len()];
                let hashed = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                    .hash_password_into(password, salt, &mut out);
                hashed.is_ok() & same(&out, digest)
            }
        }
    }
}

/// Whether two texts of one length are equal, in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differ = a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b));
    std::hint::black_box(differ) == 0 && a.len() == b.len()
}

/// `$2y$12$`, 22 characters of salt and 31 of digest.
fn bcrypt(text: &str) -> Result<Hash, LineError> {
    let rest = text.get(4..).unwrap_or_default();
    let (cost, body) = rest.split_once('$').ok_or(LineError::Garbled)?;
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/');
    if cost.len() != 2 || body.len() != 53 || !body.bytes().all(good) {
        return Err(LineError::Garbled);
    }
    match cost.parse::<u32>().map_err(|_| LineError::Garbled)? {
        4..=BCRYPT_COST_MAX => {}
        0..4 => return Err(LineError::Garbled),
        _ => return Err(LineError::Costly),
    }
    // The last characters hold fewer bits than six: the crate says whether they are what an encoder writes.
    match text.parse::<bcrypt::HashParts>() {
        Ok(_) => Ok(Hash::Bcrypt(text.to_owned())),
        Err(_) => Err(LineError::Garbled),
    }
}

/// `$argon2id$v=19$m=…,t=…,p=…$salt$digest`, in the PHC string format.
fn argon2id(text: &str) -> Result<Hash, LineError> {
    let parts: Vec<&str> = text.split('$').collect();
    let [_, _, "v=19", params, salt, digest] = parts[..] else { return Err(LineError::Garbled) };
    let mut numbers = [0_u32; 3];
    let mut given = params.split(',');
    for (number, name) in numbers.iter_mut().zip(["m=", "t=", "p="]) {
        let value = given.next().and_then(|param| param.strip_prefix(name)).ok_or(LineError::Garbled)?;
        if value.is_empty() || value.len() > 10 || !value.bytes().all(|b| b.is_ascii_digit()) {
            return Err(LineError::Garbled);
        }
        // More than a u32 holds is more than is allowed.
        *number = value.parse().map_err(|_| LineError::Costly)?;
    }
    let [kib, passes, lanes] = numbers;
    if kib > ARGON2_KIB_MAX || passes > ARGON2_PASSES_MAX || lanes > ARGON2_LANES_MAX {
        return Err(LineError::Costly);
    }
    let bytes = |text: &str| {
        let bytes = STANDARD_NO_PAD.decode(text).map_err(|_| LineError::Garbled)?;
        if (8..=64).contains(&bytes.len()) { Ok(bytes) } else { Err(LineError::Garbled) }
    };
    let (salt, digest) = (bytes(salt)?, bytes(digest)?);
    let fits = given.next().is_none() && digest.len() >= 16;
    match Params::new(kib, passes, lanes, Some(digest.len())) {
        Ok(_) if fits => Ok(Hash::Argon2id { kib, passes, lanes, salt, digest }),
        _ => Err(LineError::Garbled),
    }
}

/// The users of one file, in one state.
#[derive(Debug, Default)]
pub(super) struct Users {
    by_name: HashMap<Vec<u8>, usize>,
    hashes: Vec<Arc<Hash>>,
}

impl Users {
    /// Reads a file. Empty lines and those that begin with `#` are skipped; bytes of a name are UTF-8 or not.
    ///
    /// # Errors
    /// The first line that is not good.
    pub(super) fn parse(file: &[u8]) -> Result<Self, FileError> {
        let mut users = Self::default();
        for (at, line) in file.split(|&b| b == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.iter().all(|b| matches!(b, b' ' | b'\t')) || line.first() == Some(&b'#') {
                continue;
            }
            users.add(line).map_err(|why| FileError { line: at + 1, why })?;
        }
        Ok(users)
    }

    fn add(&mut self, line: &[u8]) -> Result<(), LineError> {
        let colon = line.iter().position(|&b| b == b':').ok_or(LineError::NoUser)?;
        let (name, hash) = line.split_at(colon);
        if name.is_empty() || name.iter().any(u8::is_ascii_control) {
            return Err(LineError::NoUser);
        }
        let hash =
            std::str::from_utf8(hash.get(1..).unwrap_or_default()).map_err(|_| LineError::CryptOrPlain)?;
        let hash = Hash::parse(hash.trim_end_matches([' ', '\t']))?;
        if self.hashes.len() >= USERS_MAX {
            return Err(LineError::Many);
        }
        if self.by_name.insert(name.to_vec(), self.hashes.len()).is_some() {
            return Err(LineError::Twice);
        }
        self.hashes.push(Arc::new(hash));
        Ok(())
    }

    /// The hash to compare with and whether its user is meant. For a name that is not there it is the hash of some user
    /// whom `dummy` picks, always the same for one name: so it costs what that user's costs, and never counts.
    pub(super) fn find(&self, name: &[u8], dummy: u64) -> Option<(Arc<Hash>, bool)> {
        let known = self.by_name.get(name).copied();
        let count = u64::try_from(self.hashes.len()).unwrap_or(u64::MAX);
        let other = usize::try_from(dummy.checked_rem(count)?).unwrap_or(0);
        let hash = self.hashes.get(known.unwrap_or(other))?;
        Some((Arc::clone(hash), known.is_some()))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Made by `htpasswd -nbB -C 4 anna secret`.
    const BCRYPT: &str = "$2y$04$UtgjXwx9K4JBEc9RdIp.eO80F.Lu90IIjFuoBIMCQDSMZI2nk1sve";
    const ARGON2ID: &str =
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$4mqQiyq0VpIzuZmp+8eSF3YJ7Av58TkEJ4LIdOVsAc4";

    #[test]
    fn both_kinds_of_hashes_are_compared() {
        let file = format!("# people\n\nanna:{BCRYPT}\r\nbert:{ARGON2ID}  \n");
        let users = Users::parse(file.as_bytes()).unwrap();
        assert_eq!(users.len(), 2);
        for name in ["anna", "bert"] {
            let (hash, known) = users.find(name.as_bytes(), 0).unwrap();
            assert!(known && hash.verify(b"secret"), "{name}");
            assert!(!hash.verify(b"Secret") && !hash.verify(b"") && !hash.verify(b"secret\0"), "{name}");
        }
        let (dummy, known) = users.find(b"nobody", 7).unwrap();
        assert!(!known && *dummy == *users.find(b"bert", 0).unwrap().0);
        assert!(Users::default().find(b"anna", 1).is_none());
    }

    #[test]
    fn weak_and_garbled_hashes_are_refused_with_their_line() {
        let garbled = |from: &str, to: &str| BCRYPT.replacen(from, to, 1);
        for (hash, why) in [
            ("$apr1$abcdefgh$0123456789012345678901", LineError::Md5),
            ("$1$abcdefgh$0123456789012345678901", LineError::Md5),
            ("{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=", LineError::Sha1),
            ("rl.3StKT.4T8M", LineError::CryptOrPlain),
            ("secret", LineError::CryptOrPlain),
            ("", LineError::CryptOrPlain),
            ("$6$salt$hash", LineError::Kind),
            ("$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", LineError::Kind),
            (&garbled("$2y$", "$2a$"), LineError::Kind),
            (&BCRYPT[..59], LineError::Garbled),
            (&garbled("$04$", "$4$"), LineError::Garbled),
            (&garbled("$04$", "$03$"), LineError::Garbled),
            (&garbled("$04$", "$17$"), LineError::Costly),
            (&garbled("$04$", "$31$"), LineError::Costly),
            ("$argon2id$v=16$m=64,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", LineError::Garbled),
            ("$argon2id$v=19$m=64,t=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", LineError::Garbled),
            ("$argon2id$v=19$m=64,t=1,p=1,x=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", LineError::Garbled),
            ("$argon2id$v=19$m=131073,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", LineError::Costly),
            ("$argon2id$v=19$m=9999999999,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", LineError::Costly),
            ("$argon2id$v=19$m=64,t=17,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", LineError::Costly),
            ("$argon2id$v=19$m=1024,t=1,p=17$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", LineError::Costly),
            ("$argon2id$v=19$m=64,t=0,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", LineError::Garbled),
            ("$argon2id$v=19$m=64,t=1,p=1$c29t$AAAAAAAAAAAAAAAAAAAAAA", LineError::Garbled),
            ("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$!", LineError::Garbled),
        ] {
            let file = format!("# x\nanna:{hash}\n");
            assert_eq!(Users::parse(file.as_bytes()).unwrap_err(), FileError { line: 2, why }, "{hash}");
        }
    }

    #[test]
    fn users_have_names_once_and_are_not_too_many() {
        let parse = |file: String| Users::parse(file.as_bytes());
        assert_eq!(
            parse(format!("anna:{BCRYPT}\nanna:{BCRYPT}")).unwrap_err(),
            FileError { line: 2, why: LineError::Twice }
        );
        for line in ["anna", ":x", "an\tna:x"] {
            assert_eq!(parse(line.to_owned()).unwrap_err().why, LineError::NoUser, "{line}");
        }
        let many = |n: usize| parse((0..n).map(|n| format!("u{n}:{BCRYPT}\n")).collect());
        assert_eq!(many(USERS_MAX).unwrap().len(), USERS_MAX);
        assert_eq!(many(USERS_MAX + 1).unwrap_err(), FileError { line: USERS_MAX + 1, why: LineError::Many });
        assert_eq!(parse(String::new()).unwrap().len(), 0);
    }

    #[test]
    fn a_debug_text_holds_no_hash() {
        let users = Users::parse(format!("anna:{BCRYPT}\nbert:{ARGON2ID}").as_bytes()).unwrap();
        let text = format!("{users:?}");
        assert!(!text.contains("$2y$") && !text.contains("salt") && text.contains("Argon2id"), "{text}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_users_or_an_error(file in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Users::parse(&file);
        }

        #[test]
        fn nearly_good_lines_are_users_or_an_error(
            hash in "(\\$2[yb]\\$[0-9]{1,2}\\$[./A-Za-z0-9]{50,54}|\\$argon2id\\$v=19\\$m=[0-9]{1,3},t=[0-2],p=[0-2]\\$[A-Za-z0-9+/=]{8,14}\\$[A-Za-z0-9+/]{20,24})",
        ) {
            if let Ok(users) = Users::parse(format!("a:{hash}").as_bytes()) {
                let (hash, _) = users.find(b"a", 0).unwrap();
                // What is accepted can be verified: cheap ones are.
                if let Hash::Argon2id { .. } = *hash {
                    prop_assert!(!hash.verify(b"x"));
                }
            }
        }
    }
}
