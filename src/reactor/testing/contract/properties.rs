//! The properties that a peer without malice tries: cuts of the bytes, half-closes, resets and a drain at every byte.

use super::conversation::{Conversation, Cuts, difference, show};
use super::stage::{Client, Stage};
use super::{Held, POSITIONS, Subject, at};
use crate::reactor::{Deadline, Handler};

/// What came of a whole conversation.
pub(super) struct Outcome {
    /// All of the answer, normalised.
    pub(super) answer: Vec<u8>,
    /// What had been answered after each step, normalised.
    pub(super) marks: Vec<Vec<u8>>,
    /// The handler ended first, without having seen the peer's end.
    pub(super) ended_first: bool,
}

/// How a peer behaves.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub(super) cuts: Cuts,
    pub(super) upto: usize,
    /// It ends its side with the last byte, not after the answer.
    pub(super) at_once: bool,
    pub(super) one_byte: bool,
}

impl Manner {
    /// All of `said`, whole, and an end after the answer.
    pub(super) fn whole(said: &Conversation) -> Self {
        Self { cuts: Cuts::Whole, upto: said.len(), at_once: false, one_byte: false }
    }
}

/// One peer has one conversation; the connection ends by itself within the handler's patience.
pub(super) fn run<H: Handler>(subject: &Subject<H>, said: &Conversation, manner: Manner) -> Held<Outcome> {
    let mut stage = Stage::plain(subject);
    let mut client = stage.dial();
    if manner.one_byte {
        client.narrow();
    }
    if !(manner.at_once && manner.upto == 0) {
        stage.settle(std::slice::from_mut(&mut client))?;
    }
    let marks = stage.converse(&mut client, said, manner.cuts, manner.upto, manner.at_once)?;
    let ended_first = client.is_eof() && !manner.at_once;
    client.finish();
    ends(&mut stage, &mut client)?;
    let outcome = Outcome {
        answer: subject.normal(&client.answer),
        marks: marks.into_iter().map(|n| subject.normal(&client.answer[..n])).collect(),
        ended_first,
    };
    stage.leave(&mut [client])?;
    Ok(outcome)
}

/// The peer has ended its side: so has the handler, soon.
fn ends<H: Handler>(stage: &mut Stage<'_, H>, client: &mut Client) -> Held {
    let patience = stage.subject.rules.patience;
    let clients = std::slice::from_mut(client);
    if !stage.wait(clients, patience, |stage, _| stage.connections() == 0)? {
        return Err(format!(
            "the connection never closes: {patience:?} after its peer has ended its side and read everything, it \
             still stands (if that is right, raise Rules::patience)"
        ));
    }
    let seen = stage.record.borrow().seen_at_eof.clone();
    match seen.first() {
        Some(seen) if *seen != client.sent as u64 => {
            Err(format!("on_eof came when {seen} of {} bytes had been given to the handler", client.sent))
        }
        _ => Ok(()),
    }
}

/// The answer to a conversation that is sent whole, by a peer that waits for it.
pub(super) fn reference<H: Handler>(subject: &Subject<H>, said: &Conversation) -> Held<Outcome> {
    at(run(subject, said, Manner::whole(said)), || "the conversation sent whole".into())
}

/// The answer of `outcome` is the right one.
pub(super) fn same(said: &Conversation, what: &str, outcome: &[u8], right: &Outcome) -> Held {
    if said.by_cuts || outcome == right.answer {
        return Ok(());
    }
    Err(difference(what, outcome, "the answer to the same bytes sent whole", &right.answer))
}

/// Behind its end a waiting peer may be answered less.
fn same_or_cut_short(said: &Conversation, what: &str, outcome: &[u8], right: &Outcome) -> Held {
    if said.waits && right.answer.starts_with(outcome) { Ok(()) } else { same(said, what, outcome, right) }
}

/// [`Property::Cuts`](super::Property::Cuts).
pub(super) fn cuts<H: Handler>(subject: &Subject<H>) -> Held {
    subject.each(|said| {
        let right = reference(subject, said)?;
        if let Some(expected) = said.expected.as_ref().filter(|expected| **expected != right.answer) {
            return Err(difference("the answer", &right.answer, "the expected one", expected));
        }
        let seeds = subject.seeds();
        let ways = [Cuts::Whole, Cuts::Bytewise].into_iter().chain(seeds.map(Cuts::Random));
        for way in ways {
            for at_once in [false, true] {
                let manner = Manner { cuts: way, at_once, ..Manner::whole(said) };
                let place = || {
                    let end = if at_once { "with the last byte" } else { "after the answer" };
                    format!("{way}, ended {end}")
                };
                let held = run(subject, said, manner);
                let outcome = at(held, place)?;
                let what = "the answer";
                let held = if at_once {
                    same_or_cut_short(said, what, &outcome.answer, &right)
                } else {
                    same(said, what, &outcome.answer, &right)
                };
                at(held, place)?;
            }
        }
        Ok(())
    })
}

/// [`Property::HalfClose`](super::Property::HalfClose).
pub(super) fn half_close<H: Handler>(subject: &Subject<H>) -> Held {
    subject.each(|said| {
        let right = reference(subject, said)?;
        let mut before: Vec<u8> = Vec::new();
        for upto in said.positions(POSITIONS) {
            let place = || format!("half-closed behind byte {upto} of {}", said.len());
            let manner = Manner { upto, ..Manner::whole(said) };
            let late = at(run(subject, said, manner), place)?;
            let early = at(run(subject, said, Manner { at_once: true, ..manner }), place)?;
            if said.by_cuts {
                continue;
            }
            let answered = late.marks.last().cloned().unwrap_or_default();
            at(begins(&answered, &right.answer, &before), place)?;
            at(
                same_or_cut_short(
                    said,
                    "the answer when the end came with the last byte",
                    &early.answer,
                    &late,
                ),
                place,
            )?;
            before = answered;
        }
        Ok(())
    })
}

/// What was answered to a part is a beginning of the whole answer: no handler knows what will follow. More input
/// means no less of an answer.
fn begins(answered: &[u8], whole: &[u8], before: &[u8]) -> Held {
    if !whole.starts_with(answered) {
        return Err(difference("what was answered before the end", answered, "the whole answer", whole));
    }
    if answered.len() < before.len() {
        return Err(format!("more input was answered with less: {} after {}", show(answered), show(before)));
    }
    Ok(())
}

/// [`Property::Reset`](super::Property::Reset).
pub(super) fn reset<H: Handler>(subject: &Subject<H>) -> Held {
    subject.each(|said| {
        for upto in said.positions(POSITIONS) {
            for (rude, settled) in [(true, true), (true, false), (false, false)] {
                let place = || {
                    let how = if rude { "reset" } else { "hung up" };
                    let when = if settled { "at rest" } else { "with the last byte" };
                    format!("{how} {when}, behind byte {upto} of {}", said.len())
                };
                at(vanish(subject, said, upto, rude, settled), place)?;
            }
        }
        Ok(())
    })
}

/// The peer is gone behind `upto` bytes.
fn vanish<H: Handler>(
    subject: &Subject<H>,
    said: &Conversation,
    upto: usize,
    rude: bool,
    settled: bool,
) -> Held {
    let mut stage = Stage::plain(subject);
    let mut client = stage.dial();
    let early = if settled { upto } else { upto.saturating_sub(1) };
    stage.converse(&mut client, said, Cuts::Whole, early, false)?;
    if !settled {
        let all = said.steps.concat();
        client.offer(&all[early..upto]);
    }
    if rude {
        client.reset()
    } else {
        client.hang_up()
    }
    let patience = subject.rules.patience;
    let gone = |stage: &Stage<'_, H>, _: &[Client]| stage.connections() == 0;
    if !stage.wait(std::slice::from_mut(&mut client), patience, gone)? {
        return Err(format!("the connection never closes: it stands {patience:?} after its peer has gone"));
    }
    stage.leave(&mut [client])
}

/// [`Property::Drain`](super::Property::Drain).
pub(super) fn drain<H: Handler>(subject: &Subject<H>) -> Held {
    if !subject.limits().hold_drain {
        return Ok(());
    }
    subject.each(|said| {
        for upto in said.positions(POSITIONS) {
            for settled in [true, false] {
                let place = || {
                    let when = if settled { "at rest" } else { "with the last byte unread" };
                    format!("drained {when}, behind byte {upto} of {}", said.len())
                };
                at(drained(subject, said, upto, settled), place)?;
            }
        }
        Ok(())
    })
}

fn drained<H: Handler>(subject: &Subject<H>, said: &Conversation, upto: usize, settled: bool) -> Held {
    let grace = subject.rules.grace;
    let mut stage = Stage::plain(subject);
    let mut client = stage.dial();
    let early = if settled { upto } else { upto.saturating_sub(1) };
    stage.converse(&mut client, said, Cuts::Whole, early, false)?;
    if !settled {
        let all = said.steps.concat();
        client.offer(&all[early..upto]);
    }
    stage.stop(grace);
    let clients = std::slice::from_mut(&mut client);
    if !stage.wait(clients, 2 * grace, |stage, _| stage.stopped)? {
        return Err(format!("the drain has not ended after twice its grace of {grace:?}"));
    }
    let forced = stage.record.borrow().reports.iter().any(|r| r.reason.deadline == Some(Deadline::Drain));
    if forced {
        return Err(format!(
            "the drain's grace of {grace:?} was over and the connection still stood: it was reset"
        ));
    }
    stage.leave(&mut [client])
}
