# Watches and notifications as a program on librados sees them, through its C
# interface: Python's binding acknowledges by itself. The output is compared
# between a stock cluster and Pulpo.
import ctypes as C
import errno
import json
import os
import re
import struct
import subprocess
import sys
import threading
import time
import zlib

pool = sys.argv[1].encode()
conf = os.environ["CEPH_CONF"].encode()
L = C.CDLL("librados.so.2")
WATCH = C.CFUNCTYPE(None, C.c_void_p, C.c_uint64, C.c_uint64, C.c_uint64, C.c_void_p, C.c_size_t)
ERROR = C.CFUNCTYPE(None, C.c_void_p, C.c_uint64, C.c_int)
for f in ("get_instance_id", "get_last_version"):
    getattr(L, "rados_" + f).restype = C.c_uint64
osds_die = "OSDS_DIE" in os.environ
names = {}  # of clients and cookies, which differ


def short(b):
    return b if len(b) < 40 else "%d bytes, %08x" % (len(b), zlib.crc32(b))


def tool(*args):
    r = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return r.returncode, r.stdout.decode()


class Client:
    def __init__(self, name, user=b"client.admin"):
        self.name, self.heard, self.cond = name, [], threading.Condition()
        self.silent, self.keep = False, []
        c = C.c_void_p()
        assert L.rados_create2(C.byref(c), None, user, C.c_uint64(0)) == 0
        assert L.rados_conf_read_file(c, conf) == 0
        if user != b"client.admin":
            L.rados_conf_set(c, b"keyring", ("./%s.keyring" % name).encode())
        assert L.rados_connect(c) == 0
        io = C.c_void_p()
        assert L.rados_ioctx_create(c, pool, C.byref(io)) == 0
        self.c, self.io = c, io
        self.gid = L.rados_get_instance_id(c)
        names[self.gid] = name

    def note(self, *what):
        with self.cond:
            self.heard.append(what)
            self.cond.notify_all()

    def hears(self, n=1, timeout=60):
        with self.cond:
            self.cond.wait_for(lambda: len(self.heard) >= n, timeout)
            got, self.heard = self.heard, []
        # Librados sends a notification again when another OSD leads the group, and
        # that OSD does not know that it was heard.
        return sorted(set(got) if osds_die else got)

    def watch(self, obj, label, answer=b"", timeout=0, again=None):
        def on_notify(arg, nid, handle, gid, data, size):
            content = C.string_at(data, size) if size else b""
            self.note(label, "notified by", names.get(gid, gid), content)
            if not self.silent:
                L.rados_notify_ack(self.io, obj, C.c_uint64(nid), C.c_uint64(handle), answer, len(answer))

        def on_error(arg, handle, err):
            self.note(label, "error", err)

        f, e = WATCH(on_notify), ERROR(on_error)
        self.keep += [f, e]
        h = C.c_uint64()
        r = L.rados_watch3(self.io, obj, C.byref(h), f, e, C.c_uint32(timeout), None)
        if r == 0:
            names[h.value] = label
        return r, h

    def unwatch(self, h):
        return L.rados_unwatch2(self.io, h)

    def check(self, h):
        r = L.rados_watch_check(self.io, h)
        if osds_die and r == -errno.ENOENT:
            r = -errno.ENOTCONN  # it tried to connect again, and there was no object
        return r if r < 0 else "ok"

    def notify(self, obj, content=b"", ms=0):
        buf, n = C.c_void_p(), C.c_size_t()
        r = L.rados_notify2(self.io, obj, content, len(content), C.c_uint64(ms), C.byref(buf), C.byref(n))
        raw = C.string_at(buf, n.value) if n.value else b""
        if not raw:
            return r, "nothing"
        at = 0

        def num(fmt):
            nonlocal at
            v, = struct.unpack_from(fmt, raw, at)
            at += struct.calcsize(fmt)
            return v
        acks, missed = [], []
        for _ in range(num("<I")):
            who = names.get(num("<Q")), names.get(num("<Q"))
            size = num("<I")
            acks.append(who + (short(raw[at:at + size]),))
            at += size
        for _ in range(num("<I")):
            missed.append((names.get(num("<Q")), names.get(num("<Q"))))
        return r, sorted(acks), "missed", sorted(missed), len(raw) - at

    def write(self, obj, data=b"x"):
        return L.rados_write_full(self.io, obj, data, len(data))

    def version(self, obj):
        L.rados_stat(self.io, obj, None, None)
        return L.rados_get_last_version(self.io)

    def remove(self, obj):
        return L.rados_remove(self.io, obj)

    def addr(self):
        p = C.c_void_p()
        L.rados_getaddrs(self.c, C.byref(p))
        return C.string_at(p).decode()


def watchers(obj):
    code, out = tool("rados", "-p", pool.decode(), "listwatchers", obj.decode())
    lines = []
    for l in out.splitlines():
        f = dict(w.split("=") for w in l.split() if "=" in w)
        gid = int(l.split("client.")[1].split()[0])
        lines.append((names.get(gid, gid), names.get(int(f["cookie"]))))
    return code, sorted(lines)


def dump():
    for osd in json.loads(tool("ceph", "osd", "ls", "--format=json")[1]):
        code, out = tool("ceph", "tell", "osd.%d" % osd, "dump_watchers")
        while osds_die and code:
            time.sleep(0.1)
            code, out = tool("ceph", "tell", "osd.%d" % osd, "dump_watchers")
        for w in json.loads(out):
            w["entity_name"]["num"], w["cookie"] = names.get(w["entity_name"]["num"]), names.get(w["cookie"])
            w["entity_addr_t"].update(addr=0, nonce=0)
            if w["cookie"]:
                yield json.dumps(w)


def wait_until(what, want):
    end = time.time() + 60
    while what() != want and time.time() < end:
        time.sleep(0.1)
    return what()


a, b = Client("A"), Client("B")
o = b"watched"

print("missing object:", a.watch(o, "a0")[0], a.notify(o), watchers(o))
a.write(o)
before = a.version(o)
print("nobody:", a.notify(o, b"x"), watchers(o))
r, h = a.watch(o, "a1", b"I am A")
print("watch:", r, a.check(h), watchers(o), a.version(o) == before)
print("notify:", b.notify(o, b"hello"), a.hears())
print("of oneself:", a.notify(o, b""), a.hears())
r, h2 = b.watch(o, "b1", bytes(range(256)) * 40, timeout=77)
r, h3 = b.watch(o, "b2")
print("three:", b.notify(o, b"all"), a.hears(), b.hears(2), watchers(o))
print("dump:", sorted(dump()))
b.silent = True
print("no answer:", a.notify(o, b"?", 1000), a.hears(), b.hears(2))
b.silent = False
print("unwatch:", b.unwatch(h2), watchers(o), a.version(o) == before)
print("two:", a.notify(o, b"2"), a.hears(), b.hears())
print("remove:", b.remove(o), a.hears(), b.hears())
print("after it:", a.check(h), b.check(h3), watchers(o), a.notify(o))
a.write(o)
print("made again:", watchers(o), a.check(h), a.notify(o))
print("unwatch what is gone:", a.unwatch(h), b.unwatch(h3))

# A watch whose time is shorter than the time between two pings.
r, h = a.watch(o, "a2", timeout=2)
print("short:", r, watchers(o), a.hears(), wait_until(lambda: watchers(o), (0, [])), a.check(h))
a.unwatch(h)

# In a namespace, and with a locator.
L.rados_ioctx_set_namespace(a.io, b"ns")
L.rados_ioctx_set_namespace(b.io, b"ns")
L.rados_ioctx_locator_set_key(a.io, b"key")
L.rados_ioctx_locator_set_key(b.io, b"key")
a.write(o)
r, h = a.watch(o, "a3")
print("namespace:", r, watchers(o), b.notify(o, b"ns"), a.hears(), sorted(dump()))
a.unwatch(h)
for c in a, b:
    L.rados_ioctx_set_namespace(c.io, b"")
    L.rados_ioctx_locator_set_key(c.io, None)

# Who may.
for user, caps in ("R", "allow r"), ("W", "allow w"), ("X", "allow x"), ("RW", "allow rw"):
    name = "client.%s-%s" % (pool.decode(), user)
    tool("ceph", "auth", "rm", name)
    tool("ceph", "auth", "get-or-create", name, "mon", "allow r", "osd", caps, "-o", "./%s.keyring" % user)
    u = Client(user, name.encode())
    r, h = u.watch(o, user + "1")
    print("caps", caps, ":", r, u.notify(o, b"caps"), u.hears() if r == 0 else "")
    if r == 0:
        u.unwatch(h)
    L.rados_shutdown(u.c)
    tool("ceph", "auth", "rm", name)

# With snapshots: the head watches, whatever there was before.
L.rados_ioctx_snap_create(a.io, b"s1")
r, h = a.watch(o, "a4")
print("snapshot:", r, watchers(o), a.notify(o, b"s"), a.hears())
a.write(o, b"new")
L.rados_ioctx_snap_set_read(b.io, C.c_uint64(1))
print("at it:", b.notify(o, b"old"), watchers(o))
L.rados_ioctx_snap_set_read(b.io, C.c_uint64(0xfffffffffffffffe))
print("roll back:", L.rados_ioctx_snap_rollback(a.io, o, b"s1"), watchers(o), a.check(h))
print("remove:", a.remove(o), a.hears(), watchers(o))
a.unwatch(h)

# A client that is barred.
a.write(o)
c = Client("C")
r, h = c.watch(o, "c1")
r, h4 = a.watch(o, "a5")
print("before:", watchers(o))
addr = re.search(r"[0-9.]+:0/[0-9]+", c.addr()).group()
print("blocklist:", tool("ceph", "osd", "blocklist", "add", addr)[0], wait_until(lambda: watchers(o), (0, [("A", "a5")])))
print("the other:", b.notify(o, b"x"), a.hears())
tool("ceph", "osd", "blocklist", "rm", addr)
print("end:", a.unwatch(h4), watchers(o))
sys.stdout.flush()
os._exit(0)
