//! Flags that several verbs share: bounds of connections, and how much is logged.

use std::time::Duration;

use clap::{ArgAction, Args};

use super::values::{OrOff, timeout, timeout_or_off};
use crate::daemon::bounds::Bounds;
use crate::daemon::failure::Failure;
use crate::daemon::log::Filter;

/// Deadlines and limits of connections.
#[derive(Args, Debug)]
#[command(next_help_heading = "Deadlines and limits")]
pub(super) struct Limits {
    /// Close a connection on which nothing has moved for so long, or off [default: 60s for HTTP, 10m for echo]
    #[arg(long, value_name = "TIME", env = "TIDEMILL_IDLE_TIMEOUT", hide_env_values = true)]
    #[arg(value_parser = timeout_or_off)]
    idle_timeout: Option<OrOff>,

    /// HTTP: longest time from the first byte of a request head to its last
    #[arg(long, value_name = "TIME", env = "TIDEMILL_HEAD_TIMEOUT", hide_env_values = true)]
    #[arg(default_value = "10s", value_parser = timeout)]
    head_timeout: Duration,

    /// HTTP: longest time without progress of a request body
    #[arg(long, value_name = "TIME", env = "TIDEMILL_BODY_TIMEOUT", hide_env_values = true)]
    #[arg(default_value = "30s", value_parser = timeout)]
    body_timeout: Duration,

    /// Cut a peer that acknowledges nothing for so long while bytes wait for it, or off
    #[arg(long, value_name = "TIME", env = "TIDEMILL_STALL_TIMEOUT", hide_env_values = true)]
    #[arg(default_value = "30s", value_parser = timeout_or_off)]
    stall_timeout: OrOff,

    /// After TERM or INT, wait so long for what is under way
    #[arg(long, value_name = "TIME", env = "TIDEMILL_DRAIN_TIMEOUT", hide_env_values = true)]
    #[arg(default_value = "30s", value_parser = super::values::duration)]
    pub(super) drain_timeout: Duration,

    /// Connections of a service at one time; HTTP answers 503 to more [default: as many as descriptors allow]
    #[arg(long, value_name = "COUNT", env = "TIDEMILL_CONNECTIONS_MAX", hide_env_values = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    connections_max: Option<u32>,

    /// The same for one client address [default: unlimited]
    #[arg(long, value_name = "COUNT", env = "TIDEMILL_PER_CLIENT_MAX", hide_env_values = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    per_client_max: Option<u32>,
}

impl Limits {
    /// What the services are to be told.
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            idle: self.idle_timeout.map(|idle| idle.0),
            head: self.head_timeout,
            body: self.body_timeout,
            stall: self.stall_timeout.0,
            connections_max: self.connections_max,
            per_client_max: self.per_client_max,
        }
    }
}

/// How much is logged.
#[derive(Args, Debug)]
#[command(next_help_heading = "Log")]
pub(super) struct Verbosity {
    /// Log more: -v debug, -vv trace
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,

    /// Log less: -q warnings, -qq errors
    #[arg(short, long, global = true, action = ArgAction::Count)]
    quiet: u8,
}

impl Verbosity {
    /// The flags decide; else `TIDEMILL_LOG`, in which a mistake is an error; else `RUST_LOG`, which is meant for
    /// many programs and of which only what is understood counts.
    pub(super) fn filter(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Filter, Failure> {
        use log::LevelFilter as L;
        match (self.verbose, self.quiet) {
            (0, 0) => {}
            (0, 1) => return Ok(Filter::plain(L::Warn)),
            (0, _) => return Ok(Filter::plain(L::Error)),
            (1, _) => return Ok(Filter::plain(L::Debug)),
            _ => return Ok(Filter::plain(L::Trace)),
        }
        if let Some(text) = variable("TIDEMILL_LOG").filter(|text| !text.is_empty()) {
            return Filter::parse(&text).map_err(|problem| {
                Failure::usage(format!(
                    "bad TIDEMILL_LOG '{text}': {problem}. Write off, error, warn, info, debug or trace"
                ))
            });
        }
        Ok(Filter::parse_leniently(&variable("RUST_LOG").unwrap_or_default()))
    }
}
