package pglog

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// Missing is the objects that a copy of a group does not have as its log says
// (pg_missing_t). What is above Info.LastBackfill is not in it.
type Missing struct {
	items map[object.ID]Item
	heads map[object.ID]int // how many of an object's head and clones there are
	// touched, if not nil, are the objects whose item is not what it was when it
	// was last emptied: what is to be written down.
	touched map[object.ID]struct{}
}

// Item is what is missing of an object.
type Item struct {
	Need object.Version // the version that the object should have
	Have object.Version // and the one that is here; zero: none
}

// Track makes the set remember which objects change.
func (m *Missing) Track() { m.touched = map[object.ID]struct{}{} }

// Touched returns the objects that have changed since the last call, in order.
func (m *Missing) Touched() []object.ID {
	ids := slices.SortedFunc(maps.Keys(m.touched), object.ID.Compare)
	clear(m.touched)
	return ids
}

// Len is the number of objects.
func (m *Missing) Len() int { return len(m.items) }

// Get returns what is missing of an object.
func (m *Missing) Get(o object.ID) (Item, bool) {
	i, ok := m.items[o]
	return i, ok
}

// Has reports whether the object is missing.
func (m *Missing) Has(o object.ID) bool { _, ok := m.items[o]; return ok }

// Any reports whether the object or one of its clones is missing.
func (m *Missing) Any(head object.ID) bool { return m.heads[head] > 0 }

// All returns the objects in no order.
func (m *Missing) All() iter.Seq2[object.ID, Item] { return maps.All(m.items) }

// Sorted returns the objects in order.
func (m *Missing) Sorted() []object.ID {
	return slices.SortedFunc(maps.Keys(m.items), object.ID.Compare)
}

// Add notes that an object is missing, or what of it is now.
func (m *Missing) Add(o object.ID, need, have object.Version) {
	if m.items == nil {
		m.items, m.heads = map[object.ID]Item{}, map[object.ID]int{}
	}
	if _, ok := m.items[o]; !ok {
		m.heads[o.Head()]++
	}
	m.items[o] = Item{need, have}
	m.touch(o)
}

// Remove notes that an object is as it should be.
func (m *Missing) Remove(o object.ID) {
	if _, ok := m.items[o]; !ok {
		return
	}
	delete(m.items, o)
	if m.heads[o.Head()]--; m.heads[o.Head()] == 0 {
		delete(m.heads, o.Head())
	}
	m.touch(o)
}

// Clear forgets all.
func (m *Missing) Clear() {
	for o := range m.items {
		m.touch(o)
	}
	clear(m.items)
	clear(m.heads)
}

func (m *Missing) touch(o object.ID) {
	if m.touched != nil {
		m.touched[o] = struct{}{}
	}
}

// Next takes in the entry after the newest, which was not done here
// (add_next_event). It reports whether the object is to be removed: a delete is
// done at once.
func (m *Missing) Next(t *Entry) (remove bool) {
	switch {
	case t.Kind == EntryError:
		return false
	case t.Deletes():
		m.Remove(t.Object)
		return true
	}
	have := t.before()
	if was, ok := m.items[t.Object]; ok {
		have = was.Have
	}
	m.Add(t.Object, t.Version, have)
	return false
}

// Oldest returns the oldest version that is needed; false if nothing is missing.
func (m *Missing) Oldest() (v object.Version, ok bool) {
	for _, i := range m.items {
		if !ok || i.Need.Compare(v) < 0 {
			v, ok = i.Need, true
		}
	}
	return v, ok
}

// Encode writes the objects in order.
func (m *Missing) Encode(e *wire.Encoder) {
	mark := e.Begin(1, 1)
	wire.EncodeSlice(e, m.Sorted(), func(o object.ID) {
		i := m.items[o]
		o.Encode(e)
		i.Encode(e)
	})
	e.End(mark)
}

// Decode replaces what was in the set.
func (m *Missing) Decode(d *wire.Decoder) {
	env := d.Begin("pg.Missing", 1)
	*m = Missing{touched: m.touched}
	wire.DecodeSlice(d, 30+24, func() (x struct{}) {
		var o object.ID
		var i Item
		o.Decode(d)
		i.Decode(d)
		if d.Err() == nil {
			m.Add(o, i.Need, i.Have)
		}
		return x
	})
	d.End(env)
}

func (i Item) Encode(e *wire.Encoder)  { i.Need.Encode(e); i.Have.Encode(e) }
func (i *Item) Decode(d *wire.Decoder) { i.Need.Decode(d); i.Have.Decode(d) }

// Check panics if the set contradicts itself, or is not that of a copy with info.
func (m *Missing) Check(info *Info) {
	heads := map[object.ID]int{}
	for o, i := range m.items {
		heads[o.Head()]++
		if i.Need.IsZero() || i.Need.Compare(info.LastUpdate) > 0 || i.Have.Compare(i.Need) >= 0 {
			panic(fmt.Sprintf("BUG: pg %v: %v is missing at %v, here at %v, last update %v", info.PG, o, i.Need, i.Have, info.LastUpdate))
		}
		if o.Compare(info.LastBackfill) > 0 {
			panic(fmt.Sprintf("BUG: pg %v: %v is missing and above last backfill %v", info.PG, o, info.LastBackfill))
		}
	}
	if !maps.Equal(heads, m.heads) {
		panic(fmt.Sprintf("BUG: pg %v: missing by heads %v, should be %v", info.PG, m.heads, heads))
	}
}
