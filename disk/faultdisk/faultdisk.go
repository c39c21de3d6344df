// Package faultdisk is a disk that breaks as told: it passes everything on to
// another one, but for what its rules make fail. A rule sees each operation
// before it happens.
//
// No compatibility promise.
package faultdisk

import (
	"io"
	"sync/atomic"

	"github.com/pulpo-storage/pulpo/disk"
	"github.com/pulpo-storage/pulpo/errno"
)

// Op is an operation that a rule judges.
type Op struct {
	Kind string // create, open, read, write, sync, allocate, rename, remove, syncdir
	Name string // of the file
	Off  int64
	Len  int
}

// Rule returns the error that an operation is to fail with, or nil. It is
// called from many goroutines.
type Rule func(Op) error

// EIO fails the operations of a kind whose range has a byte in [off, off+n).
func EIO(kind string, off, n int64) Rule {
	return func(op Op) error {
		if op.Kind == kind && op.Off < off+n && off < op.Off+int64(max(op.Len, 1)) {
			return errno.EIO
		}
		return nil
	}
}

// CutAfter lets n operations that change something pass and fails all later
// ones, as a disk whose cable is pulled.
func CutAfter(n int64) Rule {
	var seen atomic.Int64
	return func(op Op) error {
		switch op.Kind {
		case "read", "open":
			return nil
		}
		if seen.Add(1) > n {
			return errno.EIO
		}
		return nil
	}
}

// NoSpace fails all allocations.
func NoSpace(op Op) error {
	if op.Kind == "allocate" {
		return errno.ENOSPC
	}
	return nil
}

// Disk is a directory on a disk that breaks.
type Disk struct {
	disk.Dir
	rule atomic.Pointer[Rule]
}

var _ disk.Dir = (*Disk)(nil)

// New returns a disk that works as long as it has no rule.
func New(d disk.Dir) *Disk { return &Disk{Dir: d} }

// Set replaces the rule; nil makes the disk whole again.
func (d *Disk) Set(r Rule) {
	if r == nil {
		d.rule.Store(nil)
	} else {
		d.rule.Store(&r)
	}
}

func (d *Disk) judge(op Op) error {
	if r := d.rule.Load(); r != nil {
		return (*r)(op)
	}
	return nil
}

func (d *Disk) wrap(name string, f disk.File, err error) (disk.File, error) {
	if err != nil {
		return nil, err
	}
	return &file{f, d, name}, nil
}

func (d *Disk) Create(name string) (disk.File, error) {
	if err := d.judge(Op{Kind: "create", Name: name}); err != nil {
		return nil, err
	}
	f, err := d.Dir.Create(name)
	return d.wrap(name, f, err)
}

func (d *Disk) Open(name string) (disk.File, error) {
	if err := d.judge(Op{Kind: "open", Name: name}); err != nil {
		return nil, err
	}
	f, err := d.Dir.Open(name)
	return d.wrap(name, f, err)
}

func (d *Disk) Remove(name string) error {
	if err := d.judge(Op{Kind: "remove", Name: name}); err != nil {
		return err
	}
	return d.Dir.Remove(name)
}

func (d *Disk) Rename(from, to string) error {
	if err := d.judge(Op{Kind: "rename", Name: from}); err != nil {
		return err
	}
	return d.Dir.Rename(from, to)
}

func (d *Disk) Sync() error {
	if err := d.judge(Op{Kind: "syncdir"}); err != nil {
		return err
	}
	return d.Dir.Sync()
}

func (d *Disk) Lock(name string) (io.Closer, error) { return d.Dir.Lock(name) }

type file struct {
	disk.File
	d    *Disk
	name string
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.d.judge(Op{"read", f.name, off, len(p)}); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if err := f.d.judge(Op{"write", f.name, off, len(p)}); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f *file) Sync() error {
	if err := f.d.judge(Op{Kind: "sync", Name: f.name}); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *file) Allocate(off, n int64) error {
	if err := f.d.judge(Op{"allocate", f.name, off, int(n)}); err != nil {
		return err
	}
	return f.File.Allocate(off, n)
}
