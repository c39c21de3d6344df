# What a program on librados does, through Python's binding; its output is
# compared between a stock cluster and Pulpo.
import os
import errno
import rados
import sys

pool = sys.argv[1]
c = rados.Rados(conffile=os.environ["CEPH_CONF"])
c.connect()


def show(what, f):
    try:
        print(what, "->", f())
    except Exception as e:
        print(what, "-> error", type(e).__name__, getattr(e, "errno", None))


show("pool exists before", lambda: c.pool_exists(pool))
c.create_pool(pool)
show("pool exists", lambda: c.pool_exists(pool))
show("create again", lambda: c.create_pool(pool))
io = c.open_ioctx(pool)

# whole objects
io.write_full("a", b"hello")
show("read", lambda: io.read("a"))
show("read part", lambda: io.read("a", 2, 1))
show("read beyond", lambda: io.read("a", 10, 100))
show("read missing", lambda: io.read("missing"))
show("stat", lambda: io.stat("a")[0])
io.write("a", b"XY", 1)
show("overwritten", lambda: io.read("a"))
io.write("a", b"tail", 10)
show("hole", lambda: io.read("a"))
io.append("a", b"!")
io.trunc("a", 3)
show("truncated", lambda: io.read("a"))
show("remove", lambda: io.remove_object("a"))
show("remove again", lambda: io.remove_object("a"))
show("trunc missing", lambda: io.trunc("nope", 4))
show("stat missing", lambda: io.stat("nope"))

# xattrs
io.write_full("x", b"1")
io.set_xattr("x", "k", b"v")
io.set_xattr("x", "bin", bytes(range(256)))
show("xattr", lambda: io.get_xattr("x", "k"))
show("xattr bin", lambda: io.get_xattr("x", "bin") == bytes(range(256)))
show("xattrs", lambda: sorted(io.get_xattrs("x")))
show("rm xattr", lambda: io.rm_xattr("x", "k"))
show("xattr gone", lambda: io.get_xattr("x", "k"))
show("empty xattr", lambda: (io.set_xattr("x", "e", b""), io.get_xattr("x", "e")))

# omap
with rados.WriteOpCtx() as op:
    io.set_omap(op, tuple("k%03d" % i for i in range(300)), tuple(b"v%d" % i for i in range(300)))
    io.operate_write_op(op, "om")
for args in (("", "", 5), ("k100", "", 3), ("", "k2", 200), ("zzz", "", 5), ("", "", 10000)):
    with rados.ReadOpCtx() as op:
        it, ret = io.get_omap_vals(op, *args)
        io.operate_read_op(op, "om")
        show("omap vals %r" % (args,), lambda: (lambda l: (len(l), l[:3], l[-1:]))(list(it)))
with rados.ReadOpCtx() as op:
    it, ret = io.get_omap_keys(op, "k290", 100)
    io.operate_read_op(op, "om")
    show("omap keys", lambda: [k for k, _ in it])
with rados.ReadOpCtx() as op:
    it, ret = io.get_omap_vals_by_keys(op, ("k001", "nope", "k299"))
    io.operate_read_op(op, "om")
    show("omap by keys", lambda: list(it))
with rados.WriteOpCtx() as op:
    io.remove_omap_keys(op, ("k000", "nope"))
    io.operate_write_op(op, "om")
with rados.WriteOpCtx() as op:
    io.remove_omap_range2(op, "k001", "k299")
    io.operate_write_op(op, "om")
with rados.ReadOpCtx() as op:
    it, ret = io.get_omap_keys(op, "", 100)
    io.operate_read_op(op, "om")
    show("omap after removal", lambda: [k for k, _ in it])
with rados.WriteOpCtx() as op:
    io.clear_omap(op)
    io.operate_write_op(op, "om")
with rados.ReadOpCtx() as op:
    it, ret = io.get_omap_keys(op, "", 100)
    io.operate_read_op(op, "om")
    show("omap cleared", lambda: list(it))


def missing_omap():
    with rados.ReadOpCtx() as op:
        it, ret = io.get_omap_keys(op, "", 100)
        io.operate_read_op(op, "missing")
        return list(it)


show("omap of a missing object", missing_omap)


# several steps as one
def compound(steps, obj):
    with rados.WriteOpCtx() as op:
        steps(op)
        io.operate_write_op(op, obj)
    return "done"


show("create, write, xattr", lambda: compound(lambda op: (op.new(rados.LIBRADOS_CREATE_EXCLUSIVE), op.write_full(b"abc"), op.set_xattr("q", b"w")), "multi"))
show("exclusive again", lambda: compound(lambda op: (op.new(rados.LIBRADOS_CREATE_EXCLUSIVE), op.write_full(b"zzz")), "multi"))
show("unchanged", lambda: io.read("multi"))
show("idempotent create", lambda: compound(lambda op: op.new(rados.LIBRADOS_CREATE_IDEMPOTENT), "multi"))
show("append, zero, truncate", lambda: compound(lambda op: (op.append(b"defgh"), op.zero(1, 2), op.truncate(6)), "multi"))
show("result", lambda: io.read("multi"))
show("write at offset", lambda: compound(lambda op: (op.write(b"ZZ", 8),), "multi"))
show("result", lambda: io.read("multi"))
show("remove in op", lambda: compound(lambda op: op.remove(), "multi"))
show("gone", lambda: io.read("multi"))

# compare
io.write_full("cmp", b"0123456789")


def cmpext(data, off):
    with rados.WriteOpCtx() as op:
        op.cmpext(data, off) if hasattr(op, "cmpext") else None
        op.write_full(b"0123456789")
        io.operate_write_op(op, "cmp")
    return "equal"


show("cmpext equal", lambda: cmpext(b"345", 3))
show("cmpext", lambda: io.cmpext("cmp", b"345", 3))
show("cmpext differs", lambda: io.cmpext("cmp", b"3x5", 3))
show("writesame", lambda: (io.writesame("same", b"ab", 10), io.read("same")))

# classes and locks
show("class", lambda: io.execute("cmp", "lock", "list_locks", b"")[0])
show("unknown class", lambda: io.execute("cmp", "nosuch", "method", b""))
show("unknown method", lambda: io.execute("cmp", "lock", "nosuch", b""))
show("lock", lambda: io.lock_exclusive("cmp", "l", "c", "desc"))
show("lock again", lambda: io.lock_exclusive("cmp", "l", "c", "desc"))
show("lock, other cookie", lambda: io.lock_exclusive("cmp", "l", "c2", "desc"))
show("unlock", lambda: io.unlock("cmp", "l", "c"))
show("unlock again", lambda: io.unlock("cmp", "l", "c"))
show("shared", lambda: io.lock_shared("cmp", "s", "c1", "tag"))
show("shared, other tag", lambda: io.lock_shared("cmp", "s", "c2", "tag2"))

# namespaces, locators, listing
for ns in ("", "n1", "n2"):
    io.set_namespace(ns)
    for i in range(5):
        io.write_full("o%d" % i, ns.encode())
io.set_namespace("n1")
show("ls n1", lambda: sorted(o.key for o in io.list_objects()))
io.set_namespace(rados.LIBRADOS_ALL_NSPACES)
show("ls all", lambda: sorted((o.nspace, o.key) for o in io.list_objects()))
show("order", lambda: [(o.nspace, o.key) for o in io.list_objects()])
io.set_namespace("")
io.set_locator_key("loc")
io.write_full("located", b"here")
show("located", lambda: io.read("located"))
io.set_locator_key("")
show("without locator", lambda: io.read("located"))
show("ls with locator", lambda: sorted(o.key for o in io.list_objects() if o.key == "located"))

# asynchronous
done = [io.aio_write_full("aio%d" % i, bytes([i]) * 1000) for i in range(50)]
for d in done:
    d.wait_for_complete_and_cb()
show("aio", lambda: all(d.get_return_value() == 0 for d in done))
show("aio read", lambda: all(io.read("aio%d" % i) == bytes([i]) * 1000 for i in range(50)))
show("version rises", lambda: (lambda a: (io.write_full("cmp", b"x"), io.get_last_version() > a))(io.get_last_version()))

# limits
show("long name", lambda: io.write_full("n" * 3000, b"x"))
show("long xattr name", lambda: io.set_xattr("cmp", "n" * 300, b"x"))
show("far offset", lambda: io.write("far", b"x", 1 << 40))
show("beyond the largest object", lambda: io.write("far", b"x", 128 << 20))
show("stats", lambda: sorted(io.get_stats()))
show("cluster stats", lambda: sorted(c.get_cluster_stats()))
show("pool id", lambda: c.pool_lookup(pool) > 0)
show("pool by id", lambda: c.pool_reverse_lookup(c.pool_lookup(pool)) == pool)
show("mon command", lambda: c.mon_command('{"prefix": "osd pool get", "pool": "%s", "var": "size", "format": "json"}' % pool, b"")[0])
show("unknown command", lambda: c.mon_command('{"prefix": "no such"}', b""))
show("not json", lambda: c.mon_command("{", b"")[0])
io.close()
show("delete", lambda: c.delete_pool(pool))
show("delete again", lambda: c.delete_pool(pool))
c.shutdown()
