#!/usr/bin/env python3
"""asyncio, or uvloop with --uvloop; see ../README.md for what each sub-command does.

  asyncio_peer.py [--uvloop] timers|posts [SCALE]
  asyncio_peer.py [--uvloop] echo|echo-futures PORT
  asyncio_peer.py [--uvloop] quiet-job cooperate|offload|offload-native PORT CONTROL
"""
import asyncio
import socket
import sys
import threading
import time

import common as c


async def timers(scale):
    loop = asyncio.get_running_loop()
    wrong = []
    await set_and_cancel(loop, int(c.MILLION * scale), scale, wrong)
    await fire(loop, int(c.FIRES * scale), scale)
    await reset(loop, int(c.MILLION * scale), scale, wrong)
    c.check(not wrong, "a cancelled timer fired")


async def set_and_cancel(loop, n, scale, wrong):
    phases, delays = c.Phases("set", "cancel"), c.far_delays(n)
    never = wrong.append
    while phases.more(scale):
        began = time.perf_counter()
        handles = [loop.call_later(delay, never, 1) for delay in delays]
        await asyncio.sleep(0)
        phases.add("set", n, time.perf_counter() - began)
        began = time.perf_counter()
        for handle in handles:
            handle.cancel()
        # Cancelled timers are swept by the next turn of the loop: that belongs to their price.
        await asyncio.sleep(0)
        phases.add("cancel", n, time.perf_counter() - began)
        del handles
    phases.print()


async def fire(loop, n, scale):
    phases, delays = c.Phases("fire"), c.near_delays(n)
    fired, left, done = bytearray(n), 0, None

    def on_time(at):
        nonlocal left
        fired[at] += 1
        left -= 1
        if not left:
            done.set_result(None)

    while phases.more(scale):
        fired[:], left, done = bytes(n), n, loop.create_future()
        for at, delay in enumerate(delays):
            loop.call_later(delay, on_time, at)
        # All are due when the loop goes on, so that what is timed is firing and not waiting.
        time.sleep(0.06)
        began = time.perf_counter()
        await done
        phases.add("fire", n, time.perf_counter() - began)
        await asyncio.sleep(0.002)
        c.check(fired.count(1) == n, "each timer fires once")
    phases.print()


async def reset(loop, n, scale, wrong):
    phases = c.Phases("reset")
    handle = loop.call_later(60, wrong.append, 1)
    while phases.more(scale):
        began = time.perf_counter()
        for _ in range(n // c.RESETS_A_TURN):
            # There is no reset: a timer is moved by cancelling it and setting another.
            for _ in range(c.RESETS_A_TURN):
                handle.cancel()
                handle = loop.call_later(60, wrong.append, 1)
            await asyncio.sleep(0)
        phases.add("reset", n, time.perf_counter() - began)
    handle.cancel()
    phases.print()


async def posts(scale):
    phases = c.Phases("post")
    each = int(c.MILLION * scale) // c.THREADS
    while phases.more(scale):
        phases.add("post", each * c.THREADS, await post_all(each))
    phases.print()


async def post_all(each):
    """Posts from all threads and waits until all are counted; how long it took."""
    loop = asyncio.get_running_loop()
    counts, left, done, go = [0] * c.THREADS, c.THREADS, loop.create_future(), threading.Event()

    def count(thread):
        nonlocal left
        counts[thread] += 1
        if counts[thread] == each:
            left -= 1
            if not left:
                done.set_result(None)

    def poster(thread):
        go.wait()
        for _ in range(each):
            loop.call_soon_threadsafe(count, thread)

    threads = [threading.Thread(target=poster, args=(thread,)) for thread in range(c.THREADS)]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    go.set()
    await done
    took = time.perf_counter() - began
    for thread in threads:
        thread.join()
    await asyncio.sleep(0)
    c.check(counts == [each] * c.THREADS, "each post is counted")
    return took


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


async def echo_stream(reader, writer):
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


async def echo(port):
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


async def echo_futures(port):
    server = await asyncio.start_server(echo_stream, "127.0.0.1", port, limit=65536, backlog=4096)
    await server.serve_forever()


async def sliced():
    """The job in slices on the loop."""
    left, steps = c.JOB_S, 0
    while left > 0:
        left -= c.spin(c.SLICE_S)
        steps += 1
        await asyncio.sleep(0)
    return c.job_done(steps, c.JOB_S - left)


async def on_a_thread(work):
    took = await asyncio.get_running_loop().run_in_executor(None, work, c.JOB_S)
    return c.job_done(1, took)


async def quiet_job(manner, port, control):
    async def run(_, writer):
        works = {"offload": c.spin, "offload-native": c.hash_for}
        writer.write(await (on_a_thread(works[manner]) if manner in works else sliced()))
        writer.close()

    await asyncio.start_server(run, "127.0.0.1", control)
    await echo(port)


def main():
    words = [word for word in sys.argv[1:] if word != "--uvloop"]
    factory = None
    if len(words) < len(sys.argv) - 1:
        import uvloop

        factory = uvloop.new_event_loop
    match words:
        case ["timers" | "posts" as verb, *scale]:
            work = {"timers": timers, "posts": posts}[verb](float(scale[0]) if scale else 1.0)
        case ["echo", port]:
            work = echo(int(port))
        case ["echo-futures", port]:
            work = echo_futures(int(port))
        case ["quiet-job", "cooperate" | "offload" | "offload-native" as manner, port, control]:
            work = quiet_job(manner, int(port), int(control))
        case _:
            sys.exit(__doc__)
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work)


if __name__ == "__main__":
    main()
