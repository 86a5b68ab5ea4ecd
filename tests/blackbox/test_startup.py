"""The command line: help, and start-up failures that are one clear line with a cause, a remedy and a code."""
import os
import re
import socket

import pytest

from harness import as_ordinary_user, client, own_network, wait_until
from wire import ask

VERBS = ["serve", "respond", "echo"]
LIMITS = [
    "--idle-timeout", "--head-timeout", "--body-timeout", "--stall-timeout", "--drain-timeout", "--connections-max", "--per-client-max",
]  # fmt: skip


def failed(done, code, *words):
    """One line on stderr says what, and the exit code is the one that is documented."""
    assert done.returncode == code, done
    assert done.stdout == "", done
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    for word in words:
        assert re.search(word, lines[0], re.IGNORECASE), f"{word!r} is not in {lines[0]!r}"
    assert "panicked" not in done.stderr


def test_help_names_every_verb_and_exits_zero(run):
    for flag in ("--help", "-h", "help"):
        done = run(flag)
        assert done.returncode == 0 and done.stderr == ""
        assert all(verb in done.stdout for verb in VERBS), done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_names_its_flags_their_defaults_and_variables(run, verb):
    text = run(verb, "--help").stdout
    for flag in ["--listen", *LIMITS]:
        assert flag in text, flag
    for variable in ("TIDEMILL_IDLE_TIMEOUT", "TIDEMILL_DRAIN_TIMEOUT"):
        assert variable in text
    assert {"serve": "127.0.0.1:8000", "respond": "127.0.0.1:8000", "echo": "127.0.0.1:8007"}[verb] in text


def test_the_version_is_one_line(run):
    for flag in ("-V", "--version"):
        assert re.fullmatch(r"tidemill \d+\.\d+\.\d+\n", run(flag).stdout)


@pytest.mark.parametrize(
    "args",
    [
        ["nosuchverb"], ["--nosuchflag"], ["echo", "--nosuchflag"], ["echo", "surplus"], ["serve", "a", "b"], ["respond", "--status"],
        ["respond", "--status", "abc"], ["respond", "--status", "42"], ["respond", "--status", "1000"], ["respond", "--header", "no colon"],
        ["respond", "--header", "bad name: x"], ["respond", "--header", "X: a\r\nY: b"], ["respond", "--delay", "soon"],
        ["respond", "--delay", "-1s"], ["echo", "--listen"], ["echo", "--idle-timeout", "30 parsecs"], ["echo", "--connections-max", "many"],
        ["echo", "--connections-max", "-1"],
    ],
)  # fmt: skip
def test_a_usage_error_exits_2_and_shows_the_way(run, args):
    done = run(*args)
    assert done.returncode == 2, done
    assert done.stdout == "" and "panicked" not in done.stderr
    assert "--help" in done.stderr or "invalid value" in done.stderr, done.stderr


def test_a_misspelt_flag_is_met_with_the_right_one(run):
    assert "--listen" in run("echo", "--lisen", "1").stderr


@pytest.mark.parametrize(
    "endpoint",
    [
        "127.0.0.1:http", "127.0.0.1:70000", "127.0.0.1:-1", "tcp:", "unix:", "unix:@", "ftp:127.0.0.1:1", "127.0.0.1", "", "[::1:80", "::1:80:x",
        "127.0.0.1:0,colour=blue", "127.0.0.1:0,backlog=deep", "unix:/tmp/x.sock,mode=999",
    ],
)  # fmt: skip
def test_a_bad_endpoint_is_a_usage_error_that_quotes_it(run, endpoint):
    done = run("echo", "--listen", endpoint)
    assert done.returncode == 2, done
    assert endpoint[:60] in done.stderr and "panicked" not in done.stderr


def test_a_unix_path_too_long_for_the_kernel_is_refused_clearly(run):
    done = run("echo", "--listen", "unix:/" + "x" * 200)
    assert done.returncode in (2, 73), done
    assert "long" in done.stderr and "panicked" not in done.stderr


def test_a_port_that_is_taken_is_named_with_its_holder(start, run):
    server = start("echo")
    failed(run("echo", "--listen", f"127.0.0.1:{server.port}"), 69, f"127.0.0.1:{server.port}", "in use", str(server.pid))


def test_a_port_that_another_program_took(run):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        failed(run("respond", "--listen", f"127.0.0.1:{port}"), 69, f"127.0.0.1:{port}", "in use", str(os.getpid()))


def test_one_taken_port_among_several_stops_the_start(start, run):
    server = start("echo")
    failed(run("echo", "--listen", "127.0.0.1:0", "--listen", f"127.0.0.1:{server.port}"), 69, str(server.port), "in use")


def test_a_missing_folder_to_serve(run, folder):
    failed(run("serve", folder / "missing", "--listen", "127.0.0.1:0"), 66, "missing", "no such|not exist|not found")


def test_a_file_in_place_of_the_folder_to_serve(run, folder):
    (folder / "file.txt").write_text("x")
    failed(run("serve", folder / "file.txt", "--listen", "127.0.0.1:0"), 66, "file.txt", "director|folder")


def test_a_unix_socket_in_a_missing_folder(run, folder):
    failed(run("echo", "--listen", f"unix:{folder}/missing/e.sock"), 73, "missing/e.sock", "no such|not exist|not found|create")


def test_an_address_that_is_not_ours(run):
    failed(run("echo", "--listen", "192.0.2.1:0"), 69, r"192\.0\.2\.1", "address|interface")


def test_a_low_port_without_the_right_to_it(binary):
    done = client(*own_network(*as_ordinary_user(binary, "echo", "--listen", "127.0.0.1:80")), text=True)
    failed(done, 77, "127.0.0.1:80", "permission|privileged|right")


def test_a_unix_socket_in_a_folder_without_the_right_to_it(binary, folder):
    (folder / "locked").mkdir(mode=0o755)
    done = client(*as_ordinary_user(binary, "echo", "--listen", f"unix:{folder}/locked/e.sock"), text=True)
    failed(done, 77, "locked/e.sock", "permission|right")


def test_a_folder_that_may_not_be_opened(binary, folder):
    (folder / "locked").mkdir(mode=0o700)
    done = client(*as_ordinary_user(binary, "serve", folder / "locked", "--listen", "127.0.0.1:0"), text=True)
    failed(done, 77, "locked", "permission|right")


def test_a_failed_start_leaves_no_socket_behind(start, run, folder):
    server = start("echo")
    assert run("echo", "--listen", f"unix:{folder}/left.sock", "--listen", f"127.0.0.1:{server.port}").returncode == 69
    assert not (folder / "left.sock").exists()


def test_without_arguments_it_serves_the_embedded_default(start):
    server = start(listen=(), ready=2, before=own_network())
    assert sorted((e.text, e.kind) for e in server.endpoints) == [("tcp:127.0.0.1:8007", "echo"), ("tcp:127.0.0.1:8080", "http")]
    inside = ["nsenter", f"--net=/proc/{server.pid}/ns/net"]
    welcome = client(*inside, "curl", "-sS", "-i", "http://127.0.0.1:8080/", text=True).stdout
    assert welcome.startswith("HTTP/1.1 200 OK") and "text/html" in welcome and "tidemill" in welcome.lower()
    hello = client(*inside, "curl", "-sS", "-i", "http://127.0.0.1:8080/hello", text=True).stdout
    assert "text/plain" in hello and "hello" in hello.rpartition("\r\n\r\n")[2].lower()
    assert client(*inside, "curl", "-sS", "-o", "-", "-w", "%{http_code}", "http://127.0.0.1:8080/missing", text=True).stdout.endswith("404")
    assert client(*inside, "nc", "-N", "127.0.0.1", "8007", input=b"tide").stdout == b"tide"


def test_only_loopback_is_bound_unless_the_user_says_otherwise(binary):
    """Seen in a network of its own, where the default port is free."""
    script = 'ip link set lo up; "$0" serve / & pid=$!; until ss -ltnH | grep -q 8000; do :; done; ss -ltnH; kill $pid; wait $pid'
    listing = client(*own_network("timeout", "20", "sh", "-c", script, binary), text=True).stdout
    assert "127.0.0.1:8000" in listing and "0.0.0.0:8000" not in listing and "*:8000" not in listing


def test_a_variable_stands_for_its_flag_and_the_flag_wins(start):
    server = start("respond", "--body", "x", env={"TIDEMILL_CONNECTIONS_MAX": "1", "TIDEMILL_IDLE_TIMEOUT": "20s"})
    first = server.connect()
    first.sendall(b"GET")
    wait_until("a refusal over the variable's limit", lambda: ask(server).status == 503)
    wider = start("respond", "--body", "x", "--connections-max", "9", env={"TIDEMILL_CONNECTIONS_MAX": "1"})
    wider.connect().sendall(b"GET")
    assert ask(wider).status == 200


def test_a_bad_variable_is_a_usage_error(run):
    done = run("echo", "--listen", "127.0.0.1:0", env={**os.environ, "TIDEMILL_IDLE_TIMEOUT": "soon"})
    assert done.returncode == 2 and "soon" in done.stderr


def test_quiet_says_nothing_and_no_colour_is_forced_on_a_file(start):
    server = start("respond", "-q")
    ask(server)
    server.finish()
    assert server.stderr() == ""
    loud = start("respond", "-vv", env={"NO_COLOR": ""})
    ask(loud)
    wait_until("a debug line for the close", loud.stderr)
    assert "\x1b[" not in loud.stderr()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "tcp:127.0.0.1", "tcp:[::1]"])
def test_ways_to_write_an_endpoint(start, host):
    assert ask(start("respond", "--body", "x", listen=[f"{host}:0"])).body == b"x"
