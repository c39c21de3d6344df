# Takes many snapshots of an image through the stock librbd, with a small write after
# each, then removes them; says how long each creation and removal took, in seconds.
import json
import os
import sys
import time

import rados
import rbd

count, size, written, step = map(int, sys.argv[1:])
cluster = rados.Rados(conffile=os.environ["CEPH_CONF"])
cluster.connect()
io = cluster.open_ioctx("rbd")
rbd.RBD().create(io, "many", size, old_format=False)


def took(f, *args):
    begin = time.monotonic()
    f(*args)
    return time.monotonic() - begin


def say(what):
    print(json.dumps(what), flush=True)
    sys.stdin.readline()


with rbd.Image(io, "many") as img:
    for off in range(0, written, 4 << 20):
        img.write(os.urandom(4 << 20), off)
    img.flush()
    say({})
    times = []
    for n in range(count):
        times.append(took(img.create_snap, f"s{n}"))
        img.write(os.urandom(step), n * 7919 * step % written)
        img.flush()
    say({"seconds": times})
    say({"seconds": [took(img.remove_snap, f"s{n}") for n in range(count)]})
rbd.RBD().remove(io, "many")
cluster.shutdown()
