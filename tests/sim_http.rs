//! The HTTP server under every fault of the simulated kernel: as many answers as requests, in order and exact to the
//! byte, or a clean end.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "sim/http.rs"]
mod http;
mod sim;

use std::time::Duration;

use http::{Client, Digest, Script, check_reports, run, undated, unhurried};
use sim::{Side, tcp, unix};
use tidemill::proto::http1::{Http, HttpConfig};
use tidemill::reactor::testing::{Faults, Rng, World, seeds, watch};
use tidemill::reactor::{Config, Endpoint};

/// Small budgets, so that they are spent.
fn config(rng: &mut Rng) -> Config {
    let mut config = Config::default();
    if rng.chance(500) {
        config.turn_bytes_max = rng.size(4096);
        config.turn_reads_max = rng.between(1, 4) as u32;
    }
    config
}

/// Runs a few clients against [`Digest`], with a drain at a random moment if `drains`. The clients, and the reasons.
fn serve(
    seed: u64,
    at: &Endpoint,
    faults: Faults,
    limits: HttpConfig,
    drains: bool,
) -> (Vec<Client>, Vec<&'static str>) {
    let mut rng = Rng::new(seed);
    let most = (faults.buffer_max * 16).clamp(50, 100_000);
    let most = if rng.chance(800) { most.min(3000) } else { most };
    let world = World::with_faults(seed, faults);
    let mut server = Side::with_config(&world, config(&mut rng));
    let key = server.reactor.add(Http::with_config(Digest, limits));
    let reports = watch(&mut server.reactor, key);
    server.reactor.listen(key, at).unwrap();
    let mut clients: Vec<Client> = (0..rng.between(1, 4))
        .map(|_| {
            let script = Script::random(&mut rng, 8, most);
            let hasty = rng.chance(500);
            Client::new(&world, at, script, hasty)
        })
        .collect();
    let mut rounds = 0;
    let stop_at = if drains { rng.size(400) } else { usize::MAX };
    run(&world, &mut server, |server| {
        rounds += 1;
        if rounds == stop_at {
            server.reactor.stop(Duration::from_secs(3600));
        }
        let moved = clients.iter_mut().filter_map(|client| client.act(&mut rng).then_some(())).count() > 0;
        (moved, clients.iter().all(Client::is_done))
    });
    check_reports(&server, &reports);
    let reasons = reports.borrow().iter().map(|report| report.reason.name()).collect();
    (clients, reasons)
}

fn endpoint(seed: u64) -> Endpoint {
    [tcp(), unix()][seed as usize % 2].clone()
}

/// The answer to a bad request, if `bytes` is one and no more.
fn fault_status(bytes: &[u8]) -> Option<u16> {
    let mut fields = [httparse::EMPTY_HEADER; 8];
    let mut head = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(n)) = head.parse(bytes) else { return None };
    let value = |name: &str| head.headers.iter().find(|f| f.name == name).map(|f| f.value);
    let length: usize = std::str::from_utf8(value("Content-Length")?).ok()?.parse().ok()?;
    (value("Connection") == Some(b"close") && bytes.len() == n + length).then_some(head.code?)
}

#[test]
fn as_many_answers_as_requests_come_in_order_and_exact_under_all_benign_faults() {
    seeds("as_many_answers_as_requests_come_in_order_and_exact_under_all_benign_faults", |seed| {
        let faults = Faults::benign().swarm(seed);
        let (clients, reasons) = serve(seed, &endpoint(seed), faults, unhurried(), false);
        for client in &clients {
            let (got, expected) = (undated(&client.got), client.script.expected());
            let (answers, behind) = got.split_at(expected.len().min(got.len()));
            assert!(answers == expected, "{} of {}: {reasons:?}", got.len(), expected.len());
            match client.script.bad {
                Some(status) => assert_eq!(fault_status(behind), Some(status), "{}", behind.escape_ascii()),
                None => assert_eq!(behind.len(), 0, "{}", behind.escape_ascii()),
            }
            assert!(!client.is_broken(), "{reasons:?}");
        }
        let faulty = clients.iter().filter(|client| client.script.bad.is_some()).count();
        assert_eq!(reasons.iter().filter(|name| **name == "finished").count(), clients.len() - faulty);
    });
}

#[test]
fn what_comes_under_hostile_faults_is_exact_as_far_as_it_goes() {
    seeds("what_comes_under_hostile_faults_is_exact_as_far_as_it_goes", |seed| {
        let mut limits = unhurried();
        limits.connection = HttpConfig::default().connection;
        let (clients, _) = serve(seed, &endpoint(seed), Faults::hostile().swarm(seed), limits, false);
        for client in &clients {
            let (got, expected) = (undated(&client.got), client.script.expected());
            let n = got.len().min(expected.len());
            assert!(got[..n] == expected[..n], "other bytes than those of the answers");
            assert!(n == got.len() || client.script.bad.is_some(), "more than the answers");
        }
    });
}

#[test]
fn a_drain_cuts_no_answer() {
    seeds("a_drain_cuts_no_answer", |seed| {
        let faults = Faults::benign().swarm(seed);
        let (clients, reasons) = serve(seed, &endpoint(seed), faults, unhurried(), true);
        for client in &clients {
            let mut got = &undated(&client.got)[..];
            for answer in &client.script.answers {
                let text = String::from_utf8_lossy(answer);
                let told = text.replacen("Connection: keep-alive\r\n", "", 1);
                let told = told.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
                if let Some(behind) = got.strip_prefix(&answer[..]) {
                    got = behind;
                } else if let Some(behind) = got.strip_prefix(told.as_bytes()) {
                    got = behind;
                    assert!(got.is_empty(), "an answer came behind the last one");
                    break;
                } else {
                    break;
                }
            }
            let bad = client.script.bad.is_some() && fault_status(got) == client.script.bad;
            assert!(got.is_empty() || bad, "{reasons:?}: {}", got.escape_ascii());
        }
    });
}
