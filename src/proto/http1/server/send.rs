//! Answers: what becomes of the connection when one is given, and everything that makes one go on until it is over.

use super::super::fault;
use super::super::reply::{Given, Part, Rest};
use super::cx::Command;
use super::exchange::{Asked, Exchange, Outgoing, Ticket, Work};
use super::receive::Next;
use super::stream::{BodyWriter, Coding, Pull, Push};
use super::{Cx, Http};
use crate::reactor::Ctx;

/// How often a request may ask for a thread.
const ROUNDS_MAX: u8 = 8;
/// With less room than this a source is not asked for more.
const ROOM_MIN: usize = 512;

impl<S: 'static> Exchange<S> {
    /// Takes what was said to the request that is under way; whether it could be.
    pub(super) fn take(&mut self, command: Command) -> bool {
        let Some(job) = &mut self.job else { return false };
        let has_sink = job.has_sink();
        match (command, &mut job.outgoing) {
            (Command::Respond(response), Outgoing::Later) => {
                job.outgoing = Outgoing::Given(Box::new(response))
            }
            (Command::Respond(response), Outgoing::Idle) if has_sink => {
                job.outgoing = Outgoing::Given(Box::new(response));
            }
            (Command::End, Outgoing::Push(push)) => push.ending = true,
            (Command::Wake, Outgoing::Pull(_, _, waits)) => *waits = false,
            (Command::Wake, Outgoing::Idle) if has_sink => {
                if let Some(held) = job.held.as_mut().filter(|held| held.parked) {
                    (held.parked, held.woken) = (false, true);
                }
            }
            _ => return false,
        }
        true
    }
}

impl<S: 'static> Http<S> {
    /// An answer that stands whole in the transmit buffer, of a request that is over.
    #[inline]
    pub(super) fn settle_whole(&self, ex: &Exchange<S>, ctx: &mut Ctx<'_, Self>, keep: bool) -> Next {
        if keep {
            return Next::Go;
        }
        if ex.lingers {
            ctx.close();
        } else {
            ctx.close_clean();
        }
        Next::Wait
    }

    /// The outcome of an answer becomes the state of the connection.
    pub(super) fn settle(
        &mut self,
        ex: &mut Exchange<S>,
        ctx: &mut Ctx<'_, Self>,
        asked: Asked,
        mut given: Given<S>,
    ) -> Next {
        ex.closing = !given.keep;
        if let (None, None, Outgoing::Idle, None) = (&ex.job, &given.rest, &given.outgoing, &given.rare)
            && let Some((file, range)) = given.file
        {
            // The one answer that takes longer and needs nothing kept.
            ex.sending = true;
            ctx.pause();
            if ctx.send_file(file, range).is_err() {
                ctx.abort();
            }
            return Next::Wait;
        }
        let now = ctx.now();
        let (gone, work) = (given.take_gone(), given.take_work());
        let job = ex.job();
        (job.asked, job.rest) = (asked, given.rest);
        job.outgoing = given.outgoing;
        job.gone = gone.or(job.gone.take());
        if let Some(trace) = job.trace.as_mut().filter(|_| given.status != 0) {
            (trace.status, trace.bytes_out) = (given.status, given.length);
            trace.times.answered = Some(now);
        }
        if let Some(file) = given.file.take() {
            job.outgoing = Outgoing::Parts([Part::File(file.0, file.1)].into());
        }
        if let Some(work) = work {
            self.begin_work(ex, ctx, work);
            return Next::Wait;
        }
        if !job.is_busy() {
            return self.complete(ex, ctx);
        }
        ctx.pause();
        match &job.outgoing {
            Outgoing::Later => self.limit_answer_time(ex, ctx),
            Outgoing::Push(push) => {
                ctx.clear_deadline();
                if let Some((every, _)) = push.options.keep_alive {
                    ctx.set_timer(every);
                }
            }
            Outgoing::Idle | Outgoing::Working | Outgoing::Worked | Outgoing::Given(_) => {
                ctx.clear_deadline();
                self.go_on(ex, ctx);
            }
            Outgoing::Parts(_) | Outgoing::Pull(..) | Outgoing::Raw(..) => {
                ctx.clear_deadline();
                self.go_on(ex, ctx);
            }
        }
        Next::Wait
    }

    /// The answer is out. Whether the next request can be looked at.
    fn complete(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) -> Next {
        self.record_over(ex, ctx);
        if let Some(job) = &mut ex.job {
            job.gone = None;
            if std::mem::take(&mut job.limited) {
                ctx.clear_deadline();
            }
        }
        let unread = ex.held().is_some_and(|held| !held.decoder.is_done());
        if ex.closing {
            ex.job = None;
            if ex.lingers || unread {
                ctx.close();
            } else {
                ctx.close_clean();
            }
            return Next::Wait;
        }
        if !unread {
            ex.job = None;
            return Next::Go;
        }
        if let Some(held) = ex.held() {
            // While the answer went out nothing was read: the body's time begins now.
            held.began = ctx.now();
            (held.answered, held.head, held.sink) = (true, Box::default(), None);
            ctx.set_deadline(self.shared.config.body_timeout);
        }
        self.body_data(ex, ctx)
    }

    /// As [`Http::complete`], from a call in which no request was being read.
    fn ended(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) {
        self.complete(ex, ctx);
        if !ex.closing {
            ctx.resume();
        }
    }

    /// Room has come, a file is sent, or something was said: the answer goes on.
    pub(super) fn go_on(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) {
        let mut progress = std::mem::take(&mut ex.sending);
        let Some(job) = &mut ex.job else {
            if progress {
                self.ended(ex, ctx);
            }
            return;
        };
        if let Some(rest) = &mut job.rest {
            let n = ctx.tx.write(rest.bytes());
            rest.advance(n);
            if !rest.bytes().is_empty() {
                return;
            }
            job.rest = None;
            progress = true;
        }
        match std::mem::replace(&mut job.outgoing, Outgoing::Idle) {
            Outgoing::Idle if progress => self.ended(ex, ctx),
            Outgoing::Idle => self.unpark(ex, ctx),
            Outgoing::Worked => self.ask_again(ex, ctx),
            Outgoing::Given(response) => self.give(ex, ctx, *response),
            Outgoing::Pull(coding, source, waits) => {
                job.outgoing = Outgoing::Pull(coding, source, waits);
                if !waits {
                    self.pull(ex, ctx);
                }
            }
            Outgoing::Push(push) if push.ending => self.end_body(ex, ctx, push),
            Outgoing::Raw(raw, false) => {
                job.outgoing = Outgoing::Raw(raw, true);
                self.record_over(ex, ctx);
                self.raw(ex, ctx, |raw, state, io| raw.on_open(state, io));
                if ctx.table.is_draining() {
                    // The connection was told before it had this protocol.
                    self.raw(ex, ctx, |raw, state, io| raw.on_drain(state, io));
                }
                ctx.resume();
            }
            Outgoing::Parts(mut parts) => {
                let part = parts.pop_front();
                if part.is_some() {
                    job.outgoing = Outgoing::Parts(parts);
                }
                self.part(ex, ctx, part);
            }
            other @ (Outgoing::Working | Outgoing::Later | Outgoing::Push(_) | Outgoing::Raw(..)) => {
                job.outgoing = other;
            }
        }
    }

    /// Sends the next piece of a body.
    fn part(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>, part: Option<Part>) {
        match part {
            None => self.ended(ex, ctx),
            Some(Part::Bytes(bytes)) => {
                ex.job().rest = Some(Rest::Owned(bytes, 0));
                self.go_on(ex, ctx);
            }
            Some(Part::File(file, range)) => {
                ex.sending = true;
                if ctx.send_file(file, range).is_err() {
                    ctx.abort();
                }
            }
        }
    }

    /// A sink that waited wants more.
    fn unpark(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) {
        let Some(held) = ex.held().filter(|held| held.woken) else { return };
        held.woken = false;
        held.began = ctx.now();
        ctx.set_deadline(self.shared.config.body_timeout);
        ctx.resume();
    }

    /// Work on a thread is done, or was refused: the application is asked again.
    fn ask_again(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) {
        let job = ex.job();
        let done = job.done.take();
        let limited = std::mem::take(&mut job.limited);
        job.task = None;
        if limited {
            ctx.clear_deadline();
        }
        let next = if ex.held().is_some_and(|held| !held.decoder.is_done()) {
            let streams = ex.held().is_some_and(|held| held.streams);
            self.ask_at_head(ex, ctx, done, streams)
        } else {
            self.answer_held(ex, ctx, done)
        };
        if next == Next::Go || !(ex.is_busy() || ex.held().is_some_and(|held| held.parked)) {
            ctx.resume();
        }
    }

    /// Writes an answer that was given by a ticket.
    fn give(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>, response: super::super::Response) {
        let job = ex.job();
        let asked = job.asked;
        if std::mem::take(&mut job.limited) {
            ctx.clear_deadline();
        }
        let mut whole = true;
        if let Some(held) = &mut job.held {
            whole = held.decoder.is_done();
            held.sink = None;
            held.answered = true;
        }
        let ticket = Ticket { id: ctx.id, nth: ex.nth };
        let (tx, table) = (ctx.tx.reborrow(), ctx.table.reborrow());
        let given =
            self.with_reply(asked, whole, None, tx, table, ticket, |_, _, reply, _| reply.respond(response));
        ex.lingers |= !whole || (asked.keep_alive && !given.keep);
        if self.settle(ex, ctx, asked, given) == Next::Go {
            ctx.resume();
        }
    }

    /// Asks a source for what there is room for.
    fn pull(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) {
        let ticket = Ticket { id: ctx.id, nth: ex.nth };
        let Some(job) = &mut ex.job else { return };
        let Outgoing::Pull(coding, source, waits) = &mut job.outgoing else { return };
        let mut sent = 0;
        let said = loop {
            if *coding == Coding::Length(0) {
                break Pull::End;
            }
            if ctx.tx.room() < ROOM_MIN {
                break Pull::More;
            }
            let before = sent;
            let mut body = BodyWriter::new(ctx.tx.reborrow(), coding, &mut sent);
            let mut cx = Cx { table: ctx.table.reborrow(), shared: &mut self.shared, ticket };
            match source.pull(&mut self.state, &mut body, &mut cx) {
                Pull::More if sent > before => {}
                // It does not know what to write though there is room: it is asked again in the next turn.
                Pull::More if ctx.tx.is_empty() => {
                    let id = ctx.id;
                    ctx.table.post(move |_, table| {
                        table.wake(id);
                    });
                    break Pull::More;
                }
                said @ (Pull::More | Pull::Wait | Pull::End | Pull::Abort) => break said,
            }
        };
        if let Some(trace) = &mut job.trace {
            trace.bytes_out += sent;
        }
        let coding = *coding;
        match said {
            Pull::More => {}
            Pull::Wait => *waits = true,
            Pull::Abort => ctx.abort(),
            Pull::End => {
                job.outgoing = Outgoing::Idle;
                self.end_body(
                    ex,
                    ctx,
                    Push { coding, options: Default::default(), ending: true, busy: false },
                );
            }
        }
    }

    /// Writes the end of a body, when it fits.
    fn end_body(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>, mut push: Push) {
        let mut sent = 0;
        match BodyWriter::new(ctx.tx.reborrow(), &mut push.coding, &mut sent).end() {
            None => ex.job().outgoing = Outgoing::Push(push),
            // Fewer bytes than announced: an end that looks like one would be a lie.
            Some(false) => {
                log::error!("a body ended before its announced length");
                ctx.abort();
            }
            Some(true) => {
                if push.options.keep_alive.is_some() {
                    ctx.cancel_timer();
                }
                self.ended(ex, ctx);
            }
        }
    }

    /// Writes to the pushed body of the request whose callback has just run. All of it was promised to be taken.
    pub(super) fn write_own(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>, bytes: &[u8]) {
        let Some(job) = &mut ex.job else { return };
        let Outgoing::Push(push) = &mut job.outgoing else { return };
        if bytes.is_empty() || push.ending {
            return;
        }
        push.busy = true;
        let framed = match push.coding {
            Coding::Chunked => [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat(),
            Coding::UntilClose | Coding::Length(_) => bytes.to_vec(),
        };
        if let Some(trace) = &mut job.trace {
            trace.bytes_out += bytes.len() as u64;
        }
        match &mut job.rest {
            Some(Rest::Owned(rest, _)) => rest.extend_from_slice(&framed),
            Some(Rest::Shared(..)) => {}
            None => {
                let n = ctx.tx.write(&framed);
                if n < framed.len() {
                    job.rest = Some(Rest::Owned(framed, n));
                }
            }
        }
    }

    /// Hands work to the pool.
    fn begin_work(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>, work: Work) {
        let ticket = Ticket { id: ctx.id, nth: ex.nth };
        ctx.pause();
        let job = ex.job();
        job.rounds += 1;
        if job.rounds > ROUNDS_MAX {
            log::error!("a request asked for a thread more than {ROUNDS_MAX} times");
            job.outgoing = Outgoing::Given(Box::new(super::super::Response::from(500)));
            ctx.table.wake(ctx.id);
            return;
        }
        job.outgoing = Outgoing::Working;
        let begun = ctx.table.offload(work, move |_, result, table| {
            let job = table.conn(ticket.id).filter(|ex| ex.nth == ticket.nth).and_then(|ex| ex.job.as_mut());
            if let Some(job) = job.filter(|job| matches!(job.outgoing, Outgoing::Working)) {
                (job.outgoing, job.done) = (Outgoing::Worked, Some(result));
                table.wake(ticket.id);
            }
        });
        match begun {
            Ok(task) => job.task = Some(task),
            Err(error) => {
                (job.outgoing, job.done) = (Outgoing::Worked, Some(Err(error)));
                ctx.table.wake(ctx.id);
            }
        }
        self.limit_answer_time(ex, ctx);
    }

    fn limit_answer_time(&self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) {
        ctx.clear_deadline();
        if let Some(limit) = self.shared.config.answer_timeout {
            ex.job().limited = true;
            ctx.set_deadline(limit);
        }
    }

    /// The timer of a delay, or of a pushed body that has to be kept alive.
    pub(super) fn timer(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) {
        if let Some(job) = &mut ex.job
            && let Outgoing::Push(push) = &mut job.outgoing
        {
            let Some((every, bytes)) = push.options.keep_alive.filter(|_| !push.ending) else { return };
            if !std::mem::take(&mut push.busy) && job.rest.is_none() && ctx.tx.is_empty() {
                let mut sent = 0;
                BodyWriter::new(ctx.tx.reborrow(), &mut push.coding, &mut sent).write(bytes);
            }
            return ctx.set_timer(every);
        }
        if ex.is_busy() {
            return;
        }
        ctx.resume();
        if self.answer_held(ex, ctx, None) == Next::Go {
            self.receive(ex, ctx);
        }
    }

    /// The deadline of a head, a body or a deferred answer has passed.
    pub(super) fn deadline(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) {
        if let Some(job) = ex.job.as_mut().filter(|job| job.limited) {
            let head_only = job.asked.head_only;
            return self.refuse(ex, ctx, &fault::ANSWER_TIMEOUT, head_only);
        }
        match ex.held().map(|held| held.answered) {
            Some(true) => ctx.close_as(fault::BODY_TIMEOUT.class),
            Some(false) => self.refuse(ex, ctx, &fault::BODY_TIMEOUT, false),
            None => self.refuse(ex, ctx, &fault::HEAD_TIMEOUT, false),
        }
    }

    /// The server drains: what is under way is the last answer of its connection, what is not there yet is given up.
    pub(super) fn drain(&mut self, ex: &mut Exchange<S>, ctx: &mut Ctx<'_, Self>) {
        if ex.is_busy() {
            // An answer whose head promised to go on may have more requests behind it: an end that does not wait for the
            // client's would reset it, and with that cut the answer's tail.
            ex.lingers |= !ex.closing;
            ex.closing = true;
            let job = ex.job.as_mut().map(|job| &mut job.outgoing);
            if let Some(Outgoing::Push(push)) = job
                && push.options.ends_on_drain
            {
                push.ending = true;
                self.go_on(ex, ctx);
            }
            return;
        }
        let has_sink = ex.job.as_ref().is_some_and(|job| job.has_sink());
        let delayed = ex.held().is_some_and(|held| held.decoder.is_done() && !held.answered);
        let waits = !b"\r\n".starts_with(&ctx.rx) && !ctx.tx.is_empty() && !ex.timed && ex.job.is_none();
        if has_sink || delayed || waits {
            return;
        }
        // What is there of a request is not whole: nobody will read more of it. But more of it is known to come,
        // and answered with a reset it would cost the peer the answers that are still on their way, if any.
        let half = !ctx.rx.is_empty() || ex.held().is_some();
        let answered = ctx.table.traffic(ctx.id).is_some_and(|(_, sent)| sent > 0);
        let n = ctx.rx.len();
        ctx.rx.consume(n);
        if (half && answered) || !ctx.tx.is_empty() {
            ctx.close();
        } else {
            ctx.close_clean();
        }
    }
}
