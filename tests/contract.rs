//! The contract suite on handlers of ours that need no HTTP, and on the example of a chat.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::num::NonZeroUsize;
use std::time::Duration;

use tidemill::proto::echo::Echo;
use tidemill::proto::frame::{Codec, Ending, Fixed, FrameError, LengthPrefix, Lines, Netstring, Width};
use tidemill::reactor::testing::contract;
use tidemill::reactor::testing::contract::{Contract, Conversation, Rules, mask};
use tidemill::reactor::{Accepted, Ctx, Handler, Limits, Refuse};

#[path = "../examples/chat.rs"]
#[allow(dead_code, unused_qualifications, reason = "the example has a main of its own")]
mod chat;

// ── Echo ──

fn long(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 7 + i / 251) as u8).collect()
}

contract!(
    echo,
    make = Echo::new,
    conversations = [
        Conversation::new("").expects(""),
        Conversation::new("tide").expects("tide"),
        Conversation::new("one\n").then("two\n").then("three\n").expects("one\ntwo\nthree\n"),
        Conversation::new(long(10_000)).expects(long(10_000)),
    ]
);

contract!(
    echo_without_deadlines,
    make = || {
        let mut limits = Limits::default();
        (limits.idle_timeout, limits.stall_timeout) = (None, None);
        Echo::with_limits(limits)
    },
    conversations = [Conversation::new("tide").expects("tide")]
);

// ── Discard ──

/// Reads everything and says nothing (RFC 863).
struct Discard;

impl Handler for Discard {
    type Conn = ();

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    fn on_data(&mut self, _: &mut (), ctx: &mut Ctx<'_, Self>) {
        ctx.rx.consume(usize::MAX);
    }
}

impl Contract for Discard {
    fn make() -> Self {
        Self
    }

    fn conversations() -> Vec<Conversation> {
        vec![Conversation::new("nobody listens").expects(""), Conversation::new(long(100_000)).expects("")]
    }
}

contract!(discard: Discard);

// ── A word at the door, and none ──

/// Says something, ends its side, and hears the peer out (as daytime does, RFC 867).
struct Motto;

impl Handler for Motto {
    type Conn = ();

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    fn on_open(&mut self, _: &mut (), ctx: &mut Ctx<'_, Self>) {
        ctx.tx.write(b"time and tide wait for no man\n");
        ctx.finish();
    }

    fn on_data(&mut self, _: &mut (), ctx: &mut Ctx<'_, Self>) {
        ctx.rx.consume(usize::MAX);
    }
}

contract!(
    motto,
    make = || Motto,
    conversations = [
        Conversation::new("").expects("time and tide wait for no man\n"),
        Conversation::new("and who are you?").expects("time and tide wait for no man\n"),
    ]
);

/// Takes nobody, and says so.
struct Closed;

impl Handler for Closed {
    type Conn = ();

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Err(Refuse::with(&b"closed\n"[..]))
    }

    fn on_data(&mut self, _: &mut (), _: &mut Ctx<'_, Self>) {}
}

contract!(closed, make = || Closed, conversations = [Conversation::new("hello?").expects("closed\n")]);

// ── Framing ──

/// Answers each frame with its payload, reversed, in a frame of the same kind; says so when a frame is bad.
struct Reverse<C>(fn() -> C);

impl<C: Codec + 'static> Handler for Reverse<C> {
    type Conn = C;

    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.idle_timeout = Some(Duration::from_secs(20));
        limits
    }

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<C, Refuse> {
        Ok((self.0)())
    }

    fn on_data(&mut self, codec: &mut C, ctx: &mut Ctx<'_, Self>) {
        loop {
            let (answer, consumed) = match codec.decode(&ctx.rx) {
                Ok(Some(frame)) => {
                    let payload: Vec<u8> = frame.payload.iter().rev().copied().collect();
                    let mut answer = Vec::new();
                    if codec.encode(&payload, &mut answer).is_err() {
                        return ctx.close();
                    }
                    (answer, frame.consumed)
                }
                Ok(None) => return,
                Err(FrameError::TooLong { .. }) => {
                    ctx.tx.write(b"too long");
                    return ctx.close();
                }
                Err(_) => {
                    ctx.tx.write(b"malformed");
                    return ctx.close();
                }
            };
            if !ctx.tx.write_whole(&answer) {
                return;
            }
            ctx.rx.consume(consumed);
        }
    }
}

contract!(
    lines,
    make = || Reverse(|| Lines::new(Ending::Either, 30)),
    conversations = [
        Conversation::new("abc\r\n\ndef\nunfinished").expects("cba\r\n\r\nfed\r\n"),
        Conversation::new("one\n").then("two\n").expects("eno\r\nowt\r\n"),
        Conversation::new("good\nthis line has more than thirty bytes\n").expects("doog\r\ntoo long"),
    ]
);

contract!(
    netstrings,
    make = || Reverse(|| Netstring::new(1000)),
    conversations = [
        Conversation::new("5:hello,0:,3:abc,").expects("5:olleh,0:,3:cba,"),
        Conversation::new("3:abc,x").expects("3:cba,malformed"),
        Conversation::new("3:abc,4000:").expects("3:cba,too long"),
    ]
);

contract!(
    length_prefixes,
    make = || Reverse(|| LengthPrefix::new(Width::Two, 2000)),
    conversations = [
        Conversation::new(b"\x00\x03abc\x00\x00\x00\x02xy").expects(b"\x00\x03cba\x00\x00\x00\x02yx"),
        Conversation::new(b"\x00\x01a\xff\xffb").expects(b"\x00\x01atoo long"),
    ]
);

contract!(
    fixed_frames,
    make = || Reverse(|| Fixed(NonZeroUsize::new(3).unwrap())),
    conversations = [Conversation::new("abcdefgh").expects("cbafed")]
);

// ── Chat ──

impl Contract for chat::Chat {
    fn make() -> Self {
        Self
    }

    fn conversations() -> Vec<Conversation> {
        let welcome = "* welcome, ; 1 here\r\n";
        vec![
            Conversation::new("").expects(welcome),
            Conversation::new("anybody here?\n").then("no\r\n").expects(welcome),
            Conversation::new(vec![b'x'; 2000])
                .expects(format!("{welcome}* a line has at most 1000 bytes\r\n")),
        ]
    }

    fn normalize(answer: Vec<u8>) -> Vec<u8> {
        mask(answer, b"* welcome, ", b";")
    }

    fn rules() -> Rules {
        let mut rules = Rules::default();
        rules.meets = true;
        rules
    }
}

contract!(a_chat: chat::Chat);
