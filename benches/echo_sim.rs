//! An echo between a scripted peer and a reactor, both on the simulated kernel: what a simulated test costs.
//!
//! `cargo bench --bench echo_sim --features testing`; the items are bytes there and back.

use std::time::Duration;

use divan::Bencher;
use divan::counter::BytesCount;
use tidemill::proto::echo::Echo;
use tidemill::reactor::testing::{Faults, SimPeer, SimSys, World};
use tidemill::reactor::{Config, Endpoint, Reactor};

fn main() {
    divan::main();
}

/// A reactor that echoes, and a peer of it.
fn pair(world: &World) -> (Reactor<SimSys>, SimPeer) {
    let mut reactor = Reactor::with_sys(world.sys(), Config::default());
    let echo = reactor.add(Echo::new());
    let at = Endpoint::tcp(([127, 0, 0, 1], 7));
    reactor.listen(echo, &at).unwrap_or_else(|e| panic!("{e}"));
    let peer = world.dial(&at).unwrap_or_else(|e| panic!("{e}"));
    (reactor, peer)
}

/// Sends `bytes` and reads them back.
fn exchange(reactor: &mut Reactor<SimSys>, peer: &mut SimPeer, bytes: &[u8]) {
    let (mut sent, mut got) = (0, 0);
    while got < bytes.len() {
        sent += peer.write(&bytes[sent..]);
        reactor.turn(Some(Duration::from_millis(1))).unwrap_or_else(|e| panic!("{e}"));
        got += peer.read().len();
    }
}

#[divan::bench(args = [64, 65_536])]
fn without_faults(bencher: Bencher<'_, '_>, size: usize) {
    let world = World::new(1);
    let (mut reactor, mut peer) = pair(&world);
    let bytes = vec![7; size];
    bencher.counter(BytesCount::new(2 * size)).bench_local(|| exchange(&mut reactor, &mut peer, &bytes));
}

#[divan::bench(args = [64, 65_536])]
fn with_benign_faults(bencher: Bencher<'_, '_>, size: usize) {
    let world = World::with_faults(1, Faults::benign());
    let (mut reactor, mut peer) = pair(&world);
    let bytes = vec![7; size];
    bencher.counter(BytesCount::new(2 * size)).bench_local(|| exchange(&mut reactor, &mut peer, &bytes));
}
