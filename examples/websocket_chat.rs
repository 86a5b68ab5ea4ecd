//! A chat over WebSockets, with its page: `cargo run --example websocket_chat -- 127.0.0.1:8005`, then a browser at
//! http://127.0.0.1:8005/, twice.

use tidemill::proto::http1::{App, Cx, Http, Reply, Request};
use tidemill::proto::websocket::{Closed, Sender, Socket, WebSocket, WebSocketConfig, upgrade};
use tidemill::reactor::Reactor;

const PAGE: &str = "<!doctype html><meta charset=utf-8><title>Chat</title><ul id=said></ul>
<form><input autofocus autocomplete=off></form><script>
const socket = new WebSocket('ws://' + location.host + '/chat'), input = document.querySelector('input');
const say = text => said.append(Object.assign(document.createElement('li'), { textContent: text }));
socket.onmessage = message => say(message.data);
socket.onclose = close => say('closed: ' + close.code + ' ' + close.reason);
document.forms[0].onsubmit = event => { event.preventDefault(); socket.send(input.value); input.value = ''; };
</script>";

#[derive(Default)]
struct Chat {
    config: WebSocketConfig,
    members: Vec<Sender>,
}

impl Chat {
    /// To everybody. Who reads too slowly to keep up with 1 MiB misses it.
    fn tell(&self, cx: &mut Cx<'_, Self>, text: &str) {
        for member in &self.members {
            let _ = member.text(cx, text);
        }
    }
}

impl App for Chat {
    fn on_request(&mut self, request: &Request<'_>, reply: &mut Reply<'_, Self>, _: &mut Cx<'_, Self>) {
        match request.head.path {
            b"/" => reply.send(200, &[("Content-Type", b"text/html; charset=utf-8")], PAGE.as_bytes()),
            b"/chat" => {
                upgrade(request, reply, &self.config, Member { name: request.peer.to_string() });
            }
            _ => reply.status(404),
        }
    }
}

struct Member {
    name: String,
}

impl WebSocket<Chat> for Member {
    fn on_open(&mut self, chat: &mut Chat, socket: &mut Socket<'_, '_, Chat>) {
        chat.members.push(socket.sender());
        chat.tell(socket.cx(), &format!("* {} joined; {} here", self.name, chat.members.len()));
    }

    fn on_text(&mut self, chat: &mut Chat, socket: &mut Socket<'_, '_, Chat>, text: &str) {
        chat.tell(socket.cx(), &format!("{}: {text}", self.name));
    }

    fn on_close(&mut self, chat: &mut Chat, closed: &Closed<'_>, cx: &mut Cx<'_, Chat>) {
        chat.members.retain(|member| member.id() != closed.report.id);
        chat.tell(cx, &format!("* {} left ({})", self.name, closed.code));
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut reactor = Reactor::new(Default::default())?;
    let chat = reactor.add(Http::new(Chat::default()));
    let at = std::env::args().nth(1).unwrap_or("127.0.0.1:8005".into());
    let listener = reactor.listen(chat, &at.parse()?)?;
    println!("listening {} http", reactor.local(listener).ok_or("no listener")?);
    Ok(reactor.run()?)
}
