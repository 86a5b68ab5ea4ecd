//! Held: once warm, the reactor allocates nothing per request; echo, HTTP hello, idle timers; and what tasks cost.
//!
//! Reactor and client share the test's thread, and only that thread's allocations are counted.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tidemill::proto::echo::Echo;
use tidemill::reactor::{Address, Config, Endpoint, Handler, Reactor};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting what each thread asks for.
struct Counting;

#[allow(unsafe_code, reason = "a global allocator is unsafe to implement; this one only passes calls on")]
// SAFETY: every call goes to `System` unchanged, and counting touches no heap.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    // A thread that ends has no cell any more.
    let _ = COUNT.try_with(|n| n.set(n.get() + 1));
}

fn allocations() -> u64 {
    COUNT.with(Cell::get)
}

/// A reactor with one service, and a client of it.
fn pair<H: Handler>(handler: H) -> (Reactor, TcpStream) {
    let mut reactor = Reactor::new(Config::default()).unwrap();
    let key = reactor.add(handler);
    let listener = reactor.listen(key, &Endpoint::tcp(([127, 0, 0, 1], 0))).unwrap();
    let Address::Tcp(at) = reactor.local(listener).unwrap().address else { panic!("no TCP listener") };
    let stream = TcpStream::connect(at).unwrap();
    stream.set_nonblocking(true).unwrap();
    (reactor, stream)
}

/// One exchange: the question as it is, an answer of `answer` bytes.
fn exchange(reactor: &mut Reactor, stream: &mut TcpStream, question: &[u8], answer: usize, into: &mut [u8]) {
    let mut sent = 0;
    let mut got = 0;
    for _ in 0..100_000 {
        if sent < question.len() {
            sent += stream.write(&question[sent..]).unwrap_or(0);
        }
        reactor.turn(Some(Duration::from_millis(1))).unwrap();
        got += stream.read(&mut into[got..]).unwrap_or(0);
        if got == answer {
            return;
        }
    }
    panic!("{got} of {answer} bytes came");
}

/// Allocations of `rounds` exchanges, after as many to warm up.
fn per_exchange<H: Handler>(handler: H, question: &[u8], answer: usize) -> u64 {
    const ROUNDS: usize = 300;
    let (mut reactor, mut stream) = pair(handler);
    let mut into = vec![0; answer + 1];
    for _ in 0..ROUNDS {
        exchange(&mut reactor, &mut stream, question, answer, &mut into);
    }
    let before = allocations();
    for _ in 0..ROUNDS {
        exchange(&mut reactor, &mut stream, question, answer, &mut into);
    }
    allocations() - before
}

#[test]
fn the_counter_counts() {
    let before = allocations();
    drop(std::hint::black_box(vec![1u8; 100]));
    assert_eq!(allocations() - before, 1);
}

#[test]
fn an_echo_allocates_nothing() {
    for size in [1, 64, 4096, 60_000, 200_000] {
        assert_eq!(per_exchange(Echo::new(), &vec![b'x'; size], size), 0, "{size} bytes");
    }
}

/// Formats what it is told, as the access log does.
#[cfg(feature = "http")]
struct Lines(tidemill::service::access::Formatter, Vec<u8>);

#[cfg(feature = "http")]
impl tidemill::proto::http1::Log for Lines {
    fn record(&mut self, record: &tidemill::proto::http1::Record<'_>) {
        self.1.clear();
        self.0.write(record, &mut self.1);
        assert!(self.1.ends_with(b"\n"));
    }
}

#[cfg(feature = "http")]
#[test]
fn an_access_log_allocates_nothing() {
    use tidemill::proto::http1::Http;
    use tidemill::service::access::Formatter;
    use tidemill::service::respond::Welcome;
    let head = "GET /hello HTTP/1.1\r\nHost: a\r\nUser-Agent: \"x\" \u{fc}\r\n\r\n";
    let length = {
        let (mut reactor, mut stream) = pair(Http::new(Welcome::new().unwrap()));
        stream.write_all(head.as_bytes()).unwrap();
        let mut into = [0; 1000];
        loop {
            reactor.turn(Some(Duration::from_millis(1))).unwrap();
            match stream.read(&mut into) {
                Ok(n) => break n,
                Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
    };
    for format in ["common", "combined", "json", "{remote} {header:Host} {duration_us} {conn}"] {
        let lines = Lines(Formatter::new(format.parse().unwrap()), Vec::new());
        let http = Http::new(Welcome::new().unwrap()).with_log(Box::new(lines));
        assert_eq!(per_exchange(http, head.as_bytes(), length), 0, "{format}");
    }
}

/// A peer's timers: each byte sets both, and an idle deadline beside them.
struct Timed;

impl Handler for Timed {
    type Conn = ();

    fn on_accept(&mut self, _: tidemill::reactor::Accepted<'_>) -> Result<(), tidemill::reactor::Refuse> {
        Ok(())
    }

    fn on_data(&mut self, (): &mut (), ctx: &mut tidemill::reactor::Ctx<'_, Self>) {
        ctx.rx.consume(usize::MAX);
        ctx.set_timer(Duration::from_millis(1));
        ctx.set_deadline(Duration::from_secs(60));
    }

    fn on_timer(&mut self, (): &mut (), ctx: &mut tidemill::reactor::Ctx<'_, Self>) {
        ctx.tx.write(b"tick");
        ctx.clear_deadline();
    }
}

#[test]
fn timers_deadlines_and_idle_refreshes_allocate_nothing() {
    assert_eq!(per_exchange(Timed, b"?", 4), 0);
}

#[test]
fn an_idle_reactor_allocates_nothing() {
    let (mut reactor, mut stream) = pair(Echo::new());
    exchange(&mut reactor, &mut stream, b"x", 1, &mut [0; 2]);
    let before = allocations();
    for _ in 0..50 {
        reactor.turn(Some(Duration::from_millis(1))).unwrap();
    }
    assert_eq!(allocations() - before, 0);
}

#[cfg(feature = "http")]
mod http {
    use tidemill::proto::http1::{App, Cx, Http, Prepared, Reply, Request};

    struct Hello(Prepared);

    impl App for Hello {
        fn on_request(&mut self, _: &Request<'_>, reply: &mut Reply<'_, Self>, _: &mut Cx<'_, Self>) {
            reply.prepared(&mut self.0);
        }
    }

    fn hello() -> Http<Hello> {
        Http::new(Hello(Prepared::new(200, &[("Content-Type", b"text/plain")], b"Hello, World!").unwrap()))
    }

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: alloc\r\nAccept: */*\r\n\r\n";

    /// How long the answer is.
    fn answer() -> usize {
        let (mut reactor, mut stream) = super::pair(hello());
        super::Write::write_all(&mut stream, REQUEST).unwrap();
        let mut buf = [0; 4096];
        for _ in 0..1000 {
            reactor.turn(Some(super::Duration::from_millis(5))).unwrap();
            match super::Read::read(&mut stream, &mut buf) {
                Ok(n) if n > 0 => {
                    assert!(buf[..n].ends_with(b"\r\n\r\nHello, World!"), "{:?}", buf[..n].escape_ascii());
                    return n;
                }
                _ => {}
            }
        }
        panic!("no answer");
    }

    #[test]
    fn a_kept_connection_allocates_nothing_per_request() {
        assert_eq!(super::per_exchange(hello(), REQUEST, answer()), 0);
    }

    /// Routes whose answers are fixed, static, and chosen by a parameter.
    fn routed() -> Http<u64> {
        tidemill::http::Server::new(0u64)
            .fixed("/", "Hello, World!")
            .get("/static", |hits, _, _| {
                *hits += 1;
                "Hello, World!"
            })
            .get("/of/:name/*rest", |_, req, _| match req.param("name").as_deref() {
                Some("tide") if req.param("rest").is_some() => "Hello, World!",
                _ => "Hello, Nobody",
            })
            .build()
            .unwrap()
    }

    #[test]
    fn routes_with_static_answers_allocate_nothing_per_request() {
        for path in ["/", "/static", "/of/tide/a/b"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
            // Content-Type is longer by its charset than that of the prepared answer.
            let len = answer() + "; charset=utf-8".len();
            assert_eq!(super::per_exchange(routed(), request.as_bytes(), len), 0, "{path}");
            let head = request.replacen("GET", "HEAD", 1);
            assert_eq!(super::per_exchange(routed(), head.as_bytes(), len - 13), 0, "HEAD {path}");
        }
    }

    #[test]
    fn pipelined_requests_allocate_nothing() {
        assert_eq!(super::per_exchange(hello(), &REQUEST.repeat(16), 16 * answer()), 0);
    }
}

/// Tasks of a handler without connections.
mod tasks {
    use std::time::Duration;

    use tidemill::reactor::{Accepted, Completer, Config, Ctx, Handler, Key, Missed, Reactor, Refuse, Table};

    use super::allocations;

    #[derive(Default)]
    struct Count(u64);

    impl Handler for Count {
        type Conn = ();

        fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
            Err(Refuse::silent())
        }

        fn on_data(&mut self, (): &mut (), _: &mut Ctx<'_, Self>) {}
    }

    const ROUNDS: u64 = 300;

    fn reactor() -> (Reactor, Key<Count>) {
        let mut reactor = Reactor::new(Config::default()).unwrap();
        let key = reactor.add(Count::default());
        (reactor, key)
    }

    /// Allocations per round of `make`, each followed by turns until no task is left, once warm.
    fn per_task<T>(make: impl Fn(&mut Count, &mut Table<'_, Count>) -> T) -> f64 {
        let (mut reactor, key) = reactor();
        let mut round = || {
            reactor.with(key, |count, table| drop(make(count, table)));
            while reactor.with(key, |_, table| table.tasks()) > 0 {
                reactor.turn(Some(Duration::from_millis(1))).unwrap();
            }
        };
        (0..ROUNDS).for_each(|_| round());
        let before = allocations();
        (0..ROUNDS).for_each(|_| round());
        let made = allocations() - before;
        assert_eq!(reactor.with(key, |count, _| count.0), 2 * ROUNDS, "each has run");
        made as f64 / ROUNDS as f64
    }

    #[test]
    fn a_task_costs_one_allocation_for_what_it_captures_and_none_without() {
        let n = std::hint::black_box(1_u64);
        assert_eq!(per_task(|_, table| table.post(|count, _| count.0 += 1)), 0.0);
        assert_eq!(per_task(|_, table| table.post(move |count, _| count.0 += n)), 1.0);
        let soon = Duration::from_micros(1);
        assert_eq!(per_task(|_, table| table.call_later(soon, |count, _| count.0 += 1)), 0.0);
        assert_eq!(per_task(|_, table| table.call_later(soon, move |count, _| count.0 += n)), 1.0);
    }

    #[test]
    fn cancelling_and_moving_a_timer_allocates_nothing() {
        let later = Duration::from_secs(60);
        let made = per_task(|count, table| {
            let id = table.call_later(later, |_, _| {});
            for n in 0..100 {
                assert!(table.reset(id, later + Duration::from_millis(n * 977)));
            }
            assert!(table.cancel(id));
            count.0 += 1;
        });
        assert_eq!(made, 0.0);
    }

    #[test]
    fn a_tick_allocates_nothing() {
        let (mut reactor, key) = reactor();
        reactor.with(key, |_, table| {
            let mut n = std::hint::black_box(0);
            table.every(Duration::from_millis(1), Missed::Skip, move |count, _| {
                n += 1;
                count.0 = n;
            })
        });
        let mut until = |ticks| {
            while reactor.with(key, |count, _| count.0 < ticks) {
                reactor.turn(None).unwrap();
            }
        };
        until(20);
        let before = allocations();
        until(120);
        assert_eq!(allocations() - before, 0);
    }

    #[test]
    fn a_result_costs_a_fixed_number_of_allocations() {
        let made = per_task(|_, table| {
            let completer: Completer<u64> = table.expect(None, |count: &mut Count, result, _| {
                count.0 += result.unwrap_or(0);
            });
            assert!(table.complete(completer, 1));
        });
        // The wait, the list of its parts, the value, and the list that is delivered.
        assert_eq!(made, 4.0);
    }

    #[test]
    fn a_post_of_another_thread_allocates_on_the_loop_nothing() {
        let (mut reactor, key) = reactor();
        let handle = reactor.handle();
        let mut round = || {
            // This thread stands for the other: what it captures is the one allocation.
            handle.post(key, |count, _| count.0 += 1).unwrap();
            reactor.turn(Some(Duration::from_millis(1))).unwrap();
        };
        (0..ROUNDS).for_each(|_| round());
        let before = allocations();
        (0..ROUNDS).for_each(|_| round());
        assert_eq!(allocations() - before, 0);
        assert_eq!(reactor.with(key, |count, _| count.0), 2 * ROUNDS);
    }
}

#[cfg(feature = "async")]
mod futures {
    use super::*;
    use tidemill::reactor::future::{self, Stream};

    /// Allocations of `rounds` exchanges with a future, after as many to warm up.
    fn of<F: Future<Output = ()> + 'static>(size: usize, serve: impl Fn(Stream) -> F + 'static) -> u64 {
        const ROUNDS: usize = 300;
        let mut reactor = Reactor::new(Config::default()).unwrap();
        let mut acceptor = reactor.acceptor(&Endpoint::tcp(([127, 0, 0, 1], 0))).unwrap();
        let Address::Tcp(at) = acceptor.local().address else { panic!("no TCP listener") };
        reactor
            .spawn(async move {
                while let Ok((stream, _)) = acceptor.accept().await {
                    future::spawn(serve(stream)).detach();
                }
            })
            .detach();
        let mut stream = TcpStream::connect(at).unwrap();
        stream.set_nonblocking(true).unwrap();
        let (question, mut into) = (vec![b'x'; size], vec![0; size + 1]);
        let mut before = 0;
        for n in 0..2 * ROUNDS {
            if n == ROUNDS {
                before = allocations();
            }
            exchange(&mut reactor, &mut stream, &question, size, &mut into);
        }
        allocations() - before
    }

    #[test]
    fn an_echo_by_futures_allocates_nothing() {
        for size in [1, 64, 4096, 60_000, 200_000] {
            let by_hand = of(size, |mut stream| async move {
                let mut buf = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut buf).await {
                    // A bound in time costs nothing that is kept.
                    let wrote = future::timeout(Duration::from_secs(9), stream.write_all(&buf[..n])).await;
                    assert!(matches!(wrote, Ok(Ok(()))));
                }
            });
            let by_copy = of(size, |stream| async move {
                let (mut read, mut write) = stream.split();
                let _ = future::copy(&mut read, &mut write).await;
            });
            assert_eq!((by_hand, by_copy), (0, 0), "{size} bytes");
        }
    }
}
