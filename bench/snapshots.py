# Makes and removes snapshots of an image through librbd, as it is told: lines "create FROM
# TO", which also writes 4 KiB after each, and "remove FROM TO". Says what each took with its
# write, in seconds, and the CPU that this process used for all of them.
import json
import os
import sys
import time

import rados
import rbd

cluster = rados.Rados(conffile=os.environ["CEPH_CONF"])
cluster.connect()
io = cluster.open_ioctx("bench")
name = sys.argv[1]
rbd.RBD().create(io, name, 1 << 30, old_format=False)
with rbd.Image(io, name) as img:
    img.write(b"first", 0)
    print(json.dumps({"took": [], "cpu": 0}), flush=True)
    for line in sys.stdin:
        what, begin, end = line.split()
        took, used = [], time.process_time()
        for n in range(int(begin), int(end)):
            start = time.monotonic()
            if what == "create":
                img.create_snap(f"s{n}")
                img.write(bytes([n % 251 + 1]) * 4096, (n * 37 % 256) << 22)
            else:
                img.remove_snap(f"s{n}")
            took.append(time.monotonic() - start)
        print(json.dumps({"took": took, "cpu": time.process_time() - used}), flush=True)
rbd.RBD().remove(io, name)
