//! Cross-origin requests (the CORS protocol of the Fetch standard): which origins may read answers, and preflights.
//!
//! Owns the rules: credentials never go together with `*`, an answer that depends on the origin says so by `Vary`, and
//! what is not allowed is answered without these fields, which a browser takes for a refusal. Pure.

use std::fmt;

use super::fields::line;
use crate::proto::http1::head::{Head, Method};

/// Why a [`Cors`] is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CorsError {
    /// Not `*`, `null`, or `scheme://host[:port]` without anything behind it.
    Origin(String),
    /// Credentials and `*`: any page could then act for its reader.
    Credentials,
    /// A method or a field name is no token.
    Token(String),
    /// No origin at all.
    Empty,
}

impl fmt::Display for CorsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin(text) => {
                write!(
                    f,
                    "'{}' is no origin: write https://app.example.org without a path, or *",
                    text.escape_debug()
                )
            }
            Self::Credentials => f.write_str(
                "credentials are not allowed for every origin: list the origins, or leave credentials out",
            ),
            Self::Token(text) => write!(f, "'{}' is neither a method nor a field name", text.escape_debug()),
            Self::Empty => f.write_str("no origin is allowed: list one, or leave it out"),
        }
    }
}

impl std::error::Error for CorsError {}

/// Which other origins may read the answers of a route.
///
/// ```
/// use tidemill::service::site::Cors;
///
/// let cors = Cors { credentials: true, ..Cors::origins(["https://app.example.org"]) };
/// assert!(cors.check().is_ok());
/// assert!(Cors { credentials: true, ..Cors::origins(["*"]) }.check().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// `*`, or origins as browsers write them: scheme and host in lower case, the port only if it is not the scheme's.
    pub origins: Vec<String>,
    /// Methods that a preflight allows. Empty: those of the route.
    pub methods: Vec<String>,
    /// Request fields that a preflight allows, beyond those that need no leave. `*` for all, without credentials.
    pub headers: Vec<String>,
    /// Answer fields that a script may read, beyond those that it always may.
    pub expose: Vec<String>,
    /// Whether requests may carry cookies and passwords. Never with `*`.
    pub credentials: bool,
    /// How many seconds a browser may remember a preflight.
    pub max_age: u32,
    /// Whether pages of public networks may reach this server in a private one (`Access-Control-Request-Private-Network`).
    pub private_network: bool,
}

impl Default for Cors {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            methods: Vec::new(),
            headers: Vec::new(),
            expose: Vec::new(),
            credentials: false,
            max_age: 600,
            private_network: false,
        }
    }
}

impl Cors {
    /// These origins, and defaults for the rest: no credentials, no request fields, ten minutes.
    pub fn origins<T: Into<String>>(origins: impl IntoIterator<Item = T>) -> Self {
        Self { origins: origins.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Judges it; the site does so too when it is made.
    ///
    /// # Errors
    /// [`CorsError`].
    pub fn check(&self) -> Result<(), CorsError> {
        Rules::new(self).map(|_| ())
    }
}

/// A checked [`Cors`] with its lines rendered.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// `None`: any.
    origins: Option<Vec<Vec<u8>>>,
    /// Lines of every allowed answer but the origin.
    shared: Vec<u8>,
    methods: Vec<String>,
    /// Lines of every allowed preflight but its methods.
    preflight: Vec<u8>,
    private_network: bool,
}

const ALLOW_ORIGIN: &[u8] = b"Access-Control-Allow-Origin: ";

impl Rules {
    pub(super) fn new(cors: &Cors) -> Result<Self, CorsError> {
        let any = cors.origins.iter().any(|origin| origin == "*");
        if any && cors.credentials {
            return Err(CorsError::Credentials);
        }
        if cors.origins.is_empty() {
            return Err(CorsError::Empty);
        }
        if let Some(bad) = cors.origins.iter().find(|origin| !is_origin(origin)) {
            return Err(CorsError::Origin(bad.clone()));
        }
        let wild = |text: &String| text == "*" && cors.credentials;
        let tokens = || cors.methods.iter().chain(&cors.headers).chain(&cors.expose);
        if let Some(bad) = tokens().find(|text| line(text, "").is_err() || wild(text)) {
            return Err(CorsError::Token(bad.clone()));
        }
        let mut shared = Vec::new();
        if cors.credentials {
            shared.extend_from_slice(b"Access-Control-Allow-Credentials: true\r\n");
        }
        let list = |out: &mut Vec<u8>, name: &str, values: &[String]| {
            if !values.is_empty() {
                out.extend_from_slice(format!("{name}: {}\r\n", values.join(", ")).as_bytes());
            }
        };
        let mut preflight = Vec::new();
        list(&mut preflight, "Access-Control-Allow-Headers", &cors.headers);
        preflight.extend_from_slice(format!("Access-Control-Max-Age: {}\r\n", cors.max_age).as_bytes());
        let mut rules = Self {
            origins: (!any).then(|| cors.origins.iter().map(|origin| origin.as_bytes().to_vec()).collect()),
            shared,
            methods: cors.methods.clone(),
            preflight,
            private_network: cors.private_network,
        };
        list(&mut rules.shared, "Access-Control-Expose-Headers", &cors.expose);
        Ok(rules)
    }

    /// Adds the lines of an ordinary answer.
    pub(super) fn answer(&self, head: &Head<'_>, lines: &mut Vec<u8>) {
        match &self.origins {
            // Without Vary: the answer is the same for every origin.
            None => {
                lines.extend_from_slice(ALLOW_ORIGIN);
                lines.extend_from_slice(b"*\r\n");
            }
            Some(_) => {
                lines.extend_from_slice(b"Vary: Origin\r\n");
                let Some(origin) = self.allowed(head) else { return };
                lines.extend_from_slice(ALLOW_ORIGIN);
                lines.extend_from_slice(origin);
                lines.extend_from_slice(b"\r\n");
            }
        }
        lines.extend_from_slice(&self.shared);
    }

    /// Adds the lines of the answer to a preflight. `methods` are those of the route.
    pub(super) fn preflight(&self, head: &Head<'_>, methods: &str, lines: &mut Vec<u8>) {
        let mut vary = String::from("Vary: Access-Control-Request-Method, Access-Control-Request-Headers");
        if self.origins.is_some() {
            vary.push_str(", Origin");
        }
        if self.private_network {
            vary.push_str(", Access-Control-Request-Private-Network");
        }
        lines.extend_from_slice(vary.as_bytes());
        lines.extend_from_slice(b"\r\n");
        let Some(origin) = self.allowed(head) else { return };
        lines.extend_from_slice(ALLOW_ORIGIN);
        lines.extend_from_slice(if self.origins.is_some() { origin } else { b"*" });
        lines.extend_from_slice(b"\r\n");
        lines.extend_from_slice(&self.shared);
        let own = self.methods.join(", ");
        let methods = if own.is_empty() { methods } else { &own };
        lines.extend_from_slice(format!("Access-Control-Allow-Methods: {methods}\r\n").as_bytes());
        lines.extend_from_slice(&self.preflight);
        if self.private_network && head.field("access-control-request-private-network") == Some(b"true") {
            lines.extend_from_slice(b"Access-Control-Allow-Private-Network: true\r\n");
        }
    }

    /// The request's origin if it is allowed. It equals a checked one byte for byte, or is not written back at all.
    fn allowed<'h>(&self, head: &Head<'h>) -> Option<&'h [u8]> {
        let mut origins = head.field_all("origin");
        let origin = origins.next().filter(|_| origins.next().is_none())?;
        match &self.origins {
            None => Some(origin),
            Some(list) => list.iter().any(|of| of == origin).then_some(origin),
        }
    }
}

/// The method that a preflight asks for, if the request is one.
pub(super) fn preflight_method<'h>(head: &Head<'h>) -> Option<Method<'h>> {
    if head.method != Method::Options || head.field("origin").is_none() {
        return None;
    }
    let name = std::str::from_utf8(head.field("access-control-request-method")?).ok()?;
    Some(match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "PATCH" => Method::Patch,
        other => Method::Other(other),
    })
}

/// An origin as browsers serialise it (RFC 6454 section 6.2).
fn is_origin(text: &str) -> bool {
    if matches!(text, "*" | "null") {
        return true;
    }
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let good_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
    let (host, digits) = match rest.rfind(':').filter(|at| !rest.get(*at..).is_some_and(|t| t.contains(']')))
    {
        Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + 1..).unwrap_or_default()),
        None => (rest, "1"),
    };
    let good_port = !digits.starts_with('0')
        && digits.parse::<u16>().is_ok()
        && digits.bytes().all(|b| b.is_ascii_digit());
    let usual = !port.is_empty() && rest.ends_with(port) && !rest.ends_with(']');
    let host_ok = super::pattern::HostPattern::new(host).is_ok_and(|host| !host.is_wildcard());
    good_scheme
        && good_port
        && !usual
        && host_ok
        && !rest.bytes().any(|b| b.is_ascii_uppercase())
        && !host.ends_with('.')
}

#[cfg(test)]
mod tests {
    use super::super::testing::with_head;
    use super::*;

    fn answer(cors: &Cors, fields: &str) -> String {
        let rules = Rules::new(cors).unwrap();
        let mut lines = Vec::new();
        with_head(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), |head| {
            rules.answer(head, &mut lines)
        });
        String::from_utf8(lines).unwrap()
    }

    fn preflight(cors: &Cors, fields: &str) -> String {
        let rules = Rules::new(cors).unwrap();
        let mut lines = Vec::new();
        with_head(&format!("OPTIONS / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), |head| {
            rules.preflight(head, "GET, HEAD", &mut lines);
        });
        String::from_utf8(lines).unwrap()
    }

    const APP: &str = "https://app.example.org";

    #[test]
    fn origins_are_judged_as_browsers_write_them() {
        for good in [
            "*",
            "null",
            APP,
            "http://localhost:3000",
            "https://[::1]:8443",
            "http://a:443",
            "chrome-extension://abc",
        ] {
            assert!(Cors::origins([good]).check().is_ok(), "{good}");
        }
        for bad in [
            "",
            "app.example.org",
            "https://",
            "https://a/",
            "https://a:443",
            "http://a:80",
            "https://A",
            "https://a:x",
            "https://a b",
            "https://*.a",
            "https://u@a",
            "HTTPS://a",
            "https://a\r\nX: y",
            "https://a:",
            "https://a.",
        ] {
            assert!(Cors::origins([bad]).check().is_err(), "{bad}");
        }
    }

    #[test]
    fn credentials_never_go_with_every_origin() {
        let cors = Cors { credentials: true, ..Cors::origins(["*"]) };
        assert_eq!(cors.check(), Err(CorsError::Credentials));
        let cors = Cors { credentials: true, origins: vec![APP.into(), "*".into()], ..Cors::default() };
        assert_eq!(cors.check(), Err(CorsError::Credentials));
        let cors = Cors { credentials: true, headers: vec!["*".into()], ..Cors::origins([APP]) };
        assert!(matches!(cors.check(), Err(CorsError::Token(_))));
        assert_eq!(Cors::default().check(), Err(CorsError::Empty));
        let cors = Cors { methods: vec!["GET\r\nX: y".into()], ..Cors::origins([APP]) };
        assert!(matches!(cors.check(), Err(CorsError::Token(_))));
    }

    #[test]
    fn an_allowed_origin_is_named_and_any_other_is_not() {
        let cors = Cors { credentials: true, expose: vec!["ETag".into()], ..Cors::origins([APP]) };
        let yes = answer(&cors, &format!("Origin: {APP}\r\n"));
        assert_eq!(
            yes,
            format!(
                "Vary: Origin\r\nAccess-Control-Allow-Origin: {APP}\r\nAccess-Control-Allow-Credentials: true\r\nAccess-Control-Expose-Headers: ETag\r\n"
            )
        );
        for other in [
            "",
            "Origin: https://evil.example\r\n",
            "Origin: null\r\n",
            "Origin: https://app.example.org.evil\r\n",
        ] {
            assert_eq!(answer(&cors, other), "Vary: Origin\r\n", "{other}");
        }
        let twice = format!("Origin: {APP}\r\nOrigin: https://evil.example\r\n");
        assert_eq!(answer(&cors, &twice), "Vary: Origin\r\n");
        assert_eq!(answer(&Cors::origins(["*"]), ""), "Access-Control-Allow-Origin: *\r\n");
    }

    #[test]
    fn a_preflight_tells_methods_fields_and_how_long() {
        let cors = Cors { headers: vec!["X-Token".into()], ..Cors::origins([APP]) };
        let ask = format!(
            "Origin: {APP}\r\nAccess-Control-Request-Method: GET\r\nAccess-Control-Request-Private-Network: true\r\n"
        );
        let lines = preflight(&cors, &ask);
        for line in [
            "Vary: Access-Control-Request-Method, Access-Control-Request-Headers, Origin\r\n",
            "Access-Control-Allow-Methods: GET, HEAD\r\n",
            "Access-Control-Allow-Headers: X-Token\r\n",
            "Access-Control-Max-Age: 600\r\n",
        ] {
            assert!(lines.contains(line), "{line} {lines}");
        }
        assert!(!lines.contains("Private-Network"), "{lines}");
        let open = Cors { private_network: true, ..cors.clone() };
        assert!(preflight(&open, &ask).contains("Access-Control-Allow-Private-Network: true\r\n"));
        assert!(!preflight(&cors, "Origin: https://evil.example\r\n").contains("Allow"));
    }

    #[test]
    fn only_options_with_an_origin_and_a_method_is_a_preflight() {
        let of =
            |request: &str| with_head(request, |head| preflight_method(head).map(|m| m.as_str().to_owned()));
        let fields = "Host: a\r\nOrigin: https://a\r\nAccess-Control-Request-Method: PUT\r\n\r\n";
        assert_eq!(of(&format!("OPTIONS / HTTP/1.1\r\n{fields}")).as_deref(), Some("PUT"));
        assert_eq!(of(&format!("GET / HTTP/1.1\r\n{fields}")), None);
        assert_eq!(of("OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: https://a\r\n\r\n"), None);
        assert_eq!(of("OPTIONS / HTTP/1.1\r\nHost: a\r\nAccess-Control-Request-Method: PUT\r\n\r\n"), None);
    }
}
