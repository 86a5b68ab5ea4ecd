//! The file service as an HTTP application: a request's path, method and conditions in, the file's answer out.

use std::io::IoSliceMut;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::io::{Errno, ReadWriteFlags};

use super::listing::Page;
use super::represent::{Representation, Seen};
use super::{
    AcceptEncoding, Body, Entry, Fields, Files, Lookup, Multipart, Plan, Verdict, error_page, evaluate, gzip,
    location, plan, relative_location, waiting,
};
use crate::proto::http1::encode::reason;
use crate::proto::http1::head::{Form, Head, Method};
use crate::proto::http1::{App, BodyPlan, Cx, Part, Reply, Request};
use crate::reactor::TaskError;

/// Parts of a file up to this size go out in one write with their head; larger ones by `sendfile`.
const TOGETHER_MAX: u64 = 16 * 1024;

/// Serves the files beneath a root.
#[derive(Debug)]
pub struct FileApp {
    files: Files,
}

impl FileApp {
    /// Serves `files`.
    pub const fn new(files: Files) -> Self {
        Self { files }
    }
}

impl App for FileApp {
    fn body_plan(&mut self, head: &Head<'_>) -> BodyPlan {
        // A method that is refused is refused before its body; GET and HEAD with a body have it skipped.
        if matches!(head.method, Method::Get | Method::Head) { BodyPlan::Skip } else { BodyPlan::Refuse }
    }

    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, _: &mut Cx<'_, Self>) {
        self.files.respond(request.head.path, request, reply);
    }
}

impl Files {
    /// Answers `request` with the file that `path` leads to: its own path as it came in, the end of it, from a slash on, when
    /// files are served under a prefix, or one that a rewriting put in its place. GET and HEAD are answered in full,
    /// `OPTIONS *` too, other methods with 405 or 501.
    ///
    /// Work that may take long is done with [`Reply::offload`]: then nothing is answered yet, and this is to be called
    /// anew with the same request. It keeps nothing between the calls but what any request may use, so that a request
    /// which is never put again leaves nothing behind.
    pub fn respond<S: 'static>(&mut self, path: &[u8], request: &Request<'_>, reply: &mut Reply<'_, S>) {
        let head = request.head;
        match head.method {
            Method::Get | Method::Head => {}
            Method::Options if head.form == Form::Asterisk => {
                return reply.send(204, &[("Allow", b"GET, HEAD")], b"");
            }
            Method::Other(_) => return page(reply, 501, &[]),
            Method::Post | Method::Put | Method::Delete | Method::Options => return not_allowed(reply),
            Method::Connect | Method::Trace | Method::Patch => return not_allowed(reply),
        }
        let found = match self.made(request, reply) {
            Made::Ready(entry) => return answer(&entry, request, reply),
            Made::Chosen(chosen, origin) => return self.send_chosen(chosen, &origin, true, request, reply),
            Made::Nothing => self.find(path, request, reply),
            // No thread could be had, or it came to grief: what can be had without one serves as well.
            Made::Refused(error) => {
                let found = self.lookup(path, request.turn, request.unix_time);
                if let Lookup::Found(entry) = &found {
                    return self.negotiate(entry, false, request, reply);
                }
                let is_cold = matches!(found, Lookup::Cold(_) | Lookup::Directory(_));
                Some(if is_cold { waiting::refused(error) } else { found })
            }
        };
        // Without an answer, a thread is looking: the request comes again.
        let Some(found) = found else { return };
        match found {
            Lookup::Found(entry) if entry.varies() => self.negotiate(&entry, true, request, reply),
            Lookup::Found(entry) => answer(&entry, request, reply),
            Lookup::Redirect(rel) => {
                let location = if path.len() == head.path.len() {
                    location(&rel, head.query)
                } else {
                    relative_location(&rel, head.query)
                };
                page(reply, 301, &[("Location", location.as_bytes())]);
            }
            Lookup::Listed(listing) => send_listing(&listing, request, reply),
            Lookup::NotFound | Lookup::Directory(_) => page(reply, 404, &[]),
            Lookup::Forbidden => page(reply, 403, &[]),
            Lookup::BadRequest => page(reply, 400, &[]),
            Lookup::Busy | Lookup::Cold(_) => page(reply, 503, &[("Retry-After", b"1")]),
            Lookup::Failed(e) => {
                log::error!("{} could not be read: {e}", path.escape_ascii());
                page(reply, 500, &[]);
            }
        }
    }

    /// What a thread made of an earlier call for this request.
    fn made<S: 'static>(&mut self, request: &Request<'_>, reply: &mut Reply<'_, S>) -> Made {
        if let Some(gzip) = &mut self.gzip {
            match reply.take_done::<gzip::Done>() {
                Some(Ok(done)) => return Made::Ready(gzip.finish(done)),
                Some(Err(error)) => return Made::Refused(error),
                None => {}
            }
        }
        if self.options.codings().is_empty() {
            return Made::Nothing;
        }
        match reply.take_done::<Seen>() {
            Some(Ok(seen)) => {
                let accept = AcceptEncoding::parse(request.head.field_all("accept-encoding"));
                let origin = Arc::clone(&seen.origin);
                Made::Chosen(self.seen(seen, &accept, request.turn), origin)
            }
            Some(Err(error)) => Made::Refused(error),
            None => Made::Nothing,
        }
    }

    /// Answers with the representation of `origin` that the client likes best of those that can be had. `may_offload`:
    /// a thread may be asked for it.
    fn negotiate<S: 'static>(
        &mut self,
        origin: &Arc<Entry>,
        may_offload: bool,
        request: &Request<'_>,
        reply: &mut Reply<'_, S>,
    ) {
        let accept = AcceptEncoding::parse(request.head.field_all("accept-encoding"));
        if accept.is_plain() || !origin.varies() {
            return answer(origin, request, reply);
        }
        let chosen = self.represent(origin, &accept, request.turn, request.unix_time);
        self.send_chosen(chosen, origin, may_offload, request, reply);
    }

    fn send_chosen<S: 'static>(
        &mut self,
        chosen: Representation,
        origin: &Arc<Entry>,
        may_offload: bool,
        request: &Request<'_>,
        reply: &mut Reply<'_, S>,
    ) {
        match chosen {
            Representation::Ready(entry) => answer(&entry, request, reply),
            Representation::Beside(look) if may_offload => reply.offload(move || look.run()),
            Representation::Beside(_) => answer(origin, request, reply),
            Representation::Gzip if self.is_current(origin, request, reply) => {}
            Representation::Gzip => {
                // A part of a file that may change without a trace would be a part of nobody knows what.
                let is_sure = origin.validators().is_strong() || request.head.field("range").is_none();
                let gzip = self.gzip.as_mut().filter(|_| is_sure && may_offload);
                match gzip.and_then(|gzip| gzip.start(origin)) {
                    Some(job) => reply.offload(move || job.run()),
                    None => answer(origin, request, reply),
                }
            }
        }
    }

    /// Whether the client has the compressed form of `origin` already, which its tag tells without compressing it
    /// again: then it is answered 304.
    fn is_current<S: 'static>(
        &self,
        origin: &Arc<Entry>,
        request: &Request<'_>,
        reply: &mut Reply<'_, S>,
    ) -> bool {
        let (head, Some(config)) = (request.head, self.options.gzip_config()) else { return false };
        let Some(listed) = head.field("if-none-match") else { return false };
        let bare = Entry::gzipped(origin, Arc::new([]), &config.mark());
        let is_head = head.method == Method::Head;
        let fields = Fields::from_lines(head.fields(), request.unix_time);
        let is_fresh = plan(is_head, 0, bare.validators(), &fields) == Plan::NotModified;
        // `*` is true of any representation, also of the original, which may be what there will be.
        if !is_fresh || listed.trim_ascii() == b"*" {
            return false;
        }
        reply.file_head(304, bare.fields_not_modified());
        true
    }
}

/// What came of a thread's work for this request.
enum Made {
    /// None was asked for.
    Nothing,
    /// It was not done.
    Refused(TaskError),
    /// This is to be sent.
    Ready(Arc<Entry>),
    /// This is to be done next, of this original.
    Chosen(Representation, Arc<Entry>),
}

fn send_listing<S: 'static>(listing: &Page, request: &Request<'_>, reply: &mut Reply<'_, S>) {
    let fields = Fields::from_lines(request.head.fields(), request.unix_time);
    match evaluate(&request.head.method, &fields, Some(listing.validators())) {
        Verdict::PreconditionFailed => page(reply, 412, &[]),
        Verdict::NotModified => reply.file_head(304, listing.lines_not_modified()),
        // A page that is made anew for each has no parts.
        Verdict::Proceed { .. } => {
            reply.shared(200, &listing.lines, &listing.body, 0..listing.body.len());
        }
    }
}

fn not_allowed<S: 'static>(reply: &mut Reply<'_, S>) {
    page(reply, 405, &[("Allow", b"GET, HEAD")]);
}

fn page<S: 'static>(reply: &mut Reply<'_, S>, status: u16, fields: &[(&str, &[u8])]) {
    let body = error_page(status, reason(status));
    let mut all: Vec<(&str, &[u8])> = vec![("Content-Type", b"text/html; charset=utf-8")];
    all.extend_from_slice(fields);
    reply.send(status, &all, body.as_bytes());
}

fn answer<S: 'static>(entry: &Entry, request: &Request<'_>, reply: &mut Reply<'_, S>) {
    let is_head = request.head.method == Method::Head;
    let fields = Fields::from_lines(request.head.fields(), request.unix_time);
    match plan(is_head, entry.size(), entry.validators(), &fields) {
        Plan::Full { len } => send(entry, 200, entry.fields_full(), 0..len, is_head, reply),
        Plan::NotModified => reply.file_head(304, entry.fields_not_modified()),
        Plan::PreconditionFailed => failed(entry, reply),
        part @ Plan::Partial { .. } => {
            let range = part.bytes();
            let mut lines = entry.fields_partial().to_vec();
            content_range(&mut lines, &part);
            push_field(&mut lines, "Content-Length", &(range.end - range.start).to_string());
            send(entry, 206, &lines, range, is_head, reply);
        }
        // `Content-Encoding` before several parts would be read as that of the parts' frame.
        Plan::Parts { total, .. } if entry.coding().is_some() => {
            send(entry, 200, entry.fields_full(), 0..total, is_head, reply);
        }
        Plan::Parts { parts, total } => {
            match Multipart::new(&parts, total, entry.content_type(), entry.validators().etag()) {
                Some(multipart) => send_parts(entry, &multipart, reply),
                None => send(entry, 200, entry.fields_full(), 0..total, is_head, reply),
            }
        }
        bad @ Plan::Unsatisfiable { .. } => {
            let value = bad.content_range().unwrap_or_default();
            let fields: [(&str, &[u8]); 3] = [
                ("Content-Range", value.as_bytes()),
                ("Accept-Ranges", b"bytes"),
                ("Vary", b"Accept-Encoding"),
            ];
            page(reply, 416, fields.get(..2 + usize::from(entry.varies())).unwrap_or(&fields));
        }
    }
}

/// 412 tells the client the validators of what is there.
fn failed<S: 'static>(entry: &Entry, reply: &mut Reply<'_, S>) {
    let date = entry.validators().last_modified();
    let mut fields = vec![("ETag", entry.validators().etag().as_bytes())];
    fields.extend(date.as_ref().map(|date| ("Last-Modified", date.as_bytes())));
    fields.extend(entry.varies().then_some(("Vary", &b"Accept-Encoding"[..])));
    page(reply, 412, &fields);
}

/// 206 with several parts. The fields are those of one part, but for the type, which each part has in its own head.
fn send_parts<S: 'static>(entry: &Entry, multipart: &Multipart, reply: &mut Reply<'_, S>) {
    let mut lines = Vec::with_capacity(512);
    for line in entry.fields_partial().split_inclusive(|&b| b == b'\n') {
        let is_type = line.get(..13).is_some_and(|name| name.eq_ignore_ascii_case(b"content-type:"));
        lines.extend_from_slice(if is_type { b"" } else { line });
    }
    push_field(&mut lines, "Content-Type", &multipart.content_type());
    push_field(&mut lines, "Content-Length", &multipart.content_length().to_string());
    match entry.body() {
        Body::Bytes(bytes) => match multipart.body(bytes) {
            Some(body) => {
                let len = body.len();
                reply.shared(206, &lines, &body.into(), 0..len);
            }
            None => page(reply, 500, &[]),
        },
        Body::File(file) => {
            let mut parts = Vec::with_capacity(multipart.parts().len() * 2 + 1);
            for (head, range) in multipart.parts() {
                parts.push(Part::Bytes(head.as_bytes().to_vec()));
                parts.push(Part::File(Arc::clone(file), range.clone()));
            }
            parts.push(Part::Bytes(multipart.end().as_bytes().to_vec()));
            reply.parts(206, &lines, parts);
        }
    }
}

fn send<S: 'static>(
    entry: &Entry,
    status: u16,
    lines: &[u8],
    range: std::ops::Range<u64>,
    is_head: bool,
    reply: &mut Reply<'_, S>,
) {
    match entry.body() {
        Body::Bytes(bytes) => {
            let clip = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
            reply.shared(status, lines, bytes, clip(range.start)..clip(range.end));
        }
        Body::File(file) => {
            let len = range.end - range.start;
            if is_head || len > TOGETHER_MAX {
                reply.file(status, lines, file, range);
                return;
            }
            // A small part of a large file: one read and one write cost less than a separate sendfile.
            let mut part = vec![0; len as usize];
            match read_exact_at(file.as_fd(), &mut part, range.start) {
                // Its bytes are on the disk, or the file system does not tell: they are read in before they are sent.
                Err(e) if matches!(Errno::from_io_error(&e), Some(Errno::AGAIN | Errno::OPNOTSUPP)) => {
                    reply.file(status, lines, file, range);
                }
                Ok(()) => reply.shared(status, lines, &part.into(), 0..len as usize),
                Err(e) => {
                    log::error!("a file could not be read: {e}");
                    page(reply, 500, &[]);
                }
            }
        }
    }
}

/// Reads what is in memory, and fails with `EAGAIN` for what is not.
fn read_exact_at(file: std::os::fd::BorrowedFd<'_>, into: &mut [u8], offset: u64) -> std::io::Result<()> {
    let mut done = 0;
    while done < into.len() {
        let rest = &mut [IoSliceMut::new(&mut into[done..])];
        match rustix::io::preadv2(file, rest, offset + done as u64, ReadWriteFlags::NOWAIT) {
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => done += n,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn content_range(lines: &mut Vec<u8>, plan: &Plan) {
    if let Some(value) = plan.content_range() {
        push_field(lines, "Content-Range", &value);
    }
}

fn push_field(lines: &mut Vec<u8>, name: &str, value: &str) {
    lines.extend_from_slice(name.as_bytes());
    lines.extend_from_slice(b": ");
    lines.extend_from_slice(value.as_bytes());
    lines.extend_from_slice(b"\r\n");
}
