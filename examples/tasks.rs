//! Work that is no connection: a beat, work on threads, results with a limit, and an orderly end. It ends by itself.
//! `cargo run --example tasks`.
//!
//! A station reads its gauge every 5 ms. After five readings it asks three harbours for their tide. Two work it out on
//! threads, the third never answers, and the limit says so. Then the reactor is told to stop: a first hook keeps it
//! going until the readings are saved, a last one says goodbye.

use std::time::Duration;

use tidemill::reactor::{
    Accepted, Completer, Config, Ctx, Handler, Hold, Missed, Reactor, Refuse, Stage, Table, TaskError,
    TaskReport,
};

/// How long the harbours may take, in all.
const LIMIT: Duration = Duration::from_millis(500);

/// How long the program may take to end.
const GRACE: Duration = Duration::from_secs(5);

const HARBOURS: [&str; 3] = ["Dover", "Calais", "Ostend"];

#[derive(Default)]
struct Station {
    levels: Vec<u32>,
    /// The question that nobody answers. Dropped, it would be an answer: that there is none.
    silent: Option<Completer<u32>>,
}

impl Handler for Station {
    type Conn = ();

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Err(Refuse::silent())
    }

    fn on_data(&mut self, _: &mut (), _: &mut Ctx<'_, Self>) {}

    /// What goes wrong where nobody waits for a result.
    fn on_task_error(&mut self, report: &TaskReport, _: &mut Table<'_, Self>) {
        println!("error: {report}");
    }
}

impl Station {
    fn read_gauge(&mut self, table: &mut Table<'_, Self>) {
        let n = self.levels.len() as u32 + 1;
        self.levels.push(200 + 3 * n);
        println!("reading {n}");
        if n == 5 {
            if let Some(beat) = table.current_task() {
                table.cancel(beat);
            }
            self.ask_harbours(table);
        }
    }

    fn ask_harbours(&mut self, table: &mut Table<'_, Self>) {
        let (_, parts) = table.join(HARBOURS.len(), Some(LIMIT), Self::hear_harbours);
        for (part, harbour) in parts.into_iter().zip(HARBOURS) {
            if harbour == "Ostend" {
                self.silent = Some(part);
            } else if table.offload_into(part, move || work_out(harbour)).is_err() {
                // Its completer was dropped with the answer, so the join knows.
                println!("{harbour}: no thread has time for it");
            }
        }
    }

    /// Called once: when all have answered, or the limit is over.
    fn hear_harbours(&mut self, tides: Vec<Result<u32, TaskError>>, table: &mut Table<'_, Self>) {
        for (harbour, tide) in HARBOURS.into_iter().zip(tides) {
            match tide {
                Ok(minute) => println!("{harbour}: high tide at {:02}:{:02}", minute / 60, minute % 60),
                Err(e) => println!("{harbour}: {}", e.class()),
            }
        }
        table.handle().stop(GRACE);
    }

    /// Before anything closes. The stage lasts until `hold` is dropped, which the task's end does, however it ends.
    fn save(&mut self, table: &mut Table<'_, Self>, hold: Hold) {
        let levels = self.levels.clone();
        println!("stopping: {} readings to save", levels.len());
        let saving = table.offload(
            move || levels.iter().sum::<u32>(), // a disk, in a real station
            move |_, saved, _| {
                println!("saved: {saved:?} cm in all");
                drop(hold);
            },
        );
        if let Err(e) = saving {
            println!("not saved: {e}");
        }
    }
}

/// Minutes after midnight at which the water is highest, the long way.
fn work_out(harbour: &str) -> u32 {
    let mean = harbour.bytes().map(u32::from).sum::<u32>();
    let height = |minute: &u32| (minute + mean) * (1440 - minute) % 997;
    (0..1440).max_by_key(height).unwrap_or(0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut reactor = Reactor::new(Config::default())?;
    let station = reactor.add(Station::default());
    reactor.at_shutdown(station, Stage::Before, Station::save);
    reactor.at_shutdown(station, Stage::After, |_, _, _| println!("nothing is left to do"));
    reactor.with(station, |_, table| {
        table.every(Duration::from_millis(5), Missed::Skip, Station::read_gauge);
    });
    reactor.run()?;
    println!("{}", reactor.last_drain().ok_or("it has not stopped")?);
    Ok(())
}
