//! Uploads to a directory, in flat memory: `cargo run --features http --example upload -- 127.0.0.1:8080 DIR [MAX]`,
//! then `curl -T FILE 127.0.0.1:8080/files/`. Bytes are written by the reactor's pool; while four pieces wait there the
//! client has to wait too. A file has its name when it is whole and on the disk, and what does not become whole is
//! removed.

use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tidemill::http::{Answer, Cx, Flow, HttpConfig, Reply, Request, Response, Server, Sink, Ticket};
use tidemill::reactor::class::Class;
use tidemill::reactor::{Reactor, TaskError};

/// What one write takes; what may wait for its write is four times that.
const PIECE: usize = 256 * 1024;
const IN_FLIGHT_MAX: usize = 4;

struct App {
    dir: PathBuf,
    made: u64,
    uploads: HashMap<Ticket, Upload>,
}

/// A file on its way. Dropped before it is whole, it is removed.
struct Upload {
    file: Arc<File>,
    part: PathBuf,
    name: PathBuf,
    buffer: Vec<u8>,
    /// Bytes handed to the pool.
    at: u64,
    in_flight: usize,
    waits: bool,
    whole: bool,
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Renamed, it is not there any more.
        let _ = fs::remove_file(&self.part);
    }
}

impl App {
    fn begin(&mut self, request: &Request<'_>, cx: &mut Cx<'_, Self>) -> Result<Answer<Self>, Response> {
        // A name is one segment of the path and holds no slash. A dot in front is for our own files.
        let name = request.param("name").filter(|name| !name.starts_with('.')).ok_or(400u16)?;
        self.made += 1;
        let part = self.dir.join(format!(".{}-{}.part", std::process::id(), self.made));
        let file = Arc::new(File::options().write(true).create_new(true).open(&part).map_err(|_| 500u16)?);
        let name = self.dir.join(&*name);
        let buffer = Vec::with_capacity(PIECE);
        let upload = Upload { file, part, name, buffer, at: 0, in_flight: 0, waits: false, whole: false };
        let ticket = cx.ticket();
        self.uploads.insert(ticket, upload);
        let answer = Answer::sink(Taker(ticket));
        // Between the last byte and the answer there is no sink any more.
        Ok(answer.on_gone(move |app: &mut Self, _| drop(app.uploads.remove(&ticket))))
    }

    /// Hands the buffer to the pool.
    fn flush(&mut self, ticket: Ticket, cx: &mut Cx<'_, Self>) {
        let Some(upload) = self.uploads.get_mut(&ticket).filter(|upload| !upload.buffer.is_empty()) else {
            return;
        };
        let piece = std::mem::replace(&mut upload.buffer, Vec::with_capacity(PIECE));
        let (file, at) = (Arc::clone(&upload.file), upload.at);
        upload.at += piece.len() as u64;
        upload.in_flight += 1;
        let work = move || file.write_all_at(&piece, at);
        if cx.offload(work, move |app: &mut Self, result, cx| app.written(ticket, result, cx)).is_err() {
            self.fail(ticket, 503, cx);
        }
    }

    fn written(&mut self, ticket: Ticket, result: Result<io::Result<()>, TaskError>, cx: &mut Cx<'_, Self>) {
        let Some(upload) = self.uploads.get_mut(&ticket) else { return };
        upload.in_flight -= 1;
        if !matches!(result, Ok(Ok(()))) {
            return self.fail(ticket, 507, cx);
        }
        if std::mem::take(&mut upload.waits) {
            cx.wake(ticket);
        }
        self.finish(ticket, cx);
    }

    /// Gives the file its name, once everything is written.
    fn finish(&mut self, ticket: Ticket, cx: &mut Cx<'_, Self>) {
        let Some(upload) = self.uploads.get(&ticket).filter(|one| one.whole && one.in_flight == 0) else {
            return;
        };
        let (file, part, name) = (Arc::clone(&upload.file), upload.part.clone(), upload.name.clone());
        let (dir, size) = (self.dir.clone(), upload.at);
        let work = move || {
            file.sync_all()?;
            fs::rename(&part, &name)?;
            File::open(dir)?.sync_all()
        };
        let begun = cx.offload(work, move |app: &mut Self, result, cx| match result {
            Ok(Ok(())) => {
                app.uploads.remove(&ticket);
                cx.respond(ticket, Response::json(format!("{{\"size\":{size}}}\n")).with_status(201));
            }
            _ => app.fail(ticket, 507, cx),
        });
        if begun.is_err() {
            self.fail(ticket, 503, cx);
        }
    }

    fn fail(&mut self, ticket: Ticket, status: u16, cx: &mut Cx<'_, Self>) {
        self.uploads.remove(&ticket);
        cx.respond(ticket, status);
    }
}

/// The body of one upload.
struct Taker(Ticket);

impl Sink<App> for Taker {
    fn on_data(&mut self, app: &mut App, mut bytes: &[u8], cx: &mut Cx<'_, App>) -> Flow {
        while let Some(upload) = app.uploads.get_mut(&self.0).filter(|_| !bytes.is_empty()) {
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - upload.buffer.len()));
            upload.buffer.extend_from_slice(now);
            bytes = later;
            if upload.buffer.len() == PIECE {
                app.flush(self.0, cx);
            }
        }
        match app.uploads.get_mut(&self.0).filter(|upload| upload.in_flight >= IN_FLIGHT_MAX) {
            Some(upload) => {
                upload.waits = true;
                Flow::Wait
            }
            None => Flow::Go,
        }
    }

    fn on_end(self: Box<Self>, app: &mut App, reply: &mut Reply<'_, App>, cx: &mut Cx<'_, App>) {
        reply.later();
        app.flush(self.0, cx);
        if let Some(upload) = app.uploads.get_mut(&self.0) {
            upload.whole = true;
        }
        app.finish(self.0, cx);
    }

    fn on_gone(self: Box<Self>, app: &mut App, _: Option<&'static Class>, _: &mut Cx<'_, App>) {
        app.uploads.remove(&self.0);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let at = args.next().unwrap_or("127.0.0.1:8080".into());
    let dir = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let max = args.next().map_or(Ok(u64::MAX), |max| max.parse())?;
    let mut config = HttpConfig::default();
    // A slow disk may take its time for what the last bytes ask of it.
    config.answer_timeout = Some(Duration::from_secs(600));
    let app = App { dir: Path::new(&dir).canonicalize()?, made: 0, uploads: HashMap::new() };
    let http = Server::new(app).config(config).upload("/files/:name", App::begin).body_max(max).build()?;
    let mut reactor = Reactor::new(Default::default())?;
    let http = reactor.add(http);
    let listener = reactor.listen(http, &at.parse()?)?;
    println!("listening {} http", reactor.local(listener).ok_or("no listener")?);
    Ok(reactor.run()?)
}
