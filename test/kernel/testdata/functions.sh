set -e
# Everything in a tree: names, kinds, modes, and what the files hold.
tree() { (cd "$1" && find . -path ./lost+found -prune -o -printf '%p %y %m %l\n' -o -type f | sort && find . -type f -exec md5sum {} + | sort -k2) | md5sum | cut -d' ' -f1; }
on() { # IMAGE OPTIONS COMMAND...: with the image mounted at /mnt/i
    local dev image=$1 options=$2
    shift 2
    dev=$(rbd_map rbd "$image")
    mkdir -p /mnt/i
    mount -o "$options" "$dev" /mnt/i
    "$@"
    umount /mnt/i
    rbd_unmap "$dev"
}
