package scrub

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

func testMap() *Map {
	a := obj(head("a"), 1, 4, "_x=y")
	b := a.but(func(o *Object) { o.ID, o.ReadError, o.Data, o.OmapKeys, o.OmapBytes = a.ID.At(3), true, Digest{}, 2, 9 })
	c := Object{ID: object.MaxID, StatError: true}
	return &Map{Objects: []Object{b, a, c}, Log: []EntrySum{{object.Version{Epoch: 1, Version: 2}, 3}}}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	now := time.Unix(1700000000, 5).UTC()
	for _, c := range []struct {
		in  wire.Marshaler
		out interface {
			wire.Marshaler
			wire.Unmarshaler
		}
	}{
		{testMap(), new(Map)},
		{&Map{Unlistable: true}, new(Map)},
		{&Request{Seq: 3, Begin: object.MinID, End: head("x"), Deep: true}, new(Request)},
		{&Reply{Seq: 3, Map: *testMap()}, new(Reply)},
		{&Ask{Interval: 7, Snaps: true, After: object.ID{Name: "n", Namespace: "s", Snap: 4}, Max: 9}, new(Ask)},
		{&Record{Last: object.Version{Epoch: 1, Version: 2}, Stamp: now, DeepStamp: now, CleanStamp: now, Shallow: 1, Deep: 2, LargeOmaps: 3,
			OmapBytes: 4, OmapKeys: 5, Repaired: 6}, new(Record)},
	} {
		if err := wire.Unmarshal(wire.Marshal(c.in), c.out); err != nil {
			t.Errorf("%T: %v", c.in, err)
		} else if a, b := wire.Marshal(c.in), wire.Marshal(c.out); string(a) != string(b) {
			t.Errorf("%T: %x became %x", c.in, a, b)
		}
	}
	var m Map
	if err := wire.Unmarshal(wire.Marshal(testMap()), &m); err != nil || !reflect.DeepEqual(m.Objects[:2], testMap().Objects[:2]) {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestMapsAreInOrder(t *testing.T) {
	t.Parallel()
	m := testMap()
	m.Objects[0], m.Objects[1] = m.Objects[1], m.Objects[0]
	if err := wire.Unmarshal(wire.Marshal(m), new(Map)); err == nil {
		t.Error("a map in disorder was taken")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(wire.Marshal(testMap()))
	f.Add(wire.Marshal(&Reply{Seq: 1, Map: *testMap()}))
	f.Add(wire.Marshal(&Request{End: object.MaxID}))
	f.Add(wire.Marshal(&Ask{Max: 3}))
	f.Add(wire.Marshal(&Record{Deep: 2}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Map
		if wire.Unmarshal(b, &m) == nil {
			var again Map
			if err := wire.Unmarshal(wire.Marshal(&m), &again); err != nil || len(again.Objects) != len(m.Objects) || !slices.Equal(again.Log, m.Log) {
				t.Fatalf("%+v became %+v, %v", m, again, err)
			}
			Compare(testPG, []Copy{{0, &m}, {1, &Map{}}}, plain{})
			CompareLogs(testPG, []Copy{{0, &m}, {1, &Map{}}})
			NewChecker("scrub", testPG, plain{}).Add(m.Objects, true)
		}
		wire.Unmarshal(b, new(Reply))
		wire.Unmarshal(b, new(Request))
		wire.Unmarshal(b, new(Record))
		var a Ask
		if wire.Unmarshal(b, &a) == nil {
			r := new(Results)
			r.AddObjects([]BadObject{{ID: head("a")}})
			r.Answer(&a, 1)
		}
	})
}
