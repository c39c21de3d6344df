# Works on images through the stock librbd: a line of JSON on standard input is an
# operation, a line of JSON on standard output says what became of it, after which
# come as many bytes as its "data" says. The first line names the client.
import json
import os
import sys

import rados
import rbd

cluster = rados.Rados(conffile=os.environ["CEPH_CONF"])
cluster.conf_set("rbd_default_clone_format", "2")
# As little as it takes.
cluster.conf_set("rbd_discard_granularity_bytes", "4096")
cluster.connect()
io = cluster.open_ioctx("rbd")
opened = {}


def image(name):
    if name not in opened:
        opened[name] = rbd.Image(io, name)
    return opened[name]


def close(name):
    if name in opened:
        opened.pop(name).close()


def fill(o):
    return (o["stamp"].encode() * (o["len"] // len(o["stamp"]) + 1))[: o["len"]]


def remove(o):
    close(o["image"])
    rbd.RBD().remove(io, o["image"])


def snaps(img):
    """The snapshots people see. Of those that only clones kept, removes what is left."""
    names = []
    for s in list(img.list_snaps()):
        if s["namespace"] == rbd.RBD_SNAP_NAMESPACE_TYPE_USER:
            names.append(s["name"])
        elif s["namespace"] == rbd.RBD_SNAP_NAMESPACE_TYPE_TRASH:
            img.set_snap_by_id(s["id"])
            used = any(True for _ in img.list_children2())
            img.set_snap(None)
            if not used:
                img.remove_snap_by_id(s["id"])
    return names


def look(o):
    """All of an image: its size and data, then the same of each snapshot."""
    close(o["image"])
    with rbd.Image(io, o["image"]) as img:
        names = snaps(img)
        flags = img.flags()
        parts, sizes = [], []
        for name in [None] + names:
            img.set_snap(name)
            sizes.append(img.size())
            parts.append(img.read(0, img.size()) if img.size() else b"")
        return {"snaps": names, "sizes": sizes, "flags": flags}, b"".join(parts)


ops = {
    "create": lambda o: rbd.RBD().create(io, o["image"], o["len"], order=o["order"], old_format=False),
    "write": lambda o: image(o["image"]).write(fill(o), o["off"]),
    "discard": lambda o: image(o["image"]).discard(o["off"], o["len"]),
    "resize": lambda o: image(o["image"]).resize(o["len"]),
    "snapshot": lambda o: image(o["image"]).create_snap(o["snap"]),
    "remove snapshot": lambda o: image(o["image"]).remove_snap(o["snap"]),
    "roll back": lambda o: image(o["image"]).rollback_to_snap(o["snap"]),
    "clone": lambda o: rbd.RBD().clone(io, o["image"], o["snap"], io, o["child"], order=o["order"]),
    "flatten": lambda o: image(o["image"]).flatten(),
    "remove": remove,
    "list": lambda o: {"names": rbd.RBD().list(io)},
    "look": look,
}


def say(answer, data=b""):
    answer["data"] = len(data)
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + data)
    sys.stdout.buffer.flush()


say({"client": cluster.get_addrs()})
for line in sys.stdin:
    o = json.loads(line)
    data = b""
    try:
        r = ops[o["do"]](o)
        if isinstance(r, tuple):
            r, data = r
        say(r if isinstance(r, dict) else {}, data)
    except rbd.Error as e:
        say({"error": str(e) or type(e).__name__, "errno": getattr(e, "errno", 0) or 1})
for name in list(opened):
    close(name)
cluster.shutdown()
