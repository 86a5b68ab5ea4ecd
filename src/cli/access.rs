//! Flags of the access log, shared by the verbs that serve HTTP.

use std::path::PathBuf;

use clap::Args;
use tidemill::service::access::Format;

use crate::daemon::access::{AccessLog, Target};
use crate::daemon::failure::Failure;

/// Whether, where and how requests are logged.
#[derive(Args, Debug)]
#[command(next_help_heading = "Access log")]
pub(super) struct Access {
    /// Append one line for each request to this file, or with - to standard output [default: none]
    #[arg(long, value_name = "FILE", env = "TIDEMILL_ACCESS_LOG", hide_env_values = true)]
    access_log: Option<PathBuf>,

    /// What a line looks like: common, combined, json, or a template such as '{remote} {status} {duration_us}'
    #[arg(long, value_name = "FORMAT", env = "TIDEMILL_ACCESS_LOG_FORMAT", hide_env_values = true)]
    #[arg(default_value = "combined")]
    access_log_format: Format,
}

impl Access {
    /// Opens the log, if one is asked for.
    pub(super) fn start(self) -> Result<Option<AccessLog>, Failure> {
        let Some(path) = self.access_log else { return Ok(None) };
        let target = if path.as_os_str() == "-" { Target::Stdout } else { Target::File(path) };
        AccessLog::start(target, self.access_log_format).map(Some)
    }
}
