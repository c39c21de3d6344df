dev=$(rbd_map rbd img)
mkfs.ext4 -q "$dev"
rbd_unmap "$dev"
fill() {
    for d in $(seq 20); do
        mkdir -p /mnt/i/d$d
        for f in $(seq 10); do head -c $((d * f * 700)) /dev/urandom >/mnt/i/d$d/f$f; done
        ln -s ../d$d /mnt/i/d$d/self
    done
    head -c 30000000 /dev/urandom >/mnt/i/big
}
on img rw fill
