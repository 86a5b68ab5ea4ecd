//! A peer's address, packed.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::reactor::sys::Peer;

/// A [`Peer`] in 20 bytes: every idle connection carries one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedPeer {
    ip: [u8; 16],
    port: u16,
    kind: u8,
}

impl From<Peer> for PackedPeer {
    fn from(peer: Peer) -> Self {
        let none = Self { ip: [0; 16], port: 0, kind: 0 };
        match peer {
            Peer::Tcp(SocketAddr::V4(at)) => {
                let mut ip = [0; 16];
                ip[..4].copy_from_slice(&at.ip().octets());
                Self { ip, port: at.port(), kind: 4 }
            }
            Peer::Tcp(SocketAddr::V6(at)) => Self { ip: at.ip().octets(), port: at.port(), kind: 6 },
            Peer::Unix => Self { kind: 1, ..none },
            Peer::Unknown => none,
        }
    }
}

impl PackedPeer {
    pub(crate) fn unpack(&self) -> Peer {
        let [a, b, c, d, ..] = self.ip;
        match self.kind {
            4 => Peer::Tcp((Ipv4Addr::new(a, b, c, d), self.port).into()),
            6 => Peer::Tcp((Ipv6Addr::from(self.ip), self.port).into()),
            1 => Peer::Unix,
            _ => Peer::Unknown,
        }
    }
}
