package pg

import (
	"maps"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
)

// view is one object as the operations of a vector see it: what the store has,
// under what earlier operations of the same vector have staged. Every change
// goes two ways, as a step into the transaction and as an edit into the view, so
// that a read after it sees it although nothing is in the store yet.
//
// Most vectors change an object and do not read it again, or only read it. So
// an edit costs an append, and reading applies the edits in order; nothing is
// merged.
//
// size is the caller's: the view knows what bytes are where, not where the
// object ends.
type view struct {
	store objstore.Store
	coll  objstore.Coll
	id    object.ID
	from  object.ID // whose store object is underneath: the object's own, or a clone's after a rollback
	txn   objstore.Txn

	base      bool   // the store's object is underneath
	baseLimit uint64 // bytes of it that still count
	edits     []edit
	attrs     map[string][]byte // changed; nil: removed
	header    *[]byte           // changed omap header
	omap      omapEdits
	recent    map[string][]byte // what the store has under keys that were asked for one at a time; nil: nothing
}

// maxRecent bounds recent. The methods of a class, called one after the other,
// ask for the same few keys: those of the object, then those of one of its parts.
const maxRecent = 16

// edit is a change of a range of bytes. One without data is of zeros; its end
// may be the largest number, after a truncation.
type edit struct {
	off, end uint64
	data     buffer.List // borrowed from the transaction
}

// omapEdits are changes of an omap.
type omapEdits struct {
	cleared bool              // what the store has does not count
	removed [][2]string       // nor do these ranges; an empty end means no end
	keys    map[string][]byte // changed; nil: removed
	sorted  []string          // the keys in order; nil: to be made
}

func (v *view) reset(store objstore.Store, coll objstore.Coll, id object.ID, exists, writes bool) {
	clear(v.edits)
	*v = view{store: store, coll: coll, id: id, from: id, base: exists, baseLimit: objstore.MaxObjectSize, edits: v.edits[:0]}
	if writes {
		v.txn.Ops = make([]objstore.Op, 0, 4)
	}
}

// dirty reports whether the data differs from the store's.
func (v *view) dirty() bool { return len(v.edits) > 0 || v.baseLimit != objstore.MaxObjectSize }

// write keeps data.
func (v *view) write(off uint64, data buffer.List) {
	if n := uint64(data.Len()); n > 0 {
		v.txn.Write(v.coll, v.id, off, data)
		v.edits = append(v.edits, edit{off, off + n, data})
	}
}

func (v *view) zero(off, n uint64) {
	if n > 0 {
		v.txn.Zero(v.coll, v.id, off, n)
		v.edits = append(v.edits, edit{off: off, end: off + n})
	}
}

func (v *view) truncate(size uint64) {
	v.txn.Truncate(v.coll, v.id, size)
	v.baseLimit = min(v.baseLimit, size)
	if len(v.edits) > 0 {
		v.edits = append(v.edits, edit{off: size, end: objstore.MaxObjectSize})
	}
}

// remove takes everything away; there is nothing underneath any more.
func (v *view) remove() {
	v.txn.Remove(v.coll, v.id)
	v.base, v.baseLimit, v.edits = false, 0, v.edits[:0]
	v.attrs, v.header, v.omap = nil, nil, omapEdits{}
}

// become makes the object a copy of one of its clones, in all it has.
func (v *view) become(clone object.ID) {
	v.txn.Clone(v.coll, clone, v.id)
	v.from, v.base, v.baseLimit, v.edits = clone, true, objstore.MaxObjectSize, v.edits[:0]
	v.recent = nil
	v.attrs, v.header, v.omap = nil, nil, omapEdits{}
}

// read returns exactly n bytes from off, which lie within the object. The
// caller releases them.
func (v *view) read(off, n uint64) (buffer.List, error) {
	if n == 0 {
		return nil, nil
	}
	if v.base && !v.dirty() {
		l, err := v.store.Read(v.coll, v.from, off, n)
		if err == nil && uint64(l.Len()) < n {
			l = append(l, zeros(n-uint64(l.Len())))
		}
		return l, err
	}
	out := buffer.Alloc(int(n))
	b := out.Bytes()
	clear(b)
	if v.base && off < v.baseLimit {
		l, err := v.store.Read(v.coll, v.from, off, min(n, v.baseLimit-off))
		if err != nil {
			out.Release()
			return nil, err
		}
		copyList(b, l)
		l.Release()
	}
	for _, e := range v.edits {
		lo, hi := max(e.off, off), min(e.end, off+n)
		switch {
		case lo >= hi:
		case e.data == nil:
			clear(b[lo-off : hi-off])
		default:
			copyList(b[lo-off:hi-off], e.data.Slice(int(lo-e.off), int(hi-e.off)))
		}
	}
	return buffer.List{out}, nil
}

func copyList(dst []byte, l buffer.List) {
	for _, r := range l {
		dst = dst[copy(dst, r.Bytes()):]
	}
}

func zeros(n uint64) buffer.Ref {
	r := buffer.Alloc(int(n))
	clear(r.Bytes())
	return r
}

// extents returns the runs within the range, which lies within the object, that
// may hold data.
func (v *view) extents(off, n uint64) ([]objstore.Extent, error) {
	switch {
	case n == 0:
		return nil, nil
	case !v.dirty() && v.base:
		return v.store.Extents(v.coll, v.from, off, n)
	case v.dirty():
		return []objstore.Extent{{Off: off, Len: n}}, nil
	}
	return nil, nil
}

// Attributes have the names of the store.

func (v *view) attr(name string) ([]byte, error) {
	if val, ok := v.attrs[name]; ok {
		if val == nil {
			return nil, objstore.ErrNoAttr
		}
		return val, nil
	}
	if !v.base {
		return nil, objstore.ErrNoAttr
	}
	return v.store.Attr(v.coll, v.from, name)
}

func (v *view) allAttrs() (map[string][]byte, error) {
	m := map[string][]byte{}
	if v.base {
		var err error
		if m, err = v.store.Attrs(v.coll, v.from); err != nil {
			return nil, err
		}
	}
	for k, val := range v.attrs {
		if val == nil {
			delete(m, k)
		} else {
			m[k] = val
		}
	}
	return m, nil
}

// setAttr keeps value.
func (v *view) setAttr(name string, value []byte) {
	if value == nil {
		value = []byte{}
	}
	v.txn.SetAttr(v.coll, v.id, name, value)
	if v.attrs == nil {
		v.attrs = map[string][]byte{}
	}
	v.attrs[name] = value
}

func (v *view) removeAttr(name string) {
	v.txn.RmAttr(v.coll, v.id, name)
	if v.attrs == nil {
		v.attrs = map[string][]byte{}
	}
	v.attrs[name] = nil
}

func (v *view) omapHeader() ([]byte, error) {
	switch {
	case v.header != nil:
		return *v.header, nil
	case !v.base || v.omap.cleared:
		return nil, nil
	}
	return v.store.OmapHeader(v.coll, v.from)
}

// setOmapHeader keeps h.
func (v *view) setOmapHeader(h []byte) {
	v.txn.OmapSetHeader(v.coll, v.id, h)
	v.header = &h
}

// setOmap keeps kvs.
func (v *view) setOmap(kvs []objstore.KV) {
	v.txn.OmapSet(v.coll, v.id, kvs)
	for _, kv := range kvs {
		val := kv.Value
		if val == nil {
			val = []byte{}
		}
		v.omap.put(kv.Key, val)
	}
}

func (v *view) removeOmap(keys []string) {
	v.txn.OmapRm(v.coll, v.id, keys)
	for _, k := range keys {
		v.omap.put(k, nil)
	}
}

func (v *view) removeOmapRange(from, to string) {
	v.txn.OmapRmRange(v.coll, v.id, from, to)
	maps.DeleteFunc(v.omap.keys, func(k string, _ []byte) bool { return inRange(k, from, to) })
	v.omap.removed = append(v.omap.removed, [2]string{from, to})
	v.omap.sorted = nil
}

func (v *view) clearOmap() {
	v.txn.OmapClear(v.coll, v.id)
	v.omap = omapEdits{cleared: true}
	v.header = nil
}

func (m *omapEdits) put(key string, value []byte) {
	if m.keys == nil {
		m.keys = map[string][]byte{}
	}
	m.keys[key] = value
	m.sorted = nil
}

// hides reports whether what the store has under a key does not count.
func (m *omapEdits) hides(key string) bool {
	if _, ok := m.keys[key]; ok || m.cleared {
		return true
	}
	return slices.ContainsFunc(m.removed, func(r [2]string) bool { return inRange(key, r[0], r[1]) })
}

func inRange(key, from, to string) bool { return key >= from && (to == "" || key < to) }

// omapGet returns those of the keys that exist.
func (v *view) omapGet(keys []string) (map[string][]byte, error) {
	m := map[string][]byte{}
	var ask []string
	for _, k := range keys {
		if val := v.omap.keys[k]; val != nil {
			m[k] = val
		} else if v.base && !v.omap.hides(k) {
			ask = append(ask, k)
		}
	}
	switch len(ask) {
	case 0:
		return m, nil
	case 1:
		val, err := v.omapGetOne(ask[0])
		if val != nil {
			m[ask[0]] = val
		}
		return m, err
	}
	got, err := v.store.OmapGet(v.coll, v.from, ask)
	if err != nil {
		return nil, err
	}
	maps.Copy(m, got)
	return m, nil
}

// omapGetOne returns what the store has under a key; nil if nothing.
func (v *view) omapGetOne(key string) ([]byte, error) {
	if val, ok := v.recent[key]; ok {
		return val, nil
	}
	got, err := v.store.OmapGet(v.coll, v.from, []string{key})
	if err != nil {
		return nil, err
	}
	val, ok := got[key]
	if ok && val == nil {
		val = []byte{}
	}
	if v.recent == nil || len(v.recent) >= maxRecent {
		v.recent = make(map[string][]byte, maxRecent)
	}
	v.recent[key] = val
	return val, nil
}

// omapScan calls f for each entry with a key >= from, in order, until it returns
// false. The value is valid during the call only.
func (v *view) omapScan(from string, f func(key string, value []byte) bool) error {
	if v.omap.sorted == nil && len(v.omap.keys) > 0 {
		v.omap.sorted = slices.Sorted(maps.Keys(v.omap.keys))
	}
	i, _ := slices.BinarySearch(v.omap.sorted, from)
	// mine gives what is staged below a key; it reports whether f wants more.
	mine := func(below *string) bool {
		for ; i < len(v.omap.sorted); i++ {
			k := v.omap.sorted[i]
			if below != nil && strings.Compare(k, *below) >= 0 {
				break
			}
			if val := v.omap.keys[k]; val != nil && !f(k, val) {
				return false
			}
		}
		return true
	}
	more := true
	if v.base && !v.omap.cleared {
		err := v.store.OmapScan(v.coll, v.from, from, func(k string, val []byte) bool {
			if more = mine(&k); more && !v.omap.hides(k) {
				more = f(k, val)
			}
			return more
		})
		if err != nil {
			return err
		}
	}
	if more {
		mine(nil)
	}
	return nil
}

// broken is the error of a store that does not have what the group says is
// there.
func broken(err error) error {
	if err != nil && errno.Code(err) == -int32(errno.ENOENT) {
		return errno.EIO
	}
	return err
}
