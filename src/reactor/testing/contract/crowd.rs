//! The properties that random faults try, with several connections at once: seeded, so that each run can be had again.

use std::collections::VecDeque;

use super::conversation::{Conversation, Cuts, difference};
use super::properties::{Outcome, reference};
use super::stage::{Client, Stage};
use super::{Held, Subject, at};
use crate::reactor::Handler;
use crate::reactor::testing::{Faults, Rng};

/// Connections at one time.
const CROWD: u32 = 4;

/// Texts up to this size go through buffers of any size.
const SHORT_MAX: usize = 4096;

/// What is asked of the answers in a run with faults.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Demand {
    /// The same as without faults.
    Same,
    /// A beginning of it.
    Beginning,
    /// Nothing: the clock jumps, and a deadline may have answered.
    Nothing,
}

/// One peer's part in the crowd.
struct Talk<'a> {
    nth: usize,
    pieces: VecDeque<(bool, &'a [u8])>,
    fin_at_once: bool,
    done: bool,
}

/// [`Property::BenignFaults`](super::Property::BenignFaults).
pub(super) fn benign<H: Handler>(subject: &Subject<H>) -> Held {
    seeded(subject, |seed| (Faults::benign().swarm(seed), Demand::Same))
}

/// [`Property::HostileFaults`](super::Property::HostileFaults).
pub(super) fn hostile<H: Handler>(subject: &Subject<H>) -> Held {
    seeded(subject, |seed| {
        let mut faults = Faults::hostile().swarm(seed);
        if seed % 2 == 1 {
            return (faults, Demand::Nothing);
        }
        // Without these two no deadline of the handler's can pass, so that its answer is known.
        faults.clock_jump = 0;
        faults.connect_drop = 0;
        (faults, Demand::Beginning)
    })
}

fn seeded<H: Handler>(subject: &Subject<H>, weather: impl Fn(u64) -> (Faults, Demand)) -> Held {
    let mut right = Vec::new();
    for said in &subject.conversations {
        right.push(at(reference(subject, said), || format!("conversation {said}"))?);
    }
    for seed in subject.seeds() {
        let (faults, demand) = weather(seed);
        let shown = format!("SIM_SEED={seed} with {}", what_happens(&faults));
        at(crowd(subject, seed, faults, demand, &right), || shown)?;
    }
    Ok(())
}

/// The faults that there are, without those that are left out.
fn what_happens(faults: &Faults) -> String {
    let all = format!("{faults:?}");
    let inner = all.trim_start_matches("Faults {").trim_end_matches('}');
    let there: Vec<&str> =
        inner.split(',').filter(|part| !part.ends_with(": 0") && !part.ends_with(": 0ns")).collect();
    there.join(",").trim().to_owned()
}

fn crowd<H: Handler>(
    subject: &Subject<H>,
    seed: u64,
    faults: Faults,
    demand: Demand,
    right: &[Outcome],
) -> Held {
    let mut rng = Rng::new(seed ^ 0xC0_FFEE);
    let limits = subject.limits();
    let most = [limits.connections_max, limits.per_client_max].into_iter().flatten().fold(CROWD, u32::min);
    // Through a buffer of one byte a long text takes longer than the deadlines of a handler that is right.
    let texts = subject.conversations.iter().map(Conversation::len);
    let longest = texts.chain(right.iter().map(|outcome| outcome.answer.len())).max().unwrap_or(0);
    let buffer = (longest > SHORT_MAX).then(|| (longest / 64 + rng.size(SHORT_MAX)) as u32);
    let mut stage = Stage::new(subject, seed, faults, buffer);
    let (mut talks, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..rng.between(1, most.max(1) as usize) {
        let nth = rng.below(subject.conversations.len() as u64) as usize;
        let said = &subject.conversations[nth];
        let cuts = [Cuts::Whole, Cuts::Bytewise, Cuts::Random(rng.number())][rng.between(0, 2)];
        let pieces = said.pieces(cuts, said.len()).into_iter().map(|p| (p.begins_step, p.bytes)).collect();
        talks.push(Talk { nth, pieces, fin_at_once: !said.waits && rng.chance(500), done: false });
        let mut client = stage.dial();
        client.appetite = if rng.chance(500) { usize::MAX } else { rng.size(4096) };
        clients.push(client);
    }
    let parts =
        talks.iter().map(|t: &Talk<'_>| format!("conversation {}: {}", t.nth, subject.conversations[t.nth]));
    let cast = format!("{} at once: {}", talks.len(), parts.collect::<Vec<_>>().join("; "));
    at(play(stage, talks, clients, rng, demand, right), || cast)
}

/// All talks, to their ends.
fn play<H: Handler>(
    mut stage: Stage<'_, H>,
    mut talks: Vec<Talk<'_>>,
    mut clients: Vec<Client>,
    mut rng: Rng,
    demand: Demand,
    right: &[Outcome],
) -> Held {
    let subject = stage.subject;
    stage.rest(&mut clients)?;
    while let Some(open) = pick(&talks, &mut rng) {
        step(&mut stage, &mut talks[open], open, &mut clients, &mut rng)?;
    }
    let alone = clients.len() == 1 || !subject.rules.meets;
    if demand == Demand::Same {
        let patience = subject.rules.patience;
        let gone = |stage: &Stage<'_, H>, _: &[Client]| stage.connections() == 0;
        if !stage.wait(&mut clients, patience, gone)? {
            let n = stage.connections();
            return Err(format!(
                "a connection never closes: {n} stand {patience:?} after all peers have ended"
            ));
        }
    }
    for (talk, client) in talks.iter().zip(&clients).filter(|_| alone) {
        at(judge(subject, talk, client, demand, right), || format!("conversation {}", talk.nth))?;
    }
    stage.leave(&mut clients)
}

/// One of the talks that go on.
fn pick(talks: &[Talk<'_>], rng: &mut Rng) -> Option<usize> {
    let open: Vec<usize> = (0..talks.len()).filter(|nth| !talks[*nth].done).collect();
    (!open.is_empty()).then(|| open[rng.between(0, open.len() - 1)])
}

/// The peer of `talk` says its next piece, or what is left of it, and the reactor turns now and then.
fn step<H: Handler>(
    stage: &mut Stage<'_, H>,
    talk: &mut Talk<'_>,
    at: usize,
    clients: &mut [Client],
    rng: &mut Rng,
) -> Held {
    let Some((begins_step, bytes)) = talk.pieces.pop_front() else {
        if !talk.fin_at_once {
            stage.rest(clients)?;
        }
        clients[at].finish();
        talk.done = true;
        return Ok(());
    };
    if begins_step {
        stage.rest(clients)?;
    }
    let n = clients[at].offer(bytes);
    if n < bytes.len() {
        talk.pieces.push_front((false, &bytes[n..]));
        let moved = stage.settle(clients)?;
        if n == 0 && !moved {
            stage.rest(clients)?;
            // Nothing that could still happen makes the handler read: the rest is not said.
            talk.done = clients[at].offer(&[]) == 0 && stalls(stage, talk, at, clients)?;
        }
        return Ok(());
    }
    for _ in 0..rng.below(4) {
        stage.turn()?;
        clients[at].take();
    }
    Ok(())
}

/// Whether not one more byte is taken of what is left.
fn stalls<H: Handler>(
    stage: &mut Stage<'_, H>,
    talk: &mut Talk<'_>,
    at: usize,
    clients: &mut [Client],
) -> Held<bool> {
    let Some((begins, bytes)) = talk.pieces.pop_front() else { return Ok(false) };
    let n = clients[at].offer(bytes);
    talk.pieces.push_front((begins, &bytes[n..]));
    if n == 0 {
        clients[at].finish();
    }
    stage.settle(clients)?;
    Ok(n == 0)
}

fn judge<H: Handler>(
    subject: &Subject<H>,
    talk: &Talk<'_>,
    client: &Client,
    demand: Demand,
    right: &[Outcome],
) -> Held {
    let (answer, whole) = (subject.normal(&client.answer), &right[talk.nth].answer);
    let fine = match demand {
        _ if subject.conversations[talk.nth].by_cuts => true,
        Demand::Same => answer == *whole,
        Demand::Beginning => whole.starts_with(&answer),
        Demand::Nothing => true,
    };
    if fine { Ok(()) } else { Err(difference("the answer", &answer, "the answer without faults", whole)) }
}
