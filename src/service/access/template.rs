//! Templates: `{remote} "{request}" {status}` as pieces, checked when they are read. It renders nothing.

use std::fmt;

/// Bytes of a template at most: what it says by itself leaves most of a line to what is logged.
pub(super) const TEMPLATE_BYTES_MAX: usize = 1024;

/// What a line is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Piece {
    /// As it stands.
    Literal(Box<[u8]>),
    /// A value of the record.
    Field(Field),
    /// A field of the request's head.
    Header(Box<str>),
    /// A time.
    Time(Part, Unit),
}

macro_rules! fields {
    ($($variant:ident $name:literal $about:literal;)*) => {
        /// A value of a record.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Field {
            $(#[doc = $about] $variant,)*
        }

        const FIELDS: &[(&str, Field)] = &[$(($name, Field::$variant),)*];
    };
}

fields! {
    Time "time" "When it ended: ISO 8601 in UTC.";
    TimeCommon "time_common" "The same as the Common Log Format has it, without brackets.";
    UnixTime "unix_time" "The same in seconds since the epoch.";
    Remote "remote" "The client's address.";
    RemotePort "remote_port" "Its port.";
    User "user" "Who logged in, as the client says it; nobody where the answer is 401.";
    Conn "conn" "The connection's id.";
    Nth "nth" "The number of the request on its connection, from 1.";
    Request "request" "Method, target and protocol.";
    Method "method" "The method.";
    Host "host" "Whom the request was for.";
    Target "target" "The request target as received.";
    Path "path" "The path, raw.";
    Query "query" "What follows the first `?`, raw.";
    Protocol "protocol" "The protocol.";
    Status "status" "The answer's status.";
    BytesIn "bytes_in" "Of the request's body.";
    BytesOut "bytes_out" "Of the answer's body.";
    Referer "referer" "The field of that name.";
    UserAgent "user_agent" "The field of that name.";
    End "end" "Who ended it, and in which phase.";
    Class "class" "The failure's class.";
}

/// A time of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// Of the request: line, headers, body.
    Request(usize),
    /// Of the response: to the status line, headers, body.
    Response(usize),
    /// Of all of them.
    Duration,
}

/// The times and their names, in order.
pub(super) const PARTS: [(&str, Part); 7] = [
    ("request_line", Part::Request(0)),
    ("request_headers", Part::Request(1)),
    ("request_body", Part::Request(2)),
    ("to_status_line", Part::Response(0)),
    ("response_headers", Part::Response(1)),
    ("response_body", Part::Response(2)),
    ("duration", Part::Duration),
];

/// What a time is shown in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    /// Nanoseconds.
    Ns,
    /// Microseconds, cut.
    Us,
    /// Milliseconds, cut.
    Ms,
    /// Seconds with six decimals, cut.
    S,
}

const UNITS: [(&str, Unit); 4] = [("_ns", Unit::Ns), ("_us", Unit::Us), ("_ms", Unit::Ms), ("_s", Unit::S)];

/// Why a text is no format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FormatError(String);

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FormatError {}

/// Reads a template: names in braces, `{{` and `}}` for braces themselves.
pub(super) fn parse(text: &str) -> Result<Vec<Piece>, FormatError> {
    let fail = |problem: String| Err(FormatError(problem));
    if text.len() > TEMPLATE_BYTES_MAX {
        return fail(format!("a template has at most {TEMPLATE_BYTES_MAX} bytes"));
    }
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return fail("a template holds no line break or other control character but tab".to_owned());
    }
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        literal.push_str(before);
        if let Some(behind) = from.strip_prefix("{{") {
            literal.push('{');
            rest = behind;
        } else if let Some(behind) = from.strip_prefix("}}") {
            literal.push('}');
            rest = behind;
        } else if let Some((name, behind)) = from.strip_prefix('{').and_then(|f| f.split_once('}')) {
            flush(&mut literal, &mut pieces);
            pieces.push(piece(name)?);
            rest = behind;
        } else if from.starts_with('{') {
            return fail("a '{' is not closed; write '{{' for the brace itself".to_owned());
        } else {
            return fail("a '}' closes nothing; write '}}' for the brace itself".to_owned());
        }
    }
    literal.push_str(rest);
    flush(&mut literal, &mut pieces);
    if pieces.iter().all(|piece| matches!(piece, Piece::Literal(_))) {
        let hint = suggest(text, ["common", "combined", "json"].into_iter().map(str::to_owned));
        return fail(format!(
            "no format is named '{}'{hint}; it is common, combined, json, or a template such as \
             '{{remote}} \"{{request}}\" {{status}}'",
            text.escape_debug()
        ));
    }
    Ok(pieces)
}

fn flush(literal: &mut String, pieces: &mut Vec<Piece>) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(std::mem::take(literal).into_bytes().into()));
    }
}

/// What a name in braces stands for.
fn piece(name: &str) -> Result<Piece, FormatError> {
    if let Some(header) = name.strip_prefix("header:") {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        return match header.bytes().all(is_name) && !header.is_empty() {
            true => Ok(Piece::Header(header.into())),
            false => Err(FormatError(format!("'{}' is no field name", header.escape_debug()))),
        };
    }
    if let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == name) {
        return Ok(Piece::Field(*field));
    }
    let (stem, unit) = UNITS
        .iter()
        .find_map(|(suffix, unit)| Some((name.strip_suffix(suffix)?, *unit)))
        .unwrap_or((name, Unit::Ns));
    if let Some((_, part)) = PARTS.iter().find(|(known, _)| *known == stem) {
        return Ok(Piece::Time(*part, unit));
    }
    Err(FormatError(format!("no value is named '{}'{}", name.escape_debug(), suggest(name, names()))))
}

/// Every name but those of header fields.
pub(super) fn names() -> impl Iterator<Item = String> {
    let times = PARTS.iter().flat_map(|(name, _)| {
        std::iter::once((*name).to_owned()).chain(UNITS.iter().map(move |(unit, _)| format!("{name}{unit}")))
    });
    FIELDS.iter().map(|(name, _)| (*name).to_owned()).chain(times)
}

/// `, did you mean '…'?` when one of `known` is near.
fn suggest(name: &str, known: impl Iterator<Item = String>) -> String {
    let near = known.map(|other| (distance(name, &other), other)).min();
    match near {
        Some((steps, other)) if steps <= 1 + other.len() / 4 => format!(" (did you mean '{other}'?)"),
        _ => String::new(),
    }
}

/// How many letters have to be put in, taken out or changed to make one word the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (to, above) in b.iter().zip(row.iter().skip(1)) {
            left = (corner + usize::from(from != *to)).min(above + 1).min(left + 1);
            corner = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn literal(text: &str) -> Piece {
        Piece::Literal(text.as_bytes().into())
    }

    #[test]
    fn a_template_is_text_and_names() {
        assert_eq!(
            parse("{remote} \"{header:X-Id}\"\t{{{duration_us}}} {request_line}{to_status_line_s}").unwrap(),
            [
                Piece::Field(Field::Remote),
                literal(" \""),
                Piece::Header("X-Id".into()),
                literal("\"\t{"),
                Piece::Time(Part::Duration, Unit::Us),
                literal("} "),
                Piece::Time(Part::Request(0), Unit::Ns),
                Piece::Time(Part::Response(0), Unit::S),
            ]
        );
        for name in names() {
            assert_eq!(parse(&format!("{{{name}}}")).unwrap().len(), 1, "{name}");
        }
    }

    #[test]
    fn what_is_no_template_says_why_and_what_was_meant() {
        for (text, problem) in [
            ("{remot}", "no value is named 'remot' (did you mean 'remote'?)"),
            ("{duration_sec}", "(did you mean 'duration_s'?)"),
            ("{useragent}", "(did you mean 'user_agent'?)"),
            ("{Status}", "(did you mean 'status'?)"),
            ("{zzzzzzzz}", "no value is named 'zzzzzzzz'"),
            ("{}", "no value is named ''"),
            ("comon", "no format is named 'comon' (did you mean 'common'?)"),
            ("JSON", "no format is named 'JSON'; it is"),
            ("", "no format is named ''"),
            ("{{remote}}", "no format is named"),
            ("{status", "a '{' is not closed"),
            ("{status}}", "a '}' closes nothing"),
            ("{header:}", "'' is no field name"),
            ("{header:a b}", "'a b' is no field name"),
            ("{status}\n", "no line break"),
            ("{status}\u{9b}", "no line break"),
            (&"{status}".repeat(200), "at most 1024 bytes"),
        ] {
            let said = parse(text).unwrap_err().to_string();
            assert!(said.contains(problem), "{text}: {said}");
        }
        assert!(!parse("{zzzzzzzz}").unwrap_err().to_string().contains("did you mean"));
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, steps) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
            ("a", "a", 0),
        ] {
            assert_eq!(distance(a, b), steps, "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_template_or_an_error(text in "[{}a-z_:\\PC]{0,60}") {
            if let Ok(pieces) = parse(&text) {
                prop_assert!(pieces.iter().any(|piece| !matches!(piece, Piece::Literal(_))));
            }
        }

        #[test]
        fn literals_come_out_as_they_went_in(text in "[^\\x00-\\x1f\\x7f-\\u{9f}]{0,40}") {
            let doubled = text.replace('{', "{{").replace('}', "}}");
            let mut pieces = parse(&format!("{{status}}{doubled}")).unwrap();
            pieces.remove(0);
            let expected = if text.is_empty() { vec![] } else { vec![literal(&text)] };
            prop_assert_eq!(pieces, expected);
        }
    }
}
