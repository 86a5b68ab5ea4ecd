//! Bounds of connections as an operator gives them, turned into those of the services.

use std::time::Duration;

use tidemill::proto::http1::HttpConfig;
use tidemill::reactor::Limits;

/// Idle deadline of byte services; HTTP has its own default.
const IDLE_BYTES: Duration = Duration::from_secs(600);

/// What an operator said about connections. `None` inside a deadline switches it off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// No byte for so long; `None` outside: the service's own default.
    pub(crate) idle: Option<Option<Duration>>,
    /// From the first byte of a request head to its last.
    pub(crate) head: Duration,
    /// No progress of a request body.
    pub(crate) body: Duration,
    /// Nothing acknowledged while bytes wait.
    pub(crate) stall: Option<Duration>,
    /// Connections of one service.
    pub(crate) connections_max: Option<u32>,
    /// Connections of one service and one client address.
    pub(crate) per_client_max: Option<u32>,
}

impl Bounds {
    /// For a service that speaks HTTP.
    pub(crate) fn http(&self) -> HttpConfig {
        let mut config = HttpConfig::default();
        config.head_timeout = self.head;
        config.body_timeout = self.body;
        let idle = self.idle.unwrap_or(config.connection.idle_timeout);
        self.apply(&mut config.connection, idle);
        config
    }

    /// For a service of plain bytes.
    pub(crate) fn bytes(&self) -> Limits {
        let mut limits = Limits::default();
        self.apply(&mut limits, self.idle.unwrap_or(Some(IDLE_BYTES)));
        limits
    }

    fn apply(&self, limits: &mut Limits, idle: Option<Duration>) {
        limits.idle_timeout = idle;
        limits.stall_timeout = self.stall;
        limits.connections_max = self.connections_max;
        limits.per_client_max = self.per_client_max;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(idle: Option<Option<Duration>>) -> Bounds {
        let second = Duration::from_secs(1);
        Bounds {
            idle,
            head: second,
            body: second * 2,
            stall: Some(second * 3),
            connections_max: Some(4),
            per_client_max: Some(5),
        }
    }

    #[test]
    fn each_service_has_its_own_idle_default_and_obeys_what_is_said() {
        let own = bounds(None);
        assert_eq!(own.http().connection.idle_timeout, Some(Duration::from_secs(60)));
        assert_eq!(own.bytes().idle_timeout, Some(Duration::from_secs(600)));
        let off = bounds(Some(None));
        assert_eq!((off.http().connection.idle_timeout, off.bytes().idle_timeout), (None, None));
    }

    #[test]
    fn every_bound_arrives() {
        let http = bounds(None).http();
        assert_eq!((http.head_timeout, http.body_timeout), (Duration::from_secs(1), Duration::from_secs(2)));
        for limits in [http.connection, bounds(None).bytes()] {
            assert_eq!(limits.stall_timeout, Some(Duration::from_secs(3)));
            assert_eq!((limits.connections_max, limits.per_client_max), (Some(4), Some(5)));
        }
    }
}
