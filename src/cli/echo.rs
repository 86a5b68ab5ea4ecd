//! `tidemill echo`: the echo protocol, over bytes or over WebSockets.

use clap::Args;
use clap::builder::BoolishValueParser;
use tidemill::proto::echo::Echo as Protocol;
use tidemill::proto::http1::Http;
use tidemill::proto::websocket::Echo as Messages;
use tidemill::reactor::Endpoint;

use super::common::Limits;
use super::values::endpoint;
use crate::daemon::Daemon;
use crate::daemon::failure::Failure;

/// Send back every byte (RFC 862), or every WebSocket message
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Echo {
    /// Listen as an HTTP server whose every path is a WebSocket (RFC 6455), and send back every message
    #[arg(long, env = "TIDEMILL_WEBSOCKET", hide_env_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    websocket: bool,

    /// Where to listen: [tcp:]HOST:PORT, unix:PATH, unix:@NAME or fd:N, options after commas; repeats
    #[arg(long, value_name = "ENDPOINT", env = "TIDEMILL_LISTEN", hide_env_values = true)]
    #[arg(default_value = "127.0.0.1:8007", value_parser = endpoint, value_delimiter = ';')]
    listen: Vec<Endpoint>,
    #[command(flatten)]
    limits: Limits,
}

const EXAMPLES: &str = "\
Examples:
  tidemill echo                                      on 127.0.0.1:8007; try it with 'nc 127.0.0.1 8007'
  tidemill echo --listen 0 --listen '[::1]:0'        on two free ports, named on standard output
  tidemill echo --listen unix:run/echo.sock,mode=660
  tidemill echo --websocket                          at ws://127.0.0.1:8007/, messages of at most 1 MiB";

impl Echo {
    pub(super) fn run(self) -> Result<u8, Failure> {
        let mut daemon = Daemon::new(self.limits.drain_timeout)?;
        let bounds = self.limits.bounds();
        if self.websocket {
            let http = Http::with_config(Messages::new(), bounds.http());
            daemon.serve(http, "websocket", &self.listen)?;
        } else {
            daemon.serve(Protocol::with_limits(bounds.bytes()), "echo", &self.listen)?;
        }
        daemon.run()
    }
}
