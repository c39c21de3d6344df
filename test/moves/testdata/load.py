"""A light load on a pool through python3-rados that knows what it has written.

load.py POOL: writes to a few objects in turn, in whole, in part, and their omaps,
and reads each back: now and then the one just written, and one of before. Ends
when its input does; then all objects are read. Says how many operations there
were, or fails with what it read that was never written.
"""
import random
import sys
import threading
import time

import rados

pool = sys.argv[1]
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
rand = random.Random(1)
want = {}  # name: (data, omap)

with rados.Rados(conffile="") as cluster, cluster.open_ioctx(pool) as io:
    def check(name):
        data, omap = want[name]
        got = io.read(name, 1 << 20)
        if got != data:
            sys.exit("%s: %d bytes %r..., want %d bytes %r..." % (name, len(got), got[:32], len(data), data[:32]))
        with rados.ReadOpCtx() as op:
            pairs, _ = io.get_omap_vals(op, "", "", 1000)
            io.operate_read_op(op, name)
            pairs = dict(pairs)
        if pairs != omap:
            sys.exit("%s: omap %r, want %r" % (name, pairs, omap))

    ops = 0
    while not ended.is_set():
        name = "o%d" % rand.randrange(96)
        data, omap = want.get(name, (b"", {}))
        mark = b"%s:%d." % (name.encode(), ops)
        kind = rand.randrange(3)
        if kind == 0 or not data:
            data = mark * rand.randrange(1, 400)
            io.write_full(name, data)
        elif kind == 1:
            at = rand.randrange(len(data))
            io.write(name, mark, at)
            data = data[:at] + mark + data[at + len(mark):]
        else:
            omap = dict(omap)
            omap["k%d" % rand.randrange(8)] = mark
            with rados.WriteOpCtx() as op:
                io.set_omap(op, tuple(omap), tuple(omap.values()))
                io.operate_write_op(op, name)
        want[name] = (data, omap)
        check(rand.choice([name, rand.choice(list(want))]))
        ops += 1
        time.sleep(0.01)
    for name in want:
        check(name)
    print("%d operations, %d objects" % (ops, len(want)))
