//! Byte classes of RFC 9110 (token, field value) and RFC 3986 (host). One table, one load per question.
//! It never looks at more than one byte; sequences belong to the parsers.

const TOKEN: u8 = 1;
const VALUE: u8 = 2;
const HOST: u8 = 4;

const TABLE: [u8; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = classes(at as u8);
        at += 1;
    }
    table
};

const fn classes(byte: u8) -> u8 {
    let alnum = byte.is_ascii_alphanumeric();
    let token = matches!(
        byte,
        b'!' | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
    );
    let host = matches!(
        byte,
        b'-' | b'.'
            | b'_'
            | b'~'
            | b'!'
            | b'$'
            | b'&'
            | b'\''
            | b'('
            | b')'
            | b'*'
            | b'+'
            | b','
            | b';'
            | b'='
    );
    let value = matches!(byte, b'\t' | b' '..=b'~' | 0x80..=0xff);
    (if alnum || token { TOKEN } else { 0 })
        | (if value { VALUE } else { 0 })
        | (if alnum || host { HOST } else { 0 })
}

/// `tchar` of RFC 9110 section 5.6.2.
#[inline]
pub(super) const fn is_token(byte: u8) -> bool {
    TABLE[byte as usize] & TOKEN != 0
}

/// A byte that may stand in a field value: HTAB, SP, VCHAR or obs-text (RFC 9110 section 5.5).
#[inline]
pub(super) const fn is_value(byte: u8) -> bool {
    TABLE[byte as usize] & VALUE != 0
}

/// `unreserved` or `sub-delims` of RFC 3986: a byte of a `reg-name` that is not part of a percent triplet.
#[inline]
pub(super) const fn is_host(byte: u8) -> bool {
    TABLE[byte as usize] & HOST != 0
}

/// Whether `bytes` is a token: at least one `tchar` and nothing else.
#[inline]
pub(super) fn all_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token(byte))
}

/// `bytes` without SP and HTAB at both ends (OWS, RFC 9110 section 5.6.3).
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
