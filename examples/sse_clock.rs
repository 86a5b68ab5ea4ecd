//! A clock as Server-Sent Events: `cargo run --features http --example sse_clock -- 127.0.0.1:8080`, then open
//! `http://127.0.0.1:8080` or `curl -N 127.0.0.1:8080/events`. A client that comes back is told what it missed.

use std::error::Error;
use std::time::Duration;

use tidemill::http::{Answer, Cx, Request, Response, Server, Ticket, sse::Event};
use tidemill::reactor::Reactor;

const TICK: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Clock {
    ticks: u64,
    listeners: Vec<Ticket>,
}

fn page(_: &mut Clock, _: &Request<'_>, _: &mut Cx<'_, Clock>) -> Response {
    Response::html(
        "<!doctype html><title>clock</title><h1 id=t>-</h1><script>\
         new EventSource('/events').addEventListener('tick', e => t.textContent = e.data)</script>",
    )
}

fn listen(clock: &mut Clock, request: &Request<'_>, cx: &mut Cx<'_, Clock>) -> Answer<Clock> {
    let ticket = cx.ticket();
    clock.listeners.push(ticket);
    cx.send_event(ticket, &Event::retry_after(Duration::from_secs(1)));
    if let Some(last) = request.last_event_id().and_then(|id| id.parse::<u64>().ok()) {
        let missed = clock.ticks.saturating_sub(last).to_string();
        cx.send_event(ticket, &Event::new(missed).name("missed"));
    }
    Answer::events().on_gone(move |clock: &mut Clock, _| clock.listeners.retain(|one| *one != ticket))
}

/// Tells all listeners. One that has no room for an event reads too slowly: it is ended, and comes back.
fn tick(clock: &mut Clock, cx: &mut Cx<'_, Clock>) {
    clock.ticks += 1;
    let text = format!("{} ticks, {} listen", clock.ticks, clock.listeners.len());
    let event = Event::new(text).name("tick").id(clock.ticks.to_string());
    clock.listeners.retain(|&one| match cx.send_event(one, &event) {
        Some(true) => true,
        Some(false) => {
            cx.end(one);
            false
        }
        None => false,
    });
}

fn main() -> Result<(), Box<dyn Error>> {
    let http = Server::new(Clock::default()).get("/", page).get("/events", listen).build()?;
    let mut reactor = Reactor::new(Default::default())?;
    let http = reactor.add(http);
    let at = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let listener = reactor.listen(http, &at.parse()?)?;
    reactor.with(http, |http, table| http.in_task(table, |_, cx| cx.every(TICK, tick)));
    println!("listening {} http", reactor.local(listener).ok_or("no listener")?);
    Ok(reactor.run()?)
}
