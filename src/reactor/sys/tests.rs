//! What the kernel says about the sockets that [`MioSys`] makes: every option read back, every address form.

use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use socket2::{SockRef, Socket, Type};

use super::*;
use crate::reactor::endpoint::Address;
use crate::reactor::id::ListenerId;

const TOKEN: Token = Token::Listener(ListenerId { slot: 0, serial: 1 });

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap()
}

fn listen(sys: &mut MioSys, text: &str) -> Listening<MioListener> {
    sys.listen(&endpoint(text), TOKEN).unwrap()
}

fn refused(sys: &mut MioSys, text: &str) -> SetupError {
    sys.listen(&endpoint(text), TOKEN).unwrap_err()
}

fn tcp(at: &Endpoint) -> SocketAddr {
    let Address::Tcp(at) = at.address else { panic!("no TCP: {at}") };
    at
}

/// Every option that has another value than the default.
const ALL: &str = "reuseport=on,nodelay=off,keepalive=61s:7s:3,linger=5s,sndbuf=30000,rcvbuf=20000,\
                   user_timeout=4321ms";

/// Asserts what `ALL` asks for. Buffers are doubled by the kernel for its own overhead (socket(7)).
fn has_all(socket: &impl AsFd) {
    let s = SockRef::from(socket);
    assert!(!s.tcp_nodelay().unwrap());
    assert!(s.keepalive().unwrap());
    assert_eq!(s.tcp_keepalive_time().unwrap(), Duration::from_secs(61));
    assert_eq!(s.tcp_keepalive_interval().unwrap(), Duration::from_secs(7));
    assert_eq!(s.tcp_keepalive_retries().unwrap(), 3);
    assert_eq!(s.linger().unwrap(), Some(Duration::from_secs(5)));
    assert_eq!(s.send_buffer_size().unwrap(), 60_000);
    assert_eq!(s.recv_buffer_size().unwrap(), 40_000);
    assert_eq!(s.tcp_user_timeout().unwrap(), Some(Duration::from_millis(4321)));
    assert!(s.nonblocking().unwrap());
    let flags = rustix::io::fcntl_getfd(socket).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
}

/// Asserts the defaults: nodelay, and nothing else.
fn has_defaults(socket: &impl AsFd) {
    let s = SockRef::from(socket);
    assert!(s.tcp_nodelay().unwrap(), "nodelay is on by default");
    assert!(!s.keepalive().unwrap() && !s.reuse_port().unwrap());
    assert_eq!((s.linger().unwrap(), s.tcp_user_timeout().unwrap()), (None, None));
}

/// Accepts a connection of a client that has connected.
fn accept(sys: &mut MioSys, listening: &Listening<MioListener>) -> (TcpStream, MioSocket, Peer) {
    let client = TcpStream::connect(tcp(&listening.at)).unwrap();
    let (socket, peer) = sys.accept(&listening.listener).unwrap();
    (client, socket, peer)
}

#[test]
fn every_option_is_on_the_listener_and_inherited_by_what_it_accepts() {
    let mut sys = MioSys::new().unwrap();
    for host in ["127.0.0.1", "[::1]"] {
        let listening = listen(&mut sys, &format!("tcp:{host}:0,{ALL}"));
        has_all(&listening.listener);
        let s = SockRef::from(&listening.listener);
        assert!(s.reuse_port().unwrap() && s.reuse_address().unwrap(), "{host}");
        let (client, socket, peer) = accept(&mut sys, &listening);
        has_all(&socket);
        assert_eq!(peer, Peer::Tcp(client.local_addr().unwrap()));
        assert!(MioSys::short_read_drains(&socket));
    }
}

#[test]
fn without_options_sockets_have_the_documented_defaults() {
    let mut sys = MioSys::new().unwrap();
    let listening = listen(&mut sys, "127.0.0.1:0");
    has_defaults(&listening.listener);
    assert!(SockRef::from(&listening.listener).reuse_address().unwrap());
    has_defaults(&accept(&mut sys, &listening).1);
    let bare = listen(&mut sys, "127.0.0.1:0,reuseaddr=off");
    assert!(!SockRef::from(&bare.listener).reuse_address().unwrap());
}

#[test]
fn every_option_is_on_an_outbound_socket() {
    let mut sys = MioSys::new().unwrap();
    for host in ["127.0.0.1", "[::1]"] {
        let listening = listen(&mut sys, &format!("{host}:0"));
        let at = tcp(&listening.at);
        let (socket, _) = sys.connect(&endpoint(&format!("tcp:{at},{ALL}"))).unwrap();
        has_all(&socket);
        assert!(SockRef::from(&socket).reuse_port().unwrap());
        let (plain, _) = sys.connect(&endpoint(&at.to_string())).unwrap();
        has_defaults(&plain);
    }
}

#[test]
fn the_backlog_is_the_length_of_the_accept_queue() {
    let mut sys = MioSys::new().unwrap();
    for backlog in [0, 1, 5] {
        let listening = listen(&mut sys, &format!("127.0.0.1:0,backlog={backlog}"));
        let at = tcp(&listening.at);
        // Loopback completes a connect at once while the queue has a place; the kernel lets one more in (listen(2)).
        let mut held = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&at, Duration::from_millis(250)) {
            held.push(stream);
            assert!(held.len() < 32, "the backlog of {backlog} has no end");
        }
        assert_eq!(held.len(), backlog + 1);
    }
}

#[test]
fn two_listeners_share_a_port_only_with_reuse_port() {
    let mut sys = MioSys::new().unwrap();
    let one = listen(&mut sys, "127.0.0.1:0,reuseport=on");
    let at = tcp(&one.at);
    let _two = listen(&mut sys, &format!("{at},reuseport=on"));
    let error = refused(&mut sys, &at.to_string());
    assert_eq!((error.step, error.source.kind()), ("bind", ErrorKind::AddrInUse));
}

/// A listener on all IPv6 addresses, and how a connect over IPv4 to its port ends.
fn over_v4(sys: &mut MioSys, option: &str) -> (bool, Option<ErrorKind>) {
    let listening = listen(sys, &format!("tcp:[::]:0{option}"));
    let only = SockRef::from(&listening.listener).only_v6().unwrap();
    let port = tcp(&listening.at).port();
    assert!(TcpStream::connect((Ipv6Addr::LOCALHOST, port)).is_ok(), "over IPv6, always");
    let _ = sys.accept(&listening.listener).unwrap();
    match TcpStream::connect(("127.0.0.1", port)) {
        Ok(_) => {
            let (_, peer) = sys.accept(&listening.listener).unwrap();
            assert!(peer.to_string().starts_with("[::ffff:127.0.0.1]:"), "{peer}");
            (only, None)
        }
        Err(e) => (only, Some(e.kind())),
    }
}

#[test]
fn dual_stack_is_asked_for_and_never_an_accident() {
    let mut sys = MioSys::new().unwrap();
    assert_eq!(over_v4(&mut sys, ""), (true, Some(ErrorKind::ConnectionRefused)));
    assert_eq!(over_v4(&mut sys, ",v6only=on"), (true, Some(ErrorKind::ConnectionRefused)));
    assert_eq!(over_v4(&mut sys, ",v6only=off"), (false, None));
}

#[test]
fn a_listener_tells_its_port_and_what_its_making_cost() {
    let mut sys = MioSys::new().unwrap();
    let listening = listen(&mut sys, "localhost:0");
    assert_ne!(tcp(&listening.at).port(), 0);
    let p = listening.parts;
    let parts = [p.socket, p.options, p.resolve, p.bind, p.listen, p.register];
    assert_eq!(parts.iter().sum::<u64>(), p.total());
    assert!(p.socket > 0 && p.bind > 0 && p.resolve > 0, "{p:?}");
    let error = refused(&mut sys, "192.0.2.1:0");
    assert_eq!((error.step, error.source.kind()), ("bind", ErrorKind::AddrNotAvailable));
    assert_eq!(refused(&mut sys, "no-such-name.invalid:80").step, "resolve");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_unix_sockets_mode_is_exact_whatever_the_umask() {
    for umask in ["000", "077", "022"] {
        // The umask belongs to the whole process: each has a process of its own.
        let me = std::env::current_exe().unwrap();
        let script = format!("umask {umask}; exec \"$0\" --exact reactor::sys::tests::modes --ignored");
        let output = std::process::Command::new("sh").args(["-c", &script]).arg(me).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "umask {umask}: {text}");
    }
}

#[test]
#[ignore = "needs a umask: run as a child by the test above"]
fn modes() {
    let folder = tempfile::tempdir().unwrap();
    let mut sys = MioSys::new().unwrap();
    for want in [0o600, 0o660, 0o666, 0o777, 0o007] {
        let path = folder.path().join(format!("{want:o}"));
        let listening = listen(&mut sys, &format!("unix:{},mode={want:o}", path.display()));
        assert_eq!(mode(&path), want);
        sys.close_listener(listening.listener);
    }
    let path = folder.path().join("by-umask");
    let _plain = listen(&mut sys, &format!("unix:{}", path.display()));
    let by_umask = UnixListener::bind(folder.path().join("std")).map(|_| mode(&folder.path().join("std")));
    assert_eq!(mode(&path), by_umask.unwrap(), "without a mode the umask decides");
}

#[test]
fn a_stale_unix_socket_is_replaced_and_a_live_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let at = format!("unix:{}", path.display());
    let mut sys = MioSys::new().unwrap();
    drop(UnixListener::bind(&path).unwrap());
    // A child that another test starts at this moment holds all descriptors until its exec: so long it is live.
    let patience = monotonic() + Duration::from_secs(10);
    while UnixStream::connect(&path).is_ok() {
        assert!(monotonic() < patience, "the dropped socket still listens");
        std::thread::yield_now();
    }
    let live = listen(&mut sys, &at);
    assert!(UnixStream::connect(&path).is_ok());
    assert!(std::fs::metadata(&path).unwrap().file_type().is_socket());
    let error = refused(&mut sys, &at);
    assert_eq!((error.step, error.source.kind()), ("bind", ErrorKind::AddrInUse));
    assert!(UnixStream::connect(&path).is_ok(), "the live one was left alone");
    sys.close_listener(live.listener);
    assert!(!path.exists(), "unlinked");
}

#[test]
fn a_file_that_is_no_socket_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut sys = MioSys::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [&file, &link] {
        let error = refused(&mut sys, &format!("unix:{}", path.display()));
        assert_eq!((error.step, error.source.kind()), ("bind", ErrorKind::AddrInUse));
    }
    assert_eq!(std::fs::read_to_string(&link).unwrap(), "precious");
    assert!(folder.path().join("link").symlink_metadata().unwrap().is_symlink());
    let missing = refused(&mut sys, &format!("unix:{}/no/such/folder", folder.path().display()));
    assert_eq!((missing.step, missing.source.kind()), ("bind", ErrorKind::NotFound));
}

#[test]
fn a_socket_file_is_unlinked_only_while_it_is_still_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let mut sys = MioSys::new().unwrap();
    let ours = listen(&mut sys, &format!("unix:{}", path.display()));
    let moved = folder.path().join("moved");
    std::fs::rename(&path, &moved).unwrap();
    let theirs = UnixListener::bind(&path).unwrap();
    drop(ours);
    assert!(UnixStream::connect(&path).is_ok(), "another's socket was left alone");
    drop(theirs);
    let gone = listen(&mut sys, &format!("unix:{}", folder.path().join("t").display()));
    std::fs::remove_file(folder.path().join("t")).unwrap();
    drop(gone);
}

#[test]
fn abstract_names_leave_no_file_and_are_free_again_after_the_close() {
    let mut sys = MioSys::new().unwrap();
    let at = format!("unix:@tidemill-sys-{}", std::process::id());
    let listening = listen(&mut sys, &at);
    assert_eq!(listening.at.short(), at);
    let (socket, _) = sys.connect(&endpoint(&at)).unwrap();
    let (accepted, peer) = sys.accept(&listening.listener).unwrap();
    assert_eq!((peer, sys.connected(&socket).unwrap()), (Peer::Unix, true));
    assert!(!MioSys::short_read_drains(&accepted), "passed descriptors leave bytes without an edge");
    assert_eq!(refused(&mut sys, &at).source.kind(), ErrorKind::AddrInUse);
    sys.close_listener(listening.listener);
    let _again = listen(&mut sys, &at);
}

/// A descriptor as a parent leaves it to its child: without close-on-exec.
fn inherited(socket: Socket) -> i32 {
    socket.set_cloexec(false).unwrap();
    socket.into_raw_fd()
}

#[test]
fn an_inherited_listener_is_taken_over_by_its_number() {
    let mut sys = MioSys::new().unwrap();
    let made = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = made.local_addr().unwrap();
    let number = inherited(made.into());
    let listening = listen(&mut sys, &format!("fd:{number}"));
    assert_eq!((listening.listener.as_fd().as_raw_fd(), tcp(&listening.at)), (number, at));
    let s = SockRef::from(&listening.listener);
    assert!(s.nonblocking().unwrap());
    assert!(rustix::io::fcntl_getfd(&listening.listener).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    let (client, _, peer) = accept(&mut sys, &listening);
    assert_eq!(peer, Peer::Tcp(client.local_addr().unwrap()));
    assert_eq!(refused(&mut sys, &format!("fd:{number}")).step, "socket", "not twice");
}

#[test]
fn an_inherited_unix_listener_is_taken_over_and_its_file_left_to_its_maker() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let mut sys = MioSys::new().unwrap();
    let number = inherited(UnixListener::bind(&path).unwrap().into());
    let listening = listen(&mut sys, &format!("fd:{number}"));
    let _client = UnixStream::connect(&path).unwrap();
    assert_eq!(sys.accept(&listening.listener).unwrap().1, Peer::Unix);
    sys.close_listener(listening.listener);
    assert!(path.exists());
}

#[test]
fn a_number_that_is_no_inherited_listener_is_refused() {
    let mut sys = MioSys::new().unwrap();
    let idle = Socket::new(socket2::Domain::IPV4, Type::STREAM, None).unwrap();
    let number = inherited(idle);
    let error = refused(&mut sys, &format!("fd:{number}"));
    assert_eq!((error.step, error.source.kind()), ("socket", ErrorKind::InvalidInput));
    let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = refused(&mut sys, &format!("fd:{}", own.as_raw_fd()));
    assert_eq!(error.source.kind(), ErrorKind::InvalidInput, "close-on-exec: this process made it");
    assert!(own.local_addr().is_ok());
    assert_eq!(refused(&mut sys, "fd:19999").step, "socket");
}

#[test]
fn sockets_pairs_and_pipes_are_adopted_and_files_and_folders_are_not() {
    let mut sys = MioSys::new().unwrap();
    let (one, two) = UnixStream::pair().unwrap();
    let Adopted { socket, peer, reads, writes } = sys.adopt(one.into()).unwrap();
    assert!(reads && writes);
    assert!(matches!(peer, Peer::Unix | Peer::Unknown));
    assert!(!MioSys::short_read_drains(&socket) && SockRef::from(&socket).nonblocking().unwrap());
    assert_eq!(sys.write(&socket, b"pair", false).unwrap(), 4);
    let mut four = [0; 4];
    io::Read::read_exact(&mut &two, &mut four).unwrap();
    assert_eq!(&four, b"pair");

    let (read, write) = io::pipe().unwrap();
    let Adopted { socket: read, reads, writes, .. } = sys.adopt(read.into()).unwrap();
    assert!(reads && !writes, "a pipe has one direction");
    let Adopted { socket: write, reads, writes, .. } = sys.adopt(write.into()).unwrap();
    assert!(!reads && writes, "a pipe has one direction");
    assert_eq!(sys.read(&read, &mut four).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(sys.write(&write, b"pipe", false).unwrap(), 4);
    assert_eq!(sys.read(&read, &mut four).unwrap(), 4);
    assert_eq!((&four, sys.unacknowledged(&read)), (b"pipe", None));

    let listening = listen(&mut sys, "127.0.0.1:0");
    let (client, _, _) = accept(&mut sys, &listening);
    let at = client.peer_addr().unwrap();
    assert_eq!(sys.adopt(client.into()).unwrap().peer, Peer::Tcp(at));

    for path in ["/proc/self/exe", "/tmp"] {
        let file = File::open(path).unwrap();
        assert_eq!(sys.adopt(file.into()).unwrap_err().kind(), ErrorKind::InvalidInput, "{path}");
    }
}

#[test]
fn a_failed_connect_says_why_by_its_pending_error() {
    let mut sys = MioSys::new().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // Loopback may refuse within the call or after it.
    let error = match sys.connect(&endpoint(&nobody.to_string())) {
        Err(e) => e,
        Ok((socket, _)) => sys.connected(&socket).unwrap_err(),
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let missing = sys.connect(&endpoint("unix:/tmp/tidemill/no/such.sock")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn what_the_peer_has_not_acknowledged_is_counted() {
    let mut sys = MioSys::new().unwrap();
    let listening = listen(&mut sys, "127.0.0.1:0");
    let (_deaf, socket, _) = accept(&mut sys, &listening);
    assert_eq!(sys.unacknowledged(&socket), Some(0));
    while sys.write(&socket, &[0; 65536], false).is_ok() {}
    assert!(sys.unacknowledged(&socket).unwrap() > 0);
}
