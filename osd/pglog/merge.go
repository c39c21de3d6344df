package pglog

import (
	"fmt"
	"maps"
	"slices"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
)

// Part is the end of a log: all its entries above Tail, oldest first. Tail is a
// version of that log, too, or the one before its first. Head is the version that
// the copy had reached; it can be above the newest entry where that one has gone
// with a part of the group.
type Part struct {
	Tail, Head object.Version
	Entries    []*Entry
}

// Since returns what a log has above a version. The part's tail is the newest
// version not above it.
func (l *Log) Since(v object.Version, info *Info) Part {
	if v.Compare(info.LogTail) < 0 {
		v = info.LogTail
	}
	i := l.Above(v)
	tail := info.LogTail
	if i > 0 && l.Entries[i-1].Version.Compare(tail) > 0 {
		tail = l.Entries[i-1].Version
	}
	return Part{tail, info.LastUpdate, l.Entries[i:]}
}

// Merged is what has become of a copy.
type Merged struct {
	Common object.Version // the newest that both had
	// Divergent are the entries that were taken back, oldest first; their keys go.
	Divergent []*Entry
	// Added are the entries that were appended.
	Added []*Entry
	// Removed are the objects that the store must not have any more, in order. Those
	// of divergent entries come before what the added ones delete.
	Removed []object.ID
}

// Merge makes a copy what the authority says. auth is a part of its log up to its
// end; it must reach back to what the copy has. The copy's info gets a new
// LastUpdate; figures and history are the caller's. An error means that nothing
// was changed: the parts do not meet, and the copy must be filled anew.
func Merge(l *Log, info *Info, missing *Missing, auth Part) (r Merged, err error) {
	common, ok := meet(l, info, auth)
	if !ok {
		return r, fmt.Errorf("pg %v: log (%v,%v] and (%v,%v] do not meet: %w", info.PG, info.LogTail, info.LastUpdate,
			auth.Tail, auth.Head, errno.EINVAL)
	}
	r.Common = common
	r.Divergent = l.Rewind(common)
	gone := map[object.ID]bool{}
	rewind(info, missing, r.Divergent, gone)
	from, _ := slices.BinarySearchFunc(auth.Entries, common, func(t *Entry, v object.Version) int {
		if t.Version.Compare(v) <= 0 {
			return -1
		}
		return 1
	})
	r.Added = auth.Entries[from:]
	for _, t := range r.Added {
		l.Append(t)
		switch {
		case t.Object.Compare(info.LastBackfill) <= 0:
			if missing.Next(t) {
				gone[t.Object] = true
			}
		case t.Deletes():
			// Also where nothing is known of what is here: indices name the object.
			gone[t.Object] = true
		}
	}
	info.LastUpdate = auth.Head
	r.Removed = slices.SortedFunc(maps.Keys(gone), object.ID.Compare)
	return r, nil
}

// meet returns the newest version that both have; false if they cannot be
// compared.
func meet(l *Log, info *Info, auth Part) (v object.Version, ok bool) {
	if info.LastUpdate.Compare(auth.Tail) < 0 || auth.Head.Compare(info.LogTail) < 0 {
		return v, false
	}
	if info.LastUpdate == auth.Head {
		return auth.Head, true
	}
	// Both have what is not above either tail.
	v = info.LogTail
	if v.Compare(auth.Tail) < 0 {
		v = auth.Tail
	}
	for i := len(auth.Entries) - 1; i >= 0; i-- {
		t := auth.Entries[i].Version
		if t.Compare(v) <= 0 {
			break
		}
		if l.Has(t) {
			return t, true
		}
	}
	return v, true
}

// rewind takes divergent entries back (_merge_object_divergent_entries): gone gets
// the objects that the store has and must not have any more.
func rewind(info *Info, missing *Missing, divergent []*Entry, gone map[object.ID]bool) {
	first := map[object.ID]*Entry{}
	last := map[object.ID]*Entry{}
	var order []object.ID
	for _, t := range divergent {
		if t.Kind == EntryError || t.Object.Compare(info.LastBackfill) > 0 {
			continue
		}
		if first[t.Object] == nil {
			first[t.Object] = t
			order = append(order, t.Object)
		}
		last[t.Object] = t
	}
	for _, o := range order {
		prior := first[o].before()
		item, was := missing.Get(o)
		switch {
		case was && item.Have == prior:
			// What is here is what should be.
			missing.Remove(o)
		case was && prior.IsZero():
			missing.Remove(o)
			gone[o] = true
		case was && item.Have.Compare(prior) < 0:
			missing.Add(o, prior, item.Have)
		case prior.IsZero():
			if !last[o].Deletes() {
				gone[o] = true
			}
		default:
			missing.Add(o, prior, object.Version{})
			gone[o] = true
		}
	}
}
