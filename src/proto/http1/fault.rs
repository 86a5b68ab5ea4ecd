//! Every way an HTTP/1 exchange can fail, as a value: the status to answer and the class to report.
//!
//! The parsers return a [`Fault`]; the server answers `fault.status` and closes with `fault.class`. Nothing here
//! is ever built at run time: a fault is one of the statics below. After any of them the connection cannot be
//! used again, because where the next request would begin is not known.

use crate::reactor::class::Class;

/// One failure: what to answer, if an answer is still possible, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The status to answer with (RFC 9110 section 15). Where the head has been sent already
    /// ([`FILE_TRUNCATED`]) or nobody listens any more ([`BODY_TRUNCATED`]) it serves counters only.
    pub status: u16,
    /// The failure class: a stable name, the cause and the remedy.
    pub class: &'static Class,
}

macro_rules! faults {
    ($($(#[$doc:meta])+ $name:ident: $status:literal $class:literal $retryable:literal
        cause $cause:literal remedy $remedy:literal;)+) => {
        $($(#[$doc])+ pub static $name: Fault =
            Fault { status: $status, class: &Class::new($class, $cause, $remedy, $retryable) };)+

        /// Every fault, for counters, documentation and tests.
        pub static ALL: &[&Fault] = &[$(&$name),+];
    };
}

faults! {
    /// The request line breaks RFC 9112 section 3: parts, separators, bytes, target form, HTTP/0.9.
    BAD_REQUEST_LINE: 400 "http.bad_request_line" false
        cause "The request line was not `method SP target SP HTTP/1.x CRLF`, or the target does not suit the method."
        remedy "Check what the client sends; it may not be speaking HTTP/1.1, or a proxy rewrote its target.";
    /// A field line breaks RFC 9112 section 5: name, colon, value bytes, line end, folding.
    BAD_FIELD: 400 "http.bad_field" false
        cause "A header field line was malformed: a bad name, space before the colon, a control byte, folding, or a line end that is not CRLF."
        remedy "Fix the client; such lines are how requests are smuggled past proxies, so they are never repaired here.";
    /// Host is missing, doubled or no valid authority (RFC 9112 section 3.2).
    BAD_HOST: 400 "http.bad_host" false
        cause "The Host field was missing, given twice, empty or not a valid host and port."
        remedy "Send exactly one Host field with the authority of the URL.";
    /// Content-Length and Transfer-Encoding do not say where the body ends (RFC 9112 section 6.3).
    BAD_FRAMING: 400 "http.bad_framing" false
        cause "Content-Length or Transfer-Encoding was malformed, repeated, contradictory or not allowed, so the end of the request is not known."
        remedy "Send one decimal Content-Length, or `Transfer-Encoding: chunked` on HTTP/1.1, never both.";
    /// A chunk breaks RFC 9112 section 7.1.
    BAD_CHUNK: 400 "http.bad_chunk" false
        cause "A chunk size, extension, line end or trailer of a chunked body was malformed."
        remedy "Fix the client's chunked encoding; nothing behind the broken chunk was read as a request.";
    /// The chunk extensions of one body together are over their bound.
    CHUNK_EXT_TOO_LARGE: 400 "http.chunk_ext_too_large" false
        cause "The chunk extensions of one request body were larger than 4 KiB in total."
        remedy "Send no chunk extensions; they are read and ignored.";
    /// The trailer section is over its bound in bytes or fields.
    TRAILERS_TOO_LARGE: 431 "http.trailers_too_large" false
        cause "The trailer section of a chunked body was larger than 8 KiB or had more than 100 fields."
        remedy "Send fewer trailers; they are checked and ignored.";
    /// The head does not end within its limit, though the request line did.
    HEAD_TOO_LARGE: 431 "http.head_too_large" false
        cause "The request head was larger than the limit."
        remedy "Send smaller fields (usually cookies), or raise the head limit.";
    /// The target is over its limit, or the request line does not end within the head limit.
    URI_TOO_LONG: 414 "http.uri_too_long" false
        cause "The request target was longer than the limit."
        remedy "Send the data in a request body, or raise the URI limit.";
    /// More fields than the limit.
    TOO_MANY_FIELDS: 431 "http.too_many_fields" false
        cause "The request had more header fields than the limit."
        remedy "Send fewer fields, or raise the field limit.";
    /// The body is over the limit of the handler.
    BODY_TOO_LARGE: 413 "http.body_too_large" false
        cause "The request body was larger than the handler's limit."
        remedy "Send less, or raise the limit of this route.";
    /// A well-formed version other than HTTP/1.0 and HTTP/1.1.
    UNSUPPORTED_VERSION: 505 "http.unsupported_version" false
        cause "The request named an HTTP version other than 1.0 and 1.1."
        remedy "Speak HTTP/1.1.";
    /// An unknown transfer coding in front of `chunked`, or an unknown method.
    NOT_IMPLEMENTED: 501 "http.not_implemented" false
        cause "The request used a method or a transfer coding that this server does not implement."
        remedy "Use a standard method in capital letters, and no transfer coding but chunked.";
    /// A target of scheme `https` on a connection that is not secured (RFC 9110 section 7.4).
    MISDIRECTED: 421 "http.misdirected" false
        cause "The request's target is an https URL, but the connection is not secured."
        remedy "Connect over TLS, or use the http URL; behind a gateway that ends TLS, allow such targets.";
    /// An `Expect` other than `100-continue` (RFC 9110 section 10.1.1).
    EXPECTATION_FAILED: 417 "http.expectation_failed" false
        cause "The request expected something other than 100-continue."
        remedy "Send no Expect field, or `Expect: 100-continue`.";
    /// The head did not arrive whole in time.
    HEAD_TIMEOUT: 408 "http.head_timeout" true
        cause "The request head did not arrive whole before its deadline."
        remedy "Check the client and the network; trickled bytes do not extend the deadline.";
    /// The body stalled or came below the minimum rate.
    BODY_TIMEOUT: 408 "http.body_timeout" true
        cause "The request body made no progress in time, or came slower than the minimum rate."
        remedy "Check the client and the network, and send again.";
    /// The peer's end of file came inside a request.
    BODY_TRUNCATED: 400 "http.body_truncated" true
        cause "The client closed its side before the announced request body was complete."
        remedy "Nothing was done with the partial body; send the request again.";
    /// A deferred answer was not given in time.
    ANSWER_TIMEOUT: 503 "http.answer_timeout" true
        cause "The application did not answer the request before its deadline."
        remedy "Look at what the request waits for, or raise the answer timeout.";
    /// A file that was being sent ended before its announced length.
    FILE_TRUNCATED: 500 "http.file_truncated" true
        cause "A file was cut while it was sent, so the announced length could not be met and the connection was closed."
        remedy "Replace files by renaming a new one over them, never by truncating them in place.";
    /// A TLS ClientHello on a listener without TLS.
    TLS_ON_PLAIN: 400 "http.tls_on_plain" false
        cause "The client began a TLS handshake on a plain HTTP port."
        remedy "Use http:// for this port, or configure TLS on the listener.";
    /// A PROXY protocol header, version 1 or 2, on a listener that did not ask for one.
    PROXY_LINE: 400 "http.proxy_line" false
        cause "The peer sent a PROXY protocol header, which this listener does not accept."
        remedy "Turn PROXY protocol on for this listener if the peer is your proxy, else off at the proxy.";
    /// The HTTP/2 connection preface (RFC 9113 section 3.4).
    H2_PREFACE: 505 "http.h2_preface" false
        cause "The client began HTTP/2 with prior knowledge, which this listener does not speak."
        remedy "Use HTTP/1.1; with curl, leave out --http2-prior-knowledge.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_texts_are_sentences() {
        for (at, fault) in ALL.iter().enumerate() {
            assert!(fault.class.name.starts_with("http."), "{}", fault.class.name);
            assert!(fault.class.cause.ends_with('.') && fault.class.remedy.ends_with('.'), "{}", fault.class);
            assert!((400..600).contains(&fault.status));
            assert!(ALL.iter().skip(at + 1).all(|other| other.class.name != fault.class.name));
        }
    }
}
