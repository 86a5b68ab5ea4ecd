//! A chat: every line goes to all others. `cargo run --example chat -- 127.0.0.1:8006`, then `nc 127.0.0.1 8006`, twice.
//!
//! The room never waits for its slowest member. Each member has the reactor's transmit buffer, 64 KiB; a line that
//! does not fit there whole is not sent to that member, who is told how many lines were missed as soon as there is
//! room again. A member who reads nothing at all is ended by the stall deadline, as on any service.

use tidemill::proto::frame::{Codec, Ending, FrameError, Lines};
use tidemill::reactor::{Accepted, ConnId, Ctx, Handler, Reactor, Refuse, Report, Table};

/// The longest line, in bytes.
const LINE_MAX: usize = 1000;

pub(crate) struct Chat;

pub(crate) struct Member {
    name: String,
    lines: Lines,
    missed: u32,
}

/// Sends `text` to everybody but `author`.
fn tell(table: &mut Table<'_, Chat>, author: ConnId, text: &[u8]) {
    let others: Vec<ConnId> = table.ids().filter(|id| *id != author).collect();
    for id in others {
        let heard = table.output(id).is_none_or(|mut tx| tx.write_whole(text));
        if let (false, Some(member)) = (heard, table.conn(id)) {
            member.missed += 1;
        }
    }
}

impl Handler for Chat {
    type Conn = Member;

    fn on_accept(&mut self, from: Accepted<'_>) -> Result<Member, Refuse> {
        Ok(Member { name: from.peer.to_string(), lines: Lines::new(Ending::Either, LINE_MAX), missed: 0 })
    }

    fn on_open(&mut self, member: &mut Member, ctx: &mut Ctx<'_, Self>) {
        let welcome = format!("* welcome, {}; {} here\r\n", member.name, ctx.table.len());
        ctx.tx.write(welcome.as_bytes());
        let id = ctx.id();
        tell(&mut ctx.table, id, format!("* {} joined\r\n", member.name).as_bytes());
    }

    fn on_data(&mut self, member: &mut Member, ctx: &mut Ctx<'_, Self>) {
        let id = ctx.id();
        loop {
            let consumed = match member.lines.decode(&ctx.rx) {
                Ok(Some(line)) => {
                    let text = [member.name.as_bytes(), b": ", line.payload, b"\r\n"].concat();
                    tell(&mut ctx.table, id, &text);
                    line.consumed
                }
                Ok(None) => return,
                Err(FrameError::TooLong { max }) => {
                    ctx.tx.write(format!("* a line has at most {max} bytes\r\n").as_bytes());
                    return ctx.close();
                }
                Err(_) => return ctx.close(),
            };
            ctx.rx.consume(consumed);
        }
    }

    fn on_room(&mut self, member: &mut Member, ctx: &mut Ctx<'_, Self>) {
        if member.missed > 0
            && ctx.tx.write_whole(format!("* you missed {} lines\r\n", member.missed).as_bytes())
        {
            member.missed = 0;
        }
    }

    fn on_close(&mut self, member: Member, report: &Report, table: &mut Table<'_, Self>) {
        tell(table, report.id, format!("* {} left ({})\r\n", member.name, report.reason.name()).as_bytes());
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut reactor = Reactor::new(Default::default())?;
    let chat = reactor.add(Chat);
    let at = std::env::args().nth(1).unwrap_or("127.0.0.1:8006".into());
    let listener = reactor.listen(chat, &at.parse()?)?;
    println!("listening {} chat", reactor.local(listener).ok_or("no listener")?);
    Ok(reactor.run()?)
}
