"""Changes images through the stock Python binding.

usage: images.py overwrite POOL IMAGE FILE STEP LENGTH
           of each STEP lengths of the image, one is written from FILE
       images.py model POOL IMAGE SEED
           makes an image, does things to it and compares it with a model
"""
import hashlib
import os
import random
import sys

import rados
import rbd

MB = 1 << 20


def overwrite(ioctx, name, path, step, length):
    step, length = int(step), int(length)
    with open(path, "rb") as f, rbd.Image(ioctx, name) as image:
        for off in range(0, image.size(), step * length):
            f.seek(off)
            image.write(f.read(min(length, image.size() - off)), off)


class Model:
    """An image, its snapshots, and what they must hold."""

    def __init__(self, ioctx, name, seed):
        self.ioctx, self.name, self.rand = ioctx, name, random.Random(seed)
        self.size = 16 * MB
        rbd.RBD().create(ioctx, name, self.size, order=20, old_format=False)
        self.image = rbd.Image(ioctx, name)
        self.data, self.snaps = bytearray(self.size), {}

    def extent(self, align=1):
        off = self.rand.randrange(self.size // align) * align
        return off, min(self.rand.randrange(1, 2 * MB // align) * align, self.size - off)

    def write(self):
        off, n = self.extent()
        b = self.rand.randbytes(n)
        assert self.image.write(b, off) == n
        self.data[off:off + n] = b

    def write_together(self):
        done = []
        for i in range(8):
            off, n = i * 2 * MB, self.rand.randrange(1, 2 * MB)
            b = self.rand.randbytes(n)
            self.data[off:off + n] = b
            done.append(self.image.aio_write(b, off, lambda c: None))
        for c in done:
            c.wait_for_complete_and_cb()
            assert c.get_return_value() >= 0, c.get_return_value()

    def discard(self):
        off, n = self.extent(MB)
        self.image.discard(off, n)
        self.data[off:off + n] = bytes(n)

    def zero(self):
        off, n = self.extent()
        self.image.write_zeroes(off, n)
        self.data[off:off + n] = bytes(n)

    def snap(self):
        name = "s%d" % len(self.snaps)
        self.image.create_snap(name)
        self.snaps[name] = bytes(self.data)

    def rollback(self):
        if self.snaps:
            name = self.rand.choice(sorted(self.snaps))
            self.image.rollback_to_snap(name)
            self.data[:] = self.snaps[name]

    def reopen(self):
        self.image.close()
        self.image = rbd.Image(self.ioctx, self.name)

    def check(self):
        same(self.image.read(0, self.size), self.data, self.name)

    def check_all(self):
        self.image.flush()
        self.check()
        for name, data in sorted(self.snaps.items()):
            with rbd.Image(self.ioctx, self.name, snapshot=name, read_only=True) as s:
                same(s.read(0, self.size), data, self.name + "@" + name)


def same(got, want, what):
    if got != want:
        at = next(i for i in range(len(want)) if i >= len(got) or got[i] != want[i])
        sys.exit("%s: %d bytes, other than they must be from byte %d on" % (what, len(got), at))


def model(ioctx, name, seed):
    m = Model(ioctx, name, int(seed))
    for _ in range(300):
        f, = m.rand.choices([m.write, m.write_together, m.discard, m.zero, m.snap, m.rollback, m.reopen, m.check],
                            [20, 4, 5, 5, 1, 1, 1, 5])
        f()
    m.check_all()
    print(name, len(m.snaps), hashlib.md5(m.data).hexdigest())
    m.image.close()


def main():
    what, pool, *args = sys.argv[1:]
    with rados.Rados(conffile=os.environ["CEPH_CONF"]) as cluster, cluster.open_ioctx(pool) as ioctx:
        {"overwrite": overwrite, "model": model}[what](ioctx, *args)


main()
