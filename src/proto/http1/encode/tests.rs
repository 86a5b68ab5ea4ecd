//! Response heads: exact bytes, refused fields, every length of slice, dates against httpdate.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;

fn written(status: u16, fill: impl FnOnce(&mut HeadWriter<'_>)) -> Result<String, EncodeError> {
    let mut buf = [0; 512];
    let mut head = HeadWriter::new(&mut buf, status, &DateCache::new(784_111_777));
    fill(&mut head);
    let len = head.finish()?;
    Ok(String::from_utf8(buf[..len].to_vec()).unwrap())
}

const COMMON: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: tidemill\r\n";

#[test]
fn a_head_has_status_date_server_and_what_was_added() {
    let head = written(206, |head| {
        head.field("Content-Range", b"bytes 0-1/2").field_number("Age", 0).field("Empty", b"");
        head.content_length(u64::MAX).persist(Persist::KeepAlive);
    });
    let want = format!(
        "HTTP/1.1 206 Partial Content\r\n{COMMON}Content-Range: bytes 0-1/2\r\nAge: 0\r\nEmpty: \r\n\
         Content-Length: 18446744073709551615\r\nConnection: keep-alive\r\n\r\n"
    );
    assert_eq!(head, Ok(want));
    let head = written(299, |head| {
        head.persist(Persist::Close);
    });
    assert_eq!(head, Ok(format!("HTTP/1.1 299 \r\n{COMMON}Connection: close\r\n\r\n")));
}

#[test]
fn statuses_without_a_body_have_no_length() {
    for (status, length) in [
        (204, ""),
        (304, ""),
        (205, "Content-Length: 0\r\n"),
        (200, "Content-Length: 7\r\n"),
        (404, "Content-Length: 7\r\n"),
    ] {
        let head = written(status, |head| {
            head.content_length(7);
        });
        assert_eq!(head, Ok(format!("HTTP/1.1 {status} {}\r\n{COMMON}{length}\r\n", reason(status))));
        assert_eq!(has_body(status), length.contains('7'));
    }
    let head = written(101, |head| {
        head.field("Upgrade", b"websocket").persist(Persist::Upgrade).content_length(3);
    });
    let want = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
    assert_eq!(head.as_deref(), Ok(want));
    assert_eq!(written(100, |_| ()).unwrap().as_bytes(), CONTINUE);
}

#[test]
fn no_value_can_start_a_line_of_its_own() {
    let values: &[&[u8]] =
        &[b"\r\nSet-Cookie: a", b"a\rb", b"a\nb", b"a\0b", b"\r", b"\n", b"\x7f", b"\x1b[0m", b"a\r\n"];
    for value in values {
        let head = written(200, |head| {
            head.field("X", value);
        });
        assert_eq!(head, Err(EncodeError::BadValue), "{}", value.escape_ascii());
    }
    for name in ["", "A B", "A:", "A\r\nB", "A\n", "\u{e9}", "A\0", " A", "A(", "A/"] {
        let head = written(200, |head| {
            head.field(name, b"x");
        });
        assert_eq!(head, Err(EncodeError::BadName), "{name:?}");
    }
    let values: &[&[u8]] = &[b"a\tb", b"\xc3\xa9", b"\"a\"; b=c", b" "];
    for value in values {
        assert!(
            written(200, |head| {
                head.field("X", value);
            })
            .is_ok()
        );
    }
}

#[test]
fn fields_that_decide_framing_are_the_encoders_own() {
    for name in ["Content-Length", "content-length", "TRANSFER-ENCODING", "Connection", "date", "Server"] {
        let head = written(200, |head| {
            head.field(name, b"1");
        });
        assert_eq!(head, Err(EncodeError::Reserved), "{name}");
    }
}

#[test]
fn the_first_failure_sticks() {
    let head = written(200, |head| {
        head.field("X", b"\n").field(" ", b"").field("Date", b"x").content_length(1);
    });
    assert_eq!(head, Err(EncodeError::BadValue));
    for status in [0, 99, 1000, u16::MAX] {
        assert_eq!(written(status, |_| ()), Err(EncodeError::BadStatus));
    }
}

#[test]
fn a_slice_that_is_too_short_is_no_head() {
    let date = DateCache::new(0);
    let write = |buf: &mut [u8]| {
        let mut head = HeadWriter::new(buf, 200, &date);
        head.field("A", b"b").content_length(10).persist(Persist::Close);
        head.finish()
    };
    let full = write(&mut [0; 512]).unwrap();
    for len in 0..full {
        assert_eq!(write(&mut vec![0; len]), Err(EncodeError::NoRoom), "{len}");
    }
    assert_eq!(write(&mut vec![0; full]), Ok(full));
}

#[test]
fn every_registered_status_has_its_phrase() {
    let registered = (100..600).filter(|&status| !reason(status).is_empty()).count();
    assert_eq!(registered, 4 + 10 + 8 + 28 + 11 - 1 + 1);
    for fault in super::super::fault::ALL {
        assert!(!reason(fault.status).is_empty(), "{}", fault.status);
    }
    assert_eq!((reason(306), reason(418), reason(600), reason(0)), ("", "", "", ""));
}

#[test]
fn a_template_is_the_head_and_body_with_todays_date() {
    let mut date = DateCache::new(784_111_777);
    let mut template =
        Template::new(200, &[("Content-Type", b"text/plain")], Persist::Default, b"Hello").unwrap();
    let want = format!("HTTP/1.1 200 OK\r\n{COMMON}Content-Type: text/plain\r\nContent-Length: 5\r\n\r\n");
    let head = template.head_len();
    assert_eq!(template.bytes(&date)[..], *[want.as_bytes(), b"Hello"].concat());
    assert_eq!(template.bytes(&date)[..head], *want.as_bytes());
    date.set(784_111_778);
    assert_eq!(template.bytes(&date)[..head], *want.replace(":37 GMT", ":38 GMT").as_bytes());
    date.set(0);
    let epoch = want.replace("Sun, 06 Nov 1994 08:49:37 GMT", "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(template.bytes(&date)[..head], *epoch.as_bytes());
    let fresh = Template::new(204, &[], Persist::Default, b"dropped").unwrap().bytes(&date).to_vec();
    assert!(fresh.ends_with(b"tidemill\r\n\r\n"));
    let long = "v".repeat(5000);
    assert!(Template::new(200, &[("A", long.as_bytes())], Persist::Close, b"").is_ok());
    assert_eq!(Template::new(200, &[("A", b"\n")], Persist::Close, b"").err(), Some(EncodeError::BadValue));
    assert_eq!(Template::new(100, &[], Persist::Close, b"").err(), Some(EncodeError::BadStatus));
    assert_eq!(Template::new(1000, &[], Persist::Close, b"").err(), Some(EncodeError::BadStatus));
}

fn httpdate_of(second: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second))
}

#[test]
fn dates_agree_with_httpdate_on_every_day_of_a_cycle() {
    // 400 years and some, at a time of day that moves.
    for day in 0..150_000u64 {
        let second = day * 86_400 + day * 7 % 86_400;
        assert_eq!(DateCache::new(second).text(), httpdate_of(second).as_bytes());
    }
    for second in [0, 951_782_399, 951_782_400, 951_868_800, 4_107_542_400, UNIX_SECOND_MAX] {
        assert_eq!(DateCache::new(second).text(), httpdate_of(second).as_bytes());
    }
    assert_eq!(DateCache::new(u64::MAX).text(), b"Fri, 31 Dec 9999 23:59:59 GMT");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn dates_agree_with_httpdate(second in 0..=UNIX_SECOND_MAX) {
        let (ours, theirs) = (DateCache::new(second), httpdate_of(second));
        prop_assert_eq!(&ours.text()[..], theirs.as_bytes());
    }

    #[test]
    fn a_head_has_as_many_lines_as_fields(
        status in 0u16..1100, name in proptest::collection::vec(any::<u8>(), 0..8),
        value in proptest::collection::vec(any::<u8>(), 0..40), number in any::<u64>(),
    ) {
        let name = String::from_utf8_lossy(&name).into_owned();
        let mut buf = [0; 512];
        let mut head = HeadWriter::new(&mut buf, status, &DateCache::new(1));
        head.field(&name, &value).field_number("N", number);
        if let Ok(len) = head.finish() {
            let lines = buf[..len].split(|byte| *byte == b'\n').count();
            prop_assert_eq!(lines, if status < 200 { 5 } else { 7 });
            let tail = format!("\r\nN: {number}\r\n\r\n");
            prop_assert!(buf[..len].ends_with(tail.as_bytes()));
        }
    }
}
