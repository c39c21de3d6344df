# A client on the stock librados that keeps a history of what it asked for and what
# it was told. Objects are rows of records of 8 KiB; each record is the number of the
# write that made it, a thousand times, so that a torn one shows by itself.
#
#   client.py CONF HISTORY NUMBER POOL WORDS
#
#   load THREADS OBJECTS   all kinds of operations, until "stop" on standard input;
#                          the objects change each minute, so that old ones rest
#   fill                   large objects until there is no room, "delete" to delete all
#                          that were acknowledged; ends when no write waits any more
#   read                   reads the objects that are named on standard input, a line each
#   maps                   changes the cluster's map each second, and at once when
#                          there is a line on standard input; until "stop"
#
# The history has a line of JSON when an operation begins and one when it ends:
#   ["b", number, thread, nanoseconds, object, what, arguments...]
#   ["e", number, nanoseconds, errno, what was read]
import json
import os
import random
import select
import struct
import sys
import threading
import time

import rados

conf, path, number, pool, mode = sys.argv[1:6]
words = sys.argv[6:]
RECORD = 8192
KEYS = 4
cluster = rados.Rados(conffile=conf)
cluster.connect()
io = cluster.open_ioctx(pool)
out = open(path, "a", buffering=1)
lock = threading.Lock()
count = int(number) << 32
stop = threading.Event()


def record(n):
    return struct.pack("<Q", n) * (RECORD // 8)


def records(data):
    got = []
    for at in range(0, len(data), RECORD):
        r = data[at : at + RECORD]
        if len(r) != RECORD or r != r[:8] * (RECORD // 8):
            return "torn record %d of %d bytes: %s" % (at // RECORD, len(data), r[:16].hex())
        got.append(struct.unpack("<Q", r[:8])[0])
    return got


def begin(thread, name, what, *args):
    global count
    with lock:
        count += 1
        n = count
        out.write(json.dumps(["b", n, thread, time.monotonic_ns(), name, what, *args]) + "\n")
    return n


def end(n, err, got=None):
    with lock:
        out.write(json.dumps(["e", n, time.monotonic_ns(), err, got]) + "\n")


def change(io, thread, name, what, *args):
    n = begin(thread, name, what, *args)
    try:
        with rados.WriteOpCtx() as op:
            if what == "full":
                op.write_full(record(n) * args[0])
            elif what == "append":
                op.append(record(n))
            elif what in ("at", "both"):
                op.write(record(n), args[0] * RECORD)
            elif what == "delete":
                op.remove()
            if what in ("omap", "both"):
                io.set_omap(op, ("k%d" % args[-1],), (b"%d" % n,))
            io.operate_write_op(op, name)
    except rados.Error as e:
        return end(n, e.errno)
    end(n, 0)


def read(thread, name):
    n = begin(thread, name, "read")
    try:
        got = records(io.read(name, 16 << 20))
    except rados.Error as e:
        return end(n, e.errno)
    end(n, 0, got)


def keys(thread, name):
    n = begin(thread, name, "keys")
    try:
        with rados.ReadOpCtx() as op:
            vals, _ = io.get_omap_vals(op, "", "", 100)
            io.operate_read_op(op, name)
            got = {k: int(v) for k, v in vals}
    except rados.Error as e:
        return end(n, e.errno)
    end(n, 0, got)


def load(thread, objects):
    r = random.Random()
    while not stop.is_set():
        name = "e%d-%d" % (time.monotonic() // 60, r.randrange(objects))
        x = r.randrange(100)
        if x < 20:
            read(thread, name)
        elif x < 35:
            keys(thread, name)
        elif x < 50:
            change(io, thread, name, "full", r.randint(1, 8))
        elif x < 70:
            change(io, thread, name, "at", r.randrange(16))
        elif x < 80:
            change(io, thread, name, "append")
        elif x < 87:
            change(io, thread, name, "omap", r.randrange(KEYS))
        elif x < 95:
            change(io, thread, name, "both", r.randrange(16), r.randrange(KEYS))
        else:
            change(io, thread, name, "delete")
        time.sleep(r.random() / 20)


def fill(thread, names):
    while not stop.is_set():
        name = "fill%s-%d-%d" % (number, thread, len(names))
        change(io, thread, name, "full", 512)
        names.append(name)


def command(**cmd):
    n = begin(0, cmd["prefix"], "map")
    ret, _, status = cluster.mon_command(json.dumps(cmd), b"")
    end(n, -ret, status)


def waitfor(word):
    for line in sys.stdin:
        if line.strip() == word:
            return


if mode == "load":
    threads = [threading.Thread(target=load, args=(i, int(words[1]))) for i in range(int(words[0]))]
    for t in threads:
        t.start()
    waitfor("stop")
    stop.set()
elif mode == "fill":
    made = [[] for _ in range(4)]
    threads = [threading.Thread(target=fill, args=(i, m)) for i, m in enumerate(made)]
    for t in threads:
        t.start()
    waitfor("delete")
    stop.set()
    io2 = cluster.open_ioctx(pool)
    io2.set_osdmap_full_try()
    for i, m in enumerate(made):
        for name in list(m):
            change(io2, 4 + i, name, "delete")
elif mode == "read":
    names = [line.strip() for line in sys.stdin]
    it = iter(names)

    def look(thread):
        while True:
            with lock:
                name = next(it, None)
            if name is None:
                return
            read(thread, name)
            keys(thread, name)

    threads = [threading.Thread(target=look, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
elif mode == "maps":
    threads = []
    value = 0
    while True:
        ready, _, _ = select.select([0], [], [], 1)
        if ready and os.read(0, 100) in (b"", b"stop\n"):
            break
        value += 1
        command(prefix="osd pool application set", pool=pool, app="rados", key="n", value=str(value))
for t in threads:
    t.join()
out.close()
os._exit(0)
