package nbd

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/pulpo-storage/pulpo/errno"
)

// memory is a device of bytes, in blocks of which it knows whether they were
// written.
type memory struct {
	mu      sync.Mutex
	data    []byte
	written []bool // by block
	flushed int
	closed  bool
	ro      bool
	fail    error // of everything
}

const block = 512

func newMemory(size int) *memory {
	return &memory{data: make([]byte, size), written: make([]bool, (size+block-1)/block)}
}

func (m *memory) Size() int64    { return int64(len(m.data)) }
func (m *memory) ReadOnly() bool { return m.ro }

func (m *memory) Refresh(context.Context) error { return nil }

func (m *memory) BlockSize() uint32 { return block }

func (m *memory) ReadAt(_ context.Context, p []byte, off int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	copy(p, m.data[off:])
	return m.fail
}

func (m *memory) mark(off, n int64, written bool) {
	for b := off / block; b*block < off+n; b++ {
		if whole := b*block >= off && min((b+1)*block, m.Size()) <= off+n; written || whole {
			m.written[b] = written
		}
	}
}

func (m *memory) WriteAt(_ context.Context, p []byte, off int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	copy(m.data[off:], p)
	m.mark(off, int64(len(p)), true)
	return m.fail
}

func (m *memory) Trim(ctx context.Context, off, n int64) error {
	return m.WriteZeroes(ctx, off, n, true)
}

func (m *memory) WriteZeroes(_ context.Context, off, n int64, hole bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.data[off : off+n])
	m.mark(off, n, !hole)
	return m.fail
}

func (m *memory) flushes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.flushed
}

func (m *memory) Flush(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flushed++
	return m.fail
}

func (m *memory) Extents(_ context.Context, off, n int64) ([]Extent, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []Extent
	for end := off + n; off < end; {
		l := min((off/block+1)*block, end) - off
		list = append(list, Extent{l, !m.written[off/block]})
		off += l
	}
	return list, m.fail
}

func (m *memory) Close(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		panic("closed twice")
	}
	m.closed = true
	return nil
}

// shelf is exports of memory.
type shelf map[string]*memory

func (s shelf) List(context.Context) ([]string, error) {
	var names []string
	for n := range s {
		names = append(names, n)
	}
	slices.Sort(names)
	return names, nil
}

func (s shelf) Open(_ context.Context, name string) (Device, error) {
	m := s[name]
	if m == nil {
		return nil, fmt.Errorf("no export %q: %w", name, errno.ENOENT)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = false
	return m, nil
}
