# Watches an object through the stock librados and says what it hears, a line
# each. Commands on standard input: "check", "again" (watch anew). Ends with it.
import os
import sys

import rados

pool, obj, timeout = sys.argv[1], sys.argv[2], int(sys.argv[3])
cluster = rados.Rados(conffile=os.environ["CEPH_CONF"])
cluster.connect()
io = cluster.open_ioctx(pool)


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def watch():
    # The rados tool sends a string with its length before it.
    return io.watch(obj, lambda nid, who, cookie, data: say("heard", data[4:].decode()), lambda cookie, err: say("error", err), timeout)


w = watch()
say("watching")
for line in sys.stdin:
    try:
        if line == "check\n":
            w.check()
        elif line == "again\n":
            w.close()
            w = watch()
        say("ok")
    except rados.Error as e:
        say("failed", e.errno)
os._exit(0)
