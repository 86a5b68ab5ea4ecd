//! Whole-input checks of the pure parts, for property tests and fuzz targets: each takes any bytes and panics when a
//! rule is broken. Never part of a release build: only under `test` or feature `testing`.

use super::auth;
use super::config::{Match, Redirect, Route, SiteConfig};
use super::cors::{self, Cors, preflight_method};
use super::pattern::{HostPattern, NormalPath, PathPattern};
use super::routes::{self, Found, Ready};
use super::target::Target;
use crate::proto::http1::head::{FieldStore, Head, Limits, Progress, Status, parse};

/// A `Location` made of `target` names the host that `target` names, or none.
pub(super) fn location_is_safe(target: &str, location: &str) {
    assert!(location.bytes().all(|b| b.is_ascii_graphic() && b != b'\\'), "unclean Location {location:?}");
    match target.split_once("://").filter(|_| !target.starts_with(['/', '$'])) {
        None => {
            assert!(location.starts_with('/') && !location.starts_with("//"), "open redirect {location:?}");
        }
        Some((scheme, rest)) => {
            let host = |text: &str| text.split(['/', '?', '#', '$']).next().unwrap_or_default().to_owned();
            let to = location.strip_prefix(scheme).and_then(|text| text.strip_prefix("://"));
            assert_eq!(to.map(host), Some(host(rest)), "another host: {target:?} gives {location:?}");
        }
    }
}

/// Targets that use each variable in each place where it may stand.
const TARGETS: [&str; 8] = [
    "/$path$query",
    "/new/$rest$query",
    "$path",
    "/f?a=$rest&b=$path$query",
    "https://example.org$path$query",
    "http://example.org:8080/$rest",
    "https://example.org$query",
    "/x$rest",
];

/// Any bytes as a path and a query: what is redirected stays where the operator sent it.
///
/// # Panics
/// When a rule is broken.
pub fn redirect(path: &[u8], query: &[u8]) {
    let Ok(path) = NormalPath::new(path) else { return };
    let patterns = ["/**", "/a/*", "/a/**/b*", "/a"];
    for pattern in patterns.iter().filter_map(|text| PathPattern::parse(text).ok()) {
        if !pattern.matches(path.as_bytes()) {
            continue;
        }
        for text in TARGETS {
            let Ok(target) = Target::new(text) else { panic!("{text} is a good target") };
            location_is_safe(text, &target.expand(&pattern, &path, Some(query)));
            location_is_safe(text, &target.expand(&pattern, &path, None));
        }
    }
}

/// Any bytes as a request head: credentials, origins, hosts, patterns and redirects keep their rules, and no answer that
/// is made of the request starts a line of its own.
///
/// # Panics
/// When a rule is broken.
pub fn request(data: &[u8]) {
    let mut store = FieldStore::new();
    let parsed = parse(data, &Limits::default(), &mut Progress::default(), &mut store);
    let Ok(Status::Complete(head)) = parsed else { return };
    if let Some((name, password)) = auth::credentials(&head) {
        assert!(!name.contains(&b':') && !name.iter().chain(&password).any(u8::is_ascii_control));
    }
    origins(&head);
    let Ok(path) = NormalPath::new(head.path) else { return };
    redirect(head.path, head.query.unwrap_or_default());
    let Some(routes) = rules() else { panic!("the rules are good") };
    let host = head.authority.filter(|host| !host.is_empty());
    let mut now = path;
    for hop in 0.. {
        assert!(hop <= 16, "a path is rewritten without end");
        let Found::Route(at) = routes::find(&routes, host, &now, Some(&head.method)) else { return };
        let Some(route) = routes.get(at) else { panic!("no route {at}") };
        assert!(route.when.path.matches(now.as_bytes()));
        let Ready::Rewrite(target) = &route.action else { return };
        let to = target.expand(&route.when.path, &now, None);
        location_is_safe("/", &to);
        let Ok(next) = NormalPath::new(to.as_bytes()) else { panic!("{to} is no path") };
        now = next;
    }
}

/// Rules of which no two lead in a circle.
fn rules() -> Option<Vec<routes::Ruled>> {
    let beneath = Match { hosts: vec![HostPattern::new("*.a").ok()?], ..Match::path("/x/*").ok()? };
    let config = SiteConfig {
        routes: vec![
            Route::redirect(Match::path("/a/**/c?").ok()?, Redirect::new(307, "/$rest$query").ok()?),
            Route::rewrite(beneath, "/y/$rest").ok()?,
            Route::rewrite(Match { methods: vec!["GET".into()], ..Match::path("/b/*").ok()? }, "/x/$rest")
                .ok()?,
            Route::redirect(Match::path("/y/*").ok()?, Redirect::new(308, "https://example.org$path").ok()?),
        ],
    };
    routes::check(config).ok().map(|(routes, _)| routes)
}

fn origins(head: &Head<'_>) {
    let allowed = ["https://app.example", "null"];
    for cors in
        [Cors::origins(allowed), Cors::origins(["*"]), Cors { credentials: true, ..Cors::origins(allowed) }]
    {
        let Ok(rules) = cors::Rules::new(&cors) else { panic!("{cors:?} is good") };
        let (mut answer, mut preflight) = (Vec::new(), Vec::new());
        rules.answer(head, &mut answer);
        if preflight_method(head).is_some() {
            rules.preflight(head, "GET", &mut preflight);
        }
        for lines in [answer, preflight] {
            let text = String::from_utf8_lossy(&lines);
            let any = text.contains("Allow-Origin: *\r\n");
            assert!(!(any && text.contains("Allow-Credentials")), "any origin with credentials");
            for line in text.split_terminator("\r\n") {
                let (name, value) = line.split_once(": ").unwrap_or_default();
                assert!(name.starts_with("Access-Control-") || name == "Vary", "{line:?}");
                let known = value == "*" || allowed.contains(&value);
                assert!(name != "Access-Control-Allow-Origin" || known, "{line:?}");
            }
        }
    }
}
