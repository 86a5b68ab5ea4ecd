//! Sites in memory: what a route does with what matches it, as a library user sets it up.

use std::collections::HashMap;
use std::fs;

use super::super::{
    Action, BasicAuth, Cors, FilesRoute, Match, Policy, Problem, Redirect, Route, SiteConfig, Spa,
};
use super::*;
use crate::proto::http1::Http;
use crate::reactor::testing::Probe;
use crate::service::files::{Files, Limits, Root};

/// `secret`, with bcrypt's least cost.
const USERS: &str = "anna:$2y$04$UtgjXwx9K4JBEc9RdIp.eO80F.Lu90IIjFuoBIMCQDSMZI2nk1sve\n";
const ANNA: &str = "Authorization: Basic YW5uYTpzZWNyZXQ=\r\n";

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("www/sub")).unwrap();
    for (name, text) in
        [("index.html", "home"), ("a.txt", "a"), ("sub/index.html", "sub"), ("404.html", "none")]
    {
        fs::write(dir.path().join("www").join(name), text).unwrap();
    }
    fs::write(dir.path().join("users"), USERS).unwrap();
    dir
}

fn files(dir: &tempfile::TempDir) -> Files {
    Files::new(Root::open(&dir.path().join("www")).unwrap(), Limits::default())
}

fn answers(dir: &tempfile::TempDir, when: Match, strip_prefix: bool, spa: Option<Spa>) -> Route {
    Route::new(when, Action::Files(FilesRoute { files: files(dir), strip_prefix, spa }))
}

struct Answer {
    status: u16,
    fields: HashMap<String, String>,
    body: String,
}

impl Answer {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map(String::as_str).unwrap_or_default()
    }
}

fn ask_all(routes: Vec<Route>, requests: &[String]) -> Vec<Answer> {
    let mut probe = Probe::new(Http::new(Site::new(SiteConfig { routes }).unwrap()));
    let mut all = Vec::new();
    for request in requests {
        probe.accept();
        probe.recv(request.as_bytes());
        let mut sent = probe.sent();
        for _ in 0..200 {
            if !sent.is_empty() {
                break;
            }
            probe.advance(std::time::Duration::from_millis(5));
            sent = probe.sent();
        }
        let text = String::from_utf8(sent).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap()[9..12].parse().unwrap();
        let fields = lines.map(|line| line.split_once(": ").unwrap());
        let fields = fields.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        all.push(Answer { status, fields, body: body.to_owned() });
    }
    all
}

fn ask(routes: Vec<Route>, request: &str) -> Answer {
    ask_all(routes, &[request.to_owned()]).remove(0)
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n")
}

#[test]
fn a_prefix_is_taken_off_and_put_back_in_redirects() {
    let dir = folder();
    let ask =
        |path: &str| ask(vec![answers(&dir, Match::path("/docs/*").unwrap(), true, None)], &get(path, ""));
    assert_eq!(ask("/docs/a.txt").body, "a");
    assert_eq!(ask("/docs/").body, "home");
    assert_eq!(ask("//docs/./sub/").body, "sub");
    for (path, location) in
        [("/docs", "/docs/"), ("/docs?x", "/docs/?x"), ("/docs/sub?y=1", "/docs/sub/?y=1")]
    {
        let answer = ask(path);
        assert_eq!((answer.status, answer.field("location")), (301, location));
    }
    assert_eq!(ask("/a.txt").status, 404);
    assert_eq!(ask("/docs/../a.txt").status, 404);
}

#[test]
fn methods_choose_between_routes_and_405_names_them_all() {
    let dir = folder();
    let routes = || {
        let read = Match { methods: vec!["GET".into()], ..Match::any() };
        let write = Match { methods: vec!["POST".into(), "PUT".into()], ..Match::path("/form").unwrap() };
        vec![
            Route::redirect(write, Redirect::new(307, "https://example.org/form").unwrap()),
            answers(&dir, read, false, None),
        ]
    };
    let send = |method: &str| {
        ask(routes(), &format!("{method} /form HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"))
    };
    assert_eq!(send("POST").field("location"), "https://example.org/form");
    assert_eq!((send("GET").status, send("HEAD").status), (404, 404));
    let refused = send("DELETE");
    assert_eq!((refused.status, refused.field("allow")), (405, "GET, HEAD, POST, PUT, OPTIONS"));
    assert_eq!(send("OPTIONS").field("allow"), "GET, HEAD, POST, PUT, OPTIONS");
}

#[test]
fn a_host_that_no_route_is_for_is_misdirected() {
    let dir = folder();
    let ask = |host: &str| {
        let routes = vec![answers(&dir, Match::host("*.example").unwrap(), false, None)];
        ask(routes, &format!("GET /a.txt HTTP/1.1\r\nHost: {host}\r\n\r\n")).status
    };
    assert_eq!((ask("a.example"), ask("example"), ask("other")), (200, 421, 421));
}

#[test]
fn every_route_on_the_way_asks_for_its_password() {
    let dir = folder();
    let locked = |route: Route| {
        let auth = Some(BasicAuth::new(dir.path().join("users")));
        route.with(Policy { auth, ..Policy::default() })
    };
    let routes = || {
        vec![
            locked(Route::rewrite(Match::path("/in").unwrap(), "/a.txt").unwrap()),
            Route::rewrite(Match::path("/open").unwrap(), "/sub/index.html").unwrap(),
            locked(answers(&dir, Match::path("/sub/*").unwrap(), false, None)),
            answers(&dir, Match::any(), false, None),
        ]
    };
    for path in ["/in", "/open", "/sub/index.html", "/%73ub/", "//sub//index.html"] {
        let with = ask_all(routes(), &[get(path, ""), get(path, ANNA), get(path, ANNA)]);
        assert_eq!(with.iter().map(|answer| answer.status).collect::<Vec<_>>(), [401, 200, 200], "{path}");
        assert!(with[0].field("www-authenticate").starts_with("Basic realm=\"Restricted\""));
    }
    assert_eq!(ask(routes(), &get("/a.txt", "")).status, 200);
}

#[test]
fn rewrites_have_an_end_and_500_has_its_page() {
    let dir = folder();
    let routes = || {
        let pages = Policy { error_pages: vec![(500, "404.html".into())], ..Policy::default() };
        vec![
            Route::rewrite(Match::path("/**/x[0-9]").unwrap(), "/a/x1").unwrap(),
            Route::redirect(Match::path("/**/y[0-9]").unwrap(), Redirect::new(301, "$path$query").unwrap()),
            answers(&dir, Match::any(), false, None).with(pages),
        ]
    };
    for path in ["/a/x5", "/b/y5?q"] {
        let answer = ask(routes(), &get(path, ""));
        assert_eq!((answer.status, &answer.body[..], answer.field("location")), (500, "none", ""), "{path}");
    }
}

#[test]
fn loops_are_found_when_a_site_is_made() {
    let dir = folder();
    let to =
        |from: &str, to: &str| Route::redirect(Match::path(from).unwrap(), Redirect::new(302, to).unwrap());
    let site = |mut routes: Vec<Route>| {
        routes.push(answers(&dir, Match::any(), false, None));
        Site::new(SiteConfig { routes }).map(|_| ()).map_err(|e| (e.route, e.why))
    };
    assert!(matches!(site(vec![to("/a", "/a?x=1")]), Err((0, Problem::Loop(_)))));
    assert!(matches!(site(vec![to("/a/*", "/b/$rest"), to("/b/*", "/a/$rest")]), Err((0, Problem::Loop(_)))));
    assert!(matches!(site(vec![to("/**", "/x$path")]), Err((0, Problem::Loop(_)))));
    // An earlier route takes what would lead back.
    assert!(
        site(vec![answers(&dir, Match::path("/app/*").unwrap(), false, None), to("/**", "/app/")]).is_ok()
    );
    assert!(site(vec![to("/a", "/b"), to("/b", "/c"), to("/c", "https://a/a")]).is_ok());
    assert!(matches!(
        site(vec![Route::redirect(Match::any(), Redirect::new(304, "/x").unwrap())]),
        Err((0, Problem::Status(304)))
    ));
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    let dir = folder();
    let why = |route: Route| match Site::new(SiteConfig { routes: vec![route] }) {
        Ok(_) => panic!("it was taken"),
        Err(e) => e.to_string(),
    };
    let with = |policy: Policy| why(answers(&dir, Match::any(), false, None).with(policy));
    let cors = Some(Cors { credentials: true, ..Cors::origins(["*"]) });
    assert!(with(Policy { cors: cors.clone(), ..Policy::default() }).contains("credentials"));
    let auth = Some(BasicAuth::new(dir.path().join("none")));
    assert!(with(Policy { auth, ..Policy::default() }).contains("none"));
    let auth = Some(BasicAuth::new(dir.path().join("users")).realm("a\nb"));
    assert!(with(Policy { auth, ..Policy::default() }).contains("realm"));
    let rewrite = Route::rewrite(Match::path("/x").unwrap(), "/y").unwrap();
    assert!(
        why(rewrite.with(Policy { cors: Some(Cors::origins(["*"])), ..Policy::default() }))
            .contains("no answer of its own")
    );
    assert!(why(answers(&dir, Match::path("/x/*.js").unwrap(), true, None)).contains("prefix"));
    let unknown = Match { methods: vec!["BREW".into()], ..Match::any() };
    assert!(why(answers(&dir, unknown, false, None)).contains("BREW"));
    let spa = Spa { page: "/".into(), ..Spa::default() };
    assert!(why(answers(&dir, Match::any(), false, Some(spa))).contains("page"));
}

#[test]
fn one_page_answers_only_who_accepts_html_by_name() {
    let dir = folder();
    let ask = |path: &str, accept: &str| {
        let routes = vec![answers(&dir, Match::any(), false, Some(Spa::default()))];
        ask(routes, &get(path, &format!("Accept: {accept}\r\n")))
    };
    for accept in ["text/html", "application/json;q=0.2, TEXT/HTML;q=0.1", "application/xhtml+xml"] {
        let answer = ask("/users/7", accept);
        assert_eq!(
            (answer.status, &answer.body[..], answer.field("vary")),
            (200, "home", "Accept"),
            "{accept}"
        );
    }
    for accept in ["*/*", "text/*", "text/html;q=0", "text/html; q=0.000", "text/htmlx", ""] {
        let answer = ask("/users/7", accept);
        assert_eq!((answer.status, answer.field("vary")), (404, "Accept"), "{accept}");
    }
    for path in ["/x.js", "/api/x", "/.well-known/x"] {
        let answer = ask(path, "text/html");
        assert_eq!((answer.status, answer.field("vary")), (404, ""), "{path}");
    }
}
