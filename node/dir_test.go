package node

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// As TestLockIsFreeDespiteChildren of package disk.
func TestDirIsFreeDespiteChildren(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d")
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	child, err := unix.Dup(int(d.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(child)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if d, err = OpenDir(path); err != nil {
		t.Fatal(err)
	}
	d.Close()
}
