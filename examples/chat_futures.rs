//! The chat of `chat.rs` by futures: a task for each member. The same on the wire.
//! `cargo run --example chat_futures --features async -- 127.0.0.1:8006`, then `nc 127.0.0.1 8006`, twice.
//!
//! The room never waits for its slowest member: a line that does not fit whole into a member's transmit buffer is not
//! sent there, and the member is told how many were missed as soon as there is room again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tidemill::proto::frame::{Codec, Ending, FrameError, Lines};
use tidemill::reactor::future::{self, Either, ReadHalf, Stream, WriteHalf};
use tidemill::reactor::{ConnId, Reactor};

/// The longest line, in bytes.
const LINE_MAX: usize = 1000;

/// The room that a member's buffer must have again to be told what was missed, in bytes.
const ROOM_MIN: usize = 32 << 10;

struct Member {
    write: WriteHalf,
    missed: u32,
    /// Who tells the member, while nothing was missed.
    waker: Option<Waker>,
}

/// All who are here. Borrowed between two awaits, never across one.
type Room = Rc<RefCell<HashMap<ConnId, Member>>>;

/// Sends `text` to everybody but `author`.
fn tell(room: &Room, author: ConnId, text: &[u8]) {
    for member in room.borrow_mut().values_mut().filter(|m| m.write.id() != author) {
        // One whose connection has broken is told of by its own task.
        if !member.write.write_whole(text).unwrap_or(true) {
            member.missed += 1;
            member.waker.take().into_iter().for_each(Waker::wake);
        }
    }
}

/// Reads lines until the member goes. Says what the member is told about it, if anything.
async fn listen(room: &Room, id: ConnId, name: &str, read: &mut ReadHalf) -> io::Result<Option<String>> {
    let mut lines = Lines::new(Ending::Either, LINE_MAX);
    let mut waiting = Vec::new();
    loop {
        let came = read.fill_buf().await?;
        if came.is_empty() {
            return Ok(None);
        }
        let (n, mut used) = (came.len(), 0);
        waiting.extend_from_slice(came);
        read.consume(n);
        loop {
            match lines.decode(&waiting[used..]) {
                Ok(Some(line)) => {
                    tell(room, id, &[name.as_bytes(), b": ", line.payload, b"\r\n"].concat());
                    used += line.consumed;
                }
                Ok(None) => break,
                Err(FrameError::TooLong { max }) => {
                    return Ok(Some(format!("* a line has at most {max} bytes\r\n")));
                }
                Err(_) => return Ok(None),
            }
        }
        waiting.drain(..used);
    }
}

/// Tells a member how many lines were missed, whenever there is room again.
fn poll_missed(room: &Room, id: ConnId, cx: &mut Context<'_>) -> Poll<()> {
    let mut room = room.borrow_mut();
    let Some(member) = room.get_mut(&id) else { return Poll::Ready(()) };
    while member.missed > 0 {
        match member.write.poll_room(cx, ROOM_MIN) {
            Poll::Ready(Ok(())) => {
                let note = format!("* you missed {} lines\r\n", std::mem::take(&mut member.missed));
                let _ = member.write.write_whole(note.as_bytes());
            }
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    }
    member.waker = Some(cx.waker().clone());
    Poll::Pending
}

/// One member, from joining to leaving.
async fn member(room: Room, stream: Stream) -> io::Result<()> {
    let (id, name) = (stream.id(), stream.peer().to_string());
    let (mut read, mut write) = stream.split();
    let welcome = format!("* welcome, {name}; {} here\r\n", room.borrow().len() + 1);
    write.write_whole(welcome.as_bytes())?;
    room.borrow_mut().insert(id, Member { write, missed: 0, waker: None });
    tell(&room, id, format!("* {name} joined\r\n").as_bytes());
    let missing = poll_fn(|cx| poll_missed(&room, id, cx));
    let ended = future::race(listen(&room, id, &name, &mut read), missing).await;
    let left = room.borrow_mut().remove(&id);
    let Some(Ok(mut stream)) = left.map(|left| read.reunite(left.write)) else { return Ok(()) };
    if let Either::Left(Ok(Some(why))) = ended {
        // It is told if it takes it at all.
        let _ = stream.write_whole(why.as_bytes());
    }
    let report = stream.close().await?;
    tell(&room, id, format!("* {name} left ({})\r\n", report.reason.name()).as_bytes());
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut reactor = Reactor::new(Default::default())?;
    let at = std::env::args().nth(1).unwrap_or("127.0.0.1:8006".into());
    let mut acceptor = reactor.acceptor(&at.parse()?)?;
    println!("listening {} chat", acceptor.local());
    let chat = async move {
        let room = Room::default();
        while let Ok((stream, _)) = acceptor.accept().await {
            future::spawn(member(Rc::clone(&room), stream)).detach();
        }
    };
    reactor.spawn(chat).detach();
    Ok(reactor.run()?)
}
