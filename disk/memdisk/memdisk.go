// Package memdisk is a disk in memory that can lose power. It keeps, beside
// what reads see, every write that no sync has made durable; [Disk.CrashClone]
// makes a disk on which each 512-byte piece of those writes is there or not, as
// a seed says, which is all that a real disk promises.
//
// No compatibility promise.
package memdisk

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/pulpo-storage/pulpo/disk"
	"github.com/pulpo-storage/pulpo/errno"
)

const piece = 512

// Op is an operation that changes the disk, for a hook.
type Op struct {
	Kind string // create, write, sync, allocate, rename, remove, syncdir
	Name string
	Off  int64
	Len  int
}

// Disk is a directory on a disk in memory.
type Disk struct {
	mu       sync.RWMutex
	files    map[string]*file // what is visible
	durable  map[string]*file // names that survive
	locked   map[string]bool
	capacity int64
	hook     func(Op) error
}

// content is pages by number, which never change, and a size. Pages that are
// not there are zeros.
type content struct {
	pages map[int64][]byte
	size  int64
}

type file struct {
	d       *Disk
	data    content
	pending []write // since the last sync, in order
	synced  content // what is durable
}

// write is a page that was written, or a size that was reached.
type write struct {
	page int64
	data []byte
	size int64
}

func (c *content) clone() content { return content{maps.Clone(c.pages), c.size} }

func (c *content) set(page int64, p []byte) {
	if c.pages == nil {
		c.pages = map[int64][]byte{}
	}
	c.pages[page] = p
	c.size = max(c.size, (page+1)*disk.Sector)
}

func (c *content) apply(w write) {
	if w.data != nil {
		c.set(w.page, w.data)
	}
	c.size = max(c.size, w.size)
}

// tear applies the pieces of a write for which keep says so.
func (c *content) tear(w write, keep func() bool) {
	if w.data == nil {
		if keep() {
			c.apply(w)
		}
		return
	}
	p := make([]byte, disk.Sector)
	copy(p, c.pages[w.page])
	kept := false
	for i := 0; i < disk.Sector; i += piece {
		if keep() {
			copy(p[i:i+piece], w.data[i:])
			kept = true
		}
	}
	if kept {
		c.set(w.page, p)
	}
}

var (
	_ disk.Dir  = (*Disk)(nil)
	_ disk.File = (*handle)(nil)
)

// New returns an empty disk of so many bytes.
func New(capacity int64) *Disk {
	return &Disk{files: map[string]*file{}, durable: map[string]*file{}, locked: map[string]bool{}, capacity: capacity}
}

// SetHook has f called before each operation that changes the disk; an error
// is the operation's, and nothing happens. f may call CrashClone: it sees the
// disk before the operation.
func (d *Disk) SetHook(f func(Op) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hook = f
}

func (d *Disk) before(op Op) error {
	d.mu.RLock()
	f := d.hook
	d.mu.RUnlock()
	if f == nil {
		return nil
	}
	return f(op)
}

// CrashClone returns what is found after a crash at this moment. Nothing that
// was synced is lost; of the rest each piece is there with the given chance in
// percent, writes to the same place in order. If also is set it is called while
// nothing on this disk can change, to clone at the same moment what belongs to it.
func (d *Disk) CrashClone(seed uint64, percent int, also func()) *Disk {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if also != nil {
		also()
	}
	r := rand.New(rand.NewPCG(seed, 0))
	n := New(d.capacity)
	names := d.durable
	if percent > 0 && r.IntN(2) == 0 {
		names = d.files
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		f := names[name]
		c := &file{d: n, data: f.synced.clone()}
		for _, w := range f.pending {
			c.data.tear(w, func() bool { return r.IntN(100) < percent })
		}
		c.synced = c.data.clone()
		n.files[name], n.durable[name] = c, c
	}
	return n
}

// Corrupt flips a bit of a file, as a failing medium does.
func (d *Disk) Corrupt(name string, off int64, bit uint) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.files[name]
	if f == nil || off < 0 || off >= f.data.size {
		return fs.ErrNotExist
	}
	for _, c := range []*content{&f.data, &f.synced} {
		p := make([]byte, disk.Sector)
		copy(p, c.pages[off/disk.Sector])
		p[off%disk.Sector] ^= 1 << (bit % 8)
		c.set(off/disk.Sector, p)
	}
	return nil
}

// SetCapacity changes the size of the disk.
func (d *Disk) SetCapacity(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = n
}

func (d *Disk) Path() string { return "memdisk" }

func (d *Disk) Make() error { return nil }

func (d *Disk) Create(name string) (disk.File, error) {
	if err := d.before(Op{Kind: "create", Name: name}); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	f := &file{d: d}
	d.files[name] = f
	return &handle{f, name}, nil
}

func (d *Disk) Open(name string) (disk.File, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	f := d.files[name]
	if f == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &handle{f, name}, nil
}

func (d *Disk) List() ([]string, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Sorted(maps.Keys(d.files)), nil
}

func (d *Disk) Remove(name string) error {
	if err := d.before(Op{Kind: "remove", Name: name}); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.files, name)
	return nil
}

func (d *Disk) Rename(from, to string) error {
	if err := d.before(Op{Kind: "rename", Name: from}); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.files[from]
	if f == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	delete(d.files, from)
	d.files[to] = f
	return nil
}

func (d *Disk) Sync() error {
	if err := d.before(Op{Kind: "syncdir"}); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.durable = maps.Clone(d.files)
	return nil
}

func (d *Disk) Space() (total, free uint64, err error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return uint64(d.capacity), uint64(max(d.capacity-d.used(), 0)), nil
}

func (d *Disk) used() (n int64) {
	for _, f := range d.files {
		n += f.data.size
	}
	return n
}

type unlock func()

func (u unlock) Close() error { u(); return nil }

func (d *Disk) Lock(name string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[name] == nil {
		return nil, &fs.PathError{Op: "lock", Path: name, Err: fs.ErrNotExist}
	}
	if d.locked[name] {
		return nil, fmt.Errorf("%s: %w", name, disk.ErrLocked)
	}
	d.locked[name] = true
	return unlock(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.locked, name)
	}), nil
}

// extend checks that the disk has room for the file to reach to n.
func (f *file) extend(n int64) error {
	if k := n - f.data.size; k > 0 && f.d.used()+k > f.d.capacity {
		return errno.ENOSPC
	}
	return nil
}

// handle is an open file.
type handle struct {
	f    *file
	name string
}

func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	h.f.d.mu.RLock()
	defer h.f.d.mu.RUnlock()
	n := 0
	for n < len(p) && off < h.f.data.size {
		in := off % disk.Sector
		m := min(int64(len(p)-n), disk.Sector-in)
		if pg := h.f.data.pages[off/disk.Sector]; pg != nil {
			copy(p[n:n+int(m)], pg[in:])
		} else {
			clear(p[n : n+int(m)])
		}
		n += int(m)
		off += m
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	if off%disk.Sector != 0 || len(p)%disk.Sector != 0 {
		return 0, &fs.PathError{Op: "write", Path: h.name, Err: fs.ErrInvalid}
	}
	if err := h.f.d.before(Op{"write", h.name, off, len(p)}); err != nil {
		return 0, err
	}
	h.f.d.mu.Lock()
	defer h.f.d.mu.Unlock()
	if err := h.f.extend(off + int64(len(p))); err != nil {
		return 0, err
	}
	for i := 0; i < len(p); i += disk.Sector {
		w := write{page: (off + int64(i)) / disk.Sector, data: bytes.Clone(p[i : i+disk.Sector])}
		h.f.data.apply(w)
		h.f.pending = append(h.f.pending, w)
	}
	return len(p), nil
}

func (h *handle) Sync() error {
	if err := h.f.d.before(Op{Kind: "sync", Name: h.name}); err != nil {
		return err
	}
	h.f.d.mu.Lock()
	defer h.f.d.mu.Unlock()
	for _, w := range h.f.pending {
		h.f.synced.apply(w)
	}
	h.f.pending = nil
	return nil
}

func (h *handle) Allocate(off, n int64) error {
	if err := h.f.d.before(Op{"allocate", h.name, off, int(n)}); err != nil {
		return err
	}
	h.f.d.mu.Lock()
	defer h.f.d.mu.Unlock()
	if err := h.f.extend(off + n); err != nil {
		return err
	}
	w := write{size: off + n}
	h.f.data.apply(w)
	h.f.pending = append(h.f.pending, w)
	return nil
}

func (h *handle) Size() (int64, error) {
	h.f.d.mu.RLock()
	defer h.f.d.mu.RUnlock()
	return h.f.data.size, nil
}

func (h *handle) Close() error { return nil }
