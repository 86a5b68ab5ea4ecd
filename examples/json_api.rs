//! A JSON API whose work is deferred in three ways: `cargo run --features http --example json_api -- 127.0.0.1:8080`.
//!
//! | | |
//! |---|---|
//! | `GET /notes`, `POST /notes` (the body is the text), `GET` and `DELETE /notes/ID` | at once |
//! | `GET /notes/ID/next` | when the next note is made, or after 2 s: a timer, and another request's call |
//! | `GET /notes/ID/digest` | from a thread of the reactor's pool |
//! | `GET /notes/ID/upper` | from a thread of the program's own, which knows nothing of HTTP |

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::mpsc;
use std::time::Duration;

use tidemill::http::{Answer, Cx, Request, Responder, Response, Server, Ticket};
use tidemill::reactor::Reactor;

struct App {
    notes: BTreeMap<u64, String>,
    next: u64,
    /// Requests that wait for the next note.
    waiting: Vec<Ticket>,
    /// The program's own thread.
    clerk: mpsc::Sender<(String, Responder)>,
}

type Result<T> = std::result::Result<T, u16>;

fn quote(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out + "\""
}

fn json(id: u64, text: &str) -> Response {
    Response::json(format!("{{\"id\":{id},\"text\":{}}}\n", quote(text)))
}

impl App {
    fn note(&self, request: &Request<'_>) -> Result<(u64, &str)> {
        let id = request.param("id").and_then(|id| id.parse().ok()).ok_or(400u16)?;
        Ok((id, self.notes.get(&id).ok_or(404u16)?))
    }

    fn make(&mut self, request: &Request<'_>, cx: &mut Cx<'_, Self>) -> Result<Response> {
        let text = request.text().ok_or(415u16)?.to_owned();
        self.next += 1;
        let id = self.next;
        for ticket in std::mem::take(&mut self.waiting) {
            cx.respond(ticket, json(id, &text));
        }
        let made = json(id, &text).with_status(201).field("Location", format!("/notes/{id}"));
        self.notes.insert(id, text);
        Ok(made)
    }

    fn list(&mut self, _: &Request<'_>, _: &mut Cx<'_, Self>) -> Response {
        let notes: Vec<String> =
            self.notes.iter().map(|(id, text)| format!("{{\"id\":{id},\"text\":{}}}", quote(text))).collect();
        Response::json(format!("[{}]\n", notes.join(",")))
    }

    fn wait(&mut self, request: &Request<'_>, cx: &mut Cx<'_, Self>) -> Result<Answer<Self>> {
        self.note(request)?;
        let ticket = cx.ticket();
        self.waiting.push(ticket);
        cx.call_later(Duration::from_secs(2), move |app, cx| {
            app.waiting.retain(|one| *one != ticket);
            // False if there was a note: the first answer counts.
            cx.respond(ticket, 204);
        });
        Ok(Answer::later().on_gone(move |app: &mut Self, _| app.waiting.retain(|one| *one != ticket)))
    }

    fn digest(&mut self, request: &Request<'_>, _: &mut Cx<'_, Self>) -> Result<Answer<Self>> {
        let (id, text) = self.note(request)?;
        let text = text.to_owned();
        let digest = move || text.bytes().fold(0u64, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
        Ok(Answer::offload(digest, move |_, sum, _| json(id, &format!("{sum:x}"))))
    }

    fn upper(&mut self, request: &Request<'_>, cx: &mut Cx<'_, Self>) -> Result<Answer<Self>> {
        let text = self.note(request)?.1.to_owned();
        let responder = cx.responder(cx.ticket());
        // A responder that is dropped answers 500: a thread that is gone leaves nobody waiting.
        let _ = self.clerk.send((text, responder));
        Ok(Answer::later())
    }
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let (clerk, orders) = mpsc::channel::<(String, Responder)>();
    std::thread::spawn(move || {
        for (text, responder) in orders {
            responder.send(Response::json(quote(&text.to_uppercase()) + "\n"));
        }
    });
    let app = App { notes: BTreeMap::new(), next: 0, waiting: Vec::new(), clerk };
    let http = Server::new(app)
        .get("/notes", App::list)
        .post("/notes", App::make)
        .body_max(64 * 1024)
        .get("/notes/:id", |app, request, _| app.note(request).map(|(id, text)| json(id, text)))
        .delete("/notes/:id", |app, request, _| {
            let (id, _) = app.note(request)?;
            app.notes.remove(&id);
            Result::Ok(204)
        })
        .get("/notes/:id/next", App::wait)
        .get("/notes/:id/digest", App::digest)
        .get("/notes/:id/upper", App::upper)
        .build()?;
    let mut reactor = Reactor::new(Default::default())?;
    let http = reactor.add(http);
    let at = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let listener = reactor.listen(http, &at.parse()?)?;
    println!("listening {} http", reactor.local(listener).ok_or("no listener")?);
    Ok(reactor.run()?)
}
