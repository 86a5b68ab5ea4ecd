//! Answers that the server gives by itself, and what the log is told of each request.

use super::super::encode::{HeadWriter, Persist, reason};
use super::super::fault::{self, Fault};
use super::super::head::{self, FieldStore, Head, Progress, Status};
use super::exchange::{Exchange, Outgoing, Ticket, Trace};
use super::record::{End, Phase, Record, Times};
use super::{Cx, Http};
use crate::reactor::class::Class;
use crate::reactor::{ConnId, Ctx, Peer, Report, Table, Time, close};

impl<S: 'static> Http<S> {
    /// Answers a fault, if there is room, and closes: where the next request would begin is not known.
    #[cold]
    pub(super) fn refuse(
        &mut self,
        ex: &mut Exchange<S>,
        ctx: &mut Ctx<'_, Self>,
        fault: &Fault,
        head_only: bool,
    ) {
        let text = format!(
            "{} {}\n{}: {}\n{}\n",
            fault.status,
            reason(fault.status),
            fault.class.name,
            fault.class.cause,
            fault.class.remedy
        );
        let sent = if head_only { 0 } else { text.len() as u64 };
        self.record_refused(ex, ctx, fault, sent);
        let ticket = Ticket { id: ctx.id, nth: ex.nth };
        if let Some(job) = ex.job.take() {
            let job = *job;
            let mut cx = Cx { table: ctx.table.reborrow(), shared: &mut self.shared, ticket };
            if let Some(sink) = job.held.and_then(|held| held.sink) {
                sink.on_gone(&mut self.state, Some(fault.class), &mut cx);
            }
            if let Some(gone) = job.gone {
                gone(&mut self.state, &mut cx);
            }
            if let Some(task) = job.task {
                ctx.table.cancel(task);
            }
        }
        self.date.set(ctx.unix_time());
        let mut head = HeadWriter::new(ctx.tx.spare(), fault.status, &self.date);
        head.field("Content-Type", b"text/plain; charset=utf-8").content_length(text.len() as u64);
        head.persist(Persist::Close);
        if let Ok(n) = head.finish() {
            ctx.tx.commit(n);
            if !head_only {
                ctx.tx.write(text.as_bytes());
            }
        }
        ctx.close_as(fault.class);
    }

    pub(super) fn limit_answer(&mut self) -> Vec<u8> {
        const TEXT: &[u8] =
            b"503 Service Unavailable\ntcp.limit: the server is at its limit of connections.\n";
        let mut bytes = vec![0; 512];
        let mut head = HeadWriter::new(&mut bytes, 503, &self.date);
        head.field("Content-Type", b"text/plain; charset=utf-8").field("Retry-After", b"1");
        head.content_length(TEXT.len() as u64).persist(Persist::Close);
        let n = head.finish().unwrap_or(0);
        bytes.truncate(n);
        bytes.extend_from_slice(TEXT);
        bytes
    }

    /// An answer that was over as soon as it was given: its status, bytes in, bytes out.
    #[cold]
    pub(super) fn record_now(
        &mut self,
        nth: u32,
        head: Option<&Head<'_>>,
        mut times: Times,
        (status, bytes_in, bytes_out): (u16, u64, u64),
        table: &Table<'_, Self>,
        conn: ConnId,
    ) {
        times.answered = Some(table.now());
        let trace = Trace { head: Box::default(), times, status, bytes_in, bytes_out };
        self.record(nth, head, &trace, (End::DONE, None), table, conn);
    }

    /// The answer under way is over.
    pub(super) fn record_over(&mut self, ex: &mut Exchange<S>, ctx: &Ctx<'_, Self>) {
        let Some(trace) = ex.job.as_mut().and_then(|job| job.trace.take()) else { return };
        self.record_trace(ex.nth, &trace, (End::DONE, None), &ctx.table, ctx.id);
    }

    /// The connection has ended: before its answer was over, or its request whole.
    pub(super) fn record_end(&mut self, ex: &mut Exchange<S>, report: &Report, table: &mut Table<'_, Self>) {
        if let Some(task) = ex.job.as_mut().and_then(|job| job.task.take()) {
            table.cancel(task);
        }
        if self.shared.log.is_none() {
            return;
        }
        let (who, class) = (End::who(&report.reason), report.reason.class);
        if let Some(mut trace) = ex.job.as_mut().and_then(|job| job.trace.take()) {
            // What was written and not sent is no part of what the client was given.
            let unsent = report.reason.unsent.saturating_add(ex.job.as_ref().map_or(0, |job| job.left()));
            trace.bytes_out = trace.bytes_out.saturating_sub(unsent);
            let phase = if trace.status != 0 {
                Phase::ResponseBody
            } else if ex.held().is_some_and(|held| !held.decoder.is_done()) {
                Phase::RequestBody
            } else {
                Phase::Waiting
            };
            let end = End { who, phase };
            self.record_trace(ex.nth, &trace, (end, class), table, report);
        } else if ex.timed {
            let end = End { who, phase: Phase::RequestHead };
            let trace = Trace { times: head_times(ex, table.now()), ..Trace::default() };
            self.record(ex.nth.wrapping_add(1), None, &trace, (end, class), table, report);
        } else if ex.job.is_none() && class == Some(&close::TASK_PANICKED) {
            // Whoever was asked for the answer has panicked; the head is gone with the receive buffer.
            let end = End { who, phase: Phase::Waiting };
            let trace = Trace { times: head_times(ex, ex.began), ..Trace::default() };
            self.record(ex.nth, None, &trace, (end, class), table, report);
        }
    }

    /// A request is refused by the server itself.
    fn record_refused(&mut self, ex: &mut Exchange<S>, ctx: &Ctx<'_, Self>, fault: &Fault, sent: u64) {
        let was_timed = std::mem::take(&mut ex.timed);
        if self.shared.log.is_none() {
            return;
        }
        let who = End::of_fault(fault.status, ex.eof || fault.class == fault::BODY_TRUNCATED.class);
        let now = ctx.now();
        if let Some(mut trace) = ex.job.as_mut().and_then(|job| job.trace.take()) {
            let waits = ex.job.as_ref().is_some_and(|job| !matches!(job.outgoing, Outgoing::Idle));
            (trace.status, trace.bytes_out) = (fault.status, sent);
            trace.times.answered = Some(now);
            let phase = if waits { Phase::Waiting } else { Phase::RequestBody };
            return self.record_trace(
                ex.nth,
                &trace,
                (End { who, phase }, Some(fault.class)),
                &ctx.table,
                ctx.id,
            );
        }
        if !was_timed {
            ex.began = now;
        }
        let mut trace =
            Trace { times: head_times(ex, now), status: fault.status, bytes_out: sent, ..Trace::default() };
        trace.times.answered = Some(now);
        let end = End { who, phase: Phase::RequestHead };
        let bytes = ctx.rx.bytes();
        let (mut store, mut fresh) = (FieldStore::new(), Progress::default());
        let head = match head::parse(bytes, &self.shared.config.head, &mut fresh, &mut store) {
            Ok(Status::Complete(head)) => Some(head),
            Ok(Status::Partial) | Err(_) => None,
        };
        let nth = ex.nth.wrapping_add(1);
        self.record(nth, head.as_ref(), &trace, (end, Some(fault.class)), &ctx.table, ctx.id);
    }

    /// With the head that was copied aside.
    fn record_trace(
        &mut self,
        nth: u32,
        trace: &Trace,
        end: (End, Option<&'static Class>),
        table: &Table<'_, Self>,
        conn: impl Into<Whose>,
    ) {
        let (mut store, mut fresh) = (FieldStore::new(), Progress::default());
        let head = match head::parse(&trace.head, &self.shared.config.head, &mut fresh, &mut store) {
            Ok(Status::Complete(head)) => Some(head),
            Ok(Status::Partial) | Err(_) => None,
        };
        self.record(nth, head.as_ref(), trace, end, table, conn);
    }

    fn record(
        &mut self,
        nth: u32,
        head: Option<&Head<'_>>,
        trace: &Trace,
        (end, class): (End, Option<&'static Class>),
        table: &Table<'_, Self>,
        conn: impl Into<Whose>,
    ) {
        let Whose(conn, peer) = conn.into();
        let Some(log) = &mut self.shared.log else { return };
        let (request, response) = trace.times.parts(table.now(), trace.bytes_out > 0);
        log.record(&Record {
            head,
            conn,
            peer: peer.or_else(|| table.peer(conn)).unwrap_or(Peer::Unknown),
            unix_time: table.unix_time(),
            nth,
            status: trace.status,
            bytes_in: trace.bytes_in,
            bytes_out: trace.bytes_out,
            request,
            response,
            end,
            class,
        });
    }
}

/// A connection, and its peer if the table knows it no more.
struct Whose(ConnId, Option<Peer>);

impl From<ConnId> for Whose {
    fn from(id: ConnId) -> Self {
        Self(id, None)
    }
}

impl From<&Report> for Whose {
    fn from(report: &Report) -> Self {
        Self(report.id, Some(report.peer))
    }
}

/// The stamps of a head that was not whole by `now`.
fn head_times<S>(ex: &Exchange<S>, now: Time) -> Times {
    let line = if ex.lined { ex.line } else { now };
    Times { began: ex.began, line, head: now, body: None, answered: None }
}

#[cfg(test)]
mod tests {
    use super::super::record::Who;
    use super::*;

    #[test]
    fn faults_are_blamed_on_whom_they_belong_to() {
        assert_eq!(End::of_fault(408, false), Who::Timeout);
        assert_eq!(End::of_fault(400, true), Who::Client);
        assert_eq!(End::of_fault(431, false), Who::Limit);
    }
}
