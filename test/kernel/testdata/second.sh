change() {
    rm -rf /mnt/i/d1 /mnt/i/d2
    mv /mnt/i/d3 /mnt/i/moved
    head -c 5000000 /dev/urandom | dd of=/mnt/i/big bs=1M seek=7 conv=notrunc status=none
    head -c 3000000 /dev/urandom >>/mnt/i/big
    chmod 600 /mnt/i/d4/f*
}
on img rw change
