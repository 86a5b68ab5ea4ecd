//! Server-Sent Events (HTML Living Standard section 9.2): events as values, rendered so that no text in them can begin
//! a field or an event of its own. It never decides when one is sent.

use std::borrow::Cow;
use std::time::Duration;

use super::server::{Cx, Ticket};

/// One event, or a comment. Line ends in its data make lines of data, as the format has it; in an id or a name, which
/// have one line, they and NUL become spaces.
///
/// ```
/// use tidemill::proto::http1::sse::Event;
///
/// let event = Event::new("high\nwater").name("tide").id("7");
/// assert_eq!(event.render(), b"event: tide\nid: 7\ndata: high\ndata: water\n\n");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    comment: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    retry: Option<Duration>,
    data: Option<Cow<'a, str>>,
}

impl<'a> Event<'a> {
    /// An event with this data.
    pub fn new(data: impl Into<Cow<'a, str>>) -> Self {
        Self { data: Some(data.into()), ..Self::default() }
    }

    /// A comment, which clients do not tell of.
    ///
    /// ```
    /// # use tidemill::proto::http1::sse::Event;
    /// assert_eq!(Event::comment("still here").render(), b": still here\n\n");
    /// ```
    pub fn comment(text: impl Into<Cow<'a, str>>) -> Self {
        Self { comment: Some(text.into()), ..Self::default() }
    }

    /// Tells the client how long to wait before it connects again, and nothing else.
    ///
    /// ```
    /// # use tidemill::proto::http1::sse::Event;
    /// let wait = std::time::Duration::from_secs(3);
    /// assert_eq!(Event::retry_after(wait).render(), b"retry: 3000\n\n");
    /// ```
    pub fn retry_after(wait: Duration) -> Self {
        Self { retry: Some(wait), ..Self::default() }
    }

    /// The same with a name, by which the client's listeners are chosen; without one it is `message`.
    pub fn name(mut self, name: impl Into<Cow<'a, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The same with an id, which the client sends as `Last-Event-ID` when it connects again.
    pub fn id(mut self, id: impl Into<Cow<'a, str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The same with how long the client is to wait before it connects again.
    pub const fn retry(mut self, wait: Duration) -> Self {
        self.retry = Some(wait);
        self
    }

    /// The event as it goes over the wire, with the empty line that ends it.
    pub fn render(&self) -> Vec<u8> {
        let mut out = String::new();
        if let Some(text) = &self.comment {
            lines(text, |line| push(&mut out, "", line));
        }
        for (name, value) in [("event", &self.name), ("id", &self.id)] {
            if let Some(value) = value {
                let value: String =
                    value.chars().map(|c| if "\r\n\0".contains(c) { ' ' } else { c }).collect();
                push(&mut out, name, &value);
            }
        }
        if let Some(wait) = self.retry {
            push(&mut out, "retry", &wait.as_millis().to_string());
        }
        if let Some(data) = &self.data {
            lines(data, |line| push(&mut out, "data", line));
        }
        out.push('\n');
        out.into_bytes()
    }
}

impl<'a, T: Into<Cow<'a, str>>> From<T> for Event<'a> {
    fn from(data: T) -> Self {
        Self::new(data)
    }
}

fn push(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push_str(": ");
    out.push_str(value);
    out.push('\n');
}

/// Calls `f` with every line of `text`: CR LF, CR and LF each end one, and text behind the last is one, if empty too.
fn lines(text: &str, mut f: impl FnMut(&str)) {
    let mut rest = text;
    while let Some(at) = rest.find(['\r', '\n']) {
        f(rest.get(..at).unwrap_or_default());
        let behind = rest.get(at..).unwrap_or_default();
        rest = behind.strip_prefix("\r\n").or_else(|| behind.get(1..)).unwrap_or_default();
    }
    f(rest);
}

/// Server-Sent Events.
impl<S: 'static> Cx<'_, S> {
    /// Writes an event to a body that is [pushed](super::Reply::push) into, whole or not at all; whether it was
    /// written. `Some(false)` is a client that reads too slowly, or an event larger than the 64 KiB that a connection
    /// may have unsent: drop the event, or [end](Cx::end) the body, so that the client connects again and says by
    /// `Last-Event-ID` what it missed. `None` when there is no such body any more.
    ///
    /// ```
    /// use tidemill::proto::http1::{Cx, Ticket};
    /// use tidemill::proto::http1::sse::Event;
    ///
    /// /// Tells every listener, and forgets those who are gone.
    /// fn tell(listeners: &mut Vec<Ticket>, cx: &mut Cx<'_, ()>, text: &str) {
    ///     let event = Event::new(text);
    ///     listeners.retain(|&one| cx.send_event(one, &event).is_some());
    /// }
    /// ```
    pub fn send_event(&mut self, ticket: Ticket, event: &Event<'_>) -> Option<bool> {
        self.write_whole(ticket, &event.render())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a stream as a client does (HTML Living Standard section 9.2.6): name, id, data of each event.
    fn read(bytes: &[u8]) -> Vec<(String, Option<String>, String)> {
        let text = std::str::from_utf8(bytes).unwrap().replace("\r\n", "\n").replace('\r', "\n");
        let (mut events, mut name, mut id) = (Vec::new(), String::new(), None);
        let mut data: Option<String> = None;
        for line in text.split('\n') {
            if line.is_empty() {
                if let Some(data) = data.take() {
                    let name = std::mem::take(&mut name);
                    events.push((name, id.clone(), data));
                }
                name.clear();
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => name = value.to_owned(),
                "id" if !value.contains('\0') => id = Some(value.to_owned()),
                "data" => match &mut data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => data = Some(value.to_owned()),
                },
                _ => {}
            }
        }
        events
    }

    #[test]
    fn every_line_end_makes_a_line_of_data() {
        let event = Event::new("a\r\nb\rc\nd\n").name("e\nvent").id("1\r\n2\0");
        assert_eq!(
            event.render(),
            b"event: e vent\nid: 1  2 \ndata: a\ndata: b\ndata: c\ndata: d\ndata: \n\n".as_slice()
        );
        assert_eq!(Event::new("").render(), b"data: \n\n");
        assert_eq!(Event::comment("a\ndata: b").render(), b": a\n: data: b\n\n");
        let wait = Duration::from_millis(1500);
        assert_eq!(Event::from("x").retry(wait).render(), b"retry: 1500\ndata: x\n\n");
        assert_eq!(Event::retry_after(Duration::MAX).render().iter().filter(|b| **b == b'\n').count(), 2);
    }

    proptest! {
        #[test]
        fn a_client_reads_exactly_one_event_whatever_the_text(data in "[a:\r\n\0 \u{feff}d]{0,20}", name in "[a:\r\n ]{1,8}", id in "[1:\r\n\0]{0,8}") {
            let event = Event::new(&*data).name(&*name).id(&*id);
            let read = read(&event.render());
            let flat = |text: &str| text.replace(['\r', '\n', '\0'], " ");
            let lined = data.replace("\r\n", "\n").replace('\r', "\n");
            prop_assert_eq!(read, vec![(flat(&name), Some(flat(&id)), lined)]);
        }
    }
}
