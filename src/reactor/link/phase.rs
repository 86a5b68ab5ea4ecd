//! The phases of a connection and the table of their transitions. Pure: a phase and an input give a phase.

/// Where a connection is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Connect(Connect),
    Transfer { rx: Rx, tx: Tx },
    Teardown(Teardown),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Connect {
    /// The connect has not been issued.
    Dial,
    /// It is in progress.
    Pending,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rx {
    Open,
    Eof,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tx {
    Open,
    /// FIN follows when the buffer is empty.
    Finishing,
    /// FIN was sent.
    Shut,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Teardown {
    /// What was written is still sent.
    Flush,
    /// FIN was sent; input is discarded until the peer's FIN, so that no RST overtakes our last bytes.
    Linger,
    /// To be reaped.
    Done,
}

/// What moves a connection from phase to phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Input {
    /// The connect was issued and is in progress.
    Issued,
    /// The connection stands.
    Established,
    /// The peer's FIN was read.
    Eof,
    /// The handler has written its last byte.
    Finish,
    /// Our FIN was sent.
    FinSent,
    /// The handler wants no more: flush, then FIN, then linger.
    Close,
    /// Flushed, and nothing needs lingering.
    Flushed,
    /// Any failure, abort, deadline; or the end of lingering.
    End,
}

/// The transition table. Every pair is listed in `tests`, and pairs that are not arrows here keep their phase.
///
/// ```text
/// Connect(Dial)    Issued → Pending · Established → Transfer · Finish, Close, End → Done
/// Connect(Pending) Established → Transfer · Finish, Close, End → Done
/// Transfer{rx,tx}  Eof → rx Eof · Finish → tx Finishing (from Open)
///                  FinSent → tx Shut (Done when rx is Eof) · Close → Flush (Linger when tx is Shut) · End → Done
/// Flush            FinSent → Linger · Flushed, End → Done
/// Linger           Eof, End → Done
/// Done             absorbs
/// ```
pub(crate) fn transition(phase: Phase, input: Input) -> Phase {
    const DONE: Phase = Phase::Teardown(Teardown::Done);
    match (phase, input) {
        (Phase::Connect(Connect::Dial), Input::Issued) => Phase::Connect(Connect::Pending),
        (Phase::Connect(_), Input::Established) => Phase::Transfer { rx: Rx::Open, tx: Tx::Open },
        (Phase::Connect(_), Input::Finish | Input::Close | Input::End) => DONE,
        (Phase::Transfer { tx, .. }, Input::Eof) => Phase::Transfer { rx: Rx::Eof, tx },
        (Phase::Transfer { rx, tx: Tx::Open }, Input::Finish) => Phase::Transfer { rx, tx: Tx::Finishing },
        (Phase::Transfer { rx: Rx::Eof, .. }, Input::FinSent) => DONE,
        (Phase::Transfer { rx, tx: Tx::Open | Tx::Finishing }, Input::FinSent) => {
            Phase::Transfer { rx, tx: Tx::Shut }
        }
        (Phase::Transfer { tx: Tx::Shut, .. }, Input::Close) => Phase::Teardown(Teardown::Linger),
        (Phase::Transfer { .. }, Input::Close) => Phase::Teardown(Teardown::Flush),
        (Phase::Transfer { .. }, Input::End) => DONE,
        (Phase::Teardown(Teardown::Flush), Input::FinSent) => Phase::Teardown(Teardown::Linger),
        (Phase::Teardown(Teardown::Flush), Input::Flushed | Input::End) => DONE,
        (Phase::Teardown(Teardown::Linger), Input::Eof | Input::End) => DONE,
        (other, _) => other,
    }
}
