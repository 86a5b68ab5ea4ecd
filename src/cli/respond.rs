//! `tidemill respond`: one answer for every request.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use clap::Args;
use tidemill::proto::http1::Http;
use tidemill::reactor::Endpoint;
use tidemill::service::respond::Respond as Service;

use super::access::Access;
use super::common::Limits;
use super::values::{Field, duration, endpoint, field};
use crate::daemon::Daemon;
use crate::daemon::failure::Failure;

/// Give every HTTP request the same answer
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Respond {
    /// Status of the answer, 200 to 999
    #[arg(long, value_name = "CODE", env = "TIDEMILL_STATUS", hide_env_values = true)]
    #[arg(default_value = "200", value_parser = clap::value_parser!(u16).range(200..=999))]
    status: u16,

    /// A header field; repeats, and replaces a default of its name (Content-Type, Date, Server)
    #[arg(long, value_name = "NAME: VALUE", env = "TIDEMILL_HEADER", hide_env_values = true)]
    #[arg(value_parser = field)]
    header: Vec<Field>,

    /// The answer's body, exactly: no newline is added [default: empty]
    #[arg(long, value_name = "TEXT", env = "TIDEMILL_BODY", hide_env_values = true)]
    #[arg(default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    body: OsString,

    /// Wait so long before each answer [default: 0]
    #[arg(long, value_name = "TIME", env = "TIDEMILL_DELAY", hide_env_values = true)]
    #[arg(default_value = "0", hide_default_value = true, value_parser = duration)]
    delay: Duration,

    /// Where to listen: [tcp:]HOST:PORT, unix:PATH, unix:@NAME or fd:N, options after commas; repeats
    #[arg(long, value_name = "ENDPOINT", env = "TIDEMILL_LISTEN", hide_env_values = true)]
    #[arg(default_value = "127.0.0.1:8000", value_parser = endpoint, value_delimiter = ';')]
    listen: Vec<Endpoint>,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    limits: Limits,
}

const EXAMPLES: &str = "\
Examples:
  tidemill respond --body 'Hello, World!'
  tidemill respond --status 503 --header 'Retry-After: 120' --body 'back soon'
  tidemill respond --header 'Content-Type: application/json' --body '{}' --delay 200ms";

impl Respond {
    pub(super) fn run(self) -> Result<u8, Failure> {
        let fields: Vec<(&str, &[u8])> =
            self.header.iter().map(|f| (f.name.as_str(), f.value.as_bytes())).collect();
        let service = Service::new(self.status, &fields, self.body.as_bytes())
            .map_err(|e| Failure::usage(format!("this answer cannot be given: {e}")))?;
        let mut config = self.limits.bounds().http();
        config.delay = Some(self.delay).filter(|delay| !delay.is_zero());
        let mut daemon = Daemon::new(self.limits.drain_timeout)?;
        daemon.log_access(self.access.start()?);
        daemon.serve_http(Http::with_config(service, config), "http", &self.listen)?;
        daemon.run()
    }
}
