//! Stopping: hooks before, while and after the connections drain, and the report of who finished and who did not.
//!
//! ```text
//! stop ─► Before ─holds gone─► During ─connections and work gone─► After ─holds gone─► Join ─threads ended─► stopped
//! ```
//!
//! Each arrow is also taken when the grace is over; then what is left is cut. In `Before` the reactor still listens.
//! In `During` the listeners are closed, what the kernel had queued is accepted, and each connection is told to finish.
//! In `After` no connection is left, nor a future that was woken and not polled, and every task that had not run was
//! cancelled. In `Join` the threads of the pool end.

use std::any::Any;
use std::fmt;
use std::time::Duration;

mod report;

pub use report::DrainReport;

use super::Reactor;
use super::close::{self, Deadline, Report};
use super::core::Core;
use super::handle::{Handle, Remote};
use super::handler::Handler;
use super::link::Link;
use super::link::flag::*;
use super::service::{Key, apply, contain};
use super::slow::Callback;
use super::sys::{Ready, Sys};
use super::table::Table;
use super::time::Time;

/// When a hook of [`Table::at_shutdown`] is called.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stage {
    /// Before anything else: the reactor still listens and serves. For telling a balancer to look elsewhere.
    Before,
    /// The listeners are closed, and the connections are about to be told to finish.
    During,
    /// No connection is left. For flushing and saying goodbye.
    After,
}

/// Keeps a stage of the shutdown from ending, within the grace, until it is dropped; from any thread.
#[must_use = "a hold that is dropped lets the shutdown go on"]
pub struct Hold {
    handle: Handle,
    round: u64,
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hold")
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.handle.enter(Remote::LetGo(self.round));
    }
}

/// Where a drain is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Before,
    During,
    After,
    Join,
}

/// A drain under way.
pub(crate) struct Drain {
    until: Time,
    state: State,
    /// The turn in which handlers are told: one after the last accepts, so that what their peers have already sent
    /// is seen first.
    tell: u64,
    /// What remains was cut.
    cut: bool,
    /// How many entries of other threads there were when the listeners were closed.
    entered: u64,
    /// The last stamp of the report's parts.
    stamp: Time,
    report: DrainReport,
}

impl Drain {
    /// Time since the last stamp, which moves to `now`.
    fn part(&mut self, now: Time) -> u64 {
        let part = now.since(self.stamp);
        self.stamp = self.stamp.max(now);
        part
    }
}

#[cfg(feature = "async")]
impl Core {
    /// One more who keeps the stage from ending.
    pub(crate) fn hold(&mut self) -> Hold {
        self.hooks.holds += 1;
        Hold { handle: self.handle.clone(), round: self.hooks.round }
    }
}

type Hook = Box<dyn FnOnce(&mut dyn Any, &mut Core, Hold)>;

/// The hooks of a reactor, and who holds its shutdown.
#[derive(Default)]
pub(crate) struct Hooks {
    hooks: Vec<(Stage, u16, &'static str, Hook)>,
    /// Holds of an earlier stage do not count.
    round: u64,
    holds: usize,
    pub(crate) stopping: bool,
}

impl Hooks {
    pub(crate) const fn let_go(&mut self, round: u64) {
        if round == self.round {
            self.holds -= 1;
        }
    }
}

/// Stopping.
impl<H: Handler> Table<'_, H> {
    /// Calls `f` once when the reactor stops, at this stage, in the order of asking. The stage lasts until the
    /// [`Hold`] is dropped (within the grace): drop it at once, or keep it for as long as what `f` began takes. Timers
    /// and posts hold nothing by themselves. A reactor that runs again needs its hooks anew.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidemill::proto::echo::Echo;
    /// # use tidemill::reactor::{Config, Reactor, Stage};
    /// # let mut reactor = Reactor::new(Config::default()).unwrap();
    /// # let key = reactor.add(Echo::new());
    /// reactor.at_shutdown(key, Stage::Before, |_, table, hold| {
    ///     // The listeners stay open for a few milliseconds more.
    ///     table.call_later(Duration::from_millis(3), move |_, _| drop(hold));
    /// });
    /// reactor.at_shutdown(key, Stage::After, |_, _, _| println!("goodbye"));
    /// reactor.stop(Duration::from_secs(5));
    /// reactor.run().unwrap();
    /// let drain = reactor.last_drain().unwrap();
    /// assert!(drain.is_clean() && drain.before >= 3_000_000);
    /// ```
    pub fn at_shutdown(&mut self, stage: Stage, f: impl FnOnce(&mut H, &mut Table<'_, H>, Hold) + 'static) {
        let name = std::any::type_name_of_val(&f);
        let hook: Hook = Box::new(move |service, core, hold| {
            apply::<H, _>(service, core, |handler, table| f(handler, table, hold));
        });
        self.core.hooks.hooks.push((stage, self.service, name, hook));
    }

    /// Whether the reactor was told to stop. From [`Stage::During`] on, [`Table::is_draining`] says so too.
    pub fn is_stopping(&self) -> bool {
        self.core.hooks.stopping
    }
}

impl<S: Sys> Reactor<S> {
    /// As [`Table::at_shutdown`], for the service of `key`; there is an example.
    pub fn at_shutdown<H: Handler>(
        &mut self,
        key: Key<H>,
        stage: Stage,
        f: impl FnOnce(&mut H, &mut Table<'_, H>, Hold) + 'static,
    ) {
        self.with(key, |_, table| table.at_shutdown(stage, f));
    }

    /// Whether the reactor was told to stop and has not come to its end.
    pub const fn is_stopping(&self) -> bool {
        self.drain.is_some()
    }

    /// How the last drain went; `None` while the reactor has never stopped.
    pub const fn last_drain(&self) -> Option<&DrainReport> {
        self.last_drain.as_ref()
    }

    /// Starts to drain, as [`Handle::stop`] does from elsewhere; [`Reactor::run`] or turns carry it out. The hooks of
    /// [`Stage::Before`] are called at once.
    pub fn stop(&mut self, grace: Duration) {
        self.refresh_clock();
        let now = self.core.now;
        let until = now + grace;
        if let Some(drain) = &mut self.drain {
            drain.until = drain.until.min(until);
            return;
        }
        let report = DrainReport::new(now);
        let drain =
            Drain { until, state: State::Before, tell: 0, cut: false, entered: 0, stamp: now, report };
        self.drain = Some(drain);
        self.core.hooks.stopping = true;
        self.run_hooks(Stage::Before);
        if self.core.hooks.holds == 0 {
            self.close_doors();
        }
    }

    /// Calls the hooks of a stage. What earlier ones hold no longer counts.
    fn run_hooks(&mut self, stage: Stage) {
        self.core.hooks.round += 1;
        let left = std::mem::take(&mut self.core.hooks.holds);
        if let Some(drain) = &mut self.drain {
            drain.report.holds_left += left;
        }
        let hooks = std::mem::take(&mut self.core.hooks.hooks);
        let (mine, rest): (Vec<_>, _) = hooks.into_iter().partition(|(at, ..)| *at == stage);
        self.core.hooks.hooks = rest;
        for (_, index, name, hook) in mine {
            let Some(service) = self.services.get_mut(index as usize) else { continue };
            self.core.hooks.holds += 1;
            let hold = Hold { handle: self.handle.clone(), round: self.core.hooks.round };
            let sample = self.core.account.begin(Callback::Shutdown, index, None, || self.sys.now());
            let ran = contain(|| hook(service.as_any(), &mut self.core, hold));
            self.core.account.end(sample, || self.sys.now());
            if ran.is_none() {
                log::error!("task.panicked: the {stage:?} hook {name} of the shutdown panicked");
            }
        }
        // Holds that were dropped at once: no need to wait for their word.
        self.core.reached += self.handle.collect_let_go(&mut self.core.hooks);
    }

    fn close_doors(&mut self) {
        let (now, tell) = (self.core.now, self.core.turn + 1);
        if let Some(drain) = &mut self.drain {
            drain.report.before += drain.part(now);
            drain.state = State::During;
            drain.entered = self.handle.entered();
            drain.tell = tell;
        }
        self.core.draining = true;
        self.close_listeners();
        self.run_hooks(Stage::During);
        #[cfg(feature = "async")]
        self.core.tell_draining();
    }

    /// How long the loop may sleep for the drain's sake.
    pub(crate) fn drain_wait(&self) -> Option<Duration> {
        let drain = self.drain.as_ref()?;
        let goes_on = match drain.state {
            State::Before => self.core.hooks.holds == 0,
            State::During => drain.tell >= self.core.turn || self.is_drained(drain),
            State::After => !self.is_held(),
            State::Join => self.core.workers.is_over(),
        };
        Some(if goes_on { Duration::ZERO } else { drain.until - self.core.now })
    }

    /// Whether hooks or work on threads keep a stage from ending.
    fn is_held(&self) -> bool {
        // What other threads had entered when the doors closed still runs; what they enter since holds nobody.
        let posts = self.drain.as_ref().is_some_and(|d| self.core.reached < d.entered);
        self.core.hooks.holds > 0 || self.core.jobs > 0 || posts
    }

    /// Drops hooks of stages that were over when they were asked for.
    pub(super) fn forget_hooks(&mut self) {
        for (stage, _, name, hook) in std::mem::take(&mut self.core.hooks.hooks) {
            log::debug!("the {stage:?} hook {name} was not called");
            if contain(|| drop(hook)).is_none() {
                log::error!("task.panicked: the hook {name} of the shutdown panicked in its drop");
            }
        }
    }

    fn is_drained(&self, drain: &Drain) -> bool {
        self.held() == 0 && (drain.cut || !(self.is_held() || self.futures_wait()))
    }

    /// Connections that a drain waits for.
    fn held(&self) -> usize {
        self.core.services.iter().filter(|s| s.limits.hold_drain).map(|s| s.count as usize).sum()
    }

    /// A connection ended.
    pub(crate) fn note_end(&mut self, report: &Report) {
        if let Some(drain) = &mut self.drain {
            drain.report.note(report);
        }
    }

    /// Goes on with a drain; whether it has come to its end.
    pub(crate) fn go_on_draining(&mut self) -> bool {
        // One stage can end at once after the other; each is entered once.
        for _ in 0..4 {
            // Who was woken by what ended last has not gone on yet.
            let held = self.is_held() || self.futures_wait();
            let (now, turn, holds) = (self.core.now, self.core.turn, self.core.hooks.holds);
            let Some(drain) = &mut self.drain else { return false };
            let over = now >= drain.until;
            match drain.state {
                State::Before if over || holds == 0 => self.close_doors(),
                State::During => {
                    drain.cut |= over;
                    if turn == drain.tell || over {
                        self.tell_held(over);
                    }
                    match self.drain.as_ref() {
                        Some(drain) if self.is_drained(drain) => self.enter_after(),
                        _ => return false,
                    }
                }
                State::After if over || !held => self.enter_join(),
                State::Join if over || self.core.workers.is_over() => {
                    self.finish_drain();
                    return true;
                }
                State::Before | State::After | State::Join => return false,
            }
        }
        false
    }

    fn enter_after(&mut self) {
        let now = self.core.now;
        self.cancel_tasks();
        if let Some(drain) = &mut self.drain {
            drain.report.during += drain.part(now);
            drain.state = State::After;
        }
        self.run_hooks(Stage::After);
    }

    fn enter_join(&mut self) {
        // What is given back has nobody left who waits for it.
        let back = self.core.workers.shut_down();
        self.core.lose_fetches();
        self.core.jobs = self.core.jobs.saturating_sub(back.len());
        for job in back {
            contain(|| drop(job));
        }
        if let Some(drain) = &mut self.drain {
            drain.state = State::Join;
        }
    }

    fn finish_drain(&mut self) {
        // Who hears of a cancellation may ask for something new: it is cancelled too, and after some rounds unheard.
        for _ in 0..8 {
            self.cancel_tasks();
        }
        self.core.discard_tasks();
        #[cfg(feature = "async")]
        self.drop_cancelled();
        self.forget_hooks();
        self.refresh_clock();
        let now = self.core.now;
        let holds_left = std::mem::take(&mut self.core.hooks.holds);
        self.core.hooks.round += 1;
        let threads_left = self.core.workers.running();
        self.core.workers.reopen();
        // Work that is not done by now has nobody to come back to.
        self.core.jobs = 0;
        self.core.jobs_round = self.core.jobs_round.wrapping_add(1);
        // A wish to stop that came meanwhile is fulfilled: it must not end the next run.
        let posts_left = self.handle.forget_stop() + self.core.remote.len();
        if let Some(mut drain) = self.drain.take() {
            drain.report.after += drain.part(now);
            drain.report.ended = drain.stamp;
            drain.report.holds_left += holds_left;
            drain.report.threads_left = threads_left;
            drain.report.posts_left = posts_left;
            log::debug!("{}", drain.report);
            self.last_drain = Some(drain.report);
        }
        self.core.draining = false;
        self.core.grace_over = false;
        self.core.hooks.stopping = false;
    }

    /// Cancels every task that there is; who waits for a result hears it.
    fn cancel_tasks(&mut self) {
        let ids: Vec<_> = self.core.tasks.ids().collect();
        for id in ids {
            let Some(name) = self.core.tasks.get(id).map(|t| t.name) else { continue };
            if let Some(drain) = &mut self.drain
                && !self.core.tasks.is_settled(id)
            {
                drain.report.note_cancelled(name);
            }
            self.abandon_task(id);
        }
        #[cfg(feature = "async")]
        self.drop_cancelled();
    }

    /// Tells every connection that the drain waits for: to finish, or when time is `over`, that it is reset.
    fn tell_held(&mut self, over: bool) {
        self.core.grace_over |= over;
        let services = &self.core.services;
        let held = |l: &Link| services[l.service as usize].limits.hold_drain;
        let slots = self.core.links.iter().filter(|(_, l)| held(l)).map(|(slot, _)| slot as u32);
        let slots: Vec<u32> = slots.collect();
        for slot in slots {
            let link = self.core.link(slot);
            if over {
                self.core.fail(slot, &close::TCP_DRAINED, None, Some(Deadline::Drain));
            } else {
                // A whole request may wait in the kernel with its event not yet delivered: read first, then drain.
                if link.is_live() {
                    link.mark(Ready::READABLE);
                }
                link.set(DRAIN_DUE);
                self.core.enqueue(slot);
            }
        }
        self.reap_all();
    }
}
