package scrub

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/memstore"
	"github.com/pulpo-storage/pulpo/wire"
)

// failing is a store that cannot read some things.
type failing struct {
	objstore.Store
	read, omap, attrs, list bool
}

func (f failing) Read(c objstore.Coll, o object.ID, off, n uint64) (buffer.List, error) {
	if f.read && off > 0 {
		return nil, errno.EIO
	}
	return f.Store.Read(c, o, off, n)
}

func (f failing) OmapScan(c objstore.Coll, o object.ID, from string, fn func(string, []byte) bool) error {
	if f.omap {
		return errno.EIO
	}
	return f.Store.OmapScan(c, o, from, fn)
}

func (f failing) Attrs(c objstore.Coll, o object.ID) (map[string][]byte, error) {
	if f.attrs {
		return nil, errno.EIO
	}
	return f.Store.Attrs(c, o)
}

func (f failing) List(c objstore.Coll, from object.ID, max int) ([]object.ID, object.ID, error) {
	if f.list {
		return nil, object.ID{}, errno.EIO
	}
	return f.Store.List(c, from, max)
}

var coll = objstore.PGColl(testPG)

// filled is a store with an object of data, omap and attributes.
func filled(t *testing.T, more ...object.ID) objstore.Store {
	t.Helper()
	s := memstore.New()
	t.Cleanup(func() { s.Close() })
	var txn objstore.Txn
	txn.CreateColl(coll)
	a := head("a")
	txn.Write(coll, a, 0, buffer.ListOf([]byte(strings.Repeat("0123456789", 1000))))
	txn.SetAttr(coll, a, AttrInfo, []byte("v1 s10000"))
	txn.OmapSetHeader(coll, a, []byte("header"))
	for i := range 10 {
		txn.OmapSet(coll, a, []objstore.KV{{Key: fmt.Sprintf("k%d", i), Value: []byte{byte(i)}}})
	}
	for _, id := range more {
		txn.Touch(coll, id)
	}
	if err := s.Submit(&txn, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

func build(t *testing.T, s objstore.Store, deep bool, l Limits) (m *Map, steps int) {
	t.Helper()
	b := NewBuilder(s, coll, object.MinID, object.MaxID, deep, l, nil)
	for steps = 1; !b.Step(); steps++ {
		if steps > 1e5 {
			t.Fatal("it does not end")
		}
	}
	return b.Map(), steps
}

// However small the steps, the map is the same: the checksums are those of Ceph
// over all data, and over the omap's header, keys and values.
func TestBuilder(t *testing.T) {
	t.Parallel()
	s := filled(t)
	data := wire.CRC32C(^uint32(0), []byte(strings.Repeat("0123456789", 1000)))
	var e wire.Encoder
	e.Raw([]byte("header"))
	for i := range 10 {
		e.Str(fmt.Sprintf("k%d", i))
		e.Blob([]byte{byte(i)})
	}
	omap := wire.CRC32C(^uint32(0), e.Bytes())
	last := 0
	for _, l := range []Limits{{Stride: 1 << 20, Keys: 1000}, {Stride: 4096, Keys: 3}, {Stride: 100, Keys: 1}, {}} {
		m, steps := build(t, s, true, l)
		o := m.Objects[0]
		if len(m.Objects) != 1 || o.Size != 10000 || o.Data != (Digest{true, data}) || o.Omap != (Digest{true, omap}) || o.OmapKeys != 10 ||
			o.OmapBytes != 10 || string(o.Attrs[AttrInfo]) != "v1 s10000" || o.ReadError || o.StatError {
			t.Errorf("%+v: %+v, checksums %x %x", l, m, data, omap)
		}
		if steps <= last {
			t.Errorf("%+v took %d steps, more than that the larger limits: %d", l, steps, last)
		}
		last = steps
	}
	if m, _ := build(t, s, false, Limits{}); m.Objects[0].Data.Known || m.Objects[0].Omap.Known || m.Objects[0].Size != 10000 {
		t.Errorf("shallow: %+v", m.Objects[0])
	}
}

func TestBuilderMeetsErrors(t *testing.T) {
	t.Parallel()
	s := filled(t, head("b"))
	for _, c := range []struct {
		store                  failing
		deep                   bool
		read, stat, unlistable bool
	}{
		{failing{Store: s, read: true}, true, true, false, false},
		{failing{Store: s, read: true}, false, false, false, false},
		{failing{Store: s, omap: true}, true, true, false, false},
		{failing{Store: s, attrs: true}, true, false, true, false},
		{failing{Store: s, list: true}, true, false, false, true},
	} {
		m, _ := build(t, c.store, c.deep, Limits{Stride: 1000, Keys: 2})
		if m.Unlistable != c.unlistable {
			t.Errorf("%+v: %+v", c, m)
		}
		if o := m.Find(head("a")); !c.unlistable && (o == nil || o.ReadError != c.read || o.StatError != c.stat || o.ReadError && o.Data.Known) {
			t.Errorf("%+v: %+v", c, m)
		}
	}
}

// A stock OSD gave these for an omap of one key, k, with the value v, and for none.
func TestOmapDigestIsCephs(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	t.Cleanup(func() { s.Close() })
	var txn objstore.Txn
	txn.CreateColl(coll)
	txn.OmapSet(coll, head("a"), []objstore.KV{{Key: "k", Value: []byte("v")}})
	txn.Touch(coll, head("b"))
	if err := s.Submit(&txn, nil); err != nil {
		t.Fatal(err)
	}
	m, _ := build(t, s, true, Limits{})
	if a, b := m.Find(head("a")).Omap, m.Find(head("b")).Omap; a.CRC != 0x671636db || b.CRC != 0xffffffff {
		t.Errorf("%x %x", a.CRC, b.CRC)
	}
}

// A chunk has what is in its range, and nothing that is not the clients'.
func TestBuilderRange(t *testing.T) {
	t.Parallel()
	ids := []object.ID{head("a").At(3), head("b"), head("c"), {Pool: 1, Snap: object.NoSnap}}
	for i := range 3 * listBatch {
		ids = append(ids, head(fmt.Sprint("more", i)))
	}
	s := filled(t, ids...)
	all, _ := build(t, s, false, Limits{})
	if len(all.Objects) != len(ids)+1 {
		t.Fatalf("%d objects", len(all.Objects))
	}
	from, to := all.Objects[10].ID, all.Objects[300].ID
	b := NewBuilder(s, coll, from, to, false, Limits{Stride: 1 << 20}, func(id object.ID) bool { return id == all.Objects[20].ID })
	for !b.Step() {
	}
	m := b.Map()
	if len(m.Objects) != 289 || m.Objects[0].ID != from || m.Find(to) != nil || m.Find(all.Objects[20].ID) != nil {
		t.Errorf("%d objects of [%v,%v)", len(m.Objects), from, to)
	}
}

// Chunks follow each other without a gap, and no clone that is made later falls
// into one that has been passed without its head.
func TestChunks(t *testing.T) {
	t.Parallel()
	var ids []object.ID
	for i := range 20 {
		id := head(fmt.Sprint("o", i))
		for c := range i % 5 {
			ids = append(ids, id.At(object.SnapID(2*c+2)))
		}
		ids = append(ids, id)
	}
	s := filled(t, ids...)
	for n := 1; n < 12; n++ {
		for at, count := object.MinID, 0; ; count++ {
			end, err := NextChunk(s, coll, at, n)
			if err != nil || end.Compare(at) <= 0 || count > 200 {
				t.Fatalf("%d: [%v,%v) %v", n, at, end, err)
			}
			for _, id := range ids {
				// The next clone of a head comes after all there are.
				if next := id.At(1000); id.IsHead() && (next.Compare(end) < 0) != (id.Compare(end) < 0) {
					t.Errorf("%d: [%v,%v) parts %v from a clone to come", n, at, end, id)
				}
			}
			if at = end; end.Max {
				break
			}
		}
	}
	if end, err := NextChunk(failing{Store: s, list: true}, coll, object.MinID, 3); err == nil || !end.Max {
		t.Errorf("%v %v", end, err)
	}
}

func TestTouches(t *testing.T) {
	t.Parallel()
	a := head("a")
	for _, c := range []struct {
		begin, end object.ID
		want       bool
	}{
		{object.MinID, object.MaxID, true}, {a, object.MaxID, true}, {object.MinID, a, true}, {object.MinID, a.At(0), false},
		{object.MinID, a.At(3), true}, {a.At(3), a.At(5), true}, {a.At(object.NoSnap + 1), object.MaxID, false},
	} {
		for _, id := range []object.ID{a, a.At(4)} {
			if got := Touches(id, c.begin, c.end); got != c.want {
				t.Errorf("%v in [%v,%v): %v", id, c.begin, c.end, got)
			}
		}
	}
}
