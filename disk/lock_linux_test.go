package disk_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pulpo-storage/pulpo/disk"
)

// A child that is being started shares what this process has open until it runs
// its program. A lock that was given up is free all the same.
func TestLockIsFreeDespiteChildren(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := disk.At(dir).Lock("f")
	if err != nil {
		t.Fatal(err)
	}
	child, err := unix.Dup(int(l.(interface{ Fd() uintptr }).Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(child)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = disk.At(dir).Lock("f"); err != nil {
		t.Fatal(err)
	}
	l.Close()
}
