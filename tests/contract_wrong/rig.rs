//! A handler that is right until a test makes it wrong, and what it means to be caught.
#![allow(unreachable_pub, reason = "shared by the tests of this folder")]

use tidemill::reactor::testing::contract::{Conversation, Property, Subject};
use tidemill::reactor::{Accepted, Ctx, Handler, Limits, Refuse, Report, Table};

/// A callback of [`Wrong`].
pub type Call = fn(&mut Wrong, &mut Line, &mut Ctx<'_, Wrong>);

/// What makes a right handler wrong.
pub type Spoil = fn(&mut Wrong);

/// A service of lines: each comes back in capitals. Right as it is made; each test replaces a callback or a bound.
pub struct Wrong {
    pub open: Call,
    pub data: Call,
    pub room: Call,
    pub eof: Call,
    pub timer: Call,
    pub drain: Call,
    pub close: fn(&mut Wrong, &Report),
    pub limits: Limits,
    pub shared: Vec<u8>,
}

/// One connection.
#[derive(Default)]
pub struct Line {
    pub pending: Vec<u8>,
    pub turns: u32,
}

impl Wrong {
    pub fn right() -> Self {
        let nothing: Call = |_, _, _| {};
        Self {
            open: nothing,
            data: |_, _, ctx| while answer_line(ctx) {},
            room: nothing,
            eof: |_, _, ctx| ctx.finish(),
            timer: nothing,
            drain: |_, _, ctx| ctx.close_clean(),
            close: |_, _| {},
            limits: Limits::default(),
            shared: Vec::new(),
        }
    }
}

/// Answers one line; false when there is none, or no room.
pub fn answer_line(ctx: &mut Ctx<'_, Wrong>) -> bool {
    let Some(end) = ctx.rx.iter().position(|byte| *byte == b'\n') else { return false };
    let line = ctx.rx[..=end].to_ascii_uppercase();
    let fits = ctx.tx.write_whole(&line);
    if fits {
        ctx.rx.consume(end + 1);
    }
    fits
}

impl Handler for Wrong {
    type Conn = Line;

    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<Line, Refuse> {
        Ok(Line::default())
    }

    fn on_open(&mut self, line: &mut Line, ctx: &mut Ctx<'_, Self>) {
        (self.open)(self, line, ctx);
    }

    fn on_data(&mut self, line: &mut Line, ctx: &mut Ctx<'_, Self>) {
        (self.data)(self, line, ctx);
    }

    fn on_room(&mut self, line: &mut Line, ctx: &mut Ctx<'_, Self>) {
        (self.room)(self, line, ctx);
    }

    fn on_eof(&mut self, line: &mut Line, ctx: &mut Ctx<'_, Self>) {
        (self.eof)(self, line, ctx);
    }

    fn on_timer(&mut self, line: &mut Line, ctx: &mut Ctx<'_, Self>) {
        (self.timer)(self, line, ctx);
    }

    fn on_drain(&mut self, line: &mut Line, ctx: &mut Ctx<'_, Self>) {
        (self.drain)(self, line, ctx);
    }

    fn on_close(&mut self, _: Line, report: &Report, _: &mut Table<'_, Self>) {
        (self.close)(self, report);
    }
}

/// The suite on a handler that `spoil` has made wrong.
pub fn subject(spoil: Spoil) -> Subject<Wrong> {
    let make = move || {
        let mut wrong = Wrong::right();
        spoil(&mut wrong);
        wrong
    };
    let conversations =
        [Conversation::new("one\ntwo\n"), Conversation::new("a\n").then("b\n").expects("A\nB\n")];
    Subject::new(make, conversations)
}

/// `property` catches it and its message holds each of `words`.
#[track_caller]
pub fn caught(subject: &Subject<Wrong>, property: Property, words: &[&str]) {
    let Err(failure) = subject.test(property) else { panic!("{property:?} does not catch it") };
    let text = failure.to_string();
    assert_eq!(failure.property(), property);
    for word in words.iter().chain(&[property.sentence(), "conversation", "replay: "]) {
        assert!(text.contains(word), "{word:?} is not said in:\n{text}");
    }
}

/// What `spoil` makes wrong is caught by `property` alone among those that come before it in the suite.
#[track_caller]
pub fn caught_first(subject: &Subject<Wrong>, property: Property, words: &[&str]) {
    for other in Property::ALL.into_iter().take_while(|other| *other != property) {
        if let Err(failure) = subject.test(other) {
            panic!("{other:?} catches it before {property:?}:\n{failure}");
        }
    }
    caught(subject, property, words);
}
