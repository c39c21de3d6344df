package recovery

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/memstore"
	"github.com/pulpo-storage/pulpo/osd/extent"
	"pgregory.net/rapid"
)

// history makes an object that was written to between snapshots, and returns its
// versions and how many bytes of all of them are unlike those of the next one.
func history(t fatal, s *memstore.Store, id object.ID, writes [][]extent.Span, size uint64) (l Lineage, unique uint64) {
	t.Helper()
	n := byte(0)
	data := func(k uint64) buffer.List {
		b := make([]byte, k)
		for i := range b {
			n++
			b[i] = n
		}
		return buffer.ListOf(b)
	}
	txn := new(objstore.Txn)
	txn.Write(coll, id, 0, data(size))
	submit(t, s, txn)
	unique = size
	for i, spans := range writes {
		snap := object.SnapID(i + 1)
		txn := new(objstore.Txn)
		txn.Clone(coll, id, id.At(snap))
		txn.SetAttr(coll, id.At(snap), "oi", []byte(fmt.Sprint("clone ", snap)))
		same := extent.Of(0, size)
		for _, w := range spans {
			txn.Write(coll, id, w.Off, data(w.End-w.Off))
			same = same.Subtract(extent.Of(w.Off, w.End-w.Off))
		}
		submit(t, s, txn)
		l = append(l, Link{Snap: snap, Size: size, Overlap: same})
		unique += size - same.Size()
	}
	txn = new(objstore.Txn)
	txn.SetAttr(coll, id, "oi", []byte("head"))
	submit(t, s, txn)
	return append(l, Link{Snap: object.NoSnap, Size: size}), unique
}

// sendAll sends versions in an order, each with what is there by then, and returns
// the bytes of data that travelled.
func sendAll(t fatal, from, to *memstore.Store, id object.ID, l Lineage, order []int, max, limit int) (sent uint64) {
	t.Helper()
	there := map[object.SnapID]bool{}
	for _, i := range order {
		src := &Source{Store: from, Coll: coll, Object: id.At(l[i].Snap), Size: l[i].Size}
		src.Bytes, src.Borrows = l.Plan(i, func(s object.SnapID) bool { return there[s] }, limit)
		sent += src.Bytes.Size()
		transfer(t, src, to, max)
		there[l[i].Snap] = true
	}
	for _, link := range l {
		want, got := contentOf(t, from, id.At(link.Snap)), contentOf(t, to, id.At(link.Snap))
		if got == nil || !bytes.Equal(want.data, got.data) || !want.equal(got) {
			t.Fatalf("version %d: sent %v, arrived %v", link.Snap, want, got)
		}
	}
	return sent
}

func TestHundredSnapshotsMoveTheirUniqueBytesOnce(t *testing.T) {
	t.Parallel()
	const size = 256 << 10
	r := rand.New(rand.NewPCG(1, 2))
	var writes [][]extent.Span
	for range 100 {
		var w []extent.Span
		for range 1 + r.IntN(3) {
			off := uint64(r.IntN(size-4096)) &^ 511
			w = append(w, extent.Span{Off: off, End: off + uint64(1+r.IntN(4096))})
		}
		writes = append(writes, w)
	}
	for _, c := range []struct {
		name  string
		order func(n int) []int
	}{
		{"oldest first", func(n int) []int { return upTo(n) }},
		{"newest first", func(n int) []int {
			o := upTo(n)
			for i := range o {
				o[i] = n - 1 - i
			}
			return o
		}},
		{"any", func(n int) []int { return rand.New(rand.NewPCG(3, 4)).Perm(n) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			from, to := newStore(t), newStore(t)
			id := obj("o")
			l, unique := history(t, from, id, writes, size)
			if sent := sendAll(t, from, to, id, l, c.order(len(l)), 64<<10, -1); sent != unique {
				t.Errorf("%d bytes travelled, %d are unlike others", sent, unique)
			}
		})
	}
}

func upTo(n int) (o []int) {
	for i := range n {
		o = append(o, i)
	}
	return o
}

func TestPlan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const size = 64
		var writes [][]extent.Span
		for range rapid.IntRange(0, 8).Draw(t, "snapshots") {
			var w []extent.Span
			for range rapid.IntRange(0, 3).Draw(t, "writes") {
				off := rapid.Uint64Range(0, size-1).Draw(t, "off")
				w = append(w, extent.Span{Off: off, End: rapid.Uint64Range(off+1, size).Draw(t, "end")})
			}
			writes = append(writes, w)
		}
		from, to := newStore(t), newStore(t)
		id := obj("o")
		l, unique := history(t, from, id, writes, size)
		order := rapid.Permutation(upTo(len(l))).Draw(t, "order")
		limit := rapid.IntRange(-1, 4).Draw(t, "limit")
		sent := sendAll(t, from, to, id, l, order, rapid.IntRange(1, 100).Draw(t, "max"), limit)
		if limit < 0 && sent != unique || sent < unique || limit == 0 && sent != size*uint64(len(l)) {
			t.Fatalf("%d bytes travelled, %d are unlike others, limit %d", sent, unique, limit)
		}
	})
}
