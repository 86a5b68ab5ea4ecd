//! The echo server beside the one-second job, which each control connection starts.

use tidemill::proto::echo::Echo;
use tidemill::reactor::{Accepted, Config, ConnId, Ctx, Handler, Reactor, Refuse, Step, Table};

use crate::Done;
use crate::phases::{JOB_S, SLICE_S, job_done, spin};
use crate::serve::at;

/// Starts a job for each connection, and tells it when the job is done.
pub(crate) struct Control {
    start: Start,
}

pub(crate) type Start = fn(&mut Table<'_, Control>, ConnId);

impl Handler for Control {
    type Conn = ();

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    fn on_open(&mut self, _: &mut (), ctx: &mut Ctx<'_, Self>) {
        let id = ctx.id();
        (self.start)(&mut ctx.table, id);
    }

    fn on_data(&mut self, _: &mut (), ctx: &mut Ctx<'_, Self>) {
        ctx.abort();
    }
}

fn tell(table: &mut Table<'_, Control>, id: ConnId, steps: u32, worked: f64) {
    if let Some(mut tx) = table.output(id) {
        tx.write(job_done(steps, worked).as_bytes());
    }
    table.close(id);
}

/// The job in slices on the loop.
pub(crate) fn cooperate(table: &mut Table<'_, Control>, id: ConnId) {
    let (mut steps, mut worked) = (0, 0.0);
    table.cooperate(move |_, table| {
        worked += spin(SLICE_S);
        steps += 1;
        if worked < JOB_S {
            return Step::More;
        }
        tell(table, id, steps, worked);
        Step::Done
    });
}

/// The job on a thread.
pub(crate) fn offload(table: &mut Table<'_, Control>, id: ConnId) {
    let begun =
        table.offload(|| spin(JOB_S), move |_, worked, table| tell(table, id, 1, worked.unwrap_or(0.0)));
    if begun.is_err() {
        table.abort(id);
    }
}

/// Echo on one port, jobs on the other.
pub(crate) fn quiet(port: &str, control: &str, config: Config, start: Start) -> Done {
    let mut reactor = Reactor::new(config)?;
    let jobs = reactor.add(Control { start });
    reactor.listen(jobs, &at(control)?)?;
    let echo = reactor.add(Echo::new());
    reactor.listen(echo, &at(port)?)?;
    Ok(reactor.run()?)
}
