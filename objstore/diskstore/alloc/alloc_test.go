package alloc

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// check verifies the invariants and that exactly the blocks of used are taken.
func (b *Bitmap) check(t *testing.T, used map[uint64]bool) {
	t.Helper()
	var total uint64
	for c := range b.free {
		var n uint32
		for i := range uint64(ChunkBlocks) {
			at := uint64(c)*ChunkBlocks + i
			bit := b.words[at/64]>>(at%64)&1 == 1
			if at >= b.size {
				if !bit {
					t.Fatalf("block %d beyond the end is free", at)
				}
				continue
			}
			if bit != used[at] {
				t.Fatalf("block %d: in use is %v, want %v", at, bit, used[at])
			}
			if !bit {
				n++
			}
		}
		if n != b.free[c] {
			t.Fatalf("chunk %d counts %d free, has %d", c, b.free[c], n)
		}
		total += uint64(n)
	}
	if total != b.total {
		t.Fatalf("total is %d, want %d", b.total, total)
	}
}

func TestAgainstASet(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	b := New(ChunkBlocks + 777)
	used := map[uint64]bool{}
	var held []Run
	for i := range 3000 {
		switch k := r.IntN(10); {
		case k < 6:
			n := uint64(1 + r.IntN(8))
			if r.IntN(10) == 0 {
				n = uint64(1 + r.IntN(3000))
			}
			runs, ok := b.Alloc(nil, n)
			if want := uint64(len(used))+n <= b.Size(); ok != want {
				t.Fatalf("alloc of %d with %d of %d in use: %v", n, len(used), b.Size(), ok)
			}
			if !ok {
				continue
			}
			var got uint64
			for _, x := range runs {
				for at := x.Start; at < x.End(); at++ {
					if used[at] {
						t.Fatalf("block %d handed out twice", at)
					}
					used[at] = true
				}
				got += x.Len
			}
			if got != n {
				t.Fatalf("asked for %d, got %v", n, runs)
			}
			held = append(held, runs...)
		case k < 9 && len(held) > 0:
			j := r.IntN(len(held))
			x := held[j]
			held[j] = held[len(held)-1]
			held = held[:len(held)-1]
			if err := b.Release(x); err != nil {
				t.Fatal(err)
			}
			for at := x.Start; at < x.End(); at++ {
				delete(used, at)
			}
		case k == 9 && i%300 == 0:
			b.Grow(b.Size() + uint64(r.IntN(20000)))
		}
		if i%100 == 0 {
			b.check(t, used)
		}
	}
	b.check(t, used)

	// The form on disk brings the same bitmap back.
	c := New(b.Size())
	for i := range b.Chunks() {
		p := b.AppendChunk(nil, i)
		if len(p) != ChunkBytes {
			t.Fatalf("chunk of %d bytes", len(p))
		}
		if err := c.LoadChunk(i, p); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(c.AppendChunk(nil, i), p) {
			t.Fatalf("chunk %d differs", i)
		}
	}
	c.check(t, used)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	b := New(100)
	if err := b.Mark(Run{10, 5}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []Run{{12, 1}, {8, 3}, {99, 2}, {100, 1}, {5, 0}, {1, 1 << 63}, {^uint64(0), 2}} {
		if b.Mark(r) == nil {
			t.Errorf("mark %v: no error", r)
		}
	}
	for _, r := range []Run{{9, 2}, {14, 2}, {50, 1}, {200, 1}, {10, 0}} {
		if b.Release(r) == nil {
			t.Errorf("release %v: no error", r)
		}
	}
	if err := New(100).LoadChunk(0, bytes.Repeat([]byte{0xff}, ChunkBytes)); err == nil {
		t.Error("a chunk with blocks beyond the end: no error")
	}
	if err := New(100).LoadChunk(1, make([]byte, ChunkBytes)); err == nil {
		t.Error("a chunk beyond the end: no error")
	}
	if err := New(100).LoadChunk(0, nil); err == nil {
		t.Error("an empty chunk: no error")
	}
}

func TestLargeRequestsGetLargeRuns(t *testing.T) {
	t.Parallel()
	b := New(4 * ChunkBlocks)
	// Every second block of the first half is taken.
	for i := uint64(0); i < 2*ChunkBlocks; i += 2 {
		if err := b.Mark(Run{i, 1}); err != nil {
			t.Fatal(err)
		}
	}
	runs, ok := b.Alloc(nil, 1024)
	if !ok || len(runs) != 1 {
		t.Fatalf("got %d runs", len(runs))
	}
	// In order, one after the other.
	next, _ := b.Alloc(nil, 3)
	if len(next) != 1 || next[0].Start != runs[0].End() {
		t.Fatalf("got %v after %v", next, runs)
	}
	// When only crumbs are left they are used.
	if _, ok := b.Alloc(nil, b.Free()); !ok || b.Free() != 0 {
		t.Fatalf("%d left", b.Free())
	}
}

func BenchmarkAllocOne(b *testing.B) {
	m := New(1 << 25) // 128 GiB
	if _, ok := m.Alloc(nil, 1<<24); !ok {
		b.Fatal("full")
	}
	var runs []Run
	for b.Loop() {
		var ok bool
		if runs, ok = m.Alloc(runs[:0], 1); !ok {
			b.Fatal("full")
		}
		if err := m.Release(runs[0]); err != nil {
			b.Fatal(err)
		}
	}
}
