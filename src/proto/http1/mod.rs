//! HTTP/1.0 and HTTP/1.1 (RFC 9110, RFC 9112): pure parsers and encoder, and the server handler on them.
