package recovery

import (
	"cmp"
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
	"github.com/pulpo-storage/pulpo/wire"
	"pgregory.net/rapid"
)

// world is a primary and targets with stores, whose objects have their version
// for an attribute.
type world struct {
	t       *rapid.T
	b       *Backfill
	here    *memstore.Store
	there   map[int32]*memstore.Store
	last    map[int32]object.ID // what the targets have written down
	asked   []ScanRequest
	work    []job
	version uint64
	max     int
}

// job is what one target still has to do for a unit.
type job struct {
	osd  int32
	head object.ID
	push []object.ID
	rm   []object.ID
}

func (w *world) versionIn(s objstore.Store) func(object.ID) (object.Version, error) {
	return func(id object.ID) (v object.Version, err error) {
		raw, err := s.Attr(coll, id, "oi")
		if err == nil {
			err = wire.Unmarshal(raw, &v)
		}
		return v, err
	}
}

func (w *world) next() object.Version {
	w.version++
	return object.Version{Epoch: 1, Version: w.version}
}

// write puts a version of an object into stores.
func (w *world) write(id object.ID, v object.Version, stores ...*memstore.Store) {
	for _, s := range stores {
		txn := new(objstore.Txn)
		txn.Remove(coll, id)
		txn.Write(coll, id, 0, buffer.ListOf([]byte(v.String())))
		txn.SetAttr(coll, id, "oi", wire.Marshal(v))
		submit(w.t, s, txn)
	}
}

func (w *world) remove(id object.ID, stores ...*memstore.Store) {
	for _, s := range stores {
		txn := new(objstore.Txn)
		txn.Remove(coll, id)
		submit(w.t, s, txn)
	}
}

func (w *world) drawUnit() object.ID { return obj(rapid.StringMatching("[a-h]").Draw(w.t, "object")) }

func (w *world) all(s *memstore.Store) (all []Digest) {
	in, err := Scan(s, coll, object.MinID, 1000, w.versionIn(s))
	if err != nil || !in.End.Max {
		w.t.Fatalf("scan: %v to %v", err, in.End)
	}
	return in.Objects
}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, here: newStore(t), there: map[int32]*memstore.Store{}, last: map[int32]object.ID{}, max: rapid.IntRange(1, 5).Draw(t, "max")}
	txn := new(objstore.Txn)
	txn.Touch(coll, object.ID{Pool: 3, Hash: 1, Snap: object.NoSnap})
	txn.Touch(coll, Temp(obj("a")))
	submit(t, w.here, txn)
	var stores []*memstore.Store
	for osd := range rapid.Int32Range(1, 3).Draw(t, "targets") {
		w.there[osd] = newStore(t)
		w.last[osd] = object.MinID
		stores = append(stores, w.there[osd])
	}
	// Copies of all ages.
	for range rapid.IntRange(0, 25).Draw(t, "objects") {
		id := w.drawUnit()
		if snap := rapid.Uint64Range(0, 3).Draw(t, "snap"); snap > 0 {
			id = id.At(object.SnapID(snap))
		}
		v := w.next()
		for _, s := range append(stores, w.here) {
			if rapid.IntRange(0, 2).Draw(t, "there") > 0 {
				w.write(id, v, s)
			}
		}
	}
	w.restart()
	return w
}

// restart forgets all but what the stores have.
func (w *world) restart() {
	w.b = NewBackfill(w.max, w.last)
	w.asked, w.work = nil, nil
}

func (w *world) step() {
	switch rapid.IntRange(0, 9).Draw(w.t, "step") {
	case 0, 1, 2:
		w.decide()
	case 3, 4:
		if n := len(w.asked); n > 0 {
			w.answer(rapid.IntRange(0, n-1).Draw(w.t, "answer"))
		}
	case 5, 6:
		if n := len(w.work); n > 0 {
			w.do(rapid.IntRange(0, n-1).Draw(w.t, "job"))
		}
	case 7, 8:
		w.change()
	case 9:
		for osd, last := range w.b.Progress() {
			w.last[osd] = last
		}
		if rapid.IntRange(0, 9).Draw(w.t, "restart") == 0 {
			w.restart()
		}
	}
	w.b.check()
	w.check()
}

// decide lets the machine go on.
func (w *world) decide() {
	u, ask, err := w.b.Next(func(from object.ID, max int) (Interval, error) {
		return Scan(w.here, coll, from, max, w.versionIn(w.here))
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.asked = append(w.asked, ask...)
	if u == nil {
		return
	}
	for _, ut := range u.Targets {
		j := job{osd: ut.OSD, head: u.Head, rm: ut.Remove}
		for i, d := range u.Here {
			if ut.Push[i] {
				j.push = append(j.push, d.ID)
			}
		}
		w.work = append(w.work, j)
	}
}

// answer gives it an interval that it has asked for.
func (w *world) answer(i int) {
	a := w.asked[i]
	w.asked = slices.Delete(w.asked, i, i+1)
	in, err := Scan(w.there[a.OSD], coll, a.From, a.Max, w.versionIn(w.there[a.OSD]))
	var got Interval
	if err == nil {
		err = wire.Unmarshal(wire.Marshal(&in), &got)
	}
	if err == nil {
		err = w.b.Scanned(a.OSD, got)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// do is a target's work for a unit.
func (w *world) do(i int) {
	j := w.work[i]
	w.work = slices.Delete(w.work, i, i+1)
	for _, id := range j.rm {
		w.remove(id, w.there[j.osd])
	}
	for _, id := range j.push {
		v, err := w.versionIn(w.here)(id)
		if err != nil {
			w.t.Fatalf("%v is to be pushed, and is not here: %v", id, err)
		}
		w.write(id, v, w.there[j.osd])
	}
	w.b.Done(j.head, j.osd)
}

// change is a write of a client, perhaps with a clone, or a removal.
func (w *world) change() {
	head := w.drawUnit()
	if w.b.Copying(head) {
		return // it would wait
	}
	stores := []*memstore.Store{w.here}
	for osd, s := range w.there {
		if w.b.Sends(osd, head) {
			stores = append(stores, s)
		}
	}
	switch rapid.IntRange(0, 3).Draw(w.t, "change") {
	case 0:
		id := head
		if snap := rapid.Uint64Range(0, 3).Draw(w.t, "snap"); snap > 0 {
			id = id.At(object.SnapID(snap))
		}
		w.remove(id, stores...)
		w.b.Changed(id, w.next(), true)
	case 1:
		id := head.At(object.SnapID(rapid.Uint64Range(1, 3).Draw(w.t, "snap")))
		v := w.next()
		w.write(id, v, stores...)
		w.b.Changed(id, v, false)
		fallthrough
	default:
		v := w.next()
		w.write(head, v, stores...)
		w.b.Changed(head, v, false)
	}
}

// check compares what is said to be equal: up to last_backfill all is.
func (w *world) check() {
	want := w.all(w.here)
	for osd, s := range w.there {
		got := w.all(s)
		upTo := func(list []Digest) []Digest {
			i := slices.IndexFunc(list, func(d Digest) bool { return d.ID.Head().Compare(w.last[osd]) > 0 })
			if i < 0 {
				return list
			}
			return list[:i]
		}
		if a, b := upTo(want), upTo(got); !slices.Equal(a, b) {
			w.t.Fatalf("osd.%d up to %v has %v, not %v", osd, w.last[osd], b, a)
		}
	}
}

func TestBackfillMakesCopiesEqual(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(0, 150).Draw(t, "steps") {
			w.step()
		}
		// Left alone, it ends.
		for range 2000 {
			if w.b.Finished() {
				break
			}
			w.finish()
		}
		for osd, last := range w.b.Progress() {
			w.last[osd] = last
		}
		w.check()
		for osd, last := range w.last {
			if !last.Max || !slices.Equal(w.all(w.there[osd]), w.all(w.here)) {
				t.Fatalf("osd.%d is at %v and has %v, not %v", osd, last, w.all(w.there[osd]), w.all(w.here))
			}
		}
	})
}

// finish does all that there is to do, without clients.
func (w *world) finish() {
	w.decide()
	for len(w.asked) > 0 {
		w.answer(0)
	}
	for len(w.work) > 0 {
		w.do(0)
	}
	w.b.check()
}

func TestScan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		want := w.all(w.here)
		max := rapid.IntRange(1, 6).Draw(t, "max")
		var got []Digest
		for at := object.MinID; !at.Max; {
			in, err := Scan(w.here, coll, at, max, w.versionIn(w.here))
			if err != nil {
				t.Fatal(err)
			}
			if err := in.check(); err != nil {
				t.Fatalf("%+v: %v", in, err)
			}
			if n := len(in.Objects); n > max+len(in.unit()) {
				t.Fatalf("%d objects, %d of the first unit, most is %d", n, len(in.unit()), max)
			}
			got = append(got, in.Objects...)
			at = in.End
		}
		if !slices.Equal(got, want) {
			t.Fatalf("scanned %v of %v", got, want)
		}
	})
}

func TestIntervalsThatWereNotAskedFor(t *testing.T) {
	t.Parallel()
	b := NewBackfill(10, map[int32]object.ID{4: object.MinID})
	empty := func(from object.ID, max int) (Interval, error) { return Interval{Begin: from, End: object.MaxID}, nil }
	_, ask, err := b.Next(empty)
	if err != nil || !slices.Equal(ask, []ScanRequest{{4, object.MinID, 10}}) {
		t.Fatalf("asks %v, %v", ask, err)
	}
	if _, ask, _ := b.Next(empty); ask != nil {
		t.Fatalf("asks again: %v", ask)
	}
	head := obj("a")
	for name, c := range map[string]struct {
		osd int32
		in  Interval
	}{
		"of a stranger":   {5, Interval{Begin: object.MinID, End: object.MaxID}},
		"from elsewhere":  {4, Interval{Begin: head, End: object.MaxID}},
		"that is empty":   {4, Interval{Begin: object.MinID, End: object.MinID}},
		"out of order":    {4, Interval{Begin: object.MinID, End: object.MaxID, Objects: []Digest{{ID: head}, {ID: head.At(1)}}}},
		"beyond its end":  {4, Interval{Begin: object.MinID, End: head, Objects: []Digest{{ID: head}}}},
		"with half a one": {4, Interval{Begin: object.MinID, End: head, Objects: []Digest{{ID: head.At(1)}}}},
	} {
		if err := b.Scanned(c.osd, c.in); !errors.Is(err, errno.EINVAL) {
			t.Errorf("an interval %s is taken: %v", name, err)
		}
	}
	if err := b.Scanned(4, Interval{Begin: object.MinID, End: object.MaxID}); err != nil {
		t.Fatal(err)
	}
	if u, _, err := b.Next(empty); u != nil || err != nil || !b.Finished() {
		t.Fatalf("%v, %v, finished %v", u, err, b.Finished())
	}
	if got := b.Progress(); !maps.Equal(got, map[int32]object.ID{4: object.MaxID}) {
		t.Fatalf("progress %v", got)
	}
}

func FuzzInterval(f *testing.F) {
	f.Add(wire.Marshal(&Interval{object.MinID, object.MaxID, []Digest{{obj("a").At(2), object.Version{Epoch: 1, Version: 2}}, {ID: obj("a")}}}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var in, again Interval
		if wire.Unmarshal(raw, &in) != nil {
			return
		}
		if err := wire.Unmarshal(wire.Marshal(&in), &again); err != nil || fmt.Sprint(in) != fmt.Sprint(again) {
			t.Fatalf("%v became %v, %v", in, again, err)
		}
		if !slices.IsSortedFunc(in.Objects, func(a, b Digest) int { return cmp.Or(a.ID.Compare(b.ID), -1) }) && len(in.Objects) > 1 {
			t.Fatalf("%v is out of order", in)
		}
	})
}
