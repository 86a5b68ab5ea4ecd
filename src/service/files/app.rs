//! The file service as an HTTP application: a request's path, method and conditions in, the file's answer out.

use std::os::fd::AsFd;

use super::{Body, Entry, Fields, Files, Lookup, Plan, error_page, location, plan, relative_location};
use crate::proto::http1::encode::reason;
use crate::proto::http1::head::{Form, Head, Method};
use crate::proto::http1::{App, BodyPlan, Cx, Reply, Request};

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
        match self.lookup(path, request.turn, request.unix_time) {
            Lookup::Found(entry) => answer(&entry, head, reply),
            Lookup::Redirect(rel) => {
                let location = if path.len() == head.path.len() {
                    location(&rel, head.query)
                } else {
                    relative_location(&rel, head.query)
                };
                page(reply, 301, &[("Location", location.as_bytes())]);
            }
            Lookup::NotFound => page(reply, 404, &[]),
            Lookup::Forbidden => page(reply, 403, &[]),
            Lookup::BadRequest => page(reply, 400, &[]),
            Lookup::Busy => page(reply, 503, &[("Retry-After", b"1")]),
            Lookup::Failed(e) => {
                log::error!("{} could not be read: {e}", head.path.escape_ascii());
                page(reply, 500, &[]);
            }
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

fn answer<S: 'static>(entry: &Entry, head: &Head<'_>, reply: &mut Reply<'_, S>) {
    let is_head = head.method == Method::Head;
    let mut tags = Vec::new();
    let fields = conditions(head, &mut tags);
    match plan(is_head, entry.size(), entry.validators(), &fields) {
        Plan::Full { len } => send(entry, 200, entry.fields_full(), 0..len, is_head, reply),
        Plan::NotModified => reply.file_head(304, entry.fields_not_modified()),
        part @ Plan::Partial { .. } => {
            let range = part.bytes();
            let mut lines = entry.fields_partial().to_vec();
            content_range(&mut lines, &part);
            push_field(&mut lines, "Content-Length", &(range.end - range.start).to_string());
            send(entry, 206, &lines, range, is_head, reply);
        }
        bad @ Plan::Unsatisfiable { .. } => {
            let value = bad.content_range().unwrap_or_default();
            page(reply, 416, &[("Content-Range", value.as_bytes()), ("Accept-Ranges", b"bytes")]);
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
                Ok(()) => reply.shared(status, lines, &part.into(), 0..len as usize),
                Err(e) => {
                    log::error!("a file could not be read: {e}");
                    page(reply, 500, &[]);
                }
            }
        }
    }
}

fn read_exact_at(file: std::os::fd::BorrowedFd<'_>, into: &mut [u8], offset: u64) -> std::io::Result<()> {
    let mut done = 0;
    while done < into.len() {
        match rustix::io::pread(file, &mut into[done..], offset + done as u64) {
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => done += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// The request's conditions. A list may come in several lines, which are joined; a field that may come once and
/// comes twice counts as absent.
fn conditions<'a>(head: &Head<'a>, tags: &'a mut Vec<u8>) -> Fields<'a> {
    let mut f = Fields::default();
    let (mut tag_lines, mut twice) = (0, [0u8; 3]);
    for (name, value) in head.fields() {
        let name = name.as_bytes();
        // Most requests have none of these: the length and the first letter tell in one comparison.
        match (name.len(), name.first().map(u8::to_ascii_lowercase)) {
            (5, Some(b'r')) if name.eq_ignore_ascii_case(b"range") => {
                twice[0] += 1;
                f.range = Some(value);
            }
            (8, Some(b'i')) if name.eq_ignore_ascii_case(b"if-range") => {
                twice[1] += 1;
                f.if_range = Some(value);
            }
            (13, Some(b'i')) if name.eq_ignore_ascii_case(b"if-none-match") => {
                tag_lines += 1;
                f.if_none_match = Some(value);
            }
            (17, Some(b'i')) if name.eq_ignore_ascii_case(b"if-modified-since") => {
                twice[2] += 1;
                f.if_modified_since = Some(value);
            }
            _ => {}
        }
    }
    let [range, if_range, since] = twice.map(|n| n > 1);
    f.range = f.range.filter(|_| !range && !if_range);
    f.if_range = f.if_range.filter(|_| !if_range);
    f.if_modified_since = f.if_modified_since.filter(|_| !since);
    if tag_lines > 1 {
        for value in head.field_all("if-none-match") {
            if !tags.is_empty() {
                tags.push(b',');
            }
            tags.extend_from_slice(value);
        }
        f.if_none_match = Some(tags);
    }
    f
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
