# What a program does with snapshots that it manages itself, through librados'
# binding for Python, and where that has no word for it, librados itself; its
# output is compared between a stock cluster and Pulpo. $1 is the pool, which is
# new, so that the ids are the same.
import ctypes
import json
import os
import subprocess
import sys
import time

import rados

pool = sys.argv[1]
c = rados.Rados(conffile=os.environ["CEPH_CONF"])
c.connect()
cmd = {"prefix": "osd pool create", "pool": pool, "pg_num": 1}
assert c.mon_command(json.dumps(cmd), b"")[0] == 0
io = c.open_ioctx(pool)


def show(what, f):
    try:
        print(what, "->", f())
    except Exception as e:
        print(what, "-> error", type(e).__name__, getattr(e, "errno", None))


def tool(*args):
    p = subprocess.run(["rados", "-p", pool, *args], capture_output=True, text=True, timeout=60)
    return p.returncode, p.stdout, p.stderr


def listsnaps(name):
    return [l.split("\t") for l in tool("listsnaps", name)[1].splitlines()[1:]]


lib = ctypes.CDLL("librados.so.2")
HEAD = ctypes.c_uint64(-2)
ORDERSNAP = 512
cluster, past, present = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
assert lib.rados_create(ctypes.byref(cluster), b"admin") == 0
assert lib.rados_conf_read_file(cluster, os.environ["CEPH_CONF"].encode()) == 0
assert lib.rados_connect(cluster) == 0
assert lib.rados_ioctx_create(cluster, pool.encode(), ctypes.byref(past)) == 0
assert lib.rados_ioctx_create(cluster, pool.encode(), ctypes.byref(present)) == 0


def at(snap, name):
    lib.rados_ioctx_snap_set_read(past, ctypes.c_uint64(snap) if snap else HEAD)
    buf = ctypes.create_string_buffer(1 << 16)
    n = lib.rados_read(past, name.encode(), buf, ctypes.c_size_t(len(buf)), ctypes.c_uint64(0))
    if n < 0:
        raise OSError(-n, "read")
    return buf.raw[:n]


def attr_at(snap, name, attr):
    lib.rados_ioctx_snap_set_read(past, ctypes.c_uint64(snap))
    buf = ctypes.create_string_buffer(100)
    n = lib.rados_getxattr(past, name.encode(), attr, buf, ctypes.c_size_t(len(buf)))
    return n, buf.raw[:max(n, 0)]


def write(seq, snaps, name, data, flags=0):
    """writes with a context of its own"""
    ids = (ctypes.c_uint64 * len(snaps))(*snaps)
    r = lib.rados_ioctx_selfmanaged_snap_set_write_ctx(present, ctypes.c_uint64(seq), ids, len(snaps))
    if r < 0:
        return "context", r
    lib.rados_create_write_op.restype = ctypes.c_void_p
    op = ctypes.c_void_p(lib.rados_create_write_op())
    lib.rados_write_op_write_full(op, data, ctypes.c_size_t(len(data)))
    r = lib.rados_write_op_operate2(op, present, name.encode(), None, flags)
    lib.rados_release_write_op(op)
    return r


snaps = []  # newest first


def snap():
    s = io.create_self_managed_snap()
    snaps.insert(0, s)
    io.set_self_managed_snap_write(snaps)
    return s


io.write_full("a", b"first" * 1000)
io.set_xattr("a", "x", b"1")
a = snap()
show("id", lambda: a)
show("pool snapshot in such a pool", lambda: io.create_snap("named"))
show("named", lambda: tool("mksnap", "named")[0])
io.write("a", b"SECOND", 100)
io.set_xattr("a", "x", b"2")
io.set_xattr("a", "y", b"3")
b = snap()
io.write("a", b"THIRD", 4097)
io.append("a", b"more")
d = snap()
io.trunc("a", 4000)
for s in (a, b, d, 0, 1, 4711):
    show("at %d" % s, lambda: (len(at(s, "a")), at(s, "a")[95:110], at(s, "a")[4090:4110]))
show("attributes", lambda: [attr_at(s, "a", x) for s in (a, b, 99) for x in (b"x", b"y")])
show("list", lambda: listsnaps("a"))

# an object that comes and goes
io.write_full("b", b"b1")
show("list of new", lambda: listsnaps("b"))
show("at before", lambda: at(d, "b"))
e = snap()
io.remove_object("b")
show("removed", lambda: at(0, "b"))
show("at", lambda: at(e, "b"))
show("list of removed", lambda: listsnaps("b"))
show("remove again", lambda: io.remove_object("b"))
show("stat", lambda: io.stat("b"))
show("listed", lambda: sorted(o.key for o in io.list_objects()))
io.write_full("b", b"b2!")
show("list of made again", lambda: listsnaps("b"))

# rollback
io.rollback_self_managed_snap("a", a)
show("back at a", lambda: (len(at(0, "a")), at(0, "a")[95:110], io.get_xattr("a", "x")))
show("list", lambda: listsnaps("a"))
io.rollback_self_managed_snap("a", d)
io.write("a", b"X", 0)
show("list", lambda: listsnaps("a"))
show("rollback to nothing", lambda: io.rollback_self_managed_snap("b", a))
show("b", lambda: at(0, "b"))
show("rollback of nothing", lambda: io.rollback_self_managed_snap("none", a))
show("rollback to head", lambda: io.rollback_self_managed_snap("a", e + 1))

# contexts
show("not descending", lambda: write(d, [a, b], "a", b"no"))
show("above its sequence", lambda: write(a, [d], "a", b"no"))
show("old and ordered", lambda: write(a, [a], "a", b"no", ORDERSNAP))
show("new and ordered", lambda: write(e, [e, d, b, a], "a", b"by a new context", ORDERSNAP))
show("old context", lambda: write(a, [a], "a", b"by an old context"))
show("at head", lambda: at(0, "a"))
show("a context without snapshots", lambda: write(99, [], "c", b"c"))
show("list", lambda: listsnaps("c"))
show("older again", lambda: write(e, [e], "c", b"d"))
show("remove", lambda: io.remove_object("c"))
show("list", lambda: listsnaps("c"))
show("write to the past", lambda: tool("-s", "nosuch", "put", "a", "/dev/null")[0])
show("list", lambda: listsnaps("a"))
held = at(b, "a")
show("removed twice", lambda: [io.remove_self_managed_snap(b) for _ in range(2)])
snaps.remove(b)
io.set_self_managed_snap_write(snaps)
show("never made", lambda: io.remove_self_managed_snap(4711))


def until_trimmed():
    try:
        return at(b, "a") == held
    except FileNotFoundError:
        return True


# It may be trimmed already.
show("at removed, as it was or gone", until_trimmed)


def trimmed():
    end = time.monotonic() + 300
    while time.monotonic() < end:
        dump = json.loads(c.mon_command(json.dumps({"prefix": "osd dump", "format": "json"}), b"")[1])
        ids = {p["pool_name"]: p["pool"] for p in dump["pools"]}
        if not [q for q in dump["removed_snaps_queue"] if q["pool"] == ids[pool]]:
            return "all"
        time.sleep(0.5)
    return "not in time"


show("trimmed", trimmed)
show("list", lambda: listsnaps("a"))
show("at a", lambda: len(at(a, "a")))
show("at d", lambda: len(at(d, "a")))
for s in snaps:
    io.remove_self_managed_snap(s)
show("trimmed", trimmed)
show("list", lambda: [listsnaps(n) for n in ("a", "b")])
show("listed", lambda: sorted(o.key for o in io.list_objects()))
for x in (past, present):
    lib.rados_ioctx_destroy(x)
lib.rados_shutdown(cluster)
io.close()
c.delete_pool(pool)
