//! The file service as an HTTP application: a request's path, method and conditions in, the file's answer out.

use std::io::IoSliceMut;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::io::{Errno, ReadWriteFlags};

use super::listing::Page;
use super::{
    Body, Entry, Fields, Files, Lookup, Multipart, Plan, error_page, location, plan, relative_location,
};
use crate::proto::http1::encode::reason;
use crate::proto::http1::head::{Form, Head, Method};
use crate::proto::http1::{App, BodyPlan, Cx, Part, Reply, Request};

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
    /// Answers a request with the file that `path` names beneath the root: the request's own path, or the end of it,
    /// from a slash on, when files are served under a prefix.
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
        // Without an answer, a thread is looking: the request comes again.
        let Some(found) = self.find(path, request, reply) else { return };
        match found {
            Lookup::Found(entry) => answer(&entry, request, reply),
            Lookup::Redirect(rel) => {
                let location = if path.len() == head.path.len() {
                    location(&rel, head.query)
                } else {
                    relative_location(&rel, head.query)
                };
                page(reply, 301, &[("Location", location.as_bytes())]);
            }
            Lookup::Listed(listing) => send_listing(&listing, head, reply),
            Lookup::NotFound | Lookup::Directory(_) => page(reply, 404, &[]),
            Lookup::Forbidden => page(reply, 403, &[]),
            Lookup::BadRequest => page(reply, 400, &[]),
            Lookup::Busy | Lookup::Cold(_) => page(reply, 503, &[("Retry-After", b"1")]),
            Lookup::Failed(e) => {
                log::error!("{} could not be read: {e}", head.path.escape_ascii());
                page(reply, 500, &[]);
            }
        }
    }
}

fn send_listing<S: 'static>(listing: &Page, head: &Head<'_>, reply: &mut Reply<'_, S>) {
    if head.field_all("if-none-match").any(|value| listing.is_current(value)) {
        return reply.file_head(304, listing.lines_not_modified());
    }
    reply.shared(200, &listing.lines, &listing.body, 0..listing.body.len());
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
        Plan::Parts { parts, total } => {
            match Multipart::new(&parts, total, entry.content_type(), entry.validators().etag()) {
                Some(multipart) => send_parts(entry, &multipart, reply),
                None => send(entry, 200, entry.fields_full(), 0..total, is_head, reply),
            }
        }
        bad @ Plan::Unsatisfiable { .. } => {
            let value = bad.content_range().unwrap_or_default();
            page(reply, 416, &[("Content-Range", value.as_bytes()), ("Accept-Ranges", b"bytes")]);
        }
    }
}

/// 412 tells the client the validators of what is there.
fn failed<S: 'static>(entry: &Entry, reply: &mut Reply<'_, S>) {
    let date = entry.validators().last_modified();
    let mut fields = vec![("ETag", entry.validators().etag().as_bytes())];
    fields.extend(date.as_ref().map(|date| ("Last-Modified", date.as_bytes())));
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
