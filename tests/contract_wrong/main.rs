//! The contract suite can fail: handlers that are wrong on purpose, each caught by the property that it breaks, with a
//! message that names what is wrong.
#![allow(clippy::unwrap_used, reason = "a test")]

mod rig;

use std::time::Duration;

use rig::{Line, Spoil, Wrong, answer_line, caught, caught_first, subject};
use tidemill::reactor::testing::contract::{Conversation, Property, Rules, Subject};
use tidemill::reactor::{Accepted, Ctx, Deadline, Handler, Limits, Missed, Peer, Refuse, Report, Table};

#[test]
fn the_handler_that_is_right_passes() {
    subject(|_| {}).check();
}

// ── Answers ──

#[test]
fn bytes_dropped_with_an_unfinished_line_are_missed() {
    let subject = subject(|wrong| {
        wrong.data = |_, _, ctx| {
            while answer_line(ctx) {}
            ctx.rx.consume(usize::MAX);
        }
    });
    caught_first(&subject, Property::Cuts, &["sent byte by byte", "differs", "\"one\\ntwo\\n\""]);
}

#[test]
fn an_answer_for_each_read_is_one_that_depends_on_the_cut() {
    let subject = subject(|wrong| {
        wrong.data = |_, _, ctx| {
            ctx.rx.consume(usize::MAX);
            ctx.tx.write(b"ok\n");
        }
    });
    caught_first(&subject, Property::Cuts, &["sent byte by byte", "at byte 3", "ok\\nok\\n"]);
}

#[test]
fn random_pieces_find_what_neither_whole_nor_bytewise_shows() {
    // Only a read of exactly five bytes is answered wrongly.
    let subject = subject(|wrong| {
        wrong.data = |_, line, ctx| {
            if ctx.rx.len() - line.pending.len() == 5 {
                ctx.rx.consume(1);
            }
            while answer_line(ctx) {}
            line.pending = ctx.rx.to_vec();
        }
    });
    caught_first(&subject, Property::Cuts, &["sent in random pieces", "SIM_SEED="]);
}

#[test]
fn an_answer_that_is_not_the_expected_one_is_shown() {
    let subject = subject(|wrong| {
        wrong.eof = |_, _, ctx| {
            ctx.tx.write(b"bye");
            ctx.finish();
        }
    });
    caught(&subject, Property::Cuts, &["the expected one", "A\\nB\\nbye", "conversation 1 of 2"]);
}

#[test]
fn an_unfinished_line_that_is_answered_at_once_and_again_at_the_end_is_found() {
    let wrong = || Wrong {
        data: |_, line, ctx| {
            while answer_line(ctx) {}
            // Nothing is consumed, and the end answers it once more.
            if line.turns == 0 {
                let rest = ctx.rx.to_ascii_uppercase();
                ctx.tx.write(&rest);
                line.turns += 1;
            }
        },
        eof: |_, _, ctx| {
            let rest = ctx.rx.to_ascii_uppercase();
            ctx.tx.write(&rest);
            ctx.finish();
        },
        ..Wrong::right()
    };
    let subject = Subject::new(wrong, [Conversation::new("one\ntw").expects("ONE\nTW")]);
    caught_first(&subject, Property::Cuts, &["ONE\\nTWTW", "the expected one"]);
}

#[test]
fn an_abort_some_time_after_the_answer_costs_a_slow_peer_its_end() {
    let wrong = || Wrong {
        data: |_, _, ctx| {
            if answer_line(ctx) {
                ctx.set_timer(Duration::from_millis(20));
            }
        },
        timer: |_, _, ctx| ctx.abort(),
        ..Wrong::right()
    };
    let subject = Subject::new(wrong, [Conversation::new("hello world\n").expects("HELLO WORLD\n")]);
    caught_first(&subject, Property::OneByteRoom, &["takes one byte at a time", "differs", "and 12)"]);
}

#[test]
fn state_shared_by_all_connections_is_found_by_a_crowd() {
    let subject = subject(|wrong| {
        wrong.data = |wrong, _, ctx| {
            wrong.shared.extend_from_slice(&ctx.rx);
            ctx.rx.consume(usize::MAX);
            while let Some(end) = wrong.shared.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = wrong.shared.drain(..=end).collect();
                ctx.tx.write(&line.to_ascii_uppercase());
            }
        }
    });
    caught(
        &subject,
        Property::BenignFaults,
        &["SIM_SEED=", "differs from the answer without faults", " at once: "],
    );
}

// ── Room ──

#[test]
fn a_handler_that_ignores_room_loses_bytes_for_a_late_reader() {
    let subject = subject(|wrong| {
        wrong.data = |_, _, ctx| {
            while let Some(end) = ctx.rx.iter().position(|byte| *byte == b'\n') {
                let line = ctx.rx[..=end].to_ascii_uppercase();
                ctx.tx.write(&line);
                ctx.rx.consume(end + 1);
            }
        }
    });
    caught_first(&subject, Property::LateReader, &["reads only when it has to", "differs"]);
}

#[test]
fn a_rest_that_nobody_sends_on_room_is_missed() {
    let subject = subject(|wrong| {
        wrong.data = |_, line, ctx| {
            line.pending.extend(ctx.rx.to_ascii_uppercase());
            ctx.rx.consume(usize::MAX);
            let n = ctx.tx.write(&line.pending);
            line.pending.drain(..n);
        }
    });
    caught_first(&subject, Property::LateReader, &["reads only when it has to", "differs"]);
}

// ── Ends ──

#[test]
fn a_handler_that_never_closes_is_named() {
    let subject = subject(|wrong| wrong.eof = |_, _, _| {});
    for property in [Property::Cuts, Property::HalfClose, Property::Reset] {
        caught(&subject, property, &["never closes"]);
    }
}

#[test]
fn a_panic_on_the_half_close_is_named() {
    let subject = subject(|wrong| {
        wrong.eof = |_, _, ctx| {
            assert!(ctx.rx.is_empty(), "a line was not finished");
            ctx.finish();
        }
    });
    caught_first(&subject, Property::HalfClose, &["on_eof panicked", "half-closed behind byte 1 of 8"]);
}

#[test]
fn panics_in_every_callback_are_named() {
    let cases: [(Spoil, &str); 4] = [
        (|wrong| wrong.open = |_, _, _| panic!("open"), "on_open panicked"),
        (|wrong| wrong.data = |_, _, _| panic!("data"), "on_data panicked"),
        (|wrong| wrong.close = |_, _| panic!("close"), "on_close panicked"),
        (|wrong| wrong.drain = |_, _, _| panic!("drain"), "on_drain panicked"),
    ];
    for (spoil, word) in cases {
        let property = if word.contains("drain") { Property::Drain } else { Property::Cuts };
        caught_first(&subject(spoil), property, &[word]);
    }
}

#[test]
fn an_end_that_waits_for_ever_at_a_reset_is_found() {
    // A pause holds back the end of file, and nobody resumes.
    let subject = subject(|wrong| {
        wrong.data = |_, line, ctx| {
            line.turns += 1;
            while answer_line(ctx) {}
            if !ctx.rx.is_empty() {
                ctx.pause();
            }
        }
    });
    caught(&subject, Property::HalfClose, &["never closes", "half-closed behind byte 1"]);
    caught(&subject, Property::Reset, &["hung up", "never closes"]);
}

#[test]
fn a_drain_that_is_held_for_ever_is_found() {
    let subject = subject(|wrong| wrong.drain = |_, _, _| {});
    caught_first(&subject, Property::Drain, &["drain", "grace of 5s was over", "behind byte 0"]);
}

#[test]
fn an_answer_to_what_is_not_there_yet_is_found() {
    // The first letter is answered as if the line were whole, and corrected when it is.
    let wrong = || Wrong {
        eof: |_, _, ctx| {
            ctx.tx.write(b"END");
            ctx.finish();
        },
        data: |_, _, ctx| {
            if ctx.rx.len() < 3 {
                return;
            }
            let whole = ctx.rx.len() >= 5;
            ctx.tx.write(if whole { b"B" } else { b"A" });
            ctx.rx.consume(usize::MAX);
        },
        ..Wrong::right()
    };
    let subject = Subject::new(wrong, [Conversation::new("abcde")]);
    caught(
        &subject,
        Property::HalfClose,
        &["what was answered before the end differs", "behind byte 3 of 5"],
    );
}

// ── Time ──

#[test]
fn a_silent_peer_that_is_kept_busy_is_found() {
    let subject = subject(|wrong| wrong.open = |_, _, ctx| ctx.set_busy(true));
    caught_first(&subject, Property::Silence, &["of silence", "silent behind byte 0"]);
}

#[test]
fn a_handler_that_stops_reading_for_good_hangs() {
    let subject = subject(|wrong| {
        wrong.data = |_, _, ctx| {
            while answer_line(ctx) {}
            if ctx.rx.len() > 1000 {
                ctx.pause();
            }
        }
    });
    caught(&subject, Property::EndlessInput, &["the handler hangs", "neither reads nor ends"]);
}

#[test]
fn a_handler_that_takes_nothing_of_a_full_buffer_is_ended_and_does_not_hang() {
    // That is the bound of every handler that waits for the end of a message: the suite has nothing against it.
    assert_eq!(subject(|_| {}).test(Property::EndlessInput), Ok(()));
}

#[test]
fn a_handler_that_never_rests_is_found() {
    let subject = subject(|wrong| {
        wrong.data = |_, _, ctx| {
            while answer_line(ctx) {}
            if !ctx.rx.is_empty() {
                ctx.pause();
                ctx.resume();
            }
        }
    });
    caught(&subject, Property::Silence, &["never rests"]);
}

#[test]
fn an_answer_without_end_is_found() {
    let subject = subject(|wrong| {
        wrong.open = |_, _, ctx| while ctx.tx.write(b".") > 0 {};
        wrong.room = |_, _, ctx| while ctx.tx.write(b".") > 0 {};
    });
    caught_first(&subject, Property::Cuts, &["the answer has no end"]);
}

// ── What is left ──

#[test]
fn a_connection_of_the_handlers_own_that_outlives_its_peer_is_a_leak() {
    struct Leaky;

    impl Handler for Leaky {
        type Conn = bool;

        fn limits(&self) -> Limits {
            let mut limits = Limits::default();
            limits.connect_timeout = None;
            limits.idle_timeout = None;
            limits
        }

        fn on_accept(&mut self, _: Accepted<'_>) -> Result<bool, Refuse> {
            Ok(true)
        }

        fn on_data(&mut self, _: &mut bool, ctx: &mut Ctx<'_, Self>) {
            ctx.rx.consume(usize::MAX);
        }

        fn on_close(&mut self, inbound: bool, _: &Report, table: &mut Table<'_, Self>) {
            if inbound {
                // Nobody listens there: it is refused, connects again, and so on for ever.
                let _ = table.connect(&"127.0.0.1:9".parse().unwrap(), true);
            }
        }
    }

    let subject = Subject::new(|| Leaky, [Conversation::new("x")]);
    let text = subject.test(Property::Cuts).unwrap_err().to_string();
    assert!(text.contains("never rests") || text.contains("leak"), "{text}");
}

#[test]
fn a_task_that_outlives_its_connection_is_a_leak_unless_that_is_right() {
    let spoil: Spoil = |wrong| {
        wrong.open = |_, _, ctx| {
            let _ = ctx.every(Duration::from_secs(1), Missed::Skip, |_, _| {});
        }
    };
    caught_first(&subject(spoil), Property::Cuts, &["leak", "1 tasks are left", "Rules::keeps_tasks"]);
    let mut rules = Rules::default();
    rules.keeps_tasks = true;
    assert_eq!(subject(spoil).rules(rules).test(Property::Cuts), Ok(()));
}

#[test]
fn a_task_that_panics_is_found() {
    let subject = subject(|wrong| {
        wrong.open = |_, _, ctx| {
            let _ = ctx.call_later(Duration::from_millis(1), |_, _| panic!("later"));
        }
    });
    caught_first(&subject, Property::Cuts, &["a task panicked"]);
}

// ── Ends that only some peers and kernels bring ──

#[test]
fn a_handler_that_does_not_expect_a_stall_is_caught_by_a_peer_that_never_reads() {
    let subject = subject(|wrong| {
        wrong.close = |_, report| assert_ne!(report.reason.deadline, Some(Deadline::Stall), "all peers read");
    });
    caught_first(&subject, Property::NeverReads, &["on_close panicked", "reads nothing"]);
}

#[test]
fn a_handler_that_does_not_expect_a_reset_is_caught_by_hostile_faults_too() {
    let subject = subject(|wrong| {
        wrong.close = |_, report| assert_ne!(report.reason.name(), "tcp.reset", "peers are polite");
    });
    caught_first(&subject, Property::Reset, &["on_close panicked", "reset at rest, behind byte 0"]);
    caught(&subject, Property::HostileFaults, &["on_close panicked", "SIM_SEED="]);
}

#[test]
fn a_handler_that_answers_unix_peers_otherwise_is_caught_on_the_real_kernel() {
    let subject = subject(|wrong| {
        wrong.open = |_, _, ctx| {
            if ctx.peer() == Peer::Unix {
                ctx.tx.write(b"who are you?\n");
            }
        }
    });
    caught_first(&subject, Property::RealKernel, &["over Unix", "who are you?"]);
}

#[test]
fn a_handler_that_gives_a_large_answer_too_little_time_is_caught_by_the_real_slow_reader() {
    fn send(line: &mut Line, ctx: &mut Ctx<'_, Wrong>) {
        let n = ctx.tx.write(&line.pending);
        line.pending.drain(..n);
    }
    let wrong = || Wrong {
        data: |_, line, ctx| {
            ctx.rx.consume(usize::MAX);
            line.pending = vec![b'.'; 400_000];
            send(line, ctx);
            // The simulated peer reads in no time.
            ctx.set_timer(Duration::from_millis(1));
        },
        room: |_, line, ctx| send(line, ctx),
        timer: |_, _, ctx| ctx.abort(),
        eof: |_, _, _| {},
        ..Wrong::right()
    };
    let subject = Subject::new(wrong, [Conversation::new("x")]);
    assert_eq!(subject.test(Property::Cuts), Ok(()));
    caught(
        &subject,
        Property::RealSlowReader,
        &["smallest buffers and a slow reader", "differs", "and 400000)"],
    );
}
