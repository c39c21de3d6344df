package memstore

import (
	"fmt"
	"maps"
	"strings"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
)

// pageSize is the unit in which data is kept and copied on write.
const pageSize = 16 << 10

// A page holds up to pageSize bytes; the rest of it reads as zeros.
type page []byte

// obj is a version of an object; it does not change once its transaction has
// ended.
type obj struct {
	size   uint64
	pages  *tree[uint64, page]
	attrs  map[string][]byte // replaced, never changed
	header []byte
	omap   *tree[string, []byte]
}

type objects = tree[object.ID, *obj]

// state is a version of the whole store. It does not change; apply makes the
// next one.
type state struct {
	colls *tree[objstore.Coll, *objects]
	usage objstore.Usage // Stored, Allocated and Omap
}

func compareColl(a, b objstore.Coll) int {
	switch {
	case a.Meta && b.Meta:
		return 0
	case a.Meta:
		return -1
	case b.Meta:
		return 1
	}
	return a.PG.Compare(b.PG)
}

func compareID(a, b object.ID) int { return a.Compare(b) }

func comparePage(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (s state) coll(c objstore.Coll) (*objects, error) {
	objs, ok := s.colls.get(compareColl, c)
	if !ok {
		return nil, fmt.Errorf("collection %v: %w", c, objstore.ErrNotFound)
	}
	return objs, nil
}

func (s state) object(c objstore.Coll, o object.ID) (*obj, error) {
	objs, err := s.coll(c)
	if err != nil {
		return nil, err
	}
	x, ok := objs.get(compareID, o)
	if !ok {
		return nil, fmt.Errorf("object %v in %v: %w", o, c, objstore.ErrNotFound)
	}
	return x, nil
}

// put stores a version of an object, nil for none.
func (s *state) put(c objstore.Coll, o object.ID, old, x *obj) {
	objs, _ := s.colls.get(compareColl, c)
	if x == nil {
		objs = objs.del(compareID, o)
	} else {
		objs = objs.set(compareID, objstore.Canonical(o), x)
	}
	s.colls = s.colls.set(compareColl, c, objs)
	s.usage.Stored += x.dataSize() - old.dataSize()
	s.usage.Allocated += x.allocated() - old.allocated()
}

func (x *obj) dataSize() uint64 {
	if x == nil {
		return 0
	}
	return x.size
}

func (x *obj) allocated() uint64 {
	if x == nil {
		return 0
	}
	return uint64(x.pages.len()) * pageSize
}

func (x *obj) omapSize() uint64 {
	n := uint64(len(x.header))
	x.omap.all(func(k string, v []byte) bool { n += uint64(len(k) + len(v)); return true })
	return n
}

// apply returns the state after tx, whose Check has passed.
func (s state) apply(tx *objstore.Txn) (state, error) {
	for i := range tx.Ops {
		if err := s.step(&tx.Ops[i]); err != nil {
			return state{}, fmt.Errorf("transaction step %d (%v): %w", i, tx.Ops[i].Code, err)
		}
	}
	return s, nil
}

func (s *state) step(op *objstore.Op) error {
	c, o := op.Coll, op.OID
	if op.Code == objstore.OpCreateColl {
		if _, ok := s.colls.get(compareColl, c); ok {
			return fmt.Errorf("collection %v exists: %w", c, objstore.ErrInvalid)
		}
		s.colls = s.colls.set(compareColl, c, nil)
		return nil
	}
	objs, err := s.coll(c)
	if err != nil {
		return err
	}
	if op.Code == objstore.OpDropColl {
		objs.all(func(_ object.ID, x *obj) bool {
			s.usage.Stored -= x.dataSize()
			s.usage.Allocated -= x.allocated()
			s.usage.Omap -= x.omapSize()
			return true
		})
		s.colls = s.colls.del(compareColl, c)
		return nil
	}
	if op.Code == objstore.OpRemoveColl {
		if objs.len() != 0 {
			return fmt.Errorf("collection %v has %d objects: %w", c, objs.len(), objstore.ErrInvalid)
		}
		s.colls = s.colls.del(compareColl, c)
		return nil
	}

	old, exists := objs.get(compareID, o)
	var x obj
	if exists {
		x = *old
	}
	switch op.Code {
	case objstore.OpTouch:
		if exists {
			return nil
		}
	case objstore.OpWrite:
		x.write(op.Off, op.Data)
	case objstore.OpZero:
		x.zero(op.Off, op.Len)
		x.extend(op.Off, op.Len)
	case objstore.OpTruncate:
		if op.Off < x.size {
			x.zero(op.Off, x.size-op.Off)
		}
		x.size = op.Off
	case objstore.OpSetAttr:
		x.attrs = maps.Clone(x.attrs)
		if x.attrs == nil {
			x.attrs = make(map[string][]byte, len(op.KVs))
		}
		for _, kv := range op.KVs {
			x.attrs[kv.Key] = kv.Value
		}
	case objstore.OpOmapSet:
		for _, kv := range op.KVs {
			s.omapSet(&x, kv.Key, kv.Value)
		}
	case objstore.OpOmapSetHeader:
		s.usage.Omap += uint64(len(op.Value)) - uint64(len(x.header))
		x.header = op.Value

	// Steps that do not create the object.
	case objstore.OpRemove:
		if exists {
			s.usage.Omap -= old.omapSize()
			s.put(c, o, old, nil)
		}
		return nil
	case objstore.OpRmAttr:
		if _, ok := x.attrs[op.Key]; !ok {
			return nil
		}
		x.attrs = maps.Clone(x.attrs)
		delete(x.attrs, op.Key)
	case objstore.OpRmAttrs:
		x.attrs = nil
	case objstore.OpOmapRm:
		for _, k := range op.Keys {
			s.omapDel(&x, k)
		}
	case objstore.OpOmapRmRange:
		var keys []string
		x.omap.ascend(strings.Compare, op.Key, func(k string, _ []byte) bool {
			if op.End != "" && k >= op.End {
				return false
			}
			keys = append(keys, k)
			return true
		})
		for _, k := range keys {
			s.omapDel(&x, k)
		}
	case objstore.OpOmapClear:
		s.usage.Omap -= x.omapSize()
		x.omap, x.header = nil, nil

	// Steps with a second object.
	case objstore.OpClone, objstore.OpCloneRange, objstore.OpRename:
		if !exists {
			return fmt.Errorf("object %v in %v: %w", o, c, objstore.ErrNotFound)
		}
		return s.pair(op, old)
	default:
		return fmt.Errorf("%w", objstore.ErrInvalid)
	}

	switch op.Code {
	case objstore.OpRmAttr, objstore.OpRmAttrs, objstore.OpOmapRm, objstore.OpOmapRmRange, objstore.OpOmapClear:
		if !exists {
			return nil
		}
	}
	s.put(c, o, old, &x)
	return nil
}

// pair is the steps that go from the object src to op.Dest.
func (s *state) pair(op *objstore.Op, src *obj) error {
	dc := op.Coll
	if op.Code == objstore.OpRename {
		dc = op.DestColl
	}
	objs, err := s.coll(dc)
	if err != nil {
		return err
	}
	old, exists := objs.get(compareID, op.Dest)
	same := dc == op.Coll && op.OID.Compare(op.Dest) == 0
	switch op.Code {
	case objstore.OpCloneRange:
		var x obj
		if exists {
			x = *old
		}
		data := src.read(op.Off, op.Len)
		x.write(op.DestOff, data)
		n := uint64(data.Len())
		x.zero(op.DestOff+n, op.Len-n)
		x.extend(op.DestOff, op.Len)
		s.put(dc, op.Dest, old, &x)
		return nil
	case objstore.OpClone, objstore.OpRename:
		if same {
			return nil
		}
		if exists {
			s.usage.Omap -= old.omapSize()
		}
		if op.Code == objstore.OpRename {
			s.put(op.Coll, op.OID, src, nil)
		} else {
			s.usage.Omap += src.omapSize()
		}
		s.put(dc, op.Dest, old, src)
	}
	return nil
}

func (s *state) omapSet(x *obj, k string, v []byte) {
	s.omapDel(x, k)
	s.usage.Omap += uint64(len(k) + len(v))
	x.omap = x.omap.set(strings.Compare, k, v)
}

func (s *state) omapDel(x *obj, k string) {
	if v, ok := x.omap.get(strings.Compare, k); ok {
		s.usage.Omap -= uint64(len(k) + len(v))
		x.omap = x.omap.del(strings.Compare, k)
	}
}

// extend makes the object reach to the end of a range that is not empty.
func (x *obj) extend(off, n uint64) {
	if n > 0 {
		x.size = max(x.size, off+n)
	}
}

// write puts a copy of data at off.
func (x *obj) write(off uint64, data buffer.List) {
	x.extend(off, uint64(data.Len()))
	for _, r := range data {
		for b := r.Bytes(); len(b) > 0; {
			no, in := off/pageSize, off%pageSize
			n := min(uint64(len(b)), pageSize-in)
			old, _ := x.pages.get(comparePage, no)
			p := make(page, max(uint64(len(old)), in+n))
			copy(p, old)
			copy(p[in:], b[:n])
			x.pages = x.pages.set(comparePage, no, p)
			b = b[n:]
			off += n
		}
	}
}

// zero makes a range read as zeros; the size stays.
func (x *obj) zero(off, n uint64) {
	end := off + n
	var nos []uint64
	x.pages.ascend(comparePage, off/pageSize, func(no uint64, _ page) bool {
		if no*pageSize >= end {
			return false
		}
		nos = append(nos, no)
		return true
	})
	for _, no := range nos {
		old, _ := x.pages.get(comparePage, no)
		from, to := max(off, no*pageSize)-no*pageSize, min(end, (no+1)*pageSize)-no*pageSize
		switch {
		case from == 0 && to >= uint64(len(old)):
			x.pages = x.pages.del(comparePage, no)
		case to >= uint64(len(old)):
			x.pages = x.pages.set(comparePage, no, old[:min(from, uint64(len(old)))])
		default:
			p := append(page(nil), old...)
			clear(p[from:to])
			x.pages = x.pages.set(comparePage, no, p)
		}
	}
}

var zeros [pageSize]byte

// read returns up to n bytes from off, sharing the pages.
func (x *obj) read(off, n uint64) buffer.List {
	if off >= x.size {
		return nil
	}
	end := off + min(n, x.size-off)
	var l buffer.List
	for off < end {
		no, in := off/pageSize, off%pageSize
		m := min(end-off, pageSize-in)
		p, _ := x.pages.get(comparePage, no)
		if in < uint64(len(p)) {
			m = min(m, uint64(len(p))-in)
			l = append(l, buffer.Wrap(p[in:in+m:in+m]))
		} else {
			l = append(l, buffer.Wrap(zeros[:m:m]))
		}
		off += m
	}
	return l
}

// extents returns the runs of pages within the range.
func (x *obj) extents(off, n uint64) []objstore.Extent {
	if off >= x.size {
		return nil
	}
	end := off + min(n, x.size-off)
	var out []objstore.Extent
	x.pages.ascend(comparePage, off/pageSize, func(no uint64, p page) bool {
		from, to := max(off, no*pageSize), min(end, no*pageSize+uint64(len(p)))
		if no*pageSize >= end {
			return false
		}
		if from >= to {
			return true
		}
		if k := len(out) - 1; k >= 0 && out[k].Off+out[k].Len == from {
			out[k].Len += to - from
		} else {
			out = append(out, objstore.Extent{Off: from, Len: to - from})
		}
		return true
	})
	return out
}
