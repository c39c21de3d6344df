package recovery

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/memstore"
	"github.com/pulpo-storage/pulpo/osd/extent"
	"github.com/pulpo-storage/pulpo/wire"
	"pgregory.net/rapid"
)

var coll = objstore.PGColl(object.SPG{PG: object.PG{Pool: 3, Seed: 1}, Shard: object.NoShard})

func obj(name string) object.ID { return object.New(3, "", "", name) }

// fatal is what testing.T and rapid.T have in common.
type fatal interface {
	Helper()
	Fatalf(string, ...any)
}

// newStore returns a store with the collection.
func newStore(t fatal) *memstore.Store {
	s := memstore.NewStepped()
	var txn objstore.Txn
	txn.CreateColl(coll)
	submit(t, s, &txn)
	return s
}

func submit(t fatal, s *memstore.Store, txn *objstore.Txn) {
	t.Helper()
	if err := s.Submit(txn, nil); err != nil {
		t.Fatalf("submit: %v", err)
	}
	s.Step(s.Pending())
}

// content is all that an object is.
type content struct {
	data   []byte
	holes  string // runs that may hold data
	attrs  map[string][]byte
	header []byte
	omap   []string
}

func (c *content) String() string {
	return fmt.Sprintf("%d bytes %x in %s, attrs %v, header %q, omap %q", len(c.data), c.data, c.holes, c.attrs, c.header, c.omap)
}

func (c *content) equal(d *content) bool {
	return bytes.Equal(c.data, d.data) && maps.EqualFunc(c.attrs, d.attrs, bytes.Equal) && bytes.Equal(c.header, d.header) && slices.Equal(c.omap, d.omap)
}

// contentOf reads an object; nil: there is none.
func contentOf(t fatal, s objstore.Store, id object.ID) *content {
	t.Helper()
	st, err := s.Stat(coll, id)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil
	}
	c := &content{}
	l, err1 := s.Read(coll, id, 0, st.Size)
	c.data = append(c.data, l.Bytes()...)
	l.Release()
	runs, err2 := s.Extents(coll, id, 0, st.Size)
	c.holes = fmt.Sprint(runs)
	var err3, err4, err5 error
	c.attrs, err3 = s.Attrs(coll, id)
	c.header, err4 = s.OmapHeader(coll, id)
	err5 = s.OmapScan(coll, id, "", func(k string, v []byte) bool {
		c.omap = append(c.omap, k+"="+string(v))
		return true
	})
	if err := errors.Join(err, err1, err2, err3, err4, err5); err != nil {
		t.Fatalf("reading %v: %v", id, err)
	}
	return c
}

// wired sends a piece over a wire.
func wired(t fatal, p *Push) *Push {
	t.Helper()
	q := new(Push)
	raw := wire.Marshal(p)
	if err := wire.Unmarshal(raw, q); err != nil {
		t.Fatalf("decode push: %v", err)
	}
	if again := wire.Marshal(q); !bytes.Equal(raw, again) {
		t.Fatalf("push became another one: %x, %x", raw, again)
	}
	if err := q.SetData(buffer.ListOf(slices.Clone(p.Data.Bytes()))); err != nil {
		t.Fatalf("data of push: %v", err)
	}
	p.Release()
	return q
}

// transfer sends an object and returns the pieces' costs.
func transfer(t fatal, src *Source, to *memstore.Store, max int) (costs []int) {
	t.Helper()
	var in Incoming
	for at := (Cursor{}); !at.Done; {
		p, err := src.Next(at, max)
		if err != nil {
			t.Fatalf("next: %v", err)
		}
		costs = append(costs, p.Cost())
		p = wired(t, p)
		at = p.Next
		txn := new(objstore.Txn)
		done, err := in.Apply(coll, p, txn)
		if err != nil || done != at.Done {
			t.Fatalf("apply: done %v at %+v, %v", done, at, err)
		}
		submit(t, to, txn)
		if len(costs) > 10000 {
			t.Fatalf("no end")
		}
	}
	return costs
}

// drawObject makes an object of anything.
func drawObject(t *rapid.T, s *memstore.Store, id object.ID) uint64 {
	txn := new(objstore.Txn)
	size := rapid.Uint64Range(0, 3000).Draw(t, "size")
	txn.Truncate(coll, id, size)
	for i := range rapid.IntRange(0, 6).Draw(t, "writes") {
		off := rapid.Uint64Range(0, size).Draw(t, "off")
		n := rapid.Uint64Range(0, min(700, size-off)).Draw(t, "len")
		txn.Write(coll, id, off, buffer.ListOf(bytes.Repeat([]byte{byte('a' + i)}, int(n))))
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "attrs") {
		txn.SetAttr(coll, id, fmt.Sprint("_", i), rapid.SliceOfN(rapid.Byte(), 0, 30).Draw(t, "attr"))
	}
	if rapid.Bool().Draw(t, "header") {
		txn.OmapSetHeader(coll, id, []byte("header"))
	}
	for range rapid.IntRange(0, 20).Draw(t, "entries") {
		key := rapid.StringN(0, 5, 10).Draw(t, "key")
		txn.OmapSet(coll, id, []objstore.KV{{Key: key, Value: rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "value")}})
	}
	submit(t, s, txn)
	return size
}

func TestObjectsArriveWholeInPiecesOfBoundedSize(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from, to := newStore(t), newStore(t)
		id := obj("o")
		src := &Source{Store: from, Coll: coll, Object: id, Version: object.Version{Epoch: 2, Version: 7}}
		src.Size = drawObject(t, from, id)
		src.Bytes = extent.Of(0, src.Size)
		if rapid.Bool().Draw(t, "older") {
			drawObject(t, to, id) // of which nothing may be left
		}
		max := rapid.IntRange(1, 900).Draw(t, "max")
		costs := transfer(t, src, to, max)
		want, got := contentOf(t, from, id), contentOf(t, to, id)
		if !want.equal(got) {
			t.Fatalf("sent %v, arrived %v", want, got)
		}
		// Attributes and header come on top of the first, and one entry may be
		// larger than a piece should be.
		const largest = 3*(30+2) + len("header") + 210
		for i, n := range costs {
			if n > max+largest {
				t.Fatalf("piece %d of %d costs %d, most is %d", i, len(costs), n, max)
			}
		}
		if left, err := Leftovers(to, coll, 3, 10); err != nil || len(left) > 0 {
			t.Fatalf("left behind: %v, %v", left, err)
		}
	})
}

func TestHolesStayHoles(t *testing.T) {
	t.Parallel()
	from, to := newStore(t), newStore(t)
	id := obj("sparse")
	txn := new(objstore.Txn)
	const size = 1 << 30
	txn.Truncate(coll, id, size)
	txn.Write(coll, id, 4<<20, buffer.ListOf(bytes.Repeat([]byte("x"), 8192)))
	txn.Write(coll, id, size-10, buffer.ListOf([]byte("0123456789")))
	submit(t, from, txn)
	costs := transfer(t, &Source{Store: from, Coll: coll, Object: id, Size: size, Bytes: extent.Of(0, size)}, to, 1<<20)
	if !slices.Equal(costs, []int{8192 + 10}) && (len(costs) != 1 || costs[0] > 128<<10) {
		t.Fatalf("a gigabyte with %d bytes travelled in pieces of %v", 8192+10, costs)
	}
	a, _ := from.Extents(coll, id, 0, size)
	b, _ := to.Extents(coll, id, 0, size)
	if !slices.Equal(a, b) {
		t.Fatalf("data in %v came to be in %v", a, b)
	}
	for _, e := range a {
		x, _ := from.Read(coll, id, e.Off, e.Len)
		y, _ := to.Read(coll, id, e.Off, e.Len)
		if !bytes.Equal(x.Bytes(), y.Bytes()) {
			t.Fatalf("%v differs", e)
		}
	}
}

// pieces reads all pieces of an object, over a wire.
func pieces(t *testing.T, src *Source, max int) (list []*Push) {
	for at := (Cursor{}); !at.Done; {
		p, err := src.Next(at, max)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, wired(t, p))
		at = p.Next
	}
	return list
}

func put(t *testing.T, s *memstore.Store, id object.ID, data string) *Source {
	txn := new(objstore.Txn)
	txn.Write(coll, id, 0, buffer.ListOf([]byte(data)))
	submit(t, s, txn)
	return &Source{Store: s, Coll: coll, Object: id, Version: object.Version{Epoch: 1, Version: 1}, Size: uint64(len(data)), Bytes: extent.Of(0, uint64(len(data)))}
}

// Until the last piece the object is what it was, and what has arrived has
// another name.
func TestNobodySeesAPart(t *testing.T) {
	t.Parallel()
	from, to := newStore(t), newStore(t)
	id := obj("o")
	src := put(t, from, id, "the new one")
	put(t, to, id, "old")
	list := pieces(t, src, 4)
	var in Incoming
	for i, p := range list {
		if got := string(contentOf(t, to, id).data); got != "old" {
			t.Fatalf("after %d pieces the object is %q", i, got)
		}
		txn := new(objstore.Txn)
		if _, err := in.Apply(coll, p, txn); err != nil {
			t.Fatal(err)
		}
		submit(t, to, txn)
		left, err := Leftovers(to, coll, 3, 10)
		if last := i == len(list)-1; err != nil || (len(left) == 0) != last {
			t.Fatalf("after %d of %d pieces: temporary %v, %v", i+1, len(list), left, err)
		}
		for _, id := range left {
			if !IsTemp(id) || IsTemp(obj("o")) {
				t.Fatalf("%v is temporary: %v", id, IsTemp(id))
			}
		}
	}
	if got := string(contentOf(t, to, id).data); got != "the new one" {
		t.Fatalf("at the end the object is %q", got)
	}
}

func TestTransferThatIsCutShort(t *testing.T) {
	t.Parallel()
	from, to := newStore(t), newStore(t)
	id := obj("o")
	list := pieces(t, put(t, from, id, "0123456789"), 3)
	apply := func(in *Incoming, p *Push) error {
		txn := new(objstore.Txn)
		q := *p
		q.Data = p.Data.Retain()
		_, err := in.Apply(coll, &q, txn)
		if err == nil {
			submit(t, to, txn)
		} else if !txn.Empty() || !errors.Is(err, errno.EINVAL) {
			t.Fatalf("refused with %v, steps %d", err, len(txn.Ops))
		}
		return err
	}
	var in Incoming
	if apply(&in, list[0]) != nil || apply(&in, list[1]) != nil {
		t.Fatal("the first pieces are refused")
	}
	other := *list[2]
	other.Version.Version++
	if apply(&in, list[1]) == nil || apply(&in, list[3]) == nil || apply(&in, &other) == nil {
		t.Fatal("a piece out of order is taken")
	}
	// A new process knows nothing of it.
	if apply(&Incoming{}, list[2]) == nil {
		t.Fatal("a piece in the middle is taken first")
	}
	// Begun again, it ends well.
	in = Incoming{}
	for i, p := range list {
		if err := apply(&in, p); err != nil {
			t.Fatalf("piece %d: %v", i, err)
		}
	}
	if got := string(contentOf(t, to, id).data); got != "0123456789" {
		t.Fatalf("arrived: %q", got)
	}
	// Given up, nothing is left.
	in = Incoming{}
	apply(&in, list[0])
	txn := new(objstore.Txn)
	in.Abandon(coll, txn)
	submit(t, to, txn)
	if left, err := Leftovers(to, coll, 3, 10); err != nil || len(left) > 0 {
		t.Fatalf("left behind: %v, %v", left, err)
	}
}

func TestSourceThatIsNotAsTheGroupThinks(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	src := put(t, s, obj("o"), "0123456789")
	longer := *src
	longer.Size = 11
	gone := *src
	gone.Object = obj("nothing")
	for _, c := range []*Source{&longer, &gone} {
		if p, err := c.Next(Cursor{}, 100); !errors.Is(err, objstore.ErrIO) || p != nil {
			t.Errorf("%v: %v, %v", c.Object, p, err)
		}
	}
}

// badSum is a store of which some bytes cannot be read.
type badSum struct {
	objstore.Store
	bad uint64
}

func (s *badSum) Read(c objstore.Coll, o object.ID, off, n uint64) (buffer.List, error) {
	if off <= s.bad && s.bad < off+n {
		return nil, fmt.Errorf("checksum of byte %d: %w", s.bad, objstore.ErrIO)
	}
	return s.Store.Read(c, o, off, n)
}

func TestWhatCannotBeReadIsNotSent(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	src := put(t, s, obj("o"), "0123456789")
	src.Store = &badSum{s, 7}
	p, err := src.Next(Cursor{}, 5)
	if err != nil || string(p.Data.Bytes()) != "01234" || p.Next.Done {
		t.Fatalf("%+v, %v", p, err)
	}
	if p, err = src.Next(p.Next, 5); !errors.Is(err, objstore.ErrIO) || p != nil {
		t.Fatalf("%+v, %v", p, err)
	}
}

func FuzzPush(f *testing.F) {
	p := &Push{Object: obj("o").At(4), Version: object.Version{Epoch: 3, Version: 9}, Size: 100, Next: Cursor{Begun: true, OmapDone: true, Omap: "k\x00", Data: 40},
		Attrs: []objstore.KV{{Key: "oi", Value: []byte("x")}}, Borrows: []Borrow{{object.NoSnap, extent.Of(50, 10)}},
		Header: []byte("h"), Omap: []objstore.KV{{Key: "k", Value: []byte("v")}}, Bytes: extent.Set{{Off: 3, End: 5}, {Off: 9, End: 12}}}
	f.Add(wire.Marshal(p), []byte("abcde"))
	f.Fuzz(func(t *testing.T, raw, data []byte) {
		var p Push
		if wire.Unmarshal(raw, &p) != nil || p.SetData(buffer.ListOf(data)) != nil {
			return
		}
		var again Push
		if err := wire.Unmarshal(wire.Marshal(&p), &again); err != nil {
			t.Fatalf("%+v cannot be read again: %v", p, err)
		}
		// What passes is a sound transaction, whatever it says.
		txn := new(objstore.Txn)
		in := Incoming{p.Object, p.Version, p.Size, p.At}
		if _, err := in.Apply(coll, &p, txn); err != nil {
			return
		}
		if err := txn.Check(); err != nil && len(p.Attrs)+len(p.Omap) == 0 {
			t.Fatalf("%+v gives %v", p, err)
		}
	})
}
