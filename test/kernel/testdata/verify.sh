say() { echo "$1: $(tree /mnt/i)"; }
write() { head -c 4000000 /dev/urandom >/mnt/i/own && rm /mnt/i/d5/f1; }
# A snapshot's journal is not replayed: it was made of an unmounted file system.
snap() {
    local dev id
    modprobe rbd
    echo "$MON $(creds ro) rbd img $2" >/sys/bus/rbd/add_single_major
    for id in /sys/bus/rbd/devices/*; do [ "$(cat "$id/current_snap")" != "$2" ] || dev=/dev/rbd${id##*/}; done
    mkdir -p /mnt/i
    mount -o ro,noload "$dev" /mnt/i
    say "$1"
    umount /mnt/i
    rbd_unmap "$dev"
}
snap a a
snap b b
on img ro say head
on clone ro,noload say clone
on clone rw write
on clone ro say "clone written"
on clone ro say "clone again"
snap "a again" a
on img ro say "head again"
