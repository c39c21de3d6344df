package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
)

// Gen makes random transactions, the same from the same source. They work on
// few collections and objects, so that they meet, and some of them fail.
type Gen struct {
	R *rand.Rand
	// MaxWrite bounds the bytes of a write; zero is 300 KiB.
	MaxWrite int
	// Crossing allows steps that touch two collections.
	Crossing bool
}

// Colls are the collections that transactions use, and create as they go.
var Colls = []objstore.Coll{coll, other, objstore.MetaColl}

// Txn makes a transaction for one collection (and the meta collection, if
// Crossing is set).
func (g *Gen) Txn() *objstore.Txn {
	tx := &objstore.Txn{}
	c := Colls[g.R.IntN(len(Colls))]
	for range 1 + g.R.IntN(4) {
		g.step(tx, c)
	}
	return tx
}

// Setup makes the collections.
func (g *Gen) Setup() *objstore.Txn {
	tx := &objstore.Txn{}
	for _, c := range Colls {
		if !c.Meta {
			tx.CreateColl(c)
		}
	}
	return tx
}

func (g *Gen) oid() object.ID {
	n := g.R.IntN(12)
	o := object.New(1, []string{"", "ns"}[n%2], "", fmt.Sprintf("obj%d", n/3))
	if n%3 == 2 {
		o.Snap = 4
	}
	return o
}

func (g *Gen) key() string { return fmt.Sprintf("k%02d", g.R.IntN(40)) }

func (g *Gen) bytes(n int) []byte {
	b := make([]byte, n)
	x := g.R.Uint64() | 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

// size is often small, at times aligned, at times large.
func (g *Gen) size() int {
	limit := g.MaxWrite
	if limit == 0 {
		limit = 300 << 10
	}
	n := 0
	switch g.R.IntN(6) {
	case 0:
		n = 4096 * (1 + g.R.IntN(4))
	case 1:
		n = g.R.IntN(limit)
	case 2:
		n = 65536
	default:
		n = g.R.IntN(9000)
	}
	return min(n, limit)
}

func (g *Gen) off() uint64 {
	switch g.R.IntN(4) {
	case 0:
		return 0
	case 1:
		return uint64(g.R.IntN(40)) * 4096
	}
	return uint64(g.R.IntN(150000))
}

func (g *Gen) kvs() (out []objstore.KV) {
	for range 1 + g.R.IntN(5) {
		n := g.R.IntN(40)
		if g.R.IntN(40) == 0 {
			n = 5000
		}
		out = append(out, objstore.KV{Key: g.key(), Value: g.bytes(n)})
	}
	return out
}

func (g *Gen) data(n int) (l buffer.List) {
	b := g.bytes(n)
	for len(b) > 0 && g.R.IntN(3) == 0 {
		i := 1 + g.R.IntN(len(b))
		l = append(l, buffer.Copy(b[:i]))
		b = b[i:]
	}
	if len(b) > 0 {
		l = append(l, buffer.Copy(b))
	}
	return l
}

func (g *Gen) step(tx *objstore.Txn, c objstore.Coll) {
	o := g.oid()
	switch g.R.IntN(24) {
	case 0:
		tx.Touch(c, o)
	case 1, 2, 3, 4, 5, 6, 7:
		tx.Write(c, o, g.off(), g.data(g.size()))
	case 8:
		tx.Zero(c, o, g.off(), uint64(g.size()))
	case 9:
		tx.Truncate(c, o, g.off())
	case 10:
		tx.Remove(c, o)
	case 11, 12:
		tx.SetAttrs(c, o, g.kvs())
	case 13:
		tx.RmAttr(c, o, g.key())
	case 14, 15, 16:
		tx.OmapSet(c, o, g.kvs())
	case 17:
		tx.OmapRm(c, o, []string{g.key(), g.key()})
	case 18:
		tx.OmapRmRange(c, o, g.key(), []string{g.key(), ""}[g.R.IntN(2)])
	case 19:
		switch g.R.IntN(4) {
		case 0:
			tx.OmapClear(c, o)
		case 1:
			tx.RmAttrs(c, o)
		default:
			tx.OmapSetHeader(c, o, g.bytes(g.R.IntN(50)))
		}
	case 20:
		tx.Clone(c, o, g.oid())
	case 21:
		from, n, to := g.off(), uint64(g.size()), g.off()
		if g.R.IntN(2) == 0 {
			to = to&^4095 | from&4095
		}
		tx.CloneRange(c, o, g.oid(), from, n, to)
	case 22:
		dc := c
		if g.Crossing && g.R.IntN(2) == 0 {
			dc = objstore.MetaColl
		}
		tx.Rename(c, o, dc, g.oid())
	case 23:
		if !g.Crossing {
			tx.Remove(c, o)
			tx.Touch(c, o)
		} else if g.R.IntN(2) == 0 {
			tx.RemoveColl(c)
		} else {
			tx.CreateColl(c)
		}
	}
}

// Clone returns a transaction with the same steps and its own references.
func Clone(tx *objstore.Txn) *objstore.Txn {
	c := &objstore.Txn{Ops: append([]objstore.Op(nil), tx.Ops...)}
	for i := range c.Ops {
		c.Ops[i].Data = append(buffer.List(nil), c.Ops[i].Data...).Retain()
	}
	return c
}

// Same submits n random transactions to both stores and fails when they
// disagree. Every now and then it calls disturb, which may replace the store
// under test by what is found after reopening.
func Same(t testing.TB, g *Gen, model, s objstore.Store, n int, disturb func(objstore.Store) objstore.Store) objstore.Store {
	submit := func(tx *objstore.Txn) {
		twin := Clone(tx)
		want := model.Submit(twin, nil)
		got := s.Submit(tx, func(err error) {
			if err != nil {
				t.Errorf("commit: %v", err)
			}
		})
		for _, e := range []error{objstore.ErrNotFound, objstore.ErrInvalid, nil} {
			if errors.Is(want, e) != errors.Is(got, e) {
				t.Fatalf("submit: %v, want %v", got, want)
			}
		}
	}
	compare := func() {
		want, err := Describe(model)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Describe(s)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != want.String() {
			t.Fatalf("got:\n%v\nwant:\n%v", got, want)
		}
	}
	submit(g.Setup())
	for i := range n {
		submit(g.Txn())
		if i%20 == 19 {
			compare()
		}
		if disturb != nil && g.R.IntN(20) == 0 {
			s = disturb(s)
		}
	}
	compare()
	return s
}
