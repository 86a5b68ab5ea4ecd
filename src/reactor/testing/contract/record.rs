//! [`Record`]: what happened to the connections of a handler, and the first rule of callbacks and reports that was
//! broken on the way. It never judges answers.

use std::collections::HashMap;

use crate::reactor::close::TASK_PANICKED;
use crate::reactor::link::Call;
use crate::reactor::testing::spy::{Moment, Panicked, Witness};
use crate::reactor::{Report, TaskReport};

/// How far one connection is.
#[derive(Debug, Default)]
struct Life {
    opened: bool,
    drained: bool,
    /// Bytes that `on_data` had seen when the end of file came.
    eof: Option<u64>,
    consumed: u64,
    /// What the callback that runs began with.
    rx: usize,
}

/// The witness of one handler.
#[derive(Debug, Default)]
pub(super) struct Record {
    lives: HashMap<u32, Life>,
    /// Connections that `on_accept` took.
    pub(super) accepted: usize,
    /// Those that have had their `on_close`.
    pub(super) closed: usize,
    /// In the order of the ends, those of refused peers too.
    pub(super) reports: Vec<Report>,
    /// Bytes that had been seen at each end of file.
    pub(super) seen_at_eof: Vec<u64>,
    broken: Option<String>,
}

impl Record {
    /// The first rule that was broken.
    pub(super) fn verdict(&self) -> Result<(), String> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Connections whose `on_close` has not come.
    pub(super) fn living(&self) -> usize {
        self.lives.len()
    }

    fn hold(&mut self, rule: bool, otherwise: impl FnOnce() -> String) {
        if !rule && self.broken.is_none() {
            self.broken = Some(otherwise());
        }
    }
}

/// The callback's name as its author knows it.
fn name(call: Call) -> &'static str {
    match call {
        Call::Open => "on_open",
        Call::Data => "on_data",
        Call::Room => "on_room",
        Call::Eof => "on_eof",
        Call::Timer => "on_timer",
        Call::Deadline => "on_deadline",
        Call::Drain => "on_drain",
    }
}

impl Witness for Record {
    fn accepted(&mut self, conn: Result<u32, Panicked>) {
        let Ok(conn) = conn else { return self.hold(false, || "on_accept panicked".into()) };
        self.accepted += 1;
        let fresh = self.lives.insert(conn, Life::default()).is_none();
        self.hold(fresh, || {
            "callback order: a connection was taken in place of one without its on_close".into()
        });
    }

    fn before(&mut self, call: Call, at: Moment) {
        if !at.inbound {
            // What the handler connected itself begins without on_accept.
            self.lives.entry(at.conn).or_default();
        }
        let name = name(call);
        let Some(life) = self.lives.get_mut(&at.conn) else {
            return self.hold(false, || format!("callback order: {name} before on_accept or after on_close"));
        };
        let (opened, eof, drained) = (life.opened, life.eof.is_some(), life.drained);
        let more = at.rx > life.rx;
        let seen = life.consumed + at.rx as u64;
        life.rx = at.rx;
        match call {
            Call::Open => life.opened = true,
            Call::Eof => life.eof = Some(seen),
            Call::Drain => life.drained = true,
            Call::Data | Call::Room | Call::Timer | Call::Deadline => {}
        }
        if call == Call::Eof {
            self.seen_at_eof.push(seen);
        }
        self.hold(opened == (call != Call::Open), || {
            let when = if opened { "twice" } else { "before on_open" };
            format!("callback order: {name} came {when}")
        });
        self.hold(!(eof && call == Call::Eof), || "callback order: on_eof came twice".into());
        self.hold(!(drained && call == Call::Drain), || "callback order: on_drain came twice".into());
        self.hold(call != Call::Data || at.rx > 0, || "callback order: on_data came without bytes".into());
        self.hold(!eof || !more, || format!("callback order: {name} saw new bytes after on_eof"));
    }

    fn after(&mut self, call: Call, at: Moment, ok: bool) {
        if let Some(life) = self.lives.get_mut(&at.conn) {
            life.consumed += life.rx.saturating_sub(at.rx) as u64;
            life.rx = at.rx;
        }
        self.hold(ok, || format!("{} panicked", name(call)));
    }

    fn closed(&mut self, conn: Option<u32>, report: &Report, ok: bool) {
        let ledger = &report.ledger;
        let (sum, total) = (ledger.sum(), ledger.total);
        self.hold(sum == total, || {
            format!("ledger: its parts sum to {sum} ns and its total is {total} ns: {ledger:?}")
        });
        self.hold(ok, || "on_close panicked".into());
        self.reports.push(report.clone());
        let Some(conn) = conn else { return };
        let known = self.lives.remove(&conn).is_some();
        if report.listener.is_some() {
            self.closed += 1;
            self.hold(known, || "callback order: on_close came twice".into());
        }
    }

    fn task_failed(&mut self, report: &TaskReport, ok: bool) {
        self.hold(ok, || "on_task_error panicked".into());
        self.hold(report.class.name != TASK_PANICKED.name, || format!("a task panicked: {}", report.record));
    }
}
