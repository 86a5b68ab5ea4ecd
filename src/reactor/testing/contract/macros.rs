//! The macro [`contract!`](crate::reactor::testing::contract!): one test for each property.

/// Writes the contract suite of a handler: a module with one `#[test]` for each
/// [`Property`](crate::reactor::testing::contract::Property), named by it.
///
/// The handler is tried on the simulated kernel and on the real one: its bytes whole, in random pieces and byte by
/// byte; with room for one byte; with readers that are late or never come; with half-closes, resets, silence and a
/// drain behind every byte; with random faults and several connections at once. A failure prints the conversation, the
/// position or seed, and how to replay it. `SIM_SEEDS=1000` tries more seeds, `SIM_SEED=17` one.
///
/// The forms:
///
/// - `contract!(MyHandler)` for a [`Contract`](crate::reactor::testing::contract::Contract), in a module `contract_holds`;
/// - `contract!(my_handler: MyHandler)` the same in a module `my_handler`, for several in one file;
/// - `contract!(my_handler, make = || MyHandler::new(3), conversations = [Conversation::new("hi\n")])` for any handler,
///   with `normalize = |answer| …` and `rules = …` behind them where they are needed.
///
/// ```
/// use tidemill::reactor::testing::contract::{Contract, Conversation, Subject};
/// use tidemill::reactor::{Accepted, Ctx, Handler, Refuse, testing::contract};
///
/// struct Upper;
///
/// impl Handler for Upper {
///     type Conn = ();
///     fn on_accept(&mut self, _: Accepted<'_>) -> Result<(), Refuse> {
///         Ok(())
///     }
///     fn on_data(&mut self, _: &mut (), ctx: &mut Ctx<'_, Self>) {
///         let n = ctx.tx.write(&ctx.rx.to_ascii_uppercase());
///         ctx.rx.consume(n);
///     }
/// }
///
/// impl Contract for Upper {
///     fn make() -> Self {
///         Upper
///     }
///     fn conversations() -> Vec<Conversation> {
///         vec![Conversation::new("shout\n").expects("SHOUT\n"), Conversation::new("a").then("b").expects("AB")]
///     }
/// }
///
/// contract!(Upper); // in a file of tests
/// fn main() {
///     Subject::<Upper>::of().check(); // the same at once
/// }
/// ```
#[macro_export]
#[doc(hidden)]
macro_rules! __tidemill_contract {
    ($name:ident : $handler:ty $(,)?) => {
        $crate::__tidemill_contract!(@tests $name $crate::reactor::testing::contract::Subject::<$handler>::of());
    };
    (
        $name:ident, make = $make:expr, conversations = $conversations:expr
        $(, normalize = $normalize:expr)? $(, rules = $rules:expr)? $(,)?
    ) => {
        $crate::__tidemill_contract!(
            @tests $name
            $crate::reactor::testing::contract::Subject::new($make, $conversations)
                $(.normalize($normalize))?
                $(.rules($rules))?
        );
    };
    (@tests $name:ident $subject:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "the handler may be named by its whole path")]
            use super::*;

            #[allow(dead_code, reason = "only tests use it")]
            fn subject() -> $crate::reactor::testing::contract::Subject<impl $crate::reactor::Handler> {
                $subject
            }

            $crate::__tidemill_contract! {
                @properties
                the_answer_is_the_same_whole_in_pieces_and_byte_by_byte Cuts
                a_peer_that_takes_one_byte_at_a_time_gets_the_same_answer OneByteRoom
                a_peer_that_repeats_itself_and_reads_late_loses_nothing LateReader
                a_half_close_behind_any_byte_ends_the_connection HalfClose
                a_reset_behind_any_byte_ends_the_connection_at_once Reset
                a_peer_that_never_reads_is_ended_by_the_stall_deadline NeverReads
                a_peer_that_falls_silent_is_ended_by_a_deadline Silence
                input_without_end_is_read_or_ends_the_connection EndlessInput
                a_drain_at_any_byte_ends_within_its_grace Drain
                benign_faults_change_no_answer BenignFaults
                hostile_faults_break_no_rule HostileFaults
                the_real_kernel_gives_the_same_answers_over_tcp_and_unix RealKernel
                the_real_kernel_with_the_smallest_buffers_gives_the_same_answers RealSlowReader
            }
        }
    };
    (@properties $($test:ident $property:ident)*) => {
        $(
            #[test]
            fn $test() {
                subject().holds($crate::reactor::testing::contract::Property::$property);
            }
        )*
    };
    ($handler:ty $(,)?) => {
        $crate::__tidemill_contract!(contract_holds: $handler);
    };
}
