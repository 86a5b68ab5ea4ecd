//! The smallest server: an echo on the reactor. `cargo run --example echo -- 127.0.0.1:8007`, then `nc 127.0.0.1 8007`.

use tidemill::reactor::{Accepted, Ctx, Handler, Reactor, Refuse};

struct Echo;

impl Handler for Echo {
    type Conn = ();

    fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    fn on_data(&mut self, _: &mut (), ctx: &mut Ctx<'_, Self>) {
        ctx.tx.take_from(&mut ctx.rx);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut reactor = Reactor::new(Default::default())?;
    let echo = reactor.add(Echo);
    let at = std::env::args().nth(1).unwrap_or("127.0.0.1:8007".into());
    let listener = reactor.listen(echo, &at.parse()?)?;
    println!("listening {} echo", reactor.local(listener).ok_or("no listener")?);
    Ok(reactor.run()?)
}
