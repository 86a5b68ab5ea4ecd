//! Who holds an address that is taken: looked up in /proc, as far as this user may see.
//!
//! Linux only, and a courtesy: whatever cannot be read means that nobody is named.

use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

use tidemill::reactor::close::SOCKET_ADDRESS_IN_USE;
use tidemill::reactor::{Address, Endpoint, Error};

/// State LISTEN in /proc/net/tcp.
const LISTEN: &str = "0A";

/// The process that listens where `at` could not, as `name, pid N`.
pub(super) fn find(e: &Error, at: &Endpoint) -> Option<String> {
    if e.class != &SOCKET_ADDRESS_IN_USE {
        return None;
    }
    let inodes = match &at.address {
        Address::Unix(path) => unix(path.as_os_str().as_bytes()),
        Address::Abstract(name) => unix(&[b"@", name.as_slice()].concat()),
        Address::Tcp(_) | Address::TcpName(..) => {
            let places = at.resolve().unwrap_or_default();
            places.iter().filter_map(|place| tcp_address(&place.address)).flat_map(tcp).collect()
        }
        // A descriptor was bound by somebody else.
        Address::Fd(_) | _ => Vec::new(),
    };
    process_with(&inodes)
}

fn tcp_address(at: &Address) -> Option<SocketAddr> {
    if let Address::Tcp(at) = at { Some(*at) } else { None }
}

/// Inodes of listening sockets that stand in the way of `at`.
fn tcp(at: SocketAddr) -> Vec<u64> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    [read("/proc/net/tcp"), read("/proc/net/tcp6")]
        .iter()
        .flat_map(|table| table.lines().skip(1))
        .filter_map(|line| listening_inode(line, at))
        .collect()
}

/// The inode in a line of /proc/net/tcp or tcp6 whose socket listens at `at`, or one of them for all addresses.
fn listening_inode(line: &str, at: SocketAddr) -> Option<u64> {
    let mut words = line.split_ascii_whitespace();
    let (address, port) = words.nth(1)?.split_once(':')?;
    let state = words.nth(1)?;
    if state != LISTEN || u16::from_str_radix(port, 16).ok()? != at.port() {
        return None;
    }
    let bound = parse_ip(address)?;
    let clash = bound.is_unspecified() || at.ip().is_unspecified() || bound == at.ip();
    clash.then(|| words.nth(5)?.parse().ok())?
}

/// An address as the kernel prints it: words of 32 bits in the machine's byte order.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let mut bytes = [0; 16];
    let words = hex.as_bytes().chunks(8);
    for (word, into) in words.zip(bytes.chunks_exact_mut(4)) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        into.copy_from_slice(&word.to_ne_bytes());
    }
    match hex.len() {
        8 => Some(IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]])),
        32 => Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()),
        _ => None,
    }
}

/// Inodes of the listening Unix sockets with this name; an abstract one begins with `@`.
fn unix(name: &[u8]) -> Vec<u64> {
    let table = fs::read("/proc/net/unix").unwrap_or_default();
    table.split(|b| *b == b'\n').filter_map(|line| unix_inode(line, name)).collect()
}

/// `Num: RefCount Protocol Flags Type St Inode Path`; the flag is __SO_ACCEPTCON.
fn unix_inode(line: &[u8], name: &[u8]) -> Option<u64> {
    let head = line.strip_suffix(name)?.strip_suffix(b" ")?;
    let words: Vec<&str> = std::str::from_utf8(head).ok()?.split_ascii_whitespace().collect();
    let [_, _, _, flags, _, _, inode] = words[..] else { return None };
    if flags == "00010000" { inode.parse().ok() } else { None }
}

/// The process with the lowest number that has one of these sockets open.
fn process_with(inodes: &[u64]) -> Option<String> {
    if inodes.is_empty() {
        return None;
    }
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let mut pids: Vec<u32> =
        fs::read_dir("/proc").ok()?.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    let pid = pids.into_iter().find(|pid| has_open(*pid, &wanted))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(format!("{}, pid {pid}", name.trim().escape_debug()))
}

fn has_open(pid: u32, wanted: &[String]) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| wanted.iter().any(|w| target.as_os_str() == w.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    fn me() -> String {
        format!("pid {}", std::process::id())
    }

    #[test]
    fn the_holder_of_a_port_is_found_also_behind_a_wildcard() {
        for host in ["127.0.0.1", "0.0.0.0", "[::1]"] {
            let socket = TcpListener::bind(format!("{host}:0")).unwrap();
            let at = socket.local_addr().unwrap();
            assert!(process_with(&tcp(at)).is_some_and(|who| who.contains(&me())), "{at}");
        }
        let socket = TcpListener::bind("0.0.0.0:0").unwrap();
        let at = SocketAddr::from(([127, 0, 0, 1], socket.local_addr().unwrap().port()));
        assert!(process_with(&tcp(at)).is_some_and(|who| who.contains(&me())));
    }

    #[test]
    fn the_holder_of_a_unix_socket_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a name with spaces.sock");
        let _socket = UnixListener::bind(&path).unwrap();
        assert!(process_with(&unix(path.as_os_str().as_bytes())).is_some_and(|who| who.contains(&me())));
    }

    #[test]
    fn lines_of_other_sockets_do_not_count() {
        let at: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let line = |local: &str, state: &str| {
            format!(
                "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 77 1 0"
            )
        };
        assert_eq!(listening_inode(&line("0100007F:0050", "0A"), at), Some(77));
        assert_eq!(listening_inode(&line("00000000:0050", "0A"), at), Some(77));
        assert_eq!(listening_inode(&line("0100007F:0051", "0A"), at), None);
        assert_eq!(listening_inode(&line("0200007F:0050", "0A"), at), None);
        assert_eq!(listening_inode(&line("0100007F:0050", "01"), at), None);
        for short in ["", "x", "0: 0100007F", "0: zz:0050 0:0 0A"] {
            assert_eq!(listening_inode(short, at), None);
        }
        let unix_line = b"0000000000000000: 00000002 00000000 00010000 0001 01 42 /run/a.sock";
        assert_eq!(unix_inode(unix_line, b"/run/a.sock"), Some(42));
        assert_eq!(unix_inode(unix_line, b"a.sock"), None);
    }
}
