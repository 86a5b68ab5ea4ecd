//! What the command line accepts, and what it says to what it does not.

use std::time::Duration;

use clap::CommandFactory;
use log::LevelFilter;

use super::values::{OrOff, duration, endpoint, field, timeout, timeout_or_off};
use super::*;
use crate::daemon::log::Filter;

fn parsed(args: &[&str]) -> Result<Cli, clap::Error> {
    parse(std::iter::once("tidemill").chain(args.iter().copied()).map(OsString::from))
}

#[test]
fn the_definition_of_the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn no_verb_means_run() {
    for args in [&[][..], &["run"], &["-v"], &["run", "-vv"]] {
        assert!(matches!(parsed(args).unwrap().verb, Some(Verb::Run(_))), "{args:?}");
    }
    assert_eq!(
        parsed(&["-v"]).unwrap().verbosity.filter(|_| None).unwrap(),
        Filter::plain(LevelFilter::Debug)
    );
}

#[test]
fn times_are_read_with_their_units() {
    for (text, ms) in [
        ("0", 0),
        ("0s", 0),
        ("500ms", 500),
        ("30s", 30_000),
        ("1.5s", 1500),
        ("2m", 120_000),
        ("1h", 3_600_000),
        ("288h", 288 * 3_600_000),
    ] {
        assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
    }
    for text in [
        "",
        "s",
        "ms",
        ".5s",
        "1.s",
        "1..5s",
        "1.2.3s",
        "-1s",
        "+1s",
        "1 s",
        "30 parsecs",
        "soon",
        "1e9s",
        "infs",
        "NaN",
        "289h",
        "99999999999999999999999h",
        "30",
        "1S",
        "1m30s",
    ] {
        assert!(duration(text).is_err(), "{text}");
    }
    assert!(duration("30").unwrap_err().contains("unit is missing"));
}

#[test]
fn a_deadline_is_not_zero_and_some_can_be_off() {
    assert!(timeout("0").is_err() && timeout("0ms").is_err() && timeout("off").is_err());
    assert_eq!(timeout_or_off("off"), Ok(OrOff(None)));
    assert_eq!(timeout_or_off("1ms"), Ok(OrOff(Some(Duration::from_millis(1)))));
    assert!(timeout_or_off("0s").unwrap_err().contains("off"));
}

#[test]
fn an_endpoint_error_does_not_repeat_its_text() {
    let e = endpoint("127.0.0.1:http").unwrap_err();
    assert!(!e.contains("127.0.0.1:http") && e.contains("no port number"), "{e}");
}

#[test]
fn fields_are_split_at_the_first_colon_and_judged() {
    let read = |text| field(text).map(|f| (f.name, f.value));
    let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
    assert_eq!(read("X-A: b: c "), pair("X-A", "b: c"));
    assert_eq!(read("X-A:"), pair("X-A", ""));
    assert_eq!(read("Content-Type:text/html"), pair("Content-Type", "text/html"));
    for (text, problem) in [
        ("no colon", "colon"),
        (": x", "no field name"),
        ("bad name: x", "no field name"),
        ("X : y", "no field name"),
        ("X: a\r\nY: b", "line break"),
        ("X: a\0", "control"),
        ("content-length: 3", "server writes it itself"),
        ("Transfer-Encoding: chunked", "server writes it itself"),
        ("Connection: close", "server writes it itself"),
    ] {
        let e = field(text).unwrap_err();
        assert!(e.contains(problem), "{text:?}: {e}");
    }
}

#[test]
fn flags_decide_over_variables_and_ours_over_everyones() {
    let filter = |args: &[&str], ours: Option<&str>, all: Option<&str>| {
        let variable = |name: &str| if name == "RUST_LOG" { all } else { ours }.map(str::to_owned);
        parsed(args).unwrap().verbosity.filter(variable)
    };
    let plain = Filter::plain;
    for (args, level) in [
        (&["-v"][..], LevelFilter::Debug),
        (&["-vv"], LevelFilter::Trace),
        (&["echo", "-vvv"], LevelFilter::Trace),
        (&["-q"], LevelFilter::Warn),
        (&["serve", "-qq"], LevelFilter::Error),
    ] {
        assert_eq!(filter(args, Some("error"), Some("error")).unwrap(), plain(level), "{args:?}");
    }
    assert_eq!(filter(&[], None, None).unwrap(), plain(LevelFilter::Info));
    assert_eq!(filter(&[], Some(""), Some("warn")).unwrap(), plain(LevelFilter::Warn));
    assert_eq!(filter(&[], Some("debug"), Some("warn")).unwrap(), plain(LevelFilter::Debug));
    assert_eq!(filter(&[], None, Some("what?")).unwrap(), plain(LevelFilter::Info));
    assert_eq!(filter(&[], Some("what?"), None).unwrap_err().code, failure::USAGE);
    assert!(parsed(&["-v", "-q"]).is_err());
}

#[test]
fn every_exit_code_is_in_the_long_help() {
    let help = Cli::command().render_long_help().to_string();
    for code in [
        0,
        failure::ABORTED,
        failure::USAGE,
        failure::NO_INPUT,
        failure::UNAVAILABLE,
        failure::SOFTWARE,
        failure::OS,
        failure::CANNOT_CREATE,
        failure::PERMISSION,
        failure::CONFIG,
    ] {
        assert!(help.lines().any(|line| line.starts_with(&format!("{code:>4}  "))), "{code}:\n{help}");
    }
}
