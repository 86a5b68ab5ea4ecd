//! How simulated sockets come about: listening, connecting, the accept queue, descriptors that run out.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;

use super::kernel::{Action, Id, Kernel, Listening, ProcessId};
use super::socket::{Kind, Owner, Phase, Pipe, Sock};
use crate::reactor::endpoint::{Address, Endpoint, SocketOptions};
use crate::reactor::sys::Peer;

/// How long a connect waits that nobody answers: six retries, as Linux does it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(127);
/// A SYN that met a full queue is sent again this often.
const SYN_RETRIES: u8 = 6;
/// The size of a buffer in a world without small ones.
const BUFFER: usize = 64 * 1024;

impl Kernel {
    // ── Listening ──

    pub(super) fn listen(
        &mut self,
        process: Option<ProcessId>,
        at: &Endpoint,
    ) -> Result<(Id, Address), Errno> {
        let mut address = at.address.clone();
        match &mut address {
            Address::Tcp(at) if at.port() == 0 => at.set_port(self.free_port()),
            Address::Tcp(_) | Address::Unix(_) | Address::Abstract(_) => {}
            Address::TcpName(..) | Address::Fd(_) => return Err(Errno::INVAL),
        }
        let shares = |other: &Listening| other.options.reuse_port && at.options.reuse_port;
        if self.listeners.values().any(|other| other.address == address && !shares(other)) {
            return Err(Errno::ADDRINUSE);
        }
        if let Some(process) = process {
            if !self.processes[process.0].has_descriptor() {
                return Err(Errno::MFILE);
            }
            self.processes[process.0].listeners += 1;
            self.keep_spare(process);
        }
        let id = self.new_id();
        let listening = Listening {
            process,
            address: address.clone(),
            options: at.options.clone(),
            queue: Default::default(),
        };
        self.listeners.insert(id, listening);
        self.say(|| format!("{id} listens at {address}"));
        Ok((id, address))
    }

    fn free_port(&mut self) -> u16 {
        self.next_port = self.next_port.checked_add(1).unwrap_or(40_001);
        self.next_port
    }

    fn keep_spare(&mut self, process: ProcessId) {
        let p = &mut self.processes[process.0];
        p.spare = p.spare || p.has_descriptor();
    }

    pub(super) fn close_listener(&mut self, id: Id) {
        let Some(listener) = self.listeners.get_mut(&id) else {
            panic!("seed {}: listener {id} is closed twice", self.seed);
        };
        let queue = std::mem::take(&mut listener.queue);
        if let Some(process) = listener.process {
            self.unregister(process, id);
            self.processes[process.0].listeners -= 1;
        }
        self.listeners.remove(&id);
        for waiting in queue {
            // Who was not accepted is reset.
            self.close(waiting, true);
        }
    }

    /// The listener that a connect to `to` reaches.
    fn listener_at(&mut self, to: &Address) -> Option<Id> {
        let found: Vec<Id> =
            self.listeners.iter().filter(|(_, l)| reaches(l, to)).map(|(id, _)| *id).collect();
        // Those that share a port share its connections.
        let nth = self.rng.below(found.len() as u64) as usize;
        found.get(nth).copied()
    }

    fn queue_is_full(&self, listener: Id) -> bool {
        self.listeners.get(&listener).is_some_and(|l| l.queue.len() > l.options.backlog as usize)
    }

    // ── Connecting ──

    pub(super) fn connect(&mut self, owner: Owner, to: &Endpoint) -> Result<(Id, bool), Errno> {
        let kind = match &to.address {
            Address::Tcp(_) => Kind::Tcp,
            Address::Unix(_) | Address::Abstract(_) => Kind::Unix,
            Address::TcpName(..) | Address::Fd(_) => return Err(Errno::INVAL),
        };
        if let Owner::Process(process) = owner
            && !self.processes[process.0].has_descriptor()
        {
            return Err(Errno::MFILE);
        }
        let listener = self.listener_at(&to.address);
        if kind == Kind::Unix {
            match listener {
                None if matches!(to.address, Address::Unix(_)) => return Err(Errno::NOENT),
                None => return Err(Errno::CONNREFUSED),
                Some(listener) if self.queue_is_full(listener) => return Err(Errno::AGAIN),
                Some(_) => {}
            }
        }
        let id = self.new_socket(kind, owner, to);
        let at_once = kind == Kind::Unix || self.rng.chance(self.faults.connect_at_once);
        match listener {
            Some(listener)
                if at_once && !self.is_unreachable(&to.address) && !self.queue_is_full(listener) =>
            {
                self.establish(id, listener);
                Ok((id, true))
            }
            _ => {
                let at = self.now + self.delay();
                self.schedule(at, Action::Syn(id, 0));
                Ok((id, false))
            }
        }
    }

    fn new_socket(&mut self, kind: Kind, owner: Owner, to: &Endpoint) -> Id {
        let rx = self.new_pipe(&SocketOptions::default(), &to.options);
        let mut sock = Sock::new(kind, owner, rx);
        sock.target = Some(to.clone());
        if let Address::Tcp(at) = to.address {
            sock.name = Peer::Tcp(at);
        }
        if let Owner::Process(process) = owner {
            self.processes[process.0].sockets += 1;
        }
        let id = self.new_id();
        self.socks.insert(id, sock);
        self.say(|| format!("{id} connects to {}", to.short()));
        id
    }

    /// The pipe to a socket with options `receiver`, from one with options `sender`.
    fn new_pipe(&mut self, sender: &SocketOptions, receiver: &SocketOptions) -> Pipe {
        let mut size = |asked: Option<u32>| match (asked, self.faults.buffer_max) {
            (Some(bytes), _) => bytes.max(1) as usize,
            (None, 0) => BUFFER,
            (None, max) => self.rng.size(max),
        };
        Pipe::new(size(sender.send_buffer), size(receiver.recv_buffer))
    }

    fn is_unreachable(&self, to: &Address) -> bool {
        self.blackholes.contains(to)
    }

    /// A connect arrives where it wants to go.
    pub(super) fn syn(&mut self, id: Id, nth: u8) {
        let Some(sock) = self.socks.get(&id) else { return };
        let Some(to) = sock.target.as_ref().map(|to| to.address.clone()) else { return };
        if self.is_unreachable(&to) || self.rng.chance(self.faults.connect_drop) {
            let at = self.now + CONNECT_TIMEOUT;
            return self.schedule(at, Action::GiveUp(id));
        }
        let refuse = self.rng.chance(self.faults.connect_refuse);
        match self.listener_at(&to) {
            Some(listener) if !refuse => {
                if !self.queue_is_full(listener) {
                    self.establish(id, listener);
                } else if nth < SYN_RETRIES {
                    let at = self.now + Duration::from_secs(1 << nth);
                    self.schedule(at, Action::Syn(id, nth + 1));
                } else {
                    self.fail_connect(id, Errno::TIMEDOUT);
                }
            }
            _ => self.fail_connect(id, Errno::CONNREFUSED),
        }
    }

    pub(super) fn give_up(&mut self, id: Id) {
        self.fail_connect(id, Errno::TIMEDOUT);
    }

    fn fail_connect(&mut self, id: Id, err: Errno) {
        let Some(sock) = self.socks.get_mut(&id) else { return };
        sock.finish(Some(err));
        self.say(|| format!("{id} fails to connect: {err}"));
        self.edge(id);
    }

    /// The connection stands: its other end waits in the accept queue.
    fn establish(&mut self, id: Id, listener: Id) {
        let Some(l) = self.listeners.get(&listener) else { return };
        let (options, process) = (l.options.clone(), l.process);
        let port = self.free_port();
        let Some(to) = self.socks.get(&id).and_then(|sock| sock.target.clone()) else { return };
        let rx = self.new_pipe(&to.options, &options);
        let send_max = self.new_pipe(&options, &to.options).send_max;
        let other = self.new_id();
        let Some(sock) = self.socks.get_mut(&id) else { return };
        let mut accepted = Sock::new(sock.kind, Owner::Queue, rx);
        if sock.kind == Kind::Tcp {
            accepted.name = Peer::Tcp(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
        }
        accepted.phase = Phase::Open;
        accepted.peer = Some(id);
        sock.phase = Phase::Open;
        sock.peer = Some(other);
        sock.rx.send_max = send_max;
        self.socks.insert(other, accepted);
        if let Some(l) = self.listeners.get_mut(&listener) {
            l.queue.push_back(other);
        }
        self.say(|| format!("{id} is connected to {other}, queued at {listener} of {process:?}"));
        self.edge(id);
        self.edge(listener);
    }

    /// A connected pair outside every accept queue: one end for a script, one that waits to be adopted.
    pub(super) fn pair(&mut self) -> (Id, Id) {
        let options = SocketOptions::default();
        let (a, b) = (self.new_id(), self.new_id());
        for (id, owner, peer) in [(a, Owner::Script, b), (b, Owner::Queue, a)] {
            let rx = self.new_pipe(&options, &options);
            let mut sock = Sock::new(Kind::Unix, owner, rx);
            sock.phase = Phase::Open;
            sock.peer = Some(peer);
            self.socks.insert(id, sock);
        }
        (a, b)
    }

    // ── Accepting ──

    pub(super) fn accept(&mut self, process: ProcessId, listener: Id) -> Result<(Id, Peer), Errno> {
        // Linux takes the descriptor first: EMFILE comes even when nobody waits.
        if !self.processes[process.0].has_descriptor() {
            return Err(Errno::MFILE);
        }
        if self.rng.chance(self.faults.accept_exhaust) {
            return Err([Errno::MFILE, Errno::NFILE][self.rng.between(0, 1)]);
        }
        if self.listeners.get(&listener).is_none_or(|l| l.queue.is_empty()) {
            return Err(Errno::AGAIN);
        }
        self.disturb(listener, self.faults.read_block)?;
        let id = self.dequeue(listener).ok_or(Errno::AGAIN)?;
        if self.rng.chance(self.faults.accept_abort) {
            self.close(id, true);
            return Err(Errno::CONNABORTED);
        }
        Ok((id, self.hand_over(id, Owner::Process(process))))
    }

    pub(super) fn dequeue(&mut self, listener: Id) -> Option<Id> {
        self.listeners.get_mut(&listener)?.queue.pop_front()
    }

    /// Gives a queued socket to whoever accepts or adopts it.
    pub(super) fn hand_over(&mut self, id: Id, owner: Owner) -> Peer {
        if let Owner::Process(process) = owner {
            self.processes[process.0].sockets += 1;
        }
        self.say(|| format!("{id} is accepted by {owner:?}"));
        let Some(sock) = self.socks.get_mut(&id) else { return Peer::Unknown };
        sock.owner = owner;
        sock.name
    }

    pub(super) fn shed(&mut self, process: ProcessId, listener: Id) -> bool {
        self.processes[process.0].spare = false;
        let has_descriptor = self.processes[process.0].has_descriptor();
        let shed = if has_descriptor { self.dequeue(listener) } else { None };
        if let Some(id) = shed {
            self.close(id, false);
        }
        self.keep_spare(process);
        shed.is_some()
    }

    /// `SO_ERROR`, and whether the socket has a peer.
    pub(super) fn connected(&mut self, id: Id) -> Result<bool, Errno> {
        let Some(sock) = self.socks.get_mut(&id) else { return Err(Errno::BADF) };
        match sock.err.take() {
            Some(e) => Err(e),
            None => Ok(sock.phase == Phase::Open),
        }
    }
}

/// Whether a connect to `to` arrives at `listener`.
fn reaches(listener: &Listening, to: &Address) -> bool {
    let (Address::Tcp(at), Address::Tcp(to)) = (&listener.address, to) else {
        return listener.address == *to;
    };
    let any = at.ip().is_unspecified() && (at.is_ipv4() == to.is_ipv4() || !listener.options.v6only);
    at.port() == to.port() && (at.ip() == to.ip() || any)
}
