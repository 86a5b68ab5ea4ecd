//! What follows a 101.

use super::desk::each;
use super::rig::S;

const ASK: &[u8] = b"GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: mirror\r\n\r\n";

#[test]
fn the_bytes_behind_a_101_belong_to_the_other_protocol() {
    each(|talk| {
        talk.say(&[ASK, b"GET / HTTP/1.1\r\n\r\n"].concat());
        let text = String::from_utf8(talk.raw()).unwrap();
        let (head, rest) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        assert!(head.contains("Upgrade: mirror\r\n") && head.contains("Connection: upgrade"), "{head}");
        assert_eq!(rest, "hello GET / HTTP/1.1\r\n\r\n");
        talk.say(b"more");
        assert_eq!(talk.raw(), b"more");
        assert_eq!(talk.heard_by_desk(), ["open"]);
        assert_eq!(talk.probe.closed().map(|r| r.reason.name()), None);
        talk.probe.eof();
        talk.probe.advance(S / 10);
        assert_eq!(talk.heard_by_desk(), ["closed finished"]);
    });
}

#[test]
fn an_upgrade_that_was_not_asked_for_is_a_500() {
    each(|talk| {
        talk.get("/upgrade");
        assert_eq!(talk.one().status, 500);
        talk.say(b"GET /upgrade HTTP/1.0\r\nConnection: upgrade, keep-alive\r\nUpgrade: mirror\r\n\r\n");
        assert_eq!(talk.one().status, 500);
    });
}

#[test]
fn a_drain_closes_an_upgraded_connection_and_an_upgrade_no_one_takes_is_ignored() {
    each(|talk| {
        talk.say(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: mirror\r\n\r\n");
        assert_eq!(talk.one().text(), "/x ");
        talk.say(ASK);
        talk.raw();
        talk.probe.reactor().handle().stop(S);
        talk.probe.advance(S / 10);
        assert_eq!(talk.until_end(), b"");
    });
}
