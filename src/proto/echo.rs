//! The echo protocol (RFC 862): every byte comes back, in order, and after the peer's last byte our FIN.

use std::time::Duration;

use crate::reactor::{Accepted, Ctx, Handler, Limits, Refuse};

/// Echoes. Backpressure is the reactor's: while the peer does not read, nothing more is read from it.
#[derive(Clone, Debug)]
pub struct Echo {
    limits: Limits,
}

impl Echo {
    /// With the default bounds of a byte service: 10 minutes idle.
    pub fn new() -> Self {
        Self::with_limits(Limits { idle_timeout: Some(Duration::from_secs(600)), ..Limits::default() })
    }

    /// With bounds of the caller's choice.
    pub const fn with_limits(limits: Limits) -> Self {
        Self { limits }
    }
}

impl Default for Echo {
    fn default() -> Self {
        Self::new()
    }
}

impl Handler for Echo {
    type Conn = ();

    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    fn on_accept(&mut self, _from: Accepted<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    fn on_data(&mut self, _conn: &mut (), ctx: &mut Ctx<'_, Self>) {
        ctx.tx.take_from(&mut ctx.rx);
    }
}
