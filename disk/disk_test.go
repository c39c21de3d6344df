package disk_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"slices"
	"testing"

	"github.com/pulpo-storage/pulpo/disk"
	"github.com/pulpo-storage/pulpo/disk/faultdisk"
	"github.com/pulpo-storage/pulpo/disk/memdisk"
	"github.com/pulpo-storage/pulpo/errno"
)

// All implementations do the same.
func TestDir(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]disk.Dir{
		"real":   disk.At(t.TempDir() + "/a/b"),
		"memory": memdisk.New(64 << 20),
		"faulty": faultdisk.New(memdisk.New(64 << 20)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testDir(t, d)
		})
	}
}

func testDir(t *testing.T, d disk.Dir) {
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(d.Make())
	if _, err := d.Open("f"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("open: %v", err)
	}
	f, err := d.Create("f")
	check(err)
	if _, err := d.Create("f"); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("create again: %v", err)
	}
	check(f.Allocate(0, 1<<20))
	if n, err := f.Size(); err != nil || n != 1<<20 {
		t.Fatal(n, err)
	}
	data := disk.Aligned(3 * disk.Sector)
	for i := range data {
		data[i] = byte(i * 7)
	}
	_, err = f.WriteAt(data, disk.Sector)
	check(err)
	// Memory that begins anywhere.
	odd := append(make([]byte, 1), bytes.Repeat([]byte("x"), 80*disk.Sector)...)[1:]
	_, err = f.WriteAt(odd, 8*disk.Sector)
	check(err)
	if _, err := f.WriteAt(data[:100], 0); err == nil {
		t.Fatal("a part of a sector was written")
	}
	if _, err := f.WriteAt(data, 100); err == nil {
		t.Fatal("something was written between sectors")
	}
	check(f.Sync())
	got := make([]byte, 10000)
	if _, err := f.ReadAt(got, disk.Sector+5); err != nil || !bytes.Equal(got, data[5:10005]) {
		t.Fatal(err)
	}
	if _, err := f.ReadAt(got, 8*disk.Sector+3); err != nil || !bytes.Equal(got, odd[:10000]) {
		t.Fatal(err)
	}
	if n, err := f.ReadAt(got, 1<<20-100); n != 100 || err != io.EOF || !bytes.Equal(got[:100], make([]byte, 100)) {
		t.Fatal(n, err)
	}
	l, err := d.Lock("f")
	check(err)
	if _, err := d.Lock("f"); !errors.Is(err, disk.ErrLocked) {
		t.Fatalf("second lock: %v", err)
	}
	check(l.Close())
	l, err = d.Lock("f")
	check(err)
	check(l.Close())
	check(f.Close())
	check(d.Rename("f", "g"))
	check(d.Sync())
	if names, err := d.List(); err != nil || !slices.Equal(names, []string{"g"}) {
		t.Fatal(names, err)
	}
	if total, free, err := d.Space(); err != nil || free > total || total == 0 {
		t.Fatal(total, free, err)
	}
	f, err = d.Open("g")
	check(err)
	if _, err := f.ReadAt(got, disk.Sector); err != nil || !bytes.Equal(got, data[:10000]) {
		t.Fatal(err)
	}
	check(f.Close())
	check(d.Remove("g"))
	check(d.Remove("none"))
	if names, err := d.List(); err != nil || len(names) != 0 {
		t.Fatal(names, err)
	}
}

func TestCrashClone(t *testing.T) {
	t.Parallel()
	d := memdisk.New(1 << 20)
	f, err := d.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	write := func(c byte) {
		if _, err := f.WriteAt(bytes.Repeat([]byte{c}, disk.Sector), 0); err != nil {
			t.Fatal(err)
		}
	}
	if names, _ := d.CrashClone(1, 0, nil).List(); len(names) != 0 {
		t.Fatalf("a name survived without a sync: %v", names)
	}
	write(1)
	if err := errors.Join(f.Sync(), d.Sync()); err != nil {
		t.Fatal(err)
	}
	write(2)
	read := func(d *memdisk.Disk) []byte {
		f, err := d.Open("f")
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, disk.Sector)
		if _, err := f.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		return b
	}
	if b := read(d.CrashClone(1, 0, nil)); !bytes.Equal(b, bytes.Repeat([]byte{1}, disk.Sector)) {
		t.Fatal("what was synced is lost, or what was not is there")
	}
	if b := read(d.CrashClone(1, 100, nil)); !bytes.Equal(b, bytes.Repeat([]byte{2}, disk.Sector)) {
		t.Fatal("all was to be kept")
	}
	torn := read(d.CrashClone(1, 50, nil))
	if !bytes.Contains(torn, []byte{1, 2}) && !bytes.Contains(torn, []byte{2, 1}) {
		t.Fatal("the write is not torn")
	}
	if !bytes.Equal(torn, read(d.CrashClone(1, 50, nil))) {
		t.Fatal("the same seed gives another crash")
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	d := faultdisk.New(memdisk.New(1 << 20))
	f, err := d.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	b := disk.Aligned(disk.Sector)
	d.Set(faultdisk.EIO("write", 2*disk.Sector, 1))
	if _, err := f.WriteAt(b, disk.Sector); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, 2*disk.Sector); !errors.Is(err, errno.EIO) {
		t.Fatal(err)
	}
	d.Set(faultdisk.NoSpace)
	if err := f.Allocate(0, 100); !errors.Is(err, errno.ENOSPC) {
		t.Fatal(err)
	}
	d.Set(faultdisk.CutAfter(1))
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); !errors.Is(err, errno.EIO) {
		t.Fatal(err)
	}
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
}
