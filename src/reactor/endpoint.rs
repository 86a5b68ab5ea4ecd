//! Where to listen or connect, and with which socket options: `tcp:HOST:PORT`, `unix:PATH`, `unix:@NAME`, `fd:N`.
//!
//! Owns the text form and its errors. It makes no socket; the only outside question it asks is the system's
//! resolver, in [`Endpoint::resolve`], for names that are not addresses.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// An address with the options of the socket that is to use it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Where.
    pub address: Address,
    /// How.
    pub options: SocketOptions,
}

/// The address part of an [`Endpoint`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Address {
    /// TCP over IPv4 or IPv6, by number.
    Tcp(SocketAddr),
    /// TCP, by name: resolved when the socket is made.
    TcpName(String, u16),
    /// A Unix stream socket in the file system.
    Unix(PathBuf),
    /// A Unix stream socket in Linux's abstract namespace (without the leading NUL).
    Abstract(Vec<u8>),
    /// A listening socket that this process inherited, by number. It must not be marked close-on-exec, which tells an
    /// inherited descriptor from one that something in this process owns; the reactor takes it over and marks it so.
    Fd(i32),
}

/// TCP keep-alive probes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Unanswered probes until the connection counts as dead.
    pub count: u32,
}

/// Options of a socket. On a listener those that concern connections are inherited by what it accepts.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SocketOptions {
    /// Length of the accept queue; the kernel bounds it by `net.core.somaxconn`.
    pub backlog: u32,
    /// SO_REUSEADDR (on by default: a restart need not wait for TIME_WAIT).
    pub reuse_address: bool,
    /// SO_REUSEPORT.
    pub reuse_port: bool,
    /// TCP_NODELAY (on by default).
    pub nodelay: bool,
    /// SO_KEEPALIVE and its times.
    pub keepalive: Option<Keepalive>,
    /// SO_LINGER. Zero makes every close a reset. A longer time is set, and can be read back, but never waited for:
    /// the reactor sends what is left behind the close.
    pub linger: Option<Duration>,
    /// SO_SNDBUF in bytes; the kernel doubles it for its own overhead.
    pub send_buffer: Option<u32>,
    /// SO_RCVBUF in bytes; the kernel doubles it for its own overhead.
    pub recv_buffer: Option<u32>,
    /// TCP_USER_TIMEOUT, in whole milliseconds.
    pub user_timeout: Option<Duration>,
    /// IPV6_V6ONLY. On unless it is switched off: a dual-stack listener is asked for, never an accident.
    pub v6only: bool,
    /// Permission bits of a Unix socket's file; `None` leaves them to the umask.
    pub mode: Option<u32>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            backlog: 4096,
            reuse_address: true,
            reuse_port: false,
            nodelay: true,
            keepalive: None,
            linger: None,
            send_buffer: None,
            recv_buffer: None,
            user_timeout: None,
            v6only: true,
            mode: None,
        }
    }
}

/// Why a text is no endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointError {
    text: String,
    problem: String,
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "bad endpoint '{}': {}; write tcp:HOST:PORT, HOST:PORT, :PORT, PORT, unix:PATH, unix:@NAME or fd:N, \
             options after commas (tcp:[::]:80,v6only=off,backlog=1024)",
            self.text, self.problem
        )
    }
}

impl std::error::Error for EndpointError {}

impl Endpoint {
    /// An endpoint on TCP with default options.
    pub fn tcp(at: impl Into<SocketAddr>) -> Self {
        Self::from(Address::Tcp(at.into()))
    }

    /// An endpoint on a Unix stream socket's path with default options.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::from(Address::Unix(path.into()))
    }

    /// The same endpoint with its name replaced by the addresses that the system's resolver gives, in its order.
    ///
    /// Blocks while the resolver works when the address is a [`Address::TcpName`]; otherwise answers at once.
    ///
    /// # Errors
    /// Those of the resolver, and `NotFound` when it knows no address.
    pub fn resolve(&self) -> io::Result<Vec<Self>> {
        let Address::TcpName(name, port) = &self.address else {
            return Ok(vec![self.clone()]);
        };
        let found: Vec<Self> = (name.as_str(), *port)
            .to_socket_addrs()?
            .map(|at| Self { address: Address::Tcp(at), options: self.options.clone() })
            .collect();
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("no address for {name}")));
        }
        Ok(found)
    }

    /// The endpoint without its options, as one word for logs: `tcp:127.0.0.1:80`.
    pub fn short(&self) -> String {
        self.address.to_string()
    }
}

impl From<Address> for Endpoint {
    fn from(address: Address) -> Self {
        Self { address, options: SocketOptions::default() }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(at: SocketAddr) -> Self {
        Self::tcp(at)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(at) => write!(f, "tcp:{at}"),
            Self::TcpName(name, port) => write!(f, "tcp:{name}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{}", name.escape_ascii()),
            Self::Fd(fd) => write!(f, "fd:{fd}"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    /// Reads the text form. A bare `HOST:PORT`, `:PORT` or `PORT` is TCP; without a host it is loopback.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let err = |problem: String| EndpointError { text: text.to_owned(), problem };
        let mut parts = text.split(',');
        let address = parse_address(parts.next().unwrap_or_default()).map_err(err)?;
        let mut options = SocketOptions::default();
        for option in parts {
            set_option(&mut options, option).map_err(err)?;
        }
        let is_unix = matches!(address, Address::Unix(_));
        if options.mode.is_some() && !is_unix {
            return Err(err("only a unix:PATH has a mode".to_owned()));
        }
        Ok(Self { address, options })
    }
}

fn parse_address(text: &str) -> Result<Address, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if let Some(rest) = text.strip_prefix("unix:") {
        return match rest.strip_prefix('@') {
            _ if rest.contains('\0') => Err("a path holds no NUL".to_owned()),
            _ if rest.len() > 107 => {
                Err("the name is too long: a Unix socket's has at most 107 bytes".to_owned())
            }
            Some("") => Err("the abstract name is missing".to_owned()),
            Some(name) => Ok(Address::Abstract(name.as_bytes().to_vec())),
            None if rest.is_empty() => Err("the path is missing".to_owned()),
            None => Ok(Address::Unix(PathBuf::from(rest))),
        };
    }
    if let Some(rest) = text.strip_prefix("fd:") {
        return match rest.parse::<i32>() {
            Ok(fd) if fd >= 0 => Ok(Address::Fd(fd)),
            _ => Err(format!("'{rest}' is no descriptor number")),
        };
    }
    for later in ["udp:", "systemd:"] {
        if text.starts_with(later) {
            return Err(format!("{later} endpoints are not built in this version"));
        }
    }
    parse_tcp(text.strip_prefix("tcp:").unwrap_or(text))
}

fn parse_tcp(text: &str) -> Result<Address, String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, _)) if host.starts_with('[') && !host.ends_with(']') => {
            return Err("the port is missing behind [ADDRESS]".to_owned());
        }
        Some(parts) => parts,
        None if text.chars().all(|c| c.is_ascii_digit()) => ("", text),
        None => return Err("the port is missing".to_owned()),
    };
    if port.is_empty() || !port.chars().all(|c| c.is_ascii_digit()) {
        return Err(format!("'{port}' is no port number"));
    }
    let port: u16 = port.parse().map_err(|_| format!("port {port} is over 65535"))?;
    if host.is_empty() {
        return Ok(Address::Tcp(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)));
    }
    if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let ip: Ipv6Addr = v6.parse().map_err(|_| format!("'{v6}' is no IPv6 address"))?;
        return Ok(Address::Tcp(SocketAddr::new(ip.into(), port)));
    }
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return Ok(Address::Tcp(SocketAddr::new(IpAddr::V4(ip), port)));
    }
    if host.contains(':') {
        return Err("an IPv6 address is written in brackets, [::1]:80".to_owned());
    }
    let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let named = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    if numeric || !named || host.starts_with(['-', '.']) {
        return Err(format!("'{host}' is neither an address nor a name"));
    }
    Ok(Address::TcpName(host.to_owned(), port))
}

fn set_option(options: &mut SocketOptions, text: &str) -> Result<(), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("option '{text}' is not KEY=VALUE"))?;
    match key {
        "backlog" => options.backlog = number(key, value)?,
        "reuseaddr" => options.reuse_address = switch(key, value)?,
        "reuseport" => options.reuse_port = switch(key, value)?,
        "nodelay" => options.nodelay = switch(key, value)?,
        "keepalive" => options.keepalive = keepalive(value)?,
        "linger" => options.linger = Some(seconds(key, value)?),
        "sndbuf" => options.send_buffer = Some(number(key, value)?),
        "rcvbuf" => options.recv_buffer = Some(number(key, value)?),
        "user_timeout" => options.user_timeout = Some(seconds(key, value)?),
        "v6only" => options.v6only = switch(key, value)?,
        "mode" => match u32::from_str_radix(value, 8) {
            Ok(mode) if mode <= 0o777 => options.mode = Some(mode),
            _ => return Err(format!("mode '{value}' is not octal, 000 to 777")),
        },
        _ => {
            return Err(format!(
                "no option is named '{key}' (backlog, reuseaddr, reuseport, nodelay, keepalive, linger, sndbuf, \
                 rcvbuf, user_timeout, v6only, mode)"
            ));
        }
    }
    Ok(())
}

fn number(key: &str, value: &str) -> Result<u32, String> {
    match value.parse::<u32>() {
        Ok(n) if n <= i32::MAX as u32 => Ok(n),
        _ => Err(format!("{key} '{value}' is no number from 0 to {}", i32::MAX)),
    }
}

fn switch(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "on" | "1" | "true" | "yes" => Ok(true),
        "off" | "0" | "false" | "no" => Ok(false),
        _ => Err(format!("{key} is on or off, not '{value}'")),
    }
}

/// Seconds, or with a unit: `5`, `5s`, `250ms`.
fn seconds(key: &str, value: &str) -> Result<Duration, String> {
    let (digits, ms) = match value.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => (value.strip_suffix('s').unwrap_or(value), 1000),
    };
    match digits.parse::<u32>() {
        Ok(n) => Ok(Duration::from_millis(u64::from(n) * ms)),
        Err(_) => Err(format!("{key} '{value}' is no time such as 5s or 250ms")),
    }
}

/// `off`, or `IDLE:INTERVAL:COUNT` with times in seconds or with a unit.
fn keepalive(value: &str) -> Result<Option<Keepalive>, String> {
    if switch("keepalive", value) == Ok(false) {
        return Ok(None);
    }
    let mut parts = value.split(':');
    let (Some(idle), Some(interval), Some(count), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(format!("keepalive is off or IDLE:INTERVAL:COUNT such as 60s:10s:5, not '{value}'"));
    };
    Ok(Some(Keepalive {
        idle: seconds("keepalive", idle)?,
        interval: seconds("keepalive", interval)?,
        count: number("keepalive", count)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Endpoint {
        text.parse().unwrap()
    }

    #[test]
    fn bare_forms_are_tcp_on_loopback() {
        for text in ["8080", ":8080", "127.0.0.1:8080", "tcp:127.0.0.1:8080", "tcp::8080", "tcp:8080"] {
            assert_eq!(parse(text).short(), "tcp:127.0.0.1:8080", "{text}");
        }
        assert_eq!(parse("[::1]:80").short(), "tcp:[::1]:80");
        assert_eq!(parse("localhost:80").address, Address::TcpName("localhost".to_owned(), 80));
    }

    #[test]
    fn unix_and_descriptor_forms() {
        let e = parse("unix:run/app.sock,mode=660");
        assert_eq!((e.short().as_str(), e.options.mode), ("unix:run/app.sock", Some(0o660)));
        assert_eq!(parse("unix:@name").address, Address::Abstract(b"name".to_vec()));
        assert_eq!(parse("fd:3").address, Address::Fd(3));
    }

    #[test]
    fn every_option_is_read() {
        let o = parse(
            "tcp:[::]:80,backlog=7,reuseaddr=off,reuseport=on,nodelay=off,keepalive=60:10s:5,linger=2,sndbuf=1,\
             rcvbuf=2,user_timeout=250ms,v6only=off",
        )
        .options;
        let keepalive =
            Keepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), count: 5 };
        let want = SocketOptions {
            backlog: 7,
            reuse_address: false,
            reuse_port: true,
            nodelay: false,
            keepalive: Some(keepalive),
            linger: Some(Duration::from_secs(2)),
            send_buffer: Some(1),
            recv_buffer: Some(2),
            user_timeout: Some(Duration::from_millis(250)),
            v6only: false,
            mode: None,
        };
        assert_eq!(o, want);
    }

    #[test]
    fn bad_forms_name_their_problem() {
        for (text, problem) in [
            ("", "empty"),
            ("host", "port is missing"),
            ("host:", "no port number"),
            ("host:+1", "no port number"),
            ("host:65536", "over 65535"),
            ("::1:80", "brackets"),
            ("[::1]", "missing"),
            ("[::g]:1", "no IPv6"),
            ("1.2.3:80", "neither"),
            ("a b:80", "neither"),
            ("unix:", "path is missing"),
            ("unix:@", "abstract name"),
            ("fd:x", "descriptor"),
            ("fd:-1", "descriptor"),
            ("udp:127.0.0.1:1", "not built"),
            ("80,", "KEY=VALUE"),
            ("80,colour=red", "no option"),
            ("80,backlog=-1", "number"),
            ("80,mode=660", "mode"),
            ("unix:x,mode=888", "octal"),
            ("80,keepalive=5", "IDLE:INTERVAL:COUNT"),
            ("80,v6only=maybe", "on or off"),
        ] {
            let e = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(e.contains(problem), "{text}: {e}");
        }
    }

    #[test]
    fn a_name_resolves_to_numbers() {
        let found = parse("localhost:80").resolve().unwrap();
        assert!(found.iter().all(|e| matches!(e.address, Address::Tcp(at) if at.ip().is_loopback())));
    }
}
