//! Files whose bytes are not in memory: a connection waits for them, its neighbours do not, and none waits for ever.
#![allow(clippy::unwrap_used, reason = "a test")]

mod sim;

use std::fs::File;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sim::{Book, Hooks, MS, S, Side, patient, tcp, until};
use tidemill::reactor::testing::{Faults, SimPeer, World, seeds};
use tidemill::reactor::{Config, Endpoint, Handle, Limits};

const SIZE: usize = 5 << 20;

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n / 7 % 251) as u8).collect()
}

fn file(bytes: usize) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&content(bytes)).unwrap();
    Arc::new(file)
}

/// No byte is ever in memory, and a thread needs so long to read some.
fn cold(work: Duration) -> Faults {
    let mut faults = Faults::none();
    faults.file_away = 1000;
    faults.work_ns_max = work.as_nanos() as u64;
    faults
}

/// Answers `f` with the file and everything else with itself.
fn serve(world: &World, threads: usize, queue: usize, limits: Limits, file: &Arc<File>) -> (Side, Rc<Book>) {
    let mut config = Config::default();
    (config.workers.threads_max, config.workers.queue_max) = (Some(threads), queue);
    let mut side = Side::with_config(world, config);
    let file = Arc::clone(file);
    let size = file.metadata().unwrap().len();
    let data = move |ctx: &mut tidemill::reactor::Ctx<'_, Hooks>| {
        if ctx.rx.first() == Some(&b'f') {
            ctx.rx.consume(1);
            ctx.send_file(Arc::clone(&file), 0..size).unwrap();
        } else {
            ctx.tx.take_from(&mut ctx.rx);
        }
    };
    let hooks = Hooks { data: Some(Box::new(data)), limits, ..Hooks::default() };
    let book = Rc::clone(&hooks.book);
    let key = side.reactor.add(hooks);
    side.reactor.listen(key, &at()).unwrap();
    (side, book)
}

/// Files are large: through buffers of one byte, which a seed can choose, they would take for ever.
fn at() -> Endpoint {
    let mut at = tcp();
    (at.options.send_buffer, at.options.recv_buffer) = (Some(1 << 14), Some(1 << 14));
    at
}

fn ask(world: &World, what: &[u8]) -> SimPeer {
    let mut peer = world.dial(&at()).unwrap();
    peer.set_room(1 << 20);
    assert_eq!(peer.write(what), what.len());
    peer
}

fn receive(side: &mut Side, peer: &mut SimPeer, bytes: usize) -> Vec<u8> {
    let mut got = Vec::new();
    until(side, "the file is there", |_| {
        got.extend(peer.read());
        got.len() >= bytes
    });
    got
}

#[test]
fn a_neighbour_is_answered_at_once_while_the_disk_takes_its_time() {
    let world = World::with_faults(3, cold(Duration::from_millis(200)));
    let (mut side, _) = serve(&world, 2, 10, patient(), &file(SIZE));
    let mut waiting: Vec<_> = (0..5).map(|_| ask(&world, b"f")).collect();
    side.settle();
    assert_eq!((world.jobs_running(side.process), world.jobs_queued(side.process)), (2, 3));
    let began = world.now();
    let mut neighbour = ask(&world, b"hello");
    side.settle();
    assert_eq!(neighbour.read(), b"hello");
    assert_eq!(world.now(), began, "it waited for somebody's disk");
    assert!(waiting.iter_mut().all(|peer| peer.read().is_empty()));
    for peer in &mut waiting {
        assert!(receive(&mut side, peer, SIZE) == content(SIZE));
    }
    assert!(world.jobs_done(side.process) >= 5 * 2, "what is away is read in by threads");
}

#[test]
fn bytes_before_the_file_and_requests_behind_it_keep_their_order() {
    let world = World::with_faults(4, cold(Duration::from_millis(20)));
    let (mut side, _) = serve(&world, 1, 10, patient(), &file(10_000));
    let mut peer = ask(&world, b"f");
    side.settle();
    assert_eq!(peer.write(b"behind"), 6);
    let got = receive(&mut side, &mut peer, 10_006);
    assert!(got[..10_000] == content(10_000));
    assert_eq!(&got[10_000..], b"behind");
}

#[test]
fn a_pool_without_a_thread_or_with_a_full_queue_stops_nobody() {
    for (threads, queue) in [(0, 0), (1, 0), (1, 1), (1, 3)] {
        let world = World::with_faults(5, cold(MS));
        let (mut side, _) = serve(&world, threads, queue, patient(), &file(SIZE));
        let mut peers: Vec<_> = (0..12).map(|_| ask(&world, b"f")).collect();
        for peer in &mut peers {
            assert!(receive(&mut side, peer, SIZE) == content(SIZE), "{threads} {queue}");
        }
    }
}

#[test]
fn a_disk_that_never_answers_ends_its_connection_at_the_stall_deadline() {
    let mut faults = cold(MS);
    faults.work_stuck = 1000;
    let world = World::with_faults(6, faults);
    let mut limits = patient();
    limits.stall_timeout = Some(2 * S);
    let (mut side, book) = serve(&world, 1, 10, limits, &file(SIZE));
    let began = world.now();
    let mut peers: Vec<_> = (0..3).map(|_| ask(&world, b"f")).collect();
    until(&mut side, "all have ended", |_| book.closed() == 3);
    assert_eq!(book.reasons(), ["file.late"; 3]);
    let took = world.now() - began;
    assert!((2 * S..3 * S).contains(&took), "{took:?}");
    until(&mut side, "the peers hear of it", |_| {
        peers.iter_mut().all(|peer| peer.error().is_some() || peer.is_eof())
    });
    assert_eq!(world.jobs_queued(side.process), 0, "who is gone needs no job");
}

#[test]
fn who_goes_away_takes_his_job_along() {
    let world = World::with_faults(7, cold(100 * MS));
    let (mut side, book) = serve(&world, 1, 10, patient(), &file(SIZE));
    let mut peers: Vec<_> = (0..4).map(|_| ask(&world, b"f")).collect();
    side.settle();
    assert_eq!(world.jobs_queued(side.process), 3);
    let mut kept = peers.remove(0);
    peers.into_iter().for_each(SimPeer::reset);
    until(&mut side, "they are gone", |_| book.closed() == 3);
    assert_eq!(world.jobs_queued(side.process), 0);
    assert!(receive(&mut side, &mut kept, SIZE) == content(SIZE));
}

#[test]
fn a_stop_does_not_wait_for_a_stuck_disk_beyond_its_grace_and_all_goes_on_after_it() {
    let mut faults = cold(MS);
    faults.work_stuck = 1000;
    let world = World::with_faults(8, faults);
    let (mut side, book) = serve(&world, 2, 10, patient(), &file(SIZE));
    let mut peers: Vec<_> = (0..4).map(|_| ask(&world, b"f")).collect();
    side.settle();
    let began = world.now();
    let handle: Handle = side.reactor.handle();
    handle.stop(S);
    until(&mut side, "it has begun to stop", |side| side.reactor.is_stopping());
    until(&mut side, "it has stopped", |side| !side.reactor.is_stopping());
    assert!(world.now() - began < 2 * S);
    assert_eq!(book.closed(), 4);
    peers.clear();
    side.check();
}

#[test]
fn every_byte_arrives_whatever_is_away_and_whatever_the_weather() {
    seeds("every_byte_arrives_whatever_is_away_and_whatever_the_weather", |seed| {
        let mut faults = Faults::benign().swarm(seed);
        faults.file_away = [10, 300, 500, 1000][seed as usize % 4];
        faults.work_refuse = [0, 100, 600, 1000][seed as usize / 4 % 4];
        let world = World::with_faults(seed, faults);
        let threads = seed as usize % 3;
        let (mut side, _) = serve(&world, threads, 1 + seed as usize % 5, patient(), &file(60_000));
        let mut peers: Vec<_> = (0..4).map(|_| world.dial(&at()).unwrap()).collect();
        for peer in &mut peers {
            until(&mut side, "its word is on its way", |_| peer.write(b"f") == 1);
        }
        let mut got = vec![Vec::new(); 4];
        until(&mut side, "all have their file", |_| {
            for (peer, got) in peers.iter_mut().zip(&mut got) {
                got.extend(peer.read());
            }
            got.iter().all(|got| got.len() >= 60_000)
        });
        assert!(got.iter().all(|got| *got == content(60_000)));
    });
}
