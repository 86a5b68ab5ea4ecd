//! Every system call of a run fails once: after each, nothing leaks and the next connection works.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::fs::File;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;

use sim::{Client, Echo, Hooks, S, Side, Talk, patient, tcp, unix};
use tidemill::reactor::Endpoint;
use tidemill::reactor::testing::{Call, World};

/// What one run made of its connections.
struct Run {
    world: World,
    server: Side,
    client: Side,
    /// A connection of the second, healthy part got everything back.
    next_works: bool,
}

/// Two connections to an echo and one to a file server, the `n`-th call failing; then, without failures, one more.
fn run(n: u64, at: &Endpoint) -> Option<Run> {
    let world = World::new(n);
    let (mut server, mut client) = (Side::new(&world), Side::new(&world));
    let ((echo, _), (mut talker, talked)) = (Echo::new(), Client::new());
    talker.limits.connect_timeout = Some(10 * S);
    let (serving, talking) = (server.reactor.add(echo), client.reactor.add(talker));
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[7; 500]).unwrap();
    let files = server.reactor.add(file_server(file));
    let at_files: Endpoint = "127.0.0.1:9".parse().unwrap();
    world.fail_call(n);
    // A listener that cannot be made is an error at once, and the program's to handle.
    let listens = server.reactor.listen(serving, at).is_ok() || server.reactor.listen(serving, at).is_ok();
    assert!(listens);
    let listens =
        server.reactor.listen(files, &at_files).is_ok() || server.reactor.listen(files, &at_files).is_ok();
    assert!(listens);
    let text = Rc::new(vec![7; 500]);
    for to in [at, at, &at_files] {
        client.reactor.connect(talking, to, Talk::new(&text)).unwrap();
    }
    rounds(&world, &mut server, &mut client);
    assert_eq!(talked.closed(), 3, "each connect has an end");
    let failed = world.failed_call().is_some();
    world.fail_call(0);
    let good = talked.good.get();
    assert!(failed || good == 3, "{:?}", talked.reasons());
    client.reactor.connect(talking, at, Talk::new(&text)).unwrap();
    rounds(&world, &mut server, &mut client);
    failed.then_some(Run { world, server, client, next_works: talked.good.get() == good + 1 })
}

fn file_server(file: File) -> Hooks {
    let file = Arc::new(file);
    Hooks {
        limits: patient(),
        data: Some(Box::new(move |ctx| {
            ctx.rx.consume(usize::MAX);
            if ctx.tx.room() > 0 {
                ctx.send_file(Arc::clone(&file), 0..500).unwrap();
            }
        })),
        ..Hooks::default()
    }
}

/// Turns both sides until no connection is left.
fn rounds(world: &World, server: &mut Side, client: &mut Side) {
    world.drive(|| {
        server.turn();
        client.turn();
        server.reactor.connections() == 0 && client.reactor.connections() == 0
    });
}

#[test]
fn any_one_call_may_fail() {
    for at in [tcp(), unix()] {
        let mut calls = std::collections::BTreeMap::<Call, u32>::new();
        for n in 1.. {
            let Some(run) = run(n, &at) else { break };
            let call = run.world.failed_call().unwrap();
            assert!(run.next_works, "call {n}, {call:?}: the next connection does not work");
            for side in [&run.server, &run.client] {
                assert_eq!(run.world.open_sockets(side.process), 0, "call {n}, {call:?} leaks");
            }
            assert_eq!(run.world.open_listeners(run.server.process), 2, "call {n}, {call:?}");
            assert!(n < 10_000);
            *calls.entry(call).or_default() += 1;
        }
        for call in [
            Call::Poll,
            Call::Listen,
            Call::Accept,
            Call::Connect,
            Call::Register,
            Call::Connected,
            Call::Read,
            Call::Write,
            Call::SendFile,
            Call::ShutdownWrite,
        ] {
            assert!(calls.contains_key(&call), "{call:?} never failed: {calls:?}");
        }
    }
}
