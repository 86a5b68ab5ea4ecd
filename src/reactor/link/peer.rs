//! A peer's address, packed.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::reactor::sys::Peer;

/// A [`Peer`] in 24 bytes: every idle connection carries one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedPeer {
    ip: [u8; 16],
    /// Of link-local IPv6 addresses: the interface.
    scope: u32,
    port: u16,
    kind: u8,
}

impl From<Peer> for PackedPeer {
    fn from(peer: Peer) -> Self {
        let none = Self { ip: [0; 16], scope: 0, port: 0, kind: 0 };
        match peer {
            Peer::Tcp(SocketAddr::V4(at)) => {
                let mut ip = [0; 16];
                ip[..4].copy_from_slice(&at.ip().octets());
                Self { ip, port: at.port(), kind: 4, ..none }
            }
            Peer::Tcp(SocketAddr::V6(at)) => {
                Self { ip: at.ip().octets(), scope: at.scope_id(), port: at.port(), kind: 6 }
            }
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
            6 => Peer::Tcp(SocketAddrV6::new(Ipv6Addr::from(self.ip), self.port, 0, self.scope).into()),
            1 => Peer::Unix,
            _ => Peer::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_survive_packing() {
        let v6 = SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 3);
        for peer in [Peer::Tcp(([1, 2, 3, 4], 5).into()), Peer::Tcp(v6.into()), Peer::Unix, Peer::Unknown] {
            assert_eq!(PackedPeer::from(peer).unpack(), peer);
        }
    }
}
