//! What the accounting costs: a turn's records with its clock read, and what each callback adds.
//!
//! `cargo bench --bench account`. The budget of a turn is 30 ns; in `run` it pays for one more clock read only where
//! no deadline is filed, for otherwise the read before the poll is spared.

use std::hint::black_box;
use std::time::Duration;

use divan::Bencher;
use tidemill::reactor::account::Account;
use tidemill::reactor::id::{ConnId, Token};
use tidemill::reactor::sys::{MioSys, Sys};
use tidemill::reactor::{Callback, Histogram, Time};

fn main() {
    divan::main();
}

fn account() -> Account {
    let mut account = Account::new(Some(Duration::from_millis(100)));
    account.add_service("Bench");
    account
}

fn kernel() -> MioSys {
    MioSys::new().unwrap_or_else(|e| panic!("{e}"))
}

/// Some connection.
fn conn() -> ConnId {
    match Token::unpack(2 << 32 | 7) {
        Token::Conn(id) => id,
        Token::Listener(_) | Token::Watch(_) | Token::Wake => unreachable!("serials of connections are even"),
    }
}

#[divan::bench]
fn record(bencher: Bencher<'_, '_>) {
    let (mut h, mut value) = (Histogram::default(), 1u64);
    bencher.bench_local(|| {
        value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        h.record(black_box(value >> 40));
    });
}

#[divan::bench]
fn clock_read(bencher: Bencher<'_, '_>) {
    let mut sys = kernel();
    bencher.bench_local(|| sys.now());
}

/// Everything that a turn records, without the clock.
#[divan::bench]
fn turn_records(bencher: Bencher<'_, '_>) {
    let (mut account, mut ns) = (account(), 0);
    bencher.bench_local(|| {
        let began = Time::from_nanos(ns);
        ns += 1_500;
        account.poll_ends(began, None, 1, began);
        account.turn_begins(began, black_box(3));
        account.turn_ends(began, Time::from_nanos(black_box(ns)));
    });
}

/// The same with the clock read at its end: what a turn costs more than without accounting.
#[divan::bench]
fn turn_with_its_clock_read(bencher: Bencher<'_, '_>) {
    let (mut account, mut sys) = (account(), kernel());
    let mut began = sys.now();
    bencher.bench_local(|| {
        account.poll_ends(began, None, 1, began);
        account.turn_begins(began, black_box(3));
        let now = sys.now();
        account.turn_ends(began, now);
        began = now;
    });
}

/// A callback, with its share of the samples' clock reads.
#[divan::bench(args = [false, true])]
fn callback(bencher: Bencher<'_, '_>, watched: bool) {
    let (mut account, mut sys) = (account(), kernel());
    if watched {
        account.watch(Duration::from_secs(1)).unwrap_or_else(|e| panic!("{e}"));
    }
    let conn = conn();
    let now = sys.now();
    account.turn_begins(now, 1);
    bencher.bench_local(|| {
        let sample = account.begin(black_box(Callback::Data), 0, black_box(Some(conn)), || sys.now());
        account.end(sample, || sys.now());
    });
}
