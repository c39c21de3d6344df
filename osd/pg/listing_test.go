package pg

import (
	"bytes"
	"fmt"
	"math/bits"
	"reflect"
	"slices"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/extent"
	"github.com/pulpo-storage/pulpo/wire"
)

func encodedID(id object.ID) []byte { return wire.Marshal(id) }

// copyFromInput is the input of copy-from for an object of the pool.
func copyFromInput(name string) []byte {
	return []byte(encoded(func(e *wire.Encoder) {
		e.Str(name)
		object.Locator{Pool: testPool, Hash: -1}.Encode(e)
	}))
}

func (w *world) list(from object.ID, count uint64, namespace string, filter []byte) (names []string, next object.ID, result int32) {
	w.t.Helper()
	op := msg.Op{Code: msg.OpPGNLS, In: buffer.Wrap(append(filter, encodedID(from)...))}
	if filter != nil {
		op.Code = msg.OpPGNLSFilter
	}
	op.PutU64(0, count)
	r := w.request("", 0, msg.FlagPGOp, op)
	r.Op.Hash, r.Op.Locator.Namespace = w.pg.id.Seed, namespace
	got := w.send(r)
	if got.Result < 0 {
		return nil, next, got.Result
	}
	d := wire.NewDecoder(got.Ops[0].Out.Bytes())
	env := d.Begin("pg_nls_response_t", 1)
	next.Decode(d)
	names = wire.DecodeSlice(d, 12, func() string {
		ns, name, key := d.Str(), d.Str(), d.Str()
		return ns + "/" + name + "/" + key
	})
	d.End(env)
	if err := d.Finish(); err != nil {
		w.t.Fatal(err)
	}
	return names, next, got.Result
}

func TestListing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all, plain []object.ID
	for i := range 30 {
		r := w.request(fmt.Sprint("o", i), 0, 0, opSetXattr("color", []string{"red", "blue"}[i%2]))
		if i%3 == 0 {
			r.Op.Locator.Namespace = "n"
		}
		if i%5 == 0 {
			r.Op.Locator.Key = "k"
		}
		id := object.New(testPool, r.Op.Locator.Namespace, r.Op.Locator.Key, r.Op.OID)
		r.Op.Hash = id.Hash
		wantResult(t, w.send(r), 0)
		all = append(all, id)
		if id.Namespace == "" {
			plain = append(plain, id)
		}
	}
	label := func(ids []object.ID) (s []string) {
		slices.SortFunc(ids, object.ID.Compare)
		for _, id := range ids {
			s = append(s, id.Namespace+"/"+id.Name+"/"+id.Key)
		}
		return s
	}
	walk := func(count uint64, namespace string, filter []byte) (names []string) {
		from := object.MinID
		for {
			page, next, result := w.list(from, count, namespace, filter)
			if result < 0 {
				t.Fatal(result)
			}
			names = append(names, page...)
			if result == 1 {
				if !next.Max {
					t.Errorf("the only group ends at %v", next)
				}
				return names
			}
			from = next
		}
	}
	for _, count := range []uint64{1, 7, 30, 1000} {
		if got := walk(count, object.AllNamespaces, nil); !slices.Equal(got, label(all)) {
			t.Errorf("by %d: %v", count, got)
		}
		if got := walk(count, "", nil); !slices.Equal(got, label(plain)) {
			t.Errorf("by %d in the default namespace: %v", count, got)
		}
	}
	filter := []byte(encoded(func(e *wire.Encoder) { e.Str(""); e.Str(""); e.Str("plain"); e.Str("_color"); e.Str("red") }))
	if got := walk(10, object.AllNamespaces, filter); len(got) != 15 {
		t.Errorf("filtered: %v", got)
	}
	for _, bad := range [][]byte{
		{},
		[]byte(encoded(func(e *wire.Encoder) { e.Str(""); e.Str(""); e.Str("nonsense") })),
	} {
		if _, _, r := w.list(object.MinID, 10, "", bad); r != -int32(errno.EINVAL) {
			t.Errorf("filter %x: %d", bad, r)
		}
	}
}

func TestListingOutsideTheGroup(t *testing.T) {
	t.Parallel()
	begin, end := bounds(object.PG{Pool: 2, Seed: 6}, 32)
	if begin.Hash != 6 || end.Hash != 0x16 || end.Snap != object.NoSnap {
		t.Errorf("%v %v", begin, end)
	}
	// The positions that a stock OSD gave.
	for _, p := range goldenPairs(t) {
		if p.req.Ops[0].Code != msg.OpPGNLS || p.want.Result != 1 {
			continue
		}
		d := wire.NewDecoder(p.want.Ops[0].Out.Bytes())
		d.Begin("pg_nls_response_t", 1)
		var next object.ID
		next.Decode(d)
		if _, end := bounds(p.req.PG.PG, 32); end != next {
			t.Errorf("%v ends at %v, want %v", p.req.PG, end, next)
		}
	}
	w := newWorld(t)
	if _, _, r := w.list(object.ID{Pool: 0, Hash: 3, Snap: object.NoSnap}, 10, "", nil); r != -int32(errno.EINVAL) {
		t.Errorf("a position of another pool: %d", r)
	}
}

// The groups of a pool follow each other without a gap, whatever their number.
func TestBoundsAreSeamless(t *testing.T) {
	t.Parallel()
	for n := uint32(1); n < 70; n++ {
		mask := uint32(1)<<bits.Len32(n-1) - 1
		seen := 0
		at := object.ID{Pool: 3}
		for {
			seed := object.StableMod(at.Hash, n, mask)
			begin, end := bounds(object.PG{Pool: 3, Seed: seed}, n)
			if begin.Hash != at.Hash {
				t.Fatalf("of %d: group %x begins at %x, the one before ends at %x", n, seed, begin.Hash, at.Hash)
			}
			seen++
			if end.Max {
				break
			}
			at = end
		}
		if seen != int(n) {
			t.Fatalf("of %d groups %d follow each other", n, seen)
		}
	}
}

func TestChecksums(t *testing.T) {
	t.Parallel()
	// Reference values of xxHash; those of stock OSDs are in TestGolden.
	for _, c := range []struct {
		seed uint32
		in   string
		want uint32
	}{
		{0, "", 0x02cc5d05}, {0, "a", 0x550d7456}, {0, "abc", 0x32d153ff}, {1, "", 0x0b2cb792},
		{0, "Nobody inspects the spammish repetition", 0xe2293b2f},
	} {
		if got := xxh32(c.seed, []byte(c.in)); got != c.want {
			t.Errorf("xxh32(%d, %q) = %#x, want %#x", c.seed, c.in, got, c.want)
		}
	}
	if got := xxh64(0, nil); got != 0xef46db3751d8e999 {
		t.Errorf("xxh64 of nothing: %#x", got)
	}
}

func FuzzDecode(f *testing.F) {
	var e wire.Encoder
	(&Entry{Kind: EntryModify, Object: object.New(1, "n", "k", "o"), Returns: []OpReturn{{Result: 1, Out: []byte("x")}}}).Encode(&e, &Info{})
	f.Add(e.Bytes())
	f.Add(wire.Marshal(&Info{PG: object.SPG{Shard: object.NoShard}}))
	f.Add(wire.Marshal(&ObjectInfo{Size: 7}))
	f.Add(wire.Marshal(&SnapSet{Seq: 4, Clones: []Clone{{ID: 3, Size: 9, Snaps: []object.SnapID{3, 1}, Overlap: extent.Set{{Off: 1, End: 4}, {Off: 5, End: 9}}}}}))
	f.Add(wire.Marshal(&ObjectInfo{Watchers: []WatchInfo{{WatchKey{1, entity.Name{Type: entity.Client, Num: 2}}, 30, entity.Addr{Type: entity.AddrAny}}}}))
	c := copyData{size: 3, data: buffer.ListOf([]byte("abc"))}
	head, tail := c.encode()
	f.Add(append(append(head, "abc"...), tail...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var o ObjectInfo
		if wire.Unmarshal(b, &o) == nil {
			var again ObjectInfo
			if err := wire.Unmarshal(wire.Marshal(&o), &again); err != nil || !bytes.Equal(wire.Marshal(&o), wire.Marshal(&again)) {
				t.Fatalf("%+v became %+v, %v", o, again, err)
			}
		}
		var i, j Info
		if wire.Unmarshal(b, &i) == nil {
			if err := wire.Unmarshal(wire.Marshal(&i), &j); err != nil || !reflect.DeepEqual(i, j) {
				t.Fatalf("%+v became %+v, %v", i, j, err)
			}
		}
		var ss, ss2 SnapSet
		if wire.Unmarshal(b, &ss) == nil {
			if err := wire.Unmarshal(wire.Marshal(&ss), &ss2); err != nil || !reflect.DeepEqual(ss, ss2) {
				t.Fatalf("%+v became %+v, %v", ss, ss2, err)
			}
		}
		var en Entry
		wire.Unmarshal(b, entryAndInfo{&en, &i})
		var c copyData
		if c.decode(buffer.ListOf(b)) == nil {
			c.data.Release()
		}
	})
}

// Requests are bytes of strangers: whatever their operations say, the group
// answers and stays sound.
func FuzzRequest(f *testing.F) {
	for _, code := range []msg.OpCode{msg.OpRead, msg.OpWrite, msg.OpOmapSetVals, msg.OpCall, msg.OpCopyFrom2, msg.OpCopyGet, msg.OpChecksum,
		msg.OpPGNLSFilter, msg.OpCmpXattr, msg.OpWriteSame, msg.OpOmapCmp, msg.OpSparseRead, msg.OpZero} {
		f.Add(uint16(code), bytes.Repeat([]byte{1, 0}, 14), []byte("input"))
	}
	f.Fuzz(func(t *testing.T, code uint16, args, in []byte) {
		w := newWorld(t)
		w.env.Config.MaxObjectSize = 1 << 20
		w.do("o", opWriteFull("content"), opSetXattr("k", "v"))
		op := msg.Op{Code: msg.OpCode(code), In: buffer.Wrap(in)}
		copy(op.Args[:], args)
		w.step(w.request("o", 0, 0, op))
		wantResult(t, w.do("sound", opWriteFull("x")), 0)
	})
}
