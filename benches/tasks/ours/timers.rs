//! Timers by `call_later`, `cancel` and `reset` of the table.

use std::thread;
use std::time::{Duration, Instant};

use tidemill::reactor::{Accepted, Ctx, Handler, Key, Reactor, Refuse, TaskId};

use crate::Done;
use crate::phases::{FIRES, MILLION, Phases, RESETS_A_TURN, scrambled};

/// What has fired; has no connections.
#[derive(Default)]
struct Fired {
    /// How often, by timer.
    each: Vec<u8>,
    left: usize,
    /// A timer that was cancelled or moved.
    wrong: usize,
}

impl Handler for Fired {
    type Conn = ();

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Err(Refuse::silent())
    }

    fn on_data(&mut self, _: &mut (), _: &mut Ctx<'_, Self>) {}
}

struct Bench {
    reactor: Reactor,
    key: Key<Fired>,
    scale: f64,
}

pub(crate) fn run(scale: f64) -> Done {
    let mut reactor = Reactor::new(Default::default())?;
    let key = reactor.add(Fired::default());
    let mut bench = Bench { reactor, key, scale };
    bench.set_and_cancel((MILLION * scale) as usize)?;
    bench.fire((FIRES * scale) as usize)?;
    bench.reset((MILLION * scale) as usize)?;
    assert_eq!(bench.reactor.with(key, |fired, _| fired.wrong), 0, "a cancelled timer fired");
    Ok(())
}

/// Spread over ten minutes, none of them due within a minute.
fn far(i: usize) -> Duration {
    Duration::from_millis(60_000 + scrambled(i) % 600_000)
}

/// Spread over 50 ms.
fn near(i: usize) -> Duration {
    Duration::from_millis(1 + scrambled(i) % 50)
}

impl Bench {
    /// One turn of the loop, without waiting.
    fn turn(&mut self) -> Done {
        self.reactor.turn(Some(Duration::ZERO))?;
        Ok(())
    }

    fn set_and_cancel(&mut self, n: usize) -> Done {
        let mut phases = Phases::new(["set", "cancel"], self.scale);
        while phases.more() {
            let began = Instant::now();
            let timers: Vec<TaskId> = self.reactor.with(self.key, |_, table| {
                let set = |i| table.call_later(far(i), move |fired: &mut Fired, _| fired.wrong += i);
                (1..=n).map(set).collect()
            });
            self.turn()?;
            phases.add(0, n, began);
            let began = Instant::now();
            let known = self
                .reactor
                .with(self.key, |_, table| timers.iter().filter(|timer| table.cancel(**timer)).count());
            self.turn()?;
            phases.add(1, n, began);
            assert_eq!(known, n, "each timer could be cancelled");
        }
        phases.print();
        Ok(())
    }

    fn fire(&mut self, n: usize) -> Done {
        let mut phases = Phases::new(["fire"], self.scale);
        while phases.more() {
            self.reactor.with(self.key, |fired, table| {
                (fired.each, fired.left) = (vec![0; n], n);
                for i in 0..n {
                    table.call_later(near(i), move |fired, _| {
                        fired.each[i] += 1;
                        fired.left -= 1;
                    });
                }
            });
            // All are due when the loop goes on, so that what is timed is firing and not waiting.
            thread::sleep(Duration::from_millis(60));
            let began = Instant::now();
            while self.reactor.with(self.key, |fired, _| fired.left) > 0 {
                self.reactor.turn(None)?;
            }
            phases.add(0, n, began);
            self.reactor.turn(Some(Duration::from_millis(2)))?;
            let once = self.reactor.with(self.key, |fired, _| fired.each.iter().all(|times| *times == 1));
            assert!(once, "each timer fires once");
        }
        phases.print();
        Ok(())
    }

    fn reset(&mut self, n: usize) -> Done {
        let mut phases = Phases::new(["reset"], self.scale);
        let minute = Duration::from_secs(60);
        let timer =
            self.reactor.with(self.key, |_, table| table.call_later(minute, |fired, _| fired.wrong += 1));
        while phases.more() {
            let began = Instant::now();
            for _ in 0..n / RESETS_A_TURN {
                let known = self.reactor.with(self.key, |_, table| {
                    (0..RESETS_A_TURN).filter(|_| table.reset(timer, minute)).count()
                });
                assert_eq!(known, RESETS_A_TURN, "the timer could be moved");
                self.turn()?;
            }
            phases.add(0, n, began);
        }
        assert!(self.reactor.with(self.key, |_, table| table.cancel(timer)), "the timer is still filed");
        phases.print();
        Ok(())
    }
}
