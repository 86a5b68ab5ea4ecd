"""A disk that takes its time: a file system in user space (the FUSE protocol, no library) over a real folder.

Owns the mount and its threads. Every request for a name that holds "cold" waits `delay` seconds, which can be changed
while it is mounted; every other is answered at once. Run as a program it mounts until its standard input ends:
`slowdisk.py BACKING MOUNTPOINT SECONDS`; a number on standard input is the new delay.
"""
import ctypes
import errno
import os
import stat
import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LOOKUP, FORGET, GETATTR, READLINK, OPEN, READ, STATFS, RELEASE = 1, 2, 3, 5, 14, 15, 17, 18
INIT, OPENDIR, READDIR, RELEASEDIR, ACCESS, INTERRUPT, DESTROY, BATCH_FORGET = 26, 27, 28, 29, 34, 36, 38, 42
FLUSH = 25
ASYNC_READ, PARALLEL_DIROPS = 1 << 0, 1 << 18
HEADER = struct.Struct("<IIQQIIIHH")
BLOCK = 1 << 20
TTL_SECONDS = 3600
libc = ctypes.CDLL(None, use_errno=True)


def unavailable():
    """Why no disk can be slowed here; None when one can."""
    if os.geteuid() != 0:
        return "mounting FUSE needs root"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse is missing"
    if "\tfuse\n" not in Path("/proc/filesystems").read_text():
        return "this kernel has no FUSE"
    return None


class SlowDisk:
    """`backing`, seen through `mountpoint` slowly. `ttl` is how long the kernel may trust names and states."""

    def __init__(self, backing, mountpoint, delay, ttl=TTL_SECONDS):
        self.backing, self.mountpoint, self.delay, self.ttl = str(backing), str(mountpoint), delay, ttl
        self.names, self.nodes, self.lock = {1: "."}, {".": 1}, threading.Lock()
        self.waiting, self.log = 0, []
        self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        if libc.mount(b"slow", os.fsencode(self.mountpoint), b"fuse", 0, options) != 0:
            number = ctypes.get_errno()
            os.close(self.fd)
            raise OSError(number, f"mount: {os.strerror(number)}")
        self.pool = ThreadPoolExecutor(256)
        self.changed = threading.Event()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def set_delay(self, seconds):
        """From now on; who waits already goes on at once."""
        self.delay, old = seconds, self.changed
        self.changed = threading.Event()
        old.set()

    def unmount(self):
        self.set_delay(0)
        libc.umount2(os.fsencode(self.mountpoint), 2)
        self.thread.join(5)
        self.pool.shutdown(wait=False)

    def _serve(self):
        while True:
            try:
                message = os.read(self.fd, BLOCK + 4096)
            except OSError as e:
                if e.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                    continue
                break
            _, code, unique, node, *_ = HEADER.unpack_from(message)
            if code in (FORGET, BATCH_FORGET, INTERRUPT):
                continue
            if code == DESTROY:
                break
            body = message[HEADER.size :]
            if self.delay and self._is_cold(code, node, body):
                self.pool.submit(self._answer_late, code, unique, node, body)
            else:
                self._answer(code, unique, node, body)
        os.close(self.fd)

    def _is_cold(self, code, node, body):
        name = self.names.get(node, "")
        if code == LOOKUP:
            name = os.path.join(name, os.fsdecode(body.rstrip(b"\0")))
        return "cold" in name and code in (LOOKUP, GETATTR, OPEN, READ, OPENDIR, READDIR)

    def _answer_late(self, code, unique, node, body):
        self.waiting += 1
        self.changed.wait(self.delay)
        self.waiting -= 1
        self._answer(code, unique, node, body)

    def _answer(self, code, unique, node, body):
        try:
            error, payload = 0, self._reply(code, node, body)
        except OSError as e:
            error, payload = -(e.errno or errno.EIO), b""
        try:
            os.write(self.fd, struct.pack("<IiQ", 16 + len(payload), error, unique) + payload)
        except OSError:
            pass  # The asker is gone, or the mount is.

    def _path(self, node):
        return os.path.join(self.backing, self.names[node])

    def _reply(self, code, node, body):
        if code == INIT:
            _, _, readahead, flags = struct.unpack_from("<IIII", body)
            return struct.pack("<IIIIHHIIHHI28x", 7, 31, readahead, flags & (ASYNC_READ | PARALLEL_DIROPS), 64, 48, BLOCK, 1, 0, 0, 0)
        if code == LOOKUP:
            return self._entry(os.path.join(self.names[node], os.fsdecode(body.rstrip(b"\0"))))
        if code == GETATTR:
            return struct.pack("<QII", self.ttl, 0, 0) + self._attr(node, self._path(node))
        if code == READLINK:
            return os.fsencode(os.readlink(self._path(node)))
        if code in (OPEN, OPENDIR):
            return struct.pack("<QII", os.open(self._path(node), os.O_RDONLY | os.O_CLOEXEC), 0, 0)
        if code == READ:
            handle, offset, size = struct.unpack_from("<QQI", body)
            return os.pread(handle, size, offset)
        if code == READDIR:
            return self._entries(node, body)
        if code in (RELEASE, RELEASEDIR):
            os.close(struct.unpack_from("<Q", body)[0])
            return b""
        if code == STATFS:
            return struct.pack("<QQQQQIII28x", 1 << 20, 1 << 19, 1 << 19, 1 << 20, 1 << 19, 4096, 255, 4096)
        if code in (ACCESS, FLUSH):
            return b""
        raise OSError(errno.ENOSYS, "not offered")

    def _entry(self, name):
        attr_of = os.path.join(self.backing, name)
        os.lstat(attr_of)
        with self.lock:
            node = self.nodes.setdefault(name, len(self.nodes) + 1)
            self.names[node] = name
        return struct.pack("<QQQQII", node, 0, self.ttl, self.ttl, 0, 0) + self._attr(node, attr_of)

    def _attr(self, node, path):
        s = os.lstat(path)
        times = [s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns]
        return struct.pack(
            "<QQQ3Q3I7I", node, s.st_size, (s.st_size + 511) // 512, *(t // 10**9 for t in times), *(t % 10**9 for t in times),
            s.st_mode, s.st_nlink, s.st_uid, s.st_gid, 0, 4096, 0,
        )  # fmt: skip

    def _entries(self, node, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        out = b""
        for at, name in enumerate([b".", b"..", *sorted(os.listdir(os.fsencode(self._path(node))))][offset:], offset + 1):
            kind = stat.S_IFDIR if at <= 2 else os.lstat(os.path.join(os.fsencode(self._path(node)), name)).st_mode
            record = struct.pack("<QQII", at, at, len(name), kind >> 12) + name
            record += bytes(-len(record) % 8)
            if len(out) + len(record) > size:
                break
            out += record
        return out


def main(backing, mountpoint, seconds):
    disk = SlowDisk(backing, mountpoint, float(seconds))
    print("mounted", flush=True)
    try:
        for line in sys.stdin:
            disk.set_delay(float(line))
            print("delay", disk.delay, flush=True)
    finally:
        disk.unmount()


if __name__ == "__main__":
    main(*sys.argv[1:4])
