package pg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/scrub"
	"github.com/pulpo-storage/pulpo/wire"
)

// A scrub of the index of clones (PgScrubber::scan_snaps). The index says nothing
// that heads do not say, so each copy puts its own right by its own heads, at once,
// and tells the cluster's log; it is no error of the group, as it is none in Ceph.
// If a head is wrong itself, its repair changes the index with it.
//
//	what is not there     is looked for with each chunk, by what its heads know
//	what is too much      with the last chunk, by a walk through the index
//
// Each look reads heads and index between two transactions, which change both
// together: so what is written meanwhile makes no false finding. While something is
// missing here there is none: recovery is at work on both.

// indexWalk is the walk through the index, as many keys at a time as a deep scrub
// reads of an omap.
type indexWalk struct {
	on   bool
	next string
}

// mapped looks through the index when a map of a chunk has been made, and reports
// whether that is done.
func (p *PG) mapped(w *indexWalk, m *scrub.Map, last bool) (done bool) {
	if p.missing.Len() > 0 || p.info.Incomplete() {
		return true
	}
	if !w.on {
		p.indexHeads(m)
		w.on, w.next = last, snapPrefix
	}
	return !w.on || !p.walkIndex(w)
}

// indexHeads adds what the heads of a map know and the index does not.
func (p *PG) indexHeads(m *scrub.Map) {
	txn := new(objstore.Txn)
	for i := range m.Objects {
		head := m.Objects[i].ID
		if _, ok := m.Objects[i].Attrs[attrSnaps]; !ok || !head.IsHead() {
			continue
		}
		ss, err := p.loadSnaps(head)
		if err != nil {
			continue // it is the scrub's to find
		}
		var keys []string
		for _, c := range ss.Clones {
			for _, s := range c.Snaps {
				keys = append(keys, snapKey(s, head.At(c.ID)))
			}
		}
		have, err := p.env.Store.OmapGet(p.coll, p.meta, keys)
		if err != nil || len(have) == len(keys) {
			continue
		}
		for _, c := range ss.Clones {
			p.indexClone(txn, head.At(c.ID), c.Snaps, have)
		}
	}
	if !txn.Empty() {
		p.submitLocal(txn)
	}
}

// indexClone adds what is not among the keys that there are of a clone.
func (p *PG) indexClone(txn *objstore.Txn, clone object.ID, snaps []object.SnapID, have map[string][]byte) {
	var there []object.SnapID
	for _, s := range snaps {
		if _, ok := have[snapKey(s, clone)]; ok {
			there = append(there, s)
		}
	}
	if len(there) == len(snaps) {
		return
	}
	if _, err := p.env.Store.Stat(p.coll, clone); errors.Is(err, objstore.ErrNotFound) {
		return // the clone is what is missing, and brings its keys with it
	}
	p.indexSnaps(txn, clone, snaps)
	if len(there) == 0 {
		p.indexError("oid %v snaps missing in mapper, should be: %s was  r -2...repaired", clone, snapList(snaps))
	} else {
		p.indexError("oid %v snaps in mapper: %s, oi: %s...repaired", clone, snapList(there), snapList(snaps))
	}
}

// walkIndex removes, of the next keys, those that no head bears out, and reports
// whether there are more.
func (p *PG) walkIndex(w *indexWalk) (more bool) {
	var keys []string
	from := w.next
	w.next = ""
	if err := p.env.Store.OmapScan(p.coll, p.meta, from, func(key string, _ []byte) bool {
		switch {
		case !strings.HasPrefix(key, snapPrefix):
			return false
		case len(keys) >= max(p.env.Config.Scrub.Limits.Keys, 1):
			w.next = key
			return false
		}
		keys = append(keys, strings.Clone(key))
		return true
	}); err != nil {
		return false
	}
	w.on = w.next != ""
	heads := map[object.ID]SnapSet{}
	var wrong []string
	many := map[object.ID][]object.SnapID{} // that a clone is said to serve and does not
	for _, key := range keys {
		snap, clone, ok := parseSnapKey(key)
		if !ok {
			wrong = append(wrong, key)
			p.indexError("key %x...repaired", key)
			continue
		}
		head := clone.Head()
		ss, seen := heads[head]
		if !seen {
			var err error
			if ss, err = p.loadSnaps(head); err != nil && !errors.Is(err, objstore.ErrNotFound) {
				ss.Seq = object.NoSnap // who cannot be read is no witness
			}
			heads[head] = ss
		}
		if ss.Seq == object.NoSnap {
			continue
		}
		if c := ss.find(clone.Snap); c == nil || !slices.Contains(c.Snaps, snap) {
			wrong = append(wrong, key)
			many[clone] = append(many[clone], snap)
		}
	}
	for _, clone := range slices.SortedFunc(maps.Keys(many), object.ID.Compare) {
		ss := heads[clone.Head()]
		var right []object.SnapID
		if c := ss.find(clone.Snap); c != nil {
			right = c.Snaps
		}
		p.indexError("oid %v snaps in mapper: %s, oi: %s...repaired", clone, snapList(many[clone]), snapList(right))
	}
	if len(wrong) > 0 {
		txn := new(objstore.Txn)
		txn.OmapRm(p.coll, p.meta, wrong)
		p.submitLocal(txn)
	}
	return w.on
}

func (p *PG) indexError(format string, args ...any) {
	p.say(NoteCluster, "osd.%d found snap mapper error on pg %v %s", p.env.Whoami, p.id, fmt.Sprintf(format, args...))
}

// parseSnapKey takes a key of the index apart.
func parseSnapKey(key string) (snap object.SnapID, clone object.ID, ok bool) {
	raw, ok := strings.CutPrefix(key, snapPrefix)
	if !ok || len(raw) <= 8 || wire.Unmarshal([]byte(raw[8:]), &clone) != nil {
		return 0, object.ID{}, false
	}
	return object.SnapID(binary.BigEndian.Uint64([]byte(raw))), clone, true
}

// snapList is a set of snapshots as Ceph's log has it.
func snapList(snaps []object.SnapID) string {
	var words []string
	for _, s := range slices.Sorted(slices.Values(snaps)) {
		words = append(words, fmt.Sprintf("%x", uint64(s)))
	}
	return strings.Join(words, ",")
}
