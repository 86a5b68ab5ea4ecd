//! What stands between an answer and its application, for services that pass requests on to others: fields that are
//! taken out of whatever head is written, and errors that come back to be answered otherwise.

use std::any::Any;

use super::Reply;
use crate::proto::http1::encode::HeadWriter;

/// An error, or a redirect to a directory, that was to be sent while errors are caught.
#[derive(Debug, Clone)]
pub(crate) struct Caught {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

/// Made by the first who asks for it, so that answers without it cost nothing.
#[derive(Debug, Default)]
pub(in crate::proto::http1) struct Edits {
    drop: Vec<String>,
    catching: bool,
    stage: u8,
    caught: Option<Caught>,
}

/// What a thread made, with the stage in which it was asked.
struct Staged {
    stage: u8,
    value: Box<dyn Any + Send>,
}

impl<S: 'static> Reply<'_, S> {
    /// Says how far a service has come with this request: [`Reply::resume`] tells it when the request is put to it again
    /// after work that was handed out from now on. A service that asks others one after the other needs it, for what a
    /// thread made is for the one that asked.
    pub(crate) fn set_stage(&mut self, stage: u8) {
        self.given.rare().edits.get_or_insert_default().stage = stage;
    }

    /// The stage in which work was handed out, 0 when none was; its value is then ready for [`Reply::take_done`]. Until
    /// this is called, that gives nothing of a later stage.
    pub(crate) fn resume(&mut self) -> u8 {
        match self.given.rare.as_mut().and_then(|rare| rare.done.take()) {
            Some(Ok(value)) => match value.downcast::<Staged>() {
                Ok(staged) => {
                    self.given.rare().done = Some(Ok(staged.value));
                    staged.stage
                }
                Err(plain) => {
                    self.given.rare().done = Some(Ok(plain));
                    0
                }
            },
            other => {
                self.given.rare().done = other;
                0
            }
        }
    }

    /// The stage that was set.
    pub(super) fn stage(&self) -> u8 {
        self.given.rare.as_ref().and_then(|rare| rare.edits.as_ref()).map_or(0, |edits| edits.stage)
    }

    /// Leaves the lines of these names out of whatever head is written; lines of [`Reply::add_lines`] stay.
    pub(crate) fn drop_lines(&mut self, names: &[String]) {
        self.given.rare().edits.get_or_insert_default().drop.extend_from_slice(names);
    }

    /// From now on [`Reply::send`] keeps an error (400 to 599) or a 301 back, for [`Reply::caught`].
    pub(crate) fn catch_errors(&mut self) {
        self.given.rare().edits.get_or_insert_default().catching = true;
    }

    /// What was kept back, which leaves the request without an answer; it is kept back no longer.
    pub(crate) fn caught(&mut self) -> Option<Caught> {
        let edits = self.given.rare.as_mut()?.edits.as_mut()?;
        edits.catching = false;
        edits.caught.take()
    }

    /// Keeps an answer back if that was asked for.
    pub(super) fn keeps_back(&mut self, status: u16, fields: &[(&str, &[u8])], body: &[u8]) -> bool {
        let edits = self.given.rare.as_mut().and_then(|rare| rare.edits.as_mut());
        let Some(edits) = edits else { return false };
        if !edits.catching || !matches!(status, 301 | 400..=599) {
            return false;
        }
        if edits.caught.is_none() {
            let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
            edits.caught = Some(Caught { status, fields, body: body.to_vec() });
        }
        true
    }
}

impl Edits {
    pub(super) fn apply(&self, head: &mut HeadWriter<'_>) {
        if !self.drop.is_empty() {
            head.remove(&self.drop);
        }
    }
}

/// What a thread made, marked with its stage if that is not the first.
pub(super) fn staged(stage: u8, value: Box<dyn Any + Send>) -> Box<dyn Any + Send> {
    if stage == 0 { value } else { Box::new(Staged { stage, value }) }
}

#[cfg(test)]
mod tests {
    use crate::proto::http1::{App, Cx, Http, Reply, Request};
    use crate::reactor::testing::Probe;

    /// Has two threads asked, one after the other, and says in which stage each answered what.
    struct Stages(Vec<(u8, Option<&'static str>)>);

    impl App for Stages {
        fn on_request(&mut self, _: &Request<'_>, reply: &mut Reply<'_, Self>, _: &mut Cx<'_, Self>) {
            let early = reply.take_done::<&'static str>().and_then(Result::ok);
            let stage = reply.resume();
            let made = early.or_else(|| reply.take_done().and_then(Result::ok));
            self.0.push((stage, made));
            match self.0.len() {
                1 => reply.offload(|| "first"),
                2 => {
                    reply.set_stage(7);
                    reply.offload(|| "second");
                }
                _ => {
                    assert_eq!(early, None, "nobody is given what a later stage asked for");
                    reply.status(200);
                }
            }
        }
    }

    #[test]
    fn work_of_a_later_stage_comes_back_with_its_stage() {
        let mut probe = Probe::new(Http::new(Stages(Vec::new())));
        probe.accept();
        probe.recv(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        for _ in 0..10 {
            probe.advance(std::time::Duration::from_millis(10));
        }
        assert!(probe.sent().starts_with(b"HTTP/1.1 200 "));
        let seen = probe.with(|http, _| std::mem::take(&mut http.state().0));
        assert_eq!(seen, [(0, None), (0, Some("first")), (7, Some("second"))]);
    }

    /// Sends an error, catches it, and sends another; takes fields out.
    struct Edit;

    impl App for Edit {
        fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, _: &mut Cx<'_, Self>) {
            reply.drop_lines(&["x-gone".into(), "SERVER".into()]);
            reply.add_lines(b"X-Gone: back\r\n");
            let fields: [(&str, &[u8]); 3] =
                [("X-Gone", b"1"), ("X-Kept", b"x-gone: 2"), ("X-Gone-Not", b"3")];
            reply.catch_errors();
            reply.send(if request.head.path == b"/ok" { 200 } else { 404 }, &fields, b"first");
            let Some(caught) = reply.caught() else { return };
            assert_eq!((caught.status, &caught.body[..], caught.fields.len()), (404, &b"first"[..], 3));
            assert!(!reply.is_answered() && reply.caught().is_none());
            reply.send(410, &fields, b"second");
        }
    }

    #[test]
    fn errors_are_caught_once_and_fields_taken_out_of_whatever_is_sent() {
        for (path, status, body) in [("/ok", "200", "first"), ("/no", "410", "second")] {
            let mut probe = Probe::new(Http::new(Edit));
            probe.accept();
            probe.recv(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            let answer = String::from_utf8(probe.sent()).unwrap();
            let (head, got) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")) && got == body, "{answer}");
            assert_eq!(head.matches("X-Gone: ").count(), 1, "{head}");
            assert!(
                head.contains("X-Gone: back")
                    && head.contains("X-Gone-Not: 3")
                    && head.contains("X-Kept: x-gone: 2")
            );
            assert!(
                !head.contains("Server") && head.contains("Date: ") && head.contains("Content-Length: "),
                "{head}"
            );
        }
    }
}
