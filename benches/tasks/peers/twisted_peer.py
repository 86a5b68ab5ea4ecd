#!/usr/bin/env python3
"""Twisted; see ../README.md for what each sub-command does.

  twisted_peer.py timers|posts [SCALE]
  twisted_peer.py echo PORT
  twisted_peer.py quiet-job cooperate|offload|offload-native PORT CONTROL
"""
import sys
import threading
import time

from twisted.internet import defer, protocol, reactor, task, threads

import common as c


def turn():
    """Ends in the next turn of the loop."""
    return task.deferLater(reactor, 0)


async def timers(scale):
    wrong = []
    await set_and_cancel(int(c.MILLION * scale), scale, wrong)
    await fire(int(c.FIRES * scale), scale)
    await reset(int(c.MILLION * scale), scale, wrong)
    c.check(not wrong, "a cancelled timer fired")


async def set_and_cancel(n, scale, wrong):
    phases, delays = c.Phases("set", "cancel"), c.far_delays(n)
    while phases.more(scale):
        began = time.perf_counter()
        calls = [reactor.callLater(delay, wrong.append, 1) for delay in delays]
        await turn()
        phases.add("set", n, time.perf_counter() - began)
        began = time.perf_counter()
        for call in calls:
            call.cancel()
        # Cancelled calls are swept by the next turn of the loop: that belongs to their price.
        await turn()
        phases.add("cancel", n, time.perf_counter() - began)
        del calls
    phases.print()


async def fire(n, scale):
    phases, delays = c.Phases("fire"), c.near_delays(n)
    fired, left, done = bytearray(n), 0, None

    def on_time(at):
        nonlocal left
        fired[at] += 1
        left -= 1
        if not left:
            done.callback(None)

    while phases.more(scale):
        fired[:], left, done = bytes(n), n, defer.Deferred()
        for at, delay in enumerate(delays):
            reactor.callLater(delay, on_time, at)
        # All are due when the loop goes on, so that what is timed is firing and not waiting.
        time.sleep(0.06)
        began = time.perf_counter()
        await done
        phases.add("fire", n, time.perf_counter() - began)
        await task.deferLater(reactor, 0.002)
        c.check(fired.count(1) == n, "each timer fires once")
    phases.print()


async def reset(n, scale, wrong):
    phases = c.Phases("reset")
    call = reactor.callLater(60, wrong.append, 1)
    while phases.more(scale):
        began = time.perf_counter()
        for _ in range(n // c.RESETS_A_TURN):
            for _ in range(c.RESETS_A_TURN):
                call.reset(60)
            await turn()
        phases.add("reset", n, time.perf_counter() - began)
    call.cancel()
    phases.print()


async def posts(scale):
    phases = c.Phases("post")
    each = int(c.MILLION * scale) // c.THREADS
    while phases.more(scale):
        phases.add("post", each * c.THREADS, await post_all(each))
    phases.print()


async def post_all(each):
    """Posts from all threads and waits until all are counted; how long it took."""
    counts, left, done, go = [0] * c.THREADS, c.THREADS, defer.Deferred(), threading.Event()

    def count(thread):
        nonlocal left
        counts[thread] += 1
        if counts[thread] == each:
            left -= 1
            if not left:
                done.callback(None)

    def poster(thread):
        go.wait()
        for _ in range(each):
            reactor.callFromThread(count, thread)

    posters = [threading.Thread(target=poster, args=(thread,)) for thread in range(c.THREADS)]
    for thread in posters:
        thread.start()
    began = time.perf_counter()
    go.set()
    await done
    took = time.perf_counter() - began
    for thread in posters:
        thread.join()
    await turn()
    c.check(counts == [each] * c.THREADS, "each post is counted")
    return took


class Echo(protocol.Protocol):
    def connectionMade(self):
        self.transport.setTcpNoDelay(True)
        # A peer that does not read is not read from.
        self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data):
        self.transport.write(data)

    def connectionLost(self, reason):
        self.transport.unregisterProducer()


def listen(proto, port):
    reactor.listenTCP(port, protocol.Factory.forProtocol(proto), backlog=4096, interface="127.0.0.1")


class Slices:
    """The job in slices on the loop, and what it has done."""

    def __init__(self):
        self.left, self.steps = c.JOB_S, 0

    def __iter__(self):
        while self.left > 0:
            self.left -= c.spin(c.SLICE_S)
            self.steps += 1
            yield


async def job(manner):
    if manner == "cooperate":
        slices = Slices()
        await task.cooperate(iter(slices)).whenDone()
        return c.job_done(slices.steps, c.JOB_S - slices.left)
    work = c.spin if manner == "offload" else c.hash_for
    return c.job_done(1, await threads.deferToThread(work, c.JOB_S))


def control(manner):
    class Control(protocol.Protocol):
        def connectionMade(self):
            defer.ensureDeferred(self.run())

        async def run(self):
            self.transport.write(await job(manner))
            self.transport.loseConnection()

    return Control


def run_to_end(work):
    """Runs the loop until `work` is done; its failure ends the program with 1."""
    failed = []

    def over(result):
        if result is not None:
            failed.append(result)
        reactor.stop()

    reactor.callWhenRunning(lambda: defer.ensureDeferred(work()).addBoth(over))
    reactor.run()
    if failed:
        sys.exit(failed[0].getErrorMessage())


def main():
    match sys.argv[1:]:
        case ["timers" | "posts" as verb, *scale]:
            work = {"timers": timers, "posts": posts}[verb]
            return run_to_end(lambda: work(float(scale[0]) if scale else 1.0))
        case ["echo", port]:
            listen(Echo, int(port))
        case ["quiet-job", "cooperate" | "offload" | "offload-native" as manner, port, at]:
            listen(control(manner), int(at))
            listen(Echo, int(port))
        case _:
            sys.exit(__doc__)
    return reactor.run()


if __name__ == "__main__":
    main()
