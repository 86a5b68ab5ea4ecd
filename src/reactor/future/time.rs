//! Time: sleeping, bounds on how long a future may take, beats, and stepping aside for others.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use super::local;
use super::state::{DrainWaiter, Futures, Leftover, Sleeper};
use super::task::{NotSend, OUTSIDE};
use crate::reactor::core::Core;
use crate::reactor::shutdown::Hold;
use crate::reactor::task::{Missed, TaskError};
use crate::reactor::time::Time;

/// Waits for a point in time; see [`sleep`].
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    tag: u64,
    slot: Option<u32>,
    after: Duration,
    /// Known from the first moment within a poll.
    until: Option<Time>,
    /// It steps aside once, however short it is.
    yields: bool,
    _here: NotSend,
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("until", &self.until).finish_non_exhaustive()
    }
}

/// Waits for `d`, counted from this call, or from the first poll where it is called outside of one. Never early, and
/// about a millisecond late where the loop is free. A sleep of no time steps aside as [`yield_now`] does. A sleep that
/// is dropped is cancelled in O(1).
///
/// # Panics
/// When it is polled outside its reactor.
pub fn sleep(d: Duration) -> Sleep {
    Sleep { yields: d.is_zero(), ..bound(d) }
}

/// A sleep that is over at once when `d` is no time.
fn bound(d: Duration) -> Sleep {
    let until = local::with_any(|core| core.now + d);
    Sleep { tag: 0, slot: None, after: d, until, yields: false, _here: std::marker::PhantomData }
}

/// Waits until a point in time; not at all if it has passed. Otherwise as [`sleep`].
///
/// # Panics
/// When it is polled outside its reactor.
pub fn sleep_until(until: Time) -> Sleep {
    let after = Duration::ZERO;
    Sleep { tag: 0, slot: None, after, until: Some(until), yields: false, _here: std::marker::PhantomData }
}

impl Sleep {
    fn poll_in(&mut self, core: &mut Core, cx: &Context<'_>) -> Poll<()> {
        let now = core.now;
        let until = *self.until.get_or_insert(now + self.after);
        if until <= now {
            if let Some(slot) = self.slot.take() {
                core.futures.forget_sleeper(slot);
            }
            return Poll::Ready(());
        }
        let futures = &mut core.futures;
        let slot = match self.slot {
            Some(slot) => slot,
            None => {
                let slot = futures.sleepers.insert(Sleeper { due: until, waker: None }) as u32;
                self.slot = Some(slot);
                futures.file(slot, until, now);
                slot
            }
        };
        if let Some(sleeper) = futures.sleepers.get_mut(slot as usize) {
            Futures::register(&mut sleeper.waker, cx, &mut futures.trash);
        }
        Poll::Pending
    }
}

impl Future for Sleep {
    type Output = ();

    #[allow(clippy::expect_used, reason = "polled outside its reactor: a programmer's error")]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.tag == 0 {
            self.tag = local::tag();
        }
        if std::mem::take(&mut self.yields) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        local::with(self.tag, |core| self.poll_in(core, cx)).expect(OUTSIDE)
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            local::give_back(self.tag, Leftover::Sleeper(slot));
        }
    }
}

/// Awaits `future` for at most `limit`. The future is polled first, so a value that is there always wins; the loser is
/// dropped.
///
/// # Errors
/// [`TaskError::TimedOut`].
///
/// # Panics
/// When it is polled outside its reactor.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, TaskError> {
    let mut future = pin!(future);
    let mut limit = pin!(bound(limit));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        limit.as_mut().poll(cx).map(|()| Err(TaskError::TimedOut))
    })
    .await
}

/// A beat; see [`interval`].
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    missed: Missed,
    next: Sleep,
}

/// A beat of `period` (at least a millisecond), the first one a period from now. It does not drift by what happens
/// between the ticks; `missed` says what becomes of ticks for which nobody waited in time.
pub fn interval(period: Duration, missed: Missed) -> Interval {
    let period = period.max(Duration::from_millis(1));
    Interval { period, missed, next: sleep(period) }
}

impl Interval {
    /// Waits for the next tick, and says for when it was due.
    ///
    /// # Panics
    /// When it is polled outside its reactor.
    pub async fn tick(&mut self) -> Time {
        (&mut self.next).await;
        let due = self.next.until.unwrap_or_default();
        let now = now().unwrap_or(due);
        let mut next = due + self.period;
        if self.missed == Missed::Skip && next <= now {
            let beats = now.since(due) / self.period.as_nanos().max(1) as u64;
            let skipped = self.period.saturating_mul(u32::try_from(beats).unwrap_or(u32::MAX));
            next = due + skipped + self.period;
        }
        self.next = sleep_until(next);
        due
    }
}

/// The reactor's stamp: when this poll, or what came before it, was stamped. `None` outside a poll.
pub fn now() -> Option<Time> {
    local::with_any(|core| core.now)
}

/// Lets everybody else go first: goes on in the next turn.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits until the reactor is told to stop; see [`Reactor::stop`](crate::reactor::Reactor::stop).
#[must_use = "it does nothing unless it is awaited"]
pub struct Draining {
    tag: u64,
    slot: Option<u32>,
    _here: NotSend,
}

impl fmt::Debug for Draining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Draining")
    }
}

/// Waits until the reactor drains: its listeners are closed, and what is under way is to be finished. The [`Hold`] keeps
/// the drain from ending, within its grace, until it is dropped. A future that was woken holds it too, until it waits
/// again: who awaits the end of the last connection hears of it. At the end of the drain every task that is not done is
/// cancelled.
///
/// # Panics
/// When it is polled outside its reactor.
pub fn draining() -> Draining {
    Draining { tag: 0, slot: None, _here: std::marker::PhantomData }
}

impl Future for Draining {
    type Output = Hold;

    #[allow(clippy::expect_used, reason = "polled outside its reactor: a programmer's error")]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Hold> {
        if self.tag == 0 {
            self.tag = local::tag();
        }
        let polled = local::with(self.tag, |core| {
            let futures = &mut core.futures;
            let insert = || futures.drain_waiters.insert(DrainWaiter::default()) as u32;
            let slot = *self.slot.get_or_insert_with(insert);
            if let Some(waiter) = futures.drain_waiters.get_mut(slot as usize) {
                if let Some(hold) = waiter.hold.take() {
                    return Poll::Ready(hold);
                }
                if !core.draining {
                    Futures::register(&mut waiter.waker, cx, &mut futures.trash);
                    return Poll::Pending;
                }
            }
            Poll::Ready(core.hold())
        });
        polled.expect(OUTSIDE)
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            local::give_back(self.tag, Leftover::DrainWaiter(slot));
        }
    }
}
