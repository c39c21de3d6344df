# Logs in as each of a list of users, tries everything that capabilities are
# about, and prints what came of it as JSON: {user: {deed: outcome}}.
#
# Between users the administrator puts everything back, so that what one was
# allowed to do does not change what the next one finds.
import errno
import json
import os
import sys

import rados

spec = json.load(sys.stdin)
pools, users = spec["pools"], spec["users"]
CONF = {
    # Who may not see the maps waits for them: that is an outcome too.
    "client_mount_timeout": "3",
    "rados_osd_op_timeout": "3",
    "rados_mon_op_timeout": "3",
}


def connect(name, key=None):
    extra = dict(CONF)
    if key is not None:
        extra["key"] = key
        extra["keyring"] = "/dev/null"
    c = rados.Rados(conffile=os.environ["CEPH_CONF"], rados_id=name, conf=extra)
    c.connect(timeout=3)
    return c


def number(n):
    return errno.errorcode.get(abs(n), str(n))


def outcome(f):
    try:
        r = f()
        return "ok" if r is None else "ok %s" % (r,)
    except rados.Error as e:
        return "%s %s" % (type(e).__name__, number(e.errno or 0))


def command(c, cmd, send="mon", target=None):
    text = json.dumps(dict(cmd, format="json"))
    if send == "mon":
        ret, out, err = c.mon_command(text, b"")
    elif send == "mgr":
        ret, out, err = c.mgr_command(text, b"")
    else:
        ret, out, err = c.osd_command(target, text, b"")
    return ret, out, err


def try_command(c, cmd, **kw):
    ret, out, err = command(c, cmd, **kw)
    return "ok" if ret == 0 else "%s %s" % (number(ret), err)


admin = connect("admin")


def must(cmd):
    ret, out, err = command(admin, cmd)
    if ret:
        raise SystemExit("%s: %d %s" % (cmd, ret, err))
    return out


def prepare():
    for pool in pools:
        with admin.open_ioctx(pool) as io:
            for ns in ("", "ns", "ns2"):
                io.set_namespace(ns)
                for o in ("obj", "pre.obj"):
                    with rados.WriteOpCtx() as op:
                        op.new(rados.LIBRADOS_CREATE_IDEMPOTENT)
                        op.write_full(b"content")
                        io.set_omap(op, ("k",), (b"v",))
                        io.operate_write_op(op, o)
                    io.set_xattr(o, "x", b"v")
                    try:
                        io.unlock(o, "l", "c")
                    except rados.Error:
                        pass
                io.write_full("pre.victim", b"victim")


def break_locks():
    for pool in pools:
        with admin.open_ioctx(pool) as io:
            for ns in ("", "ns", "ns2"):
                io.set_namespace(ns)
                for o in ("obj", "pre.obj"):
                    io.remove_object(o)


def omap_get(io, o):
    with rados.ReadOpCtx() as op:
        it, _ = io.get_omap_vals(op, "", "", 10)
        io.operate_read_op(op, o)
        return sorted(it)


def omap_set(io, o):
    with rados.WriteOpCtx() as op:
        io.set_omap(op, ("k",), (b"v",))
        io.operate_write_op(op, o)


def exec_method(io, o, cls, method, data=b""):
    ret, out = io.execute(o, cls, method, data)
    return len(out)


def deeds(c, result):
    for n, pool in enumerate(pools):
        try:
            io = c.open_ioctx(pool)
        except rados.Error as e:
            result["open"] = "%s %s" % (type(e).__name__, number(e.errno or 0))
            break
        with io:
            for ns in ("", "ns", "ns2"):
                io.set_namespace(ns)
                for o in ("obj", "pre.obj"):
                    where = "pool%d/%s/%s " % (n, ns, o)

                    def deed(what, f):
                        result[where + what] = outcome(f)

                    deed("read", lambda: io.read(o))
                    deed("stat", lambda: io.stat(o)[0])
                    deed("xattr", lambda: io.get_xattr(o, "x"))
                    deed("omap", lambda: omap_get(io, o))
                    deed("write", lambda: io.write_full(o, b"content"))
                    deed("set xattr", lambda: io.set_xattr(o, "x", b"v"))
                    deed("set omap", lambda: omap_set(io, o))
                    if n == 0 and ns != "ns2":
                        deed("class read", lambda: exec_method(io, o, "lock", "list_locks"))
                        deed("class write", lambda: io.lock_exclusive(o, "l", "c"))
                        deed("class unknown", lambda: exec_method(io, o, "nonesuch", "m"))
                        deed("method unknown", lambda: exec_method(io, o, "lock", "nonesuch"))
                if n == 0:
                    where = "pool%d/%s " % (n, ns)
                    deed("list", lambda: sorted(x.key for x in io.list_objects() if "obj" in x.key))
                    deed("read missing", lambda: io.read("pre.missing"))
                    deed("remove", lambda: io.remove_object("pre.victim"))
    for cmd in spec["commands"]:
        result["command " + cmd["prefix"]] = try_command(c, cmd)
    if "open" in result:
        return  # without maps every one of these waits in vain
    for cmd in spec["mgr_commands"]:
        result["mgr " + cmd["prefix"]] = try_command(c, cmd, send="mgr")
    result["osd version"] = try_command(c, {"prefix": "version"}, send="osd", target=0)


def run(user):
    entity = "client." + user["name"]
    caps = [x for kind, cap in user["caps"].items() for x in (kind, cap)]
    key = json.loads(must({"prefix": "auth get-or-create", "entity": entity, "caps": caps}))[0]["key"]
    prepare()
    result = {}
    try:
        c = connect(user["name"], key)
    except rados.Error as e:
        result["connect"] = "%s %s" % (type(e).__name__, number(e.errno or 0))
        return result
    result["connect"] = "ok"
    try:
        deeds(c, result)
    finally:
        c.shutdown()
        break_locks()
    return result


try:
    for pool in pools:
        must({"prefix": "osd pool create", "pool": pool, "pg_num": 4})
    must({"prefix": "osd pool application enable", "pool": pools[0], "app": "rbd"})
    must({"prefix": "osd pool application enable", "pool": pools[1], "app": "rados"})
    must({"prefix": "osd pool application set", "pool": pools[1], "app": "rados", "key": "team", "value": "blue"})
    results = {u["name"]: run(u) for u in users}
    # Capabilities that are none.
    for kind, cap in spec["bad_caps"]:
        cmd = {"prefix": "auth get-or-create", "entity": "client." + users[0]["name"] + ".bad", "caps": [kind, cap]}
        results["bad caps"] = dict(results.get("bad caps", {}), **{kind + " " + cap: try_command(admin, cmd)})
    print(json.dumps(results))
finally:
    for name in [u["name"] for u in users] + [users[0]["name"] + ".bad"]:
        command(admin, {"prefix": "auth rm", "entity": "client." + name})
    for pool in pools:
        command(admin, {"prefix": "osd pool rm", "pool": pool, "pool2": pool, "yes_i_really_really_mean_it": True})
    admin.shutdown()
