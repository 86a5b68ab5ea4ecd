//! [`Line`]: one line of a log. What peers sent is escaped and clipped, so that a record is one bounded line whatever
//! they sent. It knows no record.

/// Bytes of one record at most, its line break included.
pub const LINE_BYTES_MAX: usize = 8 * 1024;

/// Stands at the end of a value that was clipped.
const CLIPPED: &[u8] = b"...";

/// A line that is being written to the end of a buffer.
pub(super) struct Line<'a> {
    out: &'a mut Vec<u8>,
    /// Where the line break stands at the latest.
    end: usize,
}

impl<'a> Line<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        out.reserve(LINE_BYTES_MAX);
        let end = out.len().saturating_add(LINE_BYTES_MAX - 1);
        Self { out, end }
    }

    /// Ends the line.
    pub(super) fn finish(self) {
        self.out.push(b'\n');
    }

    /// Bytes of ours, which need no escape. What is beyond the line's bound is cut.
    #[inline]
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        let room = self.end.saturating_sub(self.out.len());
        self.out.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// Where a value may end that has at most `max` bytes and leaves `behind` bytes of the line free.
    fn limit(&self, max: usize, behind: usize) -> usize {
        self.out.len().saturating_add(max).min(self.end.saturating_sub(behind))
    }

    /// Adds `bytes` if they end before `limit`.
    fn fits(&mut self, bytes: &[u8], limit: usize) -> bool {
        let fits = self.out.len().saturating_add(bytes.len()) <= limit;
        if fits {
            self.out.extend_from_slice(bytes);
        }
        fits
    }

    /// A peer's bytes in at most `max`: printable ASCII without quotes and backslashes, everything else as `\xHH`.
    pub(super) fn text(&mut self, bytes: &[u8], max: usize) {
        let limit = self.limit(max, 0).saturating_sub(CLIPPED.len());
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            let plain = rest.iter().position(|byte| !is_plain(*byte)).unwrap_or(rest.len());
            let (run, behind) = rest.split_at(plain);
            let whole = if run.is_empty() {
                rest = rest.get(1..).unwrap_or_default();
                self.fits(&escape(first), limit)
            } else {
                rest = behind;
                let room = limit.saturating_sub(self.out.len());
                self.out.extend_from_slice(run.get(..room).unwrap_or(run));
                run.len() <= room
            };
            if !whole {
                return self.raw(CLIPPED);
            }
        }
    }

    /// A peer's bytes as a JSON string with its quotes, in at most `max` bytes. UTF-8 stays what it is; a byte that is
    /// none becomes the four characters `\xHH`.
    pub(super) fn string(&mut self, bytes: &[u8], max: usize) {
        self.raw(b"\"");
        let limit = self.limit(max, 1).saturating_sub(CLIPPED.len());
        if !self.string_content(bytes, limit) {
            self.raw(CLIPPED);
        }
        self.raw(b"\"");
    }

    /// Whether all of it fitted.
    fn string_content(&mut self, bytes: &[u8], limit: usize) -> bool {
        if bytes.iter().all(|byte| is_plain(*byte)) && self.fits(bytes, limit) {
            return true;
        }
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                let mut utf8 = [0; 4];
                let fitted = match c {
                    '"' => self.fits(b"\\\"", limit),
                    '\\' => self.fits(b"\\\\", limit),
                    c if misleads(c) => self.escaped_char(c, limit),
                    c => self.fits(c.encode_utf8(&mut utf8).as_bytes(), limit),
                };
                if !fitted {
                    return false;
                }
            }
            for byte in chunk.invalid() {
                let [backslash, rest @ ..] = escape(*byte);
                let doubled = [backslash, backslash, rest[0], rest[1], rest[2]];
                if !self.fits(&doubled, limit) {
                    return false;
                }
            }
        }
        true
    }

    /// `\uHHHH`; all characters that mislead lie below U+10000.
    fn escaped_char(&mut self, c: char, limit: usize) -> bool {
        let code = u32::from(c);
        let [a, b] = hex((code >> 8) as u8);
        let [d, e] = hex(code as u8);
        self.fits(&[b'\\', b'u', a, b, d, e], limit)
    }

    /// A number in decimal.
    #[inline]
    pub(super) fn number(&mut self, value: u64) {
        let (digits, from) = decimal(value);
        self.raw(digits.get(from..).unwrap_or_default());
    }

    /// Nanoseconds as seconds with six decimals, cut.
    pub(super) fn seconds(&mut self, ns: u64) {
        self.number(ns / 1_000_000_000);
        let (digits, _) = decimal(ns % 1_000_000_000 / 1000);
        self.raw(b".");
        self.raw(digits.get(DIGITS - 6..).unwrap_or_default());
    }

    /// A status: three digits or more.
    pub(super) fn status(&mut self, status: u16) {
        let (digits, from) = decimal(u64::from(status));
        self.raw(digits.get(from.min(DIGITS - 3)..).unwrap_or_default());
    }

    /// What `core::fmt` knows how to write, addresses above all; it allocates nothing.
    pub(super) fn display(&mut self, value: impl std::fmt::Display) {
        // Fails never: what does not fit is cut.
        let _ = std::fmt::Write::write_fmt(self, format_args!("{value}"));
    }
}

impl std::fmt::Write for Line<'_> {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        self.raw(s.as_bytes());
        Ok(())
    }
}

/// Printable ASCII but quotes and backslashes.
#[inline]
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// Characters that a terminal or an editor would obey rather than show: controls, separators of lines, and those that
/// turn or hide what stands beside them.
const fn misleads(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

const fn hex(byte: u8) -> [u8; 2] {
    const fn digit(value: u8) -> u8 {
        if value < 10 { b'0' + value } else { b'A' + value - 10 }
    }
    [digit(byte >> 4), digit(byte & 15)]
}

/// `\xHH`, as nginx and Apache write it.
const fn escape(byte: u8) -> [u8; 4] {
    let [high, low] = hex(byte);
    [b'\\', b'x', high, low]
}

/// The most digits that a number has.
const DIGITS: usize = 20;

/// The digits of `value`, right-aligned with zeros before them, and where its first one stands.
fn decimal(mut value: u64) -> ([u8; DIGITS], usize) {
    let mut digits = [b'0'; DIGITS];
    let mut from = DIGITS;
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
        from = at;
        if value == 0 {
            break;
        }
    }
    (digits, from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(write: impl FnOnce(&mut Line<'_>)) -> String {
        let mut out = b"before ".to_vec();
        let mut line = Line::new(&mut out);
        write(&mut line);
        line.finish();
        String::from_utf8(out)
            .unwrap()
            .strip_prefix("before ")
            .unwrap()
            .strip_suffix('\n')
            .unwrap()
            .to_owned()
    }

    #[test]
    fn numbers_are_decimal() {
        for n in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX] {
            assert_eq!(line(|l| l.number(n)), n.to_string());
        }
        for (ns, text) in [
            (0, "0.000000"),
            (999, "0.000000"),
            (1_000, "0.000001"),
            (1_234_567_899, "1.234567"),
            (u64::MAX, "18446744073.709551"),
        ] {
            assert_eq!(line(|l| l.seconds(ns)), text);
        }
        for (status, text) in [(0, "000"), (7, "007"), (200, "200"), (65535, "65535")] {
            assert_eq!(line(|l| l.status(status)), text);
        }
    }

    #[test]
    fn text_escapes_all_but_printable_ascii_and_what_ends_a_value() {
        for (bytes, text) in [
            (&b"GET /a b?c=%20~"[..], "GET /a b?c=%20~"),
            (b"a\"b\\c", r"a\x22b\x5Cc"),
            (b"\r\n\t\0\x1b[31m\x7f", r"\x0D\x0A\x09\x00\x1B[31m\x7F"),
            ("ü\u{202e}".as_bytes(), r"\xC3\xBC\xE2\x80\xAE"),
            (b"\xff", r"\xFF"),
            (b"", ""),
        ] {
            assert_eq!(line(|l| l.text(bytes, 100)), text);
        }
    }

    #[test]
    fn a_value_is_clipped_between_escapes_and_says_so() {
        assert_eq!(line(|l| l.text(b"0123456789", 13)), "0123456789");
        assert_eq!(line(|l| l.text(b"0123456789", 12)), "012345678...");
        assert_eq!(line(|l| l.text(b"\0\0\0", 12)), r"\x00\x00...");
        assert_eq!(line(|l| l.text(b"\0\0\0", 14)), r"\x00\x00...");
        assert_eq!(line(|l| l.text(b"\0\0\0", 15)), r"\x00\x00\x00");
        assert_eq!(line(|l| l.string(b"0123456789", 12)), "\"012345678...\"");
        assert_eq!(line(|l| l.string("üüü".as_bytes(), 8)), "\"üü...\"");
        assert_eq!(line(|l| l.string(b"\"\"", 6)), r#""\"...""#);
    }

    #[test]
    fn a_string_is_json_and_keeps_what_is_utf_8() {
        for (bytes, text) in [
            ("grüße 水".as_bytes(), "\"grüße 水\""),
            (b"a\"b\\c", r#""a\"b\\c""#),
            (b"\n\x1b\x7f", r#""\u000A\u001B\u007F""#),
            ("\u{9b}\u{202e}\u{2028}\u{feff}".as_bytes(), r#""\u009B\u202E\u2028\uFEFF""#),
            (b"a\xffb\xc3", r#""a\\xFFb\\xC3""#),
            (b"", "\"\""),
        ] {
            assert_eq!(line(|l| l.string(bytes, 100)), text);
        }
    }

    #[test]
    fn a_line_ends_at_its_bound() {
        for write in [
            (|l: &mut Line<'_>| l.raw(&[b'x'; 2 * LINE_BYTES_MAX])) as fn(&mut Line<'_>),
            |l| l.text(&[0; 2 * LINE_BYTES_MAX], usize::MAX),
            |l| l.string(&[b'"'; 2 * LINE_BYTES_MAX], usize::MAX),
            |l| (0..LINE_BYTES_MAX).for_each(|_| l.number(u64::MAX)),
        ] {
            let mut out = b"before\n".to_vec();
            let mut line = Line::new(&mut out);
            write(&mut line);
            line.finish();
            let written = out.len() - 7;
            assert!((LINE_BYTES_MAX - 8..=LINE_BYTES_MAX).contains(&written), "{written}");
            assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 2);
        }
    }
}
