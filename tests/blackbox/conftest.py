"""Fixtures: the program under test, folders, and `start`, which checks every server when its test ends."""
import os
import resource
import shutil
import subprocess

import pytest

import harness
import tree


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="leave out tests marked slow, shorten the watching ones")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--quick"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]


@pytest.fixture(scope="session", autouse=True)
def many_descriptors():
    """The tests hold thousands of sockets; the servers inherit the same limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


@pytest.fixture(scope="session")
def binary():
    """A copy of the program where every user may run it, unmoved by a build that goes on meanwhile."""
    assert os.access(harness.BINARY, os.X_OK), f"{harness.BINARY} is missing: cargo build --release, or set TIDEMILL_BIN"
    folder = harness.Folder()
    copy = folder.path / "tidemill"
    shutil.copy2(harness.BINARY, copy)
    copy.chmod(0o755)
    yield copy
    folder.remove()


@pytest.fixture
def folder():
    """A new folder that every user may enter."""
    made = harness.Folder()
    yield made.path
    made.remove()


@pytest.fixture
def site(folder):
    """A root to serve: tree.py says what is in it."""
    return tree.plant(folder)


@pytest.fixture
def quick(request):
    return request.config.getoption("--quick")


@pytest.fixture
def start(binary, tmp_path):
    """`start('echo', …)`: a running server on a port of its own, unless the test says where."""
    servers = []

    def begin(*args, listen=("127.0.0.1:0",), **options):
        flags = [flag for at in listen for flag in ("--listen", str(at))]
        options.setdefault("ready", len(listen))
        server = harness.Server(binary, tmp_path, *args, *flags, **options)
        servers.append(server)
        return server

    yield begin
    failures = []
    for server in servers:
        try:
            server.finish()
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


@pytest.fixture
def run(binary):
    """`run('serve', 'missing')`: a start that must fail by itself; its exit code and texts."""

    def begin(*args, before=(), **options):
        return harness.client(*before, binary, *args, seconds=20, stdin=subprocess.DEVNULL, text=True, **options)

    return begin
