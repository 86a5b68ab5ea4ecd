//! Every way a WebSocket can fail, as a value: the close code that the peer is told and the class that is reported.
//!
//! Nothing here is built at run time. After any of these the connection cannot be used again (RFC 6455 section 7.1.7).

use super::close::CloseCode;
use crate::reactor::class::Class;

/// One failure of a WebSocket connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The code of the Close frame that tells the peer (RFC 6455 section 7.4.1). Where nobody is left to be told
    /// ([`NO_CLOSE`], [`CLOSE_TIMEOUT`]) it serves counters only.
    pub code: CloseCode,
    /// The reason in that frame: a few words for whoever debugs the client.
    pub reason: &'static str,
    /// The failure class: a stable name, the cause and the remedy.
    pub class: &'static Class,
}

static PROTOCOL: Class = Class::new(
    "http.ws_protocol",
    "A WebSocket frame broke RFC 6455: its bits, opcode, mask, length, order or close code.",
    "Fix the client; the reason in the Close frame names the rule.",
    false,
);
static BAD_TEXT_CLASS: Class = Class::new(
    "http.ws_bad_text",
    "A WebSocket text message or close reason was not UTF-8.",
    "Send bytes that are no text as a binary message.",
    false,
);
static TOO_LARGE: Class = Class::new(
    "http.ws_too_large",
    "A WebSocket frame or message was larger than the limit.",
    "Send smaller messages, or raise the limit.",
    false,
);
static SLOW: Class = Class::new(
    "http.ws_frame_timeout",
    "A WebSocket frame had begun and came slower than the minimum rate.",
    "Check the client and the network, or send smaller frames.",
    true,
);
static PING: Class = Class::new(
    "http.ws_ping_timeout",
    "The WebSocket peer did not answer a ping in time, and sent nothing else.",
    "Check the network between: the peer has vanished, or its program is stuck.",
    true,
);
static CLOSE: Class = Class::new(
    "http.ws_close_timeout",
    "The WebSocket peer did not answer a Close frame in time.",
    "Check the client: it must answer Close with Close.",
    true,
);
static ENDED: Class = Class::new(
    "http.ws_no_close",
    "The WebSocket peer ended its side without a Close frame.",
    "Close WebSockets by their close handshake, so that both sides know that nothing was lost.",
    true,
);

macro_rules! faults {
    ($($(#[$doc:meta])+ $name:ident: $code:ident $class:ident $reason:literal;)+) => {
        $($(#[$doc])+ pub static $name: Fault =
            Fault { code: CloseCode::$code, reason: $reason, class: &$class };)+

        /// Every fault, for counters, documentation and tests.
        pub static ALL: &[&Fault] = &[$(&$name),+];
    };
}

faults! {
    /// RSV1 to RSV3 without an extension that was agreed on (section 5.2).
    RESERVED_BITS: PROTOCOL_ERROR PROTOCOL "reserved bits are set";
    /// An opcode that means nothing (section 5.2).
    BAD_OPCODE: PROTOCOL_ERROR PROTOCOL "unknown opcode";
    /// A control frame without FIN (section 5.5).
    FRAGMENTED_CONTROL: PROTOCOL_ERROR PROTOCOL "a control frame is fragmented";
    /// A control frame over 125 bytes (section 5.5).
    LONG_CONTROL: PROTOCOL_ERROR PROTOCOL "a control frame is over 125 bytes";
    /// A continuation of nothing (section 5.4).
    NO_MESSAGE: PROTOCOL_ERROR PROTOCOL "a continuation without a message";
    /// A new message inside a fragmented one (section 5.4).
    INTERLEAVED: PROTOCOL_ERROR PROTOCOL "a message inside of a message";
    /// A client's frame without a mask (section 5.1).
    NOT_MASKED: PROTOCOL_ERROR PROTOCOL "a frame is not masked";
    /// A server's frame with a mask (section 5.1).
    MASKED: PROTOCOL_ERROR PROTOCOL "a frame of a server is masked";
    /// A length that is not in its shortest form, or over 2^63 - 1 (section 5.2).
    BAD_LENGTH: PROTOCOL_ERROR PROTOCOL "a length is not in its shortest form";
    /// A Close frame whose payload is one byte, or whose code is not to be sent (sections 5.5.1 and 7.4).
    BAD_CLOSE: PROTOCOL_ERROR PROTOCOL "a bad close code";
    /// Text that is not UTF-8 (section 8.1).
    BAD_TEXT: INVALID_DATA BAD_TEXT_CLASS "text is not UTF-8";
    /// A frame over its limit.
    FRAME_TOO_LARGE: TOO_BIG TOO_LARGE "a frame is too large";
    /// A message over its limit.
    MESSAGE_TOO_LARGE: TOO_BIG TOO_LARGE "a message is too large";
    /// A frame that has begun does not end in time.
    FRAME_TIMEOUT: POLICY SLOW "a frame came too slowly";
    /// Neither a pong nor anything else came in time.
    PING_TIMEOUT: INTERNAL_ERROR PING "no pong in time";
    /// No Close came back in time.
    CLOSE_TIMEOUT: NORMAL CLOSE "no close in time";
    /// The end of the stream came before a Close frame.
    NO_CLOSE: GOING_AWAY ENDED "the stream ended without a close";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_named_and_reasons_fit_a_control_frame() {
        for fault in ALL {
            assert!(fault.class.name.starts_with("http.ws_"), "{}", fault.class.name);
            assert!(fault.class.cause.ends_with('.') && fault.class.remedy.ends_with('.'), "{}", fault.class);
            assert!(!fault.reason.is_empty() && fault.reason.len() <= 123, "{}", fault.reason);
        }
    }
}
