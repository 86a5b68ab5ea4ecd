//! The properties that a slow, silent or endless peer tries: what happens when buffers fill and time passes.

use std::time::Duration;

use super::conversation::{Conversation, Cuts, difference};
use super::properties::{Manner, Outcome, reference, run, same};
use super::stage::{Client, Stage};
use super::{Held, Subject, at};
use crate::reactor::Handler;
use crate::reactor::buffer::BLOCK;

/// What a late reader's kernel takes before it reads.
const LATE_ROOM: usize = 4096;
/// The longest input of a late reader.
const LATE_INPUT_MAX: usize = 1 << 20;
/// Endless input stops after so much: more than every buffer on the way.
const ENDLESS: usize = 3 * BLOCK;
/// Positions at which a peer falls silent.
const SILENCES: usize = 12;

/// [`Property::OneByteRoom`](super::Property::OneByteRoom).
pub(super) fn one_byte_room<H: Handler>(subject: &Subject<H>) -> Held {
    subject.each(|said| {
        let right = reference(subject, said)?;
        for cuts in [Cuts::Whole, Cuts::Bytewise] {
            let place = || format!("{cuts}, to a peer that takes one byte at a time");
            let manner = Manner { cuts, one_byte: true, ..Manner::whole(said) };
            let outcome = at(run(subject, said, manner), place)?;
            at(same(said, "the answer", &outcome.answer, &right), place)?;
        }
        Ok(())
    })
}

/// How often a conversation has to be said until it is answered with `least` bytes; `None` where it cannot be
/// said again.
fn repeats(said: &Conversation, right: &Outcome, least: usize) -> Option<usize> {
    let once = right.marks.last().map_or(0, Vec::len);
    let again = said.steps.len() == 1 && !right.ended_first && once > 0;
    again.then(|| least.div_ceil(once))
}

/// [`Property::LateReader`](super::Property::LateReader).
pub(super) fn late_reader<H: Handler>(subject: &Subject<H>) -> Held {
    subject.each(|said| {
        let right = reference(subject, said)?;
        // The transmit buffer has to be full for good while the handler goes on.
        let Some(times) = repeats(said, &right, 2 * BLOCK + LATE_ROOM) else { return Ok(()) };
        let input = said.steps[0].repeat(times);
        if said.by_cuts || input.len() > LATE_INPUT_MAX {
            return Ok(());
        }
        let place =
            || format!("said {times} times on one connection, by a peer that reads only when it has to");
        let group = said.steps[0].len() * LATE_ROOM.div_ceil(right.answer.len());
        let Some(prompt) = at(prompt(subject, &input, group), place)? else { return Ok(()) };
        let late = at(late(subject, &input), place)?;
        let against = "the answer to the same peer when it reads at once";
        let held =
            if late == prompt { Ok(()) } else { Err(difference("the answer", &late, against, &prompt)) };
        at(held, place)
    })
}

/// What `input` is answered with when it is read in parts and each is answered before the next. `None` when the
/// handler ends the connection meanwhile, since what is sent to it then may cost the answer.
fn prompt<H: Handler>(subject: &Subject<H>, input: &[u8], group: usize) -> Held<Option<Vec<u8>>> {
    let mut stage = Stage::plain(subject);
    let mut client = stage.dial();
    stage.settle(std::slice::from_mut(&mut client))?;
    for part in input.chunks(group.max(1)) {
        stage.exhaust(&mut client, part)?;
        if client.is_over() || client.is_eof() {
            return Ok(None);
        }
    }
    let answer = subject.normal(&client.answer);
    stage.leave(&mut [client])?;
    Ok(Some(answer))
}

/// The same when the peer reads nothing until the handler takes no more.
fn late<H: Handler>(subject: &Subject<H>, input: &[u8]) -> Held<Vec<u8>> {
    let mut stage = Stage::plain(subject);
    let mut client = stage.dial();
    client.room(LATE_ROOM);
    client.appetite = 0;
    let mut taken = 0;
    loop {
        stage.settle(std::slice::from_mut(&mut client))?;
        let n = client.offer(&input[taken..]);
        taken += n;
        if n == 0 {
            break;
        }
    }
    stage.settle(std::slice::from_mut(&mut client))?;
    client.appetite = LATE_ROOM / 2;
    stage.exhaust(&mut client, &input[taken..])?;
    let answer = subject.normal(&client.answer);
    stage.leave(&mut [client])?;
    Ok(answer)
}

/// [`Property::NeverReads`](super::Property::NeverReads).
pub(super) fn never_reads<H: Handler>(subject: &Subject<H>) -> Held {
    let limits = subject.limits();
    let Some(stall) = limits.stall_timeout else { return Ok(()) };
    let most = 2 * stall + limits.linger_timeout + subject.rules.patience + Duration::from_secs(1);
    subject.each(|said| {
        let right = reference(subject, said)?;
        // A kernel with room for a byte takes a few before it blocks; so many it never does.
        let times = match repeats(said, &right, 64) {
            Some(times) => times,
            None if right.answer.len() >= 64 => 1,
            None => return Ok(()),
        };
        let place = || format!("said {times} times, by a peer that reads nothing");
        let mut stage = Stage::plain(subject);
        let mut client = stage.dial();
        client.room(1);
        client.appetite = 0;
        client.polite = false;
        for _ in 0..times {
            at(stage.converse(&mut client, said, Cuts::Whole, said.len(), false), place)?;
        }
        let held = stage.wait(std::slice::from_mut(&mut client), most, gone);
        if !at(held, place)? {
            return at(
                Err(format!("the stall deadline of {stall:?} has not ended it after {most:?}")),
                place,
            );
        }
        at(stage.leave(&mut [client]), place)
    })
}

fn gone<H: Handler>(stage: &Stage<'_, H>, _: &[Client]) -> bool {
    stage.connections() == 0
}

/// [`Property::Silence`](super::Property::Silence).
pub(super) fn silence<H: Handler>(subject: &Subject<H>) -> Held {
    if subject.rules.keeps_silent || subject.limits().idle_timeout.is_none() {
        return Ok(());
    }
    let most = subject.every_deadline();
    subject.each(|said| {
        for upto in said.positions(SILENCES) {
            let place = || format!("silent behind byte {upto} of {}", said.len());
            let mut stage = Stage::plain(subject);
            let mut client = stage.dial();
            client.polite = false;
            at(stage.converse(&mut client, said, Cuts::Whole, upto, false), place)?;
            let held = stage.wait(std::slice::from_mut(&mut client), most, gone);
            if !at(held, place)? {
                return at(
                    Err(format!("no deadline has ended the connection after {most:?} of silence")),
                    place,
                );
            }
            at(stage.leave(&mut [client]), place)?;
        }
        Ok(())
    })
}

/// [`Property::EndlessInput`](super::Property::EndlessInput).
pub(super) fn endless_input<H: Handler>(subject: &Subject<H>) -> Held {
    subject.each(|said| {
        let len = said.len();
        let mut positions = vec![0, len / 2, len.saturating_sub(1)];
        positions.dedup();
        for upto in positions {
            for filler in [b'a', 0] {
                let place = || format!("behind byte {upto} of {len}, {filler:#04x} without end");
                at(endless(subject, said, upto, filler), place)?;
            }
        }
        Ok(())
    })
}

fn endless<H: Handler>(subject: &Subject<H>, said: &Conversation, upto: usize, filler: u8) -> Held {
    let mut stage = Stage::plain(subject);
    let mut client = stage.dial();
    stage.converse(&mut client, said, Cuts::Whole, upto, false)?;
    let block = [filler; BLOCK / 4];
    let mut given = 0;
    while given < ENDLESS && stage.connections() > 0 && !client.is_over() {
        let before = client.sent;
        let all = stage.say(&mut client, &block)?;
        given += client.sent - before;
        if !all && client.sent == before && !client.is_over() {
            let most = subject.every_deadline();
            let ended = stage.wait(std::slice::from_mut(&mut client), most, gone)?;
            if !ended && client.offer(&block) == 0 {
                return Err(format!(
                    "the handler hangs: it took {} bytes, and {most:?} later it neither reads nor ends",
                    client.sent
                ));
            }
        }
    }
    stage.leave(&mut [client])
}
