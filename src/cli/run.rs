//! `tidemill run`, and `tidemill` alone: the embedded default.

use clap::Args;
use tidemill::proto::echo::Echo;
use tidemill::proto::http1::Http;
use tidemill::reactor::Endpoint;
use tidemill::service::respond::Welcome;

use super::access::Access;
use super::common::Limits;
use crate::daemon::Daemon;
use crate::daemon::failure::Failure;

/// Serve the embedded default: a welcome over HTTP on 127.0.0.1:8080, echo on 127.0.0.1:8007
#[derive(Args, Debug)]
pub(super) struct Run {
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    limits: Limits,
}

impl Run {
    pub(super) fn run(self) -> Result<u8, Failure> {
        let bounds = self.limits.bounds();
        let welcome = Welcome::new().map_err(|e| Failure::software(&e))?;
        let mut daemon = Daemon::new(self.limits.drain_timeout)?;
        let http = Endpoint::tcp(([127, 0, 0, 1], 8080));
        let echo = Endpoint::tcp(([127, 0, 0, 1], 8007));
        daemon.log_access(self.access.start()?);
        daemon.serve_http(Http::with_config(welcome, bounds.http()), "http", &[http])?;
        daemon.serve(Echo::with_limits(bounds.bytes()), "echo", &[echo])?;
        daemon.run()
    }
}
