//! Routing seen from outside: requests in, statuses, fields and bodies out, whole and byte by byte.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::http::{
    Answer, Cx, Flow, Http, Method, Raw, RawIo, Reply, Request, Response, Server, Sink, StreamOptions,
};
use crate::reactor::testing::Probe;

/// The answer to one request, as text.
fn ask<S: 'static>(probe: &mut Probe<Http<S>>, request: &str, bytewise: bool) -> String {
    probe.accept();
    let (first, rest) = request.split_once('\n').unwrap_or((request, ""));
    let (fields, body) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let fields: String = fields.lines().map(|line| format!("{line}\r\n")).collect();
    let bytes = format!("{first} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n{body}");
    match bytewise {
        true => probe.recv_bytewise(bytes.as_bytes()),
        false => probe.recv(bytes.as_bytes()),
    };
    String::from_utf8_lossy(&probe.sent()).into_owned()
}

/// Status and body, the same whole and byte by byte.
#[track_caller]
fn both<S: 'static>(make: impl Fn() -> Http<S>, request: &str) -> (u16, String) {
    let [whole, cut] = [false, true].map(|bytewise| ask(&mut Probe::new(make()), request, bytewise));
    assert_eq!(whole, cut, "{request}");
    let status = whole.get(9..12).and_then(|digits| digits.parse().ok());
    let body = whole.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    (status.unwrap_or(0), body.unwrap_or_default())
}

fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn site() -> Http<u32> {
    let text = |what: &'static str| move |_: &mut u32, _: &Request<'_>, _: &mut Cx<'_, u32>| what;
    Server::new(0)
        .get("/", text("root"))
        .get("/a/:x", |_, req, _| format!("x={}", req.param("x").unwrap_or("not UTF-8".into())))
        .get("/a/b", text("fixed"))
        .post("/a/b", |_, req, _| format!("posted {}", req.body().len()))
        .put("/a/:x/:y", |_, req, _| {
            format!("{}|{}", req.param("x").unwrap_or_default(), req.param("y").unwrap_or_default())
        })
        .get("/tail/*rest", |_, req, _| format!("{:?}", req.param("rest")))
        .prefix("/pre/", |_, req, _| format!("{} {:?}", req.method().as_str(), req.param("path")))
        .delete("/thing", |count, _, _| {
            *count += 1;
            204
        })
        .route(Method::Options, "/own", |_, _, _| Response::new(200).field("X-Own", "1"))
        .post("/small", |_, req, _| req.text().map(str::to_owned))
        .body_max(5)
        .get("/q", |_, req, _| format!("{:?} {:?}", req.query("a"), req.queries().count()))
        .get("/bytes/:n", |_, req, _| req.param_bytes("n").map(|bytes| bytes.into_owned()))
        .fixed("/fixed", Response::from("same\n").field("X-Tide", "high"))
        .get("/none", |_, _, _| None::<&str>)
        .get("/err", |_, _, _| Err::<&str, _>((409, "taken")))
        .get("/io", |_, _, _| std::fs::read("/none/such"))
        .build()
        .unwrap()
}

#[test]
fn the_most_specific_route_answers_and_parameters_come_decoded() {
    for (request, status, body) in [
        ("GET /", 200, "root"),
        ("GET /a/b", 200, "fixed"),
        ("GET /a/%62", 200, "fixed"),
        ("GET /a/c%20d%25", 200, "x=c d%"),
        ("GET /a/%C3%A4", 200, "x=\u{e4}"),
        ("GET /a/%ff", 200, "x=not UTF-8"),
        ("GET /a/b?x=y", 200, "fixed"),
        ("GET http://other/a/b", 200, "fixed"),
        ("PUT /a/1/2\nContent-Length: 0", 200, "1|2"),
        ("GET /tail/", 200, "Some(\"\")"),
        ("GET /tail/x//y%41/", 200, "Some(\"x//yA/\")"),
        ("PATCH /pre/x/y\nContent-Length: 0", 200, "PATCH Some(\"x/y\")"),
        ("BREW /pre/", 200, "BREW Some(\"\")"),
        ("GET /q?a=1+2%263&b&&a=3", 200, "Some(\"1 2&3\") 3"),
        ("GET /fixed", 200, "same\n"),
        ("GET /err", 409, "taken"),
    ] {
        assert_eq!(both(site, request), (status, body.to_owned()), "{request}");
    }
    let raw = ask(&mut Probe::new(site()), "GET /fixed", false);
    assert_eq!(field(&raw, "X-Tide"), Some("high"));
    assert_eq!(field(&raw, "Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(ask(&mut Probe::new(site()), "HEAD /fixed", false).split("\r\n\r\n").nth(1), Some(""));
}

#[test]
fn what_no_route_answers_is_404_405_501_or_an_automatic_options() {
    for (request, status, allow) in [
        ("GET /nothing", 404, None),
        ("GET /a", 404, None),
        ("GET /a/", 404, None),
        ("GET //", 404, None),
        ("GET /none", 404, None),
        ("GET /io", 404, None),
        ("GET /pre", 404, None),
        ("DELETE /a/b", 405, Some("GET, HEAD, OPTIONS, POST")),
        // The path decides first: the less specific route is not asked.
        ("POST /fixed\nContent-Length: 3\n\nabc", 405, Some("GET, HEAD, OPTIONS")),
        ("GET /thing", 405, Some("DELETE, OPTIONS")),
        ("HEAD /thing", 405, Some("DELETE, OPTIONS")),
        ("TRACE /", 501, None),
        ("TRACE /pre/x", 501, None),
        ("BREW /a/b", 501, None),
        ("OPTIONS /a/b", 204, Some("GET, HEAD, OPTIONS, POST")),
        ("OPTIONS *", 204, Some("GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH")),
        ("OPTIONS /own", 200, None),
        ("OPTIONS /nothing", 404, None),
        ("HEAD /a/b", 200, None),
        ("DELETE /thing", 204, None),
    ] {
        assert_eq!(both(site, request).0, status, "{request}");
        let raw = ask(&mut Probe::new(site()), request, false);
        assert_eq!(field(&raw, "Allow"), allow, "{request}");
        assert!(!request.starts_with("HEAD") || raw.ends_with("\r\n\r\n"), "a HEAD has a body: {raw}");
    }
}

#[test]
fn hostile_paths_reach_no_route() {
    for (path, status) in [
        ("/a/..", 400),
        ("/a/%2e%2e/b", 400),
        ("/./", 400),
        ("/tail/../../etc/passwd", 400),
        ("/pre/%2e%2e", 400),
        ("/a/%", 400),
        ("/a/%00", 400),
        ("/a/x%0d%0aSet-Cookie:y", 400),
        ("/a/..%2f..%2fetc", 404),
        ("/a%2fb", 404),
    ] {
        assert_eq!(both(site, &format!("GET {path}")).0, status, "{path}");
    }
    let open = || {
        Server::new(())
            .encoded_slashes(true)
            .get("/:x", |_, req, _| req.param("x").map(|x| x.into_owned()))
            .build()
            .unwrap()
    };
    assert_eq!(both(open, "GET /a%2Fb"), (200, "a/b".to_owned()));
}

#[test]
fn bodies_are_collected_up_to_the_routes_bound_and_one_byte_more_is_413() {
    assert_eq!(both(site, "POST /a/b\nContent-Length: 3\n\nabc"), (200, "posted 3".to_owned()));
    assert_eq!(both(site, "POST /small\nContent-Length: 5\n\n12345"), (200, "12345".to_owned()));
    assert_eq!(both(site, "POST /small\nContent-Length: 6\n\n123456").0, 413);
    let chunked = "POST /small\nTransfer-Encoding: chunked\n\n";
    assert_eq!(both(site, &format!("{chunked}5\r\n12345\r\n0\r\n\r\n")), (200, "12345".to_owned()));
    assert_eq!(both(site, &format!("{chunked}5\r\n12345\r\n1\r\n6\r\n0\r\n\r\n")).0, 413);
    let config = crate::http::HttpConfig { body_bytes_max: 2, ..Default::default() };
    let small = move || {
        Server::new(()).config(config.clone()).post("/", |_, req, _| req.body().to_vec()).build().unwrap()
    };
    assert_eq!(both(&small, "POST /\nContent-Length: 2\n\nab"), (200, "ab".to_owned()));
    assert_eq!(both(&small, "POST /\nContent-Length: 3\n\nabc").0, 413);
}

#[test]
fn a_fallback_answers_what_has_no_route_and_nothing_else() {
    let make = || {
        Server::new(())
            .get("/a", |_, _, _| "a")
            .fallback(|_, req, _| (410, format!("{} was {}", req.path(), req.body().len())))
            .build()
            .unwrap()
    };
    assert_eq!(both(make, "GET /b"), (410, "/b was 0".to_owned()));
    assert_eq!(both(make, "POST /b\nContent-Length: 2\n\nxy"), (410, "/b was 2".to_owned()));
    assert_eq!(both(make, "POST /a\nContent-Length: 0").0, 405);
    assert_eq!(both(make, "GET /..").0, 400);
}

struct Count(u64);

impl Sink<u32> for Count {
    fn on_data(&mut self, _: &mut u32, bytes: &[u8], _: &mut Cx<'_, u32>) -> Flow {
        self.0 += bytes.len() as u64;
        Flow::Go
    }

    fn on_end(self: Box<Self>, _: &mut u32, reply: &mut Reply<'_, u32>, _: &mut Cx<'_, u32>) {
        reply.respond(format!("{} bytes", self.0));
    }
}

#[test]
fn an_upload_is_streamed_up_to_its_bound_and_one_without_a_body_ends_at_once() {
    let make =
        || Server::new(0).upload("/up", |_, _, _| Answer::sink(Count(0))).body_max(10).build().unwrap();
    assert_eq!(both(make, "POST /up\nContent-Length: 10\n\n0123456789"), (200, "10 bytes".to_owned()));
    assert_eq!(
        both(make, "PUT /up\nTransfer-Encoding: chunked\n\n3\r\nabc\r\n0\r\n\r\n"),
        (200, "3 bytes".to_owned())
    );
    assert_eq!(both(make, "POST /up"), (200, "0 bytes".to_owned()));
    assert_eq!(both(make, "POST /up\nContent-Length: 0"), (200, "0 bytes".to_owned()));
    assert_eq!(both(make, "POST /up\nContent-Length: 11\n\n0123456789x").0, 413);
    // A sink where no body is streamed is ended at once too, and the request behind it is answered.
    let wrong = || {
        Server::new(0)
            .post("/", |_, _, _| Answer::sink(Count(0)))
            .get("/", |_, _, _| Answer::sink(Count(7)))
            .build()
            .unwrap()
    };
    assert_eq!(both(wrong, "POST /\nContent-Length: 2\n\nab"), (200, "0 bytes".to_owned()));
    assert_eq!(both(wrong, "GET /"), (200, "7 bytes".to_owned()));
}

#[test]
fn answers_come_later_from_a_timer_a_thread_of_the_pool_and_any_other() {
    let make = || {
        Server::new(0u32)
            .get("/timer", |_, _, cx| {
                let ticket = cx.ticket();
                cx.call_later(Duration::from_millis(20), move |count, cx| {
                    *count += 1;
                    assert!(cx.respond(ticket, format!("late {count}")));
                    assert!(!cx.respond(ticket, "twice"));
                });
                Answer::later()
            })
            .get("/pool", |_, _, _| Answer::offload(|| 6 * 7, |_, n: i32, _| format!("{n}")))
            .get("/panic", |_, _, _| Answer::offload(|| panic!("on purpose"), |_, (): (), _| "never"))
            .get("/thread", |_, _, cx| {
                let responder = cx.responder(cx.ticket());
                // The other thread is gone before the test goes on, so that it has nothing to wait for.
                std::thread::spawn(move || responder.send("from a thread")).join().unwrap();
                Answer::later()
            })
            .get("/dropped", |_, _, cx| {
                drop(cx.responder(cx.ticket()));
                Answer::later()
            })
            .get("/now", |_, _, cx| {
                cx.respond(cx.ticket(), "in the same call");
                Answer::later()
            })
            .build()
            .unwrap()
    };
    for (path, status, body) in [
        ("/timer", 200, "late 1"),
        ("/pool", 200, "42"),
        ("/thread", 200, "from a thread"),
        ("/now", 200, "in the same call"),
        ("/panic", 500, "500 Internal Server Error\n"),
        ("/dropped", 500, "500 Internal Server Error\n"),
    ] {
        let mut probe = Probe::new(make());
        let mut answer = ask(&mut probe, &format!("GET {path}"), false);
        for _ in 0..50 {
            if !answer.is_empty() {
                break;
            }
            probe.advance(Duration::from_millis(10));
            answer = String::from_utf8_lossy(&probe.sent()).into_owned();
        }
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{path}: {answer}");
    }
}

#[test]
fn events_are_pushed_kept_alive_and_forgotten_when_the_listener_is_gone() {
    let gone = Rc::new(RefCell::new(0));
    let told = Rc::clone(&gone);
    let http = Server::new(Vec::new())
        .get("/events", move |listeners: &mut Vec<_>, req, cx| {
            let ticket = cx.ticket();
            listeners.push(ticket);
            let from = req.last_event_id().unwrap_or("0").to_owned();
            cx.send_event(ticket, &crate::http::sse::Event::new("first").id(from));
            let told = Rc::clone(&told);
            Answer::events().on_gone(move |listeners: &mut Vec<_>, _| {
                listeners.retain(|one| *one != ticket);
                *told.borrow_mut() += 1;
            })
        })
        .build()
        .unwrap();
    let mut probe = Probe::new(http);
    let answer = ask(&mut probe, "GET /events\nLast-Event-ID: 7", false);
    assert_eq!(field(&answer, "Content-Type"), Some("text/event-stream"));
    assert!(answer.ends_with("\r\n\r\n13\r\nid: 7\ndata: first\n\n\r\n"), "{answer}");
    probe.advance(Duration::from_secs(31));
    assert!(String::from_utf8_lossy(&probe.sent()).contains("3\r\n:\n\n\r\n"));
    assert_eq!(*gone.borrow(), 0);
    probe.reset();
    assert_eq!(*gone.borrow(), 1);
    let left = probe.with(|http, _| http.state().len());
    assert_eq!(left, 0);
}

struct Mirror;

impl Raw<()> for Mirror {
    fn on_data(&mut self, _: &mut (), io: &mut RawIo<'_, ()>) {
        io.tx.take_from(&mut io.rx);
    }
}

#[test]
fn an_upgrade_hands_the_bytes_over_and_a_stream_is_written_and_ended() {
    let http = Server::new(())
        .get("/mirror", |_, req, _| match req.head().upgrade {
            Some(b"mirror") => Answer::upgrade(&[("Upgrade", "mirror")], Mirror),
            _ => Answer::from(426),
        })
        .get("/stream", |_, _, cx| {
            let ticket = cx.ticket();
            cx.post(move |_, cx| {
                assert_eq!(cx.write(ticket, b"two"), Some(3));
                assert!(cx.end(ticket));
                assert_eq!(cx.write(ticket, b"three"), None);
            });
            Answer::stream("one", StreamOptions::default())
        })
        .build()
        .unwrap();
    let mut probe = Probe::new(http);
    let streamed = ask(&mut probe, "GET /stream", false);
    assert!(streamed.ends_with("\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"), "{streamed}");
    assert!(ask(&mut probe, "GET /mirror", false).starts_with("HTTP/1.1 426 "));
    probe.accept();
    probe.recv(b"GET /mirror HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: mirror\r\n\r\nahead");
    let answer = String::from_utf8(probe.sent()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\nahead"), "{answer}");
    probe.recv(b"more");
    assert_eq!(probe.sent(), b"more");
}

#[test]
fn files_under_a_prefix_have_ranges_conditions_and_redirects_that_stay_beneath_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sub dir")).unwrap();
    std::fs::write(dir.path().join("index.html"), "index").unwrap();
    std::fs::write(dir.path().join("sub dir/f.txt"), "0123456789").unwrap();
    let make = || {
        let files = crate::http::Files::new(crate::http::Root::open(dir.path()).unwrap(), Default::default());
        Server::new(()).files("/static/", files).get("/static/own", |_, _, _| "own").build().unwrap()
    };
    let get = |request: &str| {
        let mut probe = Probe::new(make());
        let mut answer = ask(&mut probe, request, false);
        for _ in 0..50 {
            if answer.is_empty() {
                probe.advance(Duration::from_millis(10));
                answer = String::from_utf8_lossy(&probe.sent()).into_owned();
            }
        }
        answer
    };
    let index = get("GET /static/");
    assert!(index.starts_with("HTTP/1.1 200") && index.ends_with("\r\n\r\nindex"), "{index}");
    assert!(get("GET /static/own").ends_with("own"));
    let part = get("GET /static/sub%20dir/f.txt\nRange: bytes=2-4");
    assert!(part.starts_with("HTTP/1.1 206") && part.ends_with("\r\n\r\n234"), "{part}");
    let tag = field(&part, "ETag").unwrap().to_owned();
    assert!(get(&format!("GET /static/sub%20dir/f.txt\nIf-None-Match: {tag}")).starts_with("HTTP/1.1 304"));
    assert_eq!(field(&get("GET /static/sub%20dir?q=1"), "Location"), Some("./sub%20dir/?q=1"));
    assert_eq!(field(&get("GET /static?q=1"), "Location"), Some("./static/?q=1"));
    assert!(get("GET /static/none").starts_with("HTTP/1.1 404"));
    assert!(get("POST /static/index.html\nContent-Length: 0").starts_with("HTTP/1.1 405"));
    assert!(get("GET /static/../Cargo.toml").starts_with("HTTP/1.1 400"));
}
