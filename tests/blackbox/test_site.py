"""What `serve` does beside sending files: hosts, redirects, rewrites, one page, error pages, fields, CORS, passwords."""
import base64
import os
import signal
import threading
import time

import pytest

import tree
from harness import client, wait_until
from wire import Reader, ask, request

APP = "https://app.example.org"
HTML = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def basic(user, password):
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def passwords(path, cost=5, **users):
    """A password file as `htpasswd` itself writes it."""
    for number, (user, password) in enumerate(users.items()):
        made = client("htpasswd", "-b", "-B", "-C", cost, *(["-c"] if number == 0 else []), path, user, password)
        assert made.returncode == 0, made.stderr
    return path


def curl(server, *args, path="/"):
    """Status, fields in lower case and body, as curl saw them; redirects are not followed unless asked for."""
    done = client("curl", "-s", "-i", "--max-time", "20", *args, server.url(path))
    assert done.returncode == 0, done
    head, _, body = done.stdout.rpartition(b"\r\n\r\n") if b"\r\n\r\n" in done.stdout else (done.stdout, b"", b"")
    lines = head.decode("latin-1").split("\r\n")
    fields = {}
    for line in lines[1:]:
        name, _, value = line.partition(": ")
        fields.setdefault(name.lower(), []).append(value)
    return int(lines[0].split()[1]), fields, body


# Redirects and rewrites


@pytest.mark.parametrize(
    "rule, target, status, location",
    [
        ("/old=/new", "/old", 302, "/new"),
        ("/old=/new", "/old/", 302, "/new"),
        ("/old=/new,301", "/%6fld?x", 301, "/new"),
        ("/old/*=/new/$rest$query,308", "/old/a%20b/c?x=1&y", 308, "/new/a%20b/c?x=1&y"),
        ("/old/*=/new/$rest,303", "//old/./x/../y", 303, "/new/y"),
        ("/old/*=/$rest", "/old//evil.example/x", 302, "/evil.example/x"),
        ("/*=https://example.org$path$query,307", "/a/b?c", 307, "https://example.org/a/b?c"),
        ("/*=https://example.org:8443/$rest", "//evil.example/", 302, "https://example.org:8443/evil.example/"),
        ("/img/**/*.png=/pictures/$rest", "/img/2026/a.png", 302, "/pictures/2026/a.png"),
        ("/a=/$$1?x=1$query", "/a?y=2", 302, "/$1?x=1&y=2"),
    ],
)
def test_a_redirect_leads_where_the_rule_says(start, site, rule, target, status, location):
    answer = ask(start("serve", site, "--redirect", rule), target)
    assert (answer.status, answer["location"]) == (status, location)
    assert b"old" not in answer.body


@pytest.mark.parametrize("target", ["/older", "/x/old", "/old2/x", "/text.txt"])
def test_a_redirect_is_for_whole_segments(start, site, target):
    assert ask(start("serve", site, "--redirect", "/old/*=/new"), target).status in (200, 404)


def test_a_redirect_answers_every_method_and_no_body_is_waited_for(start, site):
    server = start("serve", site, "--redirect", "/form=/text.txt,303")
    answer = ask(server, "/form", "Content-Length: 1000000", method="POST")
    assert (answer.status, answer["location"]) == (303, "/text.txt")
    assert curl(server, "-L", path="/form")[2] == tree.TEXT


@pytest.mark.parametrize(
    "flags, word",
    [
        (["--redirect", "/a/*=/a/b"], "leads back"),
        (["--redirect", "/a=/b", "--redirect", "/b=/a"], "leads back"),
        (["--redirect", "/a/*=/a/a/$rest"], "leads back"),
        (["--rewrite", "/a=/a"], "leads back"),
        (["--rewrite", "/a=/b", "--redirect", "/b=/a"], "leads back"),
        (["--redirect", "/a=//evil.example"], "one '/'"),
        (["--redirect", "/a=https://example.org$rest"], "host"),
        (["--redirect", "/a=/b,200"], "not 200"),
        (["--redirect", "a=/b"], "begins with '/'"),
        (["--redirect", "/a"], "FROM=TO"),
        (["--redirect", "/[a=/b"], "'['"),
        (["--redirect", "/a=/$host"], "$host"),
        (["--rewrite", "/a=https://b/"], "path of this server"),
        (["--error-page", "404=/missing.html"], "missing"),
        (["--error-page", "200=/index.html"], "400 to 599"),
        (["--error-page", "404=/index.html", "--error-page", "404=/text.txt"], "another page"),
        (["--header", "Content-Length: 3"], "server writes"),
        (["--header", "Vary:"], "server writes"),
        (["--header", "no colon"], "colon"),
        (["--cors", "example.org"], "origin"),
        (["--host", "a b=."], "host"),
        (["--realm", "x"], "--auth"),
        (["--auth", "site/text.txt"], "move it out"),
    ],
)
def test_a_mistake_is_told_at_the_start(run, folder, site, flags, word):
    done = run("serve", site, "--listen", "127.0.0.1:0", *flags, cwd=folder)
    assert done.returncode == 2 and word in done.stderr, done


@pytest.mark.parametrize(
    "rule, target, body",
    [
        ("/app/*=/dir/$rest", "/app/sub/deep.txt", b"deep"),
        ("/app/*=/index.html", "/app/any/thing", b"<h1>home</h1>"),
        ("/app/*=/index.html", "/%61pp/", b"<h1>home</h1>"),
        ("/**/*.text=/dir/sub/deep.txt", "/x/y.text", b"deep"),
        ("/sp=/with space.txt".replace(" ", "%20"), "/sp", b"space"),
    ],
)
def test_a_rewrite_serves_another_path_unseen(start, site, rule, target, body):
    answer = ask(start("serve", site, "--rewrite", rule), target)
    assert (answer.status, answer.body) == (200, body)


def test_a_rewritten_directory_is_asked_for_by_its_own_name(start, site):
    server = start("serve", site, "--rewrite", "/app/*=/dir/$rest", "--rewrite", "/home=/dir")
    answer = ask(server, "/home?q")
    assert (answer.status, answer["location"]) == (301, "/home/?q")
    assert ask(server, "/home/").body == b"<h1>dir</h1>"
    assert ask(server, "/app/").body == b"<h1>dir</h1>"


def test_a_rewrite_never_leaves_the_root(start, site):
    server = start("serve", site, "--rewrite", "/x/*=/$rest", "--rewrite", "/y/*=/dir/../../$rest")
    for target in ("/x/../../secret.txt", "/x/%2e%2e/%2e%2e/secret.txt", "/y/secret.txt", "/x/.hidden", "/x/.git/config", "/x//etc/passwd"):
        answer = ask(server, target)
        assert answer.status in (400, 404) and tree.SECRET not in answer.body, target


# One page, error pages


def test_one_page_answers_for_missing_paths_of_readers(start, site):
    server = start("serve", site, "--spa")
    for target in ("/users/7", "/users/", "/a/b/c?x"):
        answer = ask(server, target, HTML)
        assert (answer.status, answer.body) == (200, b"<h1>home</h1>"), target
        assert "accept" in " ".join(answer.all("vary")).lower()
        assert answer["content-type"].startswith("text/html")
    assert ask(server, "/users/7", HTML, method="HEAD").status == 200
    tag = ask(server, "/users/7", HTML)["etag"]
    assert ask(server, "/users/9", HTML, f"If-None-Match: {tag}").status == 304
    for target, field in [
        ("/users/7", "Accept: application/json"), ("/users/7", "Accept: */*"), ("/users/7", "X: y"),
        ("/users/7", "Accept: text/html;q=0"), ("/app.js", HTML), ("/api/users", HTML), ("/api", HTML), ("/.well-known/x", HTML),
    ]:  # fmt: skip
        assert ask(server, target, field).status == 404, (target, field)
    assert ask(server, "/text.txt", HTML).body == tree.TEXT
    assert ask(server, "/dir", HTML).status == 301


def test_error_pages_keep_their_status(start, site):
    (site / "gone.html").write_text("<h1>gone fishing</h1>")
    (site / "denied.txt").write_text("no entry")
    os.symlink("/etc/passwd", site / "out")
    server = start("serve", site, "--error-page", "404=/gone.html", "--error-page", "403=denied.txt", "--error-page", "405=/gone.html")
    answer = ask(server, "/missing")
    assert (answer.status, answer.body) == (404, b"<h1>gone fishing</h1>")
    assert answer["content-type"] == "text/html; charset=utf-8" and "etag" not in answer
    answer = ask(server, "/out")
    assert (answer.status, answer.body, answer["content-type"]) == (403, b"no entry", "text/plain; charset=utf-8")
    answer = ask(server, "/text.txt", method="DELETE")
    assert (answer.status, answer.body, answer["allow"]) == (405, b"<h1>gone fishing</h1>", "GET, HEAD, OPTIONS")
    answer = ask(server, "/missing", method="HEAD")
    assert (answer.status, answer.body, answer["content-length"]) == (404, b"", "21")
    assert ask(server, "/gone.html").status == 200
    (site / "gone.html").write_text("<h1>still gone</h1>")
    wait_until("the new page", lambda: ask(server, "/missing").body == b"<h1>still gone</h1>")
    (site / "gone.html").unlink()
    assert ask(server, "/missing").body == b"<h1>still gone</h1>"


def test_an_error_page_keeps_the_fields_of_its_status(start, site):
    (site / "broken.html").write_text("<h1>broken</h1>")
    server = start("serve", site, "--error-page", "416=/broken.html")
    answer = ask(server, "/text.txt", "Range: bytes=99999999-")
    assert (answer.status, answer.body) == (416, b"<h1>broken</h1>")
    assert answer["content-range"] == f"bytes */{tree.SIZE}"


def test_rules_that_lead_round_for_some_path_end_in_500_with_its_page(start, site):
    """Loops that the rules themselves show are refused at the start; these two need a path with a digit."""
    (site / "broken.html").write_text("<h1>broken</h1>")
    flags = ("--rewrite", "/**/x[0-9]=/a/x1", "--redirect", "/**/y[0-9]=$path$query", "--error-page", "500=/broken.html")
    server = start("serve", site, *flags)
    for target in ("/b/x5", "/b/y5?q"):
        answer = ask(server, target)
        assert (answer.status, answer.body) == (500, b"<h1>broken</h1>") and "location" not in answer
    wait_until("both complaints", lambda: "without end" in server.stderr() and "to itself" in server.stderr())


# Fields


def test_fields_are_set_added_and_removed(start, site):
    server = start(
        "serve", site, "--header", "X-A: one", "--header", "X-A: two", "--header", "Cache-Control: no-store", "--header", "ETag:",
        "--header", "Server: quiet", "--header", "Content-Type: text/x-mine",
    )  # fmt: skip
    for target, status in (("/text.txt", 200), ("/missing", 404), ("/dir", 301)):
        answer = ask(server, target)
        assert answer.status == status and answer.all("x-a") == ["one", "two"]
        assert answer["cache-control"] == "no-store" and "etag" not in answer
        assert (answer["server"], answer["content-type"]) == ("quiet", "text/x-mine")
        assert "date" in answer and "content-length" in answer


def test_the_server_field_can_be_hidden(start, site):
    assert "server" not in ask(start("serve", site, "--header", "Server:"), "/text.txt")


def test_security_fields_go_with_every_answer(start, site):
    server = start("serve", site, "--security-headers", "--header", "Referrer-Policy: no-referrer")
    for target, status in (("/text.txt", 200), ("/missing", 404), ("/a%00", 400), ("/dir", 301)):
        answer = ask(server, target)
        assert answer.status == status
        assert answer["x-content-type-options"] == "nosniff" and answer["x-frame-options"] == "SAMEORIGIN"
        assert answer["content-security-policy"] == "frame-ancestors 'self'"
        assert answer["referrer-policy"] == "no-referrer" and "permissions-policy" in answer
        assert "strict-transport-security" not in answer


# CORS


def test_a_page_of_an_allowed_origin_may_read(start, site):
    server = start("serve", site, "--cors", APP, "--cors", "http://localhost:3000")
    for origin in (APP, "http://localhost:3000"):
        answer = ask(server, "/text.txt", f"Origin: {origin}")
        assert answer["access-control-allow-origin"] == origin and answer["vary"] == "Origin"
    for origin in ("https://evil.example", f"{APP}.evil", "null", "http://localhost"):
        answer = ask(server, "/text.txt", f"Origin: {origin}")
        assert answer.status == 200 and "access-control-allow-origin" not in answer and "Origin" in answer["vary"]
    assert ask(server, "/missing", f"Origin: {APP}")["access-control-allow-origin"] == APP
    assert "Origin" in ask(server, "/text.txt")["vary"]


def test_a_preflight_as_browsers_send_it(start, site, folder):
    file = passwords(folder / "users", anna="secret")
    server = start("serve", site, "--cors", APP, "--auth", file)
    chromium = [
        "Connection: keep-alive", "Accept: */*", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization",
        "Access-Control-Request-Private-Network: true", f"Origin: {APP}", "Sec-Fetch-Mode: cors",
    ]  # fmt: skip
    answer = ask(server, "/text.txt", *chromium, method="OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert answer["access-control-allow-origin"] == APP and answer["access-control-allow-methods"] == "GET, HEAD"
    assert answer["access-control-max-age"] == "600"
    assert "access-control-allow-private-network" not in answer and "access-control-allow-credentials" not in answer
    assert {"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"} <= set(answer["vary"].split(", "))
    other = ask(server, "/text.txt", "Origin: https://evil.example", "Access-Control-Request-Method: GET", method="OPTIONS")
    assert other.status == 204 and not any(name.startswith("access-control") for name, _ in other.headers)
    # What is refused for want of a password can still be read by the page, to say so.
    answer = ask(server, "/text.txt", f"Origin: {APP}")
    assert (answer.status, answer["access-control-allow-origin"]) == (401, APP)


def test_every_origin_is_named_by_a_star(start, site):
    server = start("serve", site, "--cors", "*")
    answer = ask(server, "/text.txt", "Origin: https://any.example")
    assert answer["access-control-allow-origin"] == "*" and "vary" not in answer


# Methods


def test_options_and_405_tell_the_methods(start, site):
    server = start("serve", site, "--redirect", "/form=/text.txt", "--security-headers")
    answer = ask(server, "/text.txt", method="OPTIONS")
    assert (answer.status, answer["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert ask(server, "/form", method="OPTIONS")["allow"] == "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"
    assert ask(server, "*", method="OPTIONS").status == 204
    answer = ask(server, "/text.txt", "Content-Length: 9", method="PUT")
    assert (answer.status, answer["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert ask(server, "/text.txt", method="BREW").status == 501
    assert ask(server, "/text.txt", method="TRACE").status in (405, 501)
    assert ask(server, "x:80", method="CONNECT", host="x:80").status in (405, 501)


# Hosts


def test_hosts_have_directories_of_their_own(start, site, folder):
    for name in ("docs", "all"):
        (folder / name).mkdir()
        (folder / name / "index.html").write_text(name)
    server = start("serve", site, "--host", f"*.example.org={folder / 'all'}", "--host", f"docs.example.org={folder / 'docs'}")
    for host, body in [
        ("docs.example.org", b"docs"), ("DOCS.Example.Org.:8080", b"docs"), ("www.example.org", b"all"), ("a.b.example.org", b"all"),
        ("example.org", b"<h1>home</h1>"), ("docs.example.org.evil", b"<h1>home</h1>"), ("[::1]:80", b"<h1>home</h1>"),
    ]:  # fmt: skip
        assert ask(server, "/", host=host).body == body, host
    assert ask(server, "http://docs.example.org/", host="www.example.org").body == b"docs"
    assert ask(server, "/", host=None, version="1.0").body == b"<h1>home</h1>"


# Passwords


def test_a_password_is_asked_for_and_the_right_one_passes(start, site, folder):
    file = passwords(folder / "users", anna="secret", bert="pass:word")
    server = start("serve", site, "--auth", file, "--realm", 'The "Staff"')
    answer = ask(server, "/text.txt")
    assert answer.status == 401
    assert answer["www-authenticate"] == 'Basic realm="The \\"Staff\\"", charset="UTF-8"'
    assert curl(server, "-u", "anna:secret", path="/text.txt")[2] == tree.TEXT
    assert curl(server, "-u", "bert:pass:word", path="/text.txt")[0] == 200
    for who in ("anna:wrong", "anna:", "nobody:secret", "Anna:secret", "bert:pass"):
        assert curl(server, "-u", who)[0] == 401, who
    for bad in ("Authorization: Bearer x", "Authorization: Basic !", "Authorization: Basic " + "A" * 5000):
        assert ask(server, "/", bad).status == 401
    for spelling in ("//text.txt", "/%74ext.txt", "/dir/../text.txt", "http://x/text.txt", "/missing"):
        assert ask(server, spelling).status == 401, spelling
    assert ask(server, "/text.txt", method="DELETE").status == 401
    assert "secret" not in server.stderr() and base64.b64encode(b"anna:secret").decode() not in server.stderr()


def test_pipelined_requests_wait_for_the_password_of_the_first(start, site, folder):
    server = start("serve", site, "--auth", passwords(folder / "users", cost=8, anna="secret"))
    sock = server.connect()
    right = basic("anna", "secret")
    sock.sendall(request("/text.txt", right) + request("/missing", right) + request("/", basic("anna", "no")) + request("/dir/", right))
    reader = Reader(sock)
    assert [reader.answer().status for _ in range(4)] == [200, 404, 401, 200]


def test_a_form_is_redirected_after_its_password_though_its_body_still_comes(start, site, folder):
    server = start("serve", site, "--auth", passwords(folder / "users", anna="secret"), "--redirect", "/form=/text.txt,303")
    for password, status in (("secret", 303), ("no", 401)):
        sock = server.connect()
        sock.sendall(request("/form", basic("anna", password), "Content-Length: 1000000", method="POST"))
        assert Reader(sock).answer().status == status
        sock.sendall(b"x" * 1000)


def test_the_password_file_is_read_again_when_it_changes(start, site, folder):
    file = passwords(folder / "users", anna="secret")
    server = start("serve", site, "--auth", file)
    status = lambda who, password: ask(server, "/text.txt", basic(who, password)).status
    assert (status("anna", "secret"), status("bert", "word")) == (200, 401)
    passwords(folder / "new", bert="word")
    os.replace(folder / "new", file)
    wait_until("bert", lambda: status("bert", "word") == 200)
    assert status("anna", "secret") == 401
    file.write_text("bert:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\n")
    wait_until("the complaint", lambda: (status("bert", "word"), "SHA-1" in server.stderr())[1])
    assert status("bert", "word") == 200
    assert "line 1" in server.stderr() and str(file) in server.stderr() and "htpasswd -B" in server.stderr()


@pytest.mark.parametrize(
    "text, code, word",
    [
        ("anna:$apr1$abcdefgh$0123456789012345678901\n", 78, "MD5"),
        ("# x\nanna:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\n", 78, "line 2"),
        ("anna:secret\n", 78, "htpasswd -B"),
        ("anna\n", 78, "user:hash"),
        ("", 78, "no user"),
        (None, 66, "htpasswd -Bc"),
    ],
)
def test_a_password_file_that_is_not_safe_is_refused_at_the_start(run, site, folder, text, code, word):
    file = folder / "users"
    if text is not None:
        file.write_text(text)
    done = run("serve", site, "--listen", "127.0.0.1:0", "--auth", file)
    assert done.returncode == code and word in done.stderr and str(file) in done.stderr, done
    assert "{SHA}" not in done.stderr and ":secret" not in done.stderr


def test_unknown_users_and_wrong_passwords_cost_the_same(start, site, folder):
    """Loosely, for the machine is shared: the fastest of several, where a request without a hash takes a hundredth."""
    server = start("serve", site, "--auth", passwords(folder / "users", cost=10, anna="secret", bert="word"))

    def fastest(*fields):
        times = []
        for _ in range(7):
            began = time.monotonic()
            assert ask(server, "/text.txt", *fields).status == 401
            times.append(time.monotonic() - began)
        return min(times)

    wrong, unknown, none = fastest(basic("anna", "no")), fastest(basic("nobody", "no")), fastest()
    assert 0.5 < wrong / unknown < 2, (wrong, unknown)
    assert none < wrong / 4, (none, wrong)


def test_a_page_with_many_pictures_costs_one_hash(start, site, folder):
    server = start("serve", site, "--auth", passwords(folder / "users", cost=12, anna="secret"))
    right = basic("anna", "secret")
    assert ask(server, "/text.txt", right).status == 200
    before = server.cpu_seconds()
    for _ in range(40):
        assert ask(server, "/text.txt", right).status == 200
    assert server.cpu_seconds() - before < 0.2


def test_a_neighbour_is_answered_while_eight_passwords_are_verified(start, site, folder):
    server = start("serve", site, "--auth", passwords(folder / "users", cost=12, anna="secret"), listen=("127.0.0.1:0",))
    right = basic("anna", "secret")
    assert ask(server, "/text.txt", right).status == 200
    guesses = []
    for n in range(8):
        sock = server.connect()
        sock.sendall(request("/text.txt", basic("anna", f"guess {n}")))
        guesses.append(sock)
    statuses = []
    readers = [threading.Thread(target=lambda s=sock: statuses.append(Reader(s).answer().status)) for sock in guesses]
    for reader in readers:
        reader.start()
    slowest, asked = 0.0, 0
    while any(reader.is_alive() for reader in readers):
        began = time.monotonic()
        assert ask(server, "/text.txt", right).status == 200
        slowest, asked = max(slowest, time.monotonic() - began), asked + 1
    for reader in readers:
        reader.join()
    assert statuses == [401] * 8
    assert asked > 5 and slowest < 0.5, (asked, slowest)


def test_more_guesses_than_may_be_verified_are_put_off(start, site, folder):
    server = start("serve", site, "--auth", passwords(folder / "users", cost=10, anna="secret"))
    socks = [server.connect() for _ in range(40)]
    for n, sock in enumerate(socks):
        sock.sendall(request("/text.txt", basic("anna", f"guess {n}")))
    answers = [Reader(sock).answer() for sock in socks]
    statuses = [answer.status for answer in answers]
    assert set(statuses) == {401, 503} and statuses.count(401) >= 8
    assert all(answer["retry-after"] == "1" for answer in answers if answer.status == 503)
    assert ask(server, "/text.txt", basic("anna", "secret")).status == 200


def test_a_guess_whose_client_is_gone_holds_nothing(start, site, folder):
    server = start("serve", site, "--auth", passwords(folder / "users", cost=10, anna="secret"))
    for n in range(30):
        sock = server.connect()
        sock.sendall(request("/text.txt", basic("anna", f"guess {n}")))
        sock.close()
    wait_until("a place", lambda: ask(server, "/text.txt", basic("anna", "secret")).status == 200)


def test_a_drain_waits_for_the_password_that_is_verified(start, site, folder):
    server = start("serve", site, "--auth", passwords(folder / "users", cost=12, anna="secret"))
    sock = server.connect()
    sock.sendall(request("/text.txt", basic("anna", "secret")))
    wait_until("the request to be read", lambda: server.cpu_seconds() > 0.05)
    server.signal(signal.SIGTERM)
    answer = Reader(sock).answer()
    assert (answer.status, answer["connection"]) == (200, "close")
    assert server.wait() == 0


def test_argon2id_is_compared_too(start, site, folder):
    # Made by argon2-cffi 25.1, which is the reference implementation.
    line = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$4mqQiyq0VpIzuZmp+8eSF3YJ7Av58TkEJ4LIdOVsAc4"
    (folder / "users").write_text(f"anna:{line}\n")
    server = start("serve", site, "--auth", folder / "users")
    assert [ask(server, "/text.txt", basic("anna", word)).status for word in ("secret", "Secret")] == [200, 401]


def test_without_any_of_these_the_answers_are_those_of_plain_files(start, site):
    plain, made = start("serve", site), start("serve", site, "--redirect", "/never=/there")
    for target in ("/", "/text.txt", "/missing", "/dir", "/a%00", "/out"):
        one, other = ask(plain, target), ask(made, target)
        mask = lambda answer: [(name, value) for name, value in answer.headers if name != "date"]
        assert (one.status, one.body, mask(one)) == (other.status, other.body, mask(other)), target
