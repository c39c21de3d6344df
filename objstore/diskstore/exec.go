package diskstore

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/alloc"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/journal"
)

// prepared is what can be done for a write before the store is locked.
type prepared struct {
	head, tail buffer.List // parts of blocks, borrowed from the transaction
	full       buffer.Ref  // whole blocks side by side; a reference of its own
	crcs       []uint32    // of the blocks of full
}

type preparation []prepared // one for each write, in order

func prepare(tx *objstore.Txn) preparation {
	var p preparation
	for i := range tx.Ops {
		if op := &tx.Ops[i]; op.Code == objstore.OpWrite {
			p = append(p, prepareWrite(op.Off, op.Data))
		}
	}
	return p
}

func prepareWrite(off uint64, data buffer.List) (p prepared) {
	n := uint64(data.Len())
	head := min(n, -off%blockSize)
	full := (n - head) / blockSize * blockSize
	if head == 0 && full == n && len(data) == 1 {
		p.full = data[0].Retain() // the usual case
	} else {
		p.head = data.Slice(0, int(head))
		p.tail = data.Slice(int(head+full), int(n))
		p.full = join(data.Slice(int(head), int(head+full)))
	}
	if full > 0 && p.full.Sums() == nil {
		p.full = p.full.Summed()
	}
	p.crcs = p.full.Sums()
	return p
}

// join returns the list's bytes in one piece, with a reference of its own.
func join(l buffer.List) buffer.Ref {
	switch len(l) {
	case 0:
		return buffer.Ref{}
	case 1:
		return l[0].Retain()
	}
	r := buffer.Alloc(l.Len())
	at := 0
	for _, x := range l {
		at += copy(r.Bytes()[at:], x.Bytes())
	}
	return r
}

func (p preparation) release() {
	for i := range p {
		p[i].full.Release()
	}
}

// errTooLarge says that a transaction does not fit into the journal.
var errTooLarge = fmt.Errorf("too large for the journal: %w", objstore.ErrInvalid)

// work is an object that a transaction touches.
type work struct {
	key     cacheKey
	old     *onode // what the store has, nil for none
	cur     *onode // what it becomes, nil for none
	own     bool   // cur is a private copy
	changed bool   // the onode's record must be written
	lost    bool   // the store has one that cannot be read
}

// exec executes one transaction after the other. Nothing that it does is seen
// by others before commit, but for blocks that it takes and fills, to which
// nothing refers.
type exec struct {
	s    *Store
	tx   *objstore.Txn
	prep preparation
	last bool // may take the last room there is
	more bool // takes room that it does not give back

	works  []work
	colls  map[objstore.Coll]*collection // created, or nil for removed
	batch  *pebble.Batch
	view   *pebble.Batch // an indexed copy of batch, if it was needed
	viewed uint32        // changes that view has
	omaps  []uint64      // nids whose omap the batch changes
	placed []placed
	frees  []alloc.Run
	at     objstore.Coll        // of the step that runs
	refs   map[uint64]*refChunk // changed
	state  state
	added  uint64 // bytes of omap entries that were set

	runs []alloc.Run // scratch
	key  []byte
	val  []byte
	meta []byte
}

func (x *exec) begin(s *Store, tx *objstore.Txn, prep preparation) {
	x.s, x.tx, x.prep = s, tx, prep
	x.batch = s.db.NewBatch()
	x.state = s.state
	x.added = 0
	x.classify()
}

// classify says what a transaction may do when room is short. What it takes as
// well as gives is not looked at, but for data: every transaction of a group has
// an entry for its log, and a client that writes an object anew truncates it.
func (x *exec) classify() {
	gives, writes, own := false, false, true
	x.more = false
	for i := range x.tx.Ops {
		op := &x.tx.Ops[i]
		own = own && op.Coll.Meta
		switch op.Code {
		case objstore.OpRemove, objstore.OpTruncate, objstore.OpZero, objstore.OpOmapClear, objstore.OpOmapRmRange:
			gives = true
		case objstore.OpCreateColl, objstore.OpRemoveColl, objstore.OpDropColl, objstore.OpRename:
			gives = true // a group is split, or goes
		case objstore.OpWrite:
			writes, x.more = true, true
		case objstore.OpSetAttr, objstore.OpOmapSet, objstore.OpClone, objstore.OpCloneRange:
			x.more = true
		}
	}
	x.last = gives && (own || !writes)
}

// end forgets the transaction; what must live on has been handed over.
func (x *exec) end() {
	if x.view != nil {
		x.view.Close()
	}
	x.batch.Close()
	clear(x.works)
	*x = exec{works: x.works[:0], omaps: x.omaps[:0], runs: x.runs[:0], key: x.key, val: x.val, meta: x.meta[:0]}
	if cap(x.meta) > 1<<20 {
		x.meta = nil
	}
	if cap(x.works) > 1<<10 {
		x.works = nil
	}
}

// rollback undoes what others could notice.
func (x *exec) rollback() {
	s := x.s
	for i := range x.placed {
		p := &x.placed[i]
		s.pending.remove(p.run)
		p.data.Release()
		s.space.mu.Lock()
		if err := s.space.used.Release(p.run); err != nil {
			panic("BUG: " + err.Error())
		}
		s.space.mu.Unlock()
	}
	x.end()
}

// metaRoom refuses a transaction that needs more metadata than has room.
func (x *exec) metaRoom() error {
	if x.more && !x.last && x.s.room.full.Load() {
		x.s.ckpt.ask() // it also looks whether there is room again
		return errMetaRoom
	}
	return nil
}

// journalRoom refuses whatever waits for a checkpoint that cannot come.
func (x *exec) journalRoom() error {
	if x.s.room.full.Load() {
		return fmt.Errorf("the journal is full: %w", errMetaRoom)
	}
	return nil
}

func (x *exec) run() error {
	if err := x.metaRoom(); err != nil {
		return err
	}
	write := 0
	for i := range x.tx.Ops {
		op := &x.tx.Ops[i]
		var p *prepared
		if op.Code == objstore.OpWrite {
			p = &x.prep[write]
			write++
		}
		x.at = op.Coll
		if err := x.step(op, p); err != nil {
			x.s.damaged(op.Coll, err)
			return fmt.Errorf("transaction step %d (%v %v): %w", i, op.Code, op.OID, err)
		}
	}
	return x.encode()
}

// coll is Store.coll with the transaction's changes.
func (x *exec) coll(c objstore.Coll) (*collection, error) {
	if x.colls != nil {
		if k, ok := x.colls[c]; ok {
			if k == nil {
				return nil, fmt.Errorf("collection %v: %w", c, objstore.ErrNotFound)
			}
			return k, nil
		}
	}
	return x.s.coll(c)
}

// object returns the transaction's copy of an object, by index, since the slice
// moves.
func (x *exec) object(c *collection, o object.ID) (int, error) {
	key := cacheKey{c.id, objstore.Canonical(o)}
	for i := len(x.works) - 1; i >= 0; i-- {
		if x.works[i].key == key {
			return i, nil
		}
	}
	n, err := x.s.onode(key)
	if err != nil {
		return 0, err
	}
	x.works = append(x.works, work{key: key, old: n, cur: n})
	return len(x.works) - 1, nil
}

// replaced is object for a step that takes the place of the object, whatever it
// was. One that cannot be read is taken for none: its blocks stay in use until
// the store is swept.
func (x *exec) replaced(c *collection, o object.ID) (int, error) {
	i, err := x.object(c, o)
	if !errors.Is(err, objstore.ErrDamaged) {
		return i, err
	}
	x.s.damaged(x.at, err)
	x.works = append(x.works, work{key: cacheKey{c.id, objstore.Canonical(o)}, lost: true})
	return len(x.works) - 1, x.batch.Set([]byte{keySweep}, nil, nil)
}

// edit makes cur a private copy, a new object if there is none, and returns it.
// Segments are still shared; see segment.
func (x *exec) edit(w *work) *onode {
	w.changed = true
	return x.editMap(w)
}

// editMap is edit for changes that concern segments or the omap only.
func (x *exec) editMap(w *work) *onode {
	switch {
	case w.cur == nil:
		w.cur = &onode{nid: x.state.nextNID}
		x.state.nextNID++
		w.changed = true
	case !w.own:
		c := *w.cur
		c.attrs = slices.Clone(c.attrs)
		c.segs = slices.Clone(c.segs)
		w.cur = &c
	}
	w.own = true
	return w.cur
}

func (x *exec) step(op *objstore.Op, p *prepared) error {
	switch op.Code {
	case objstore.OpCreateColl:
		return x.createColl(op.Coll)
	case objstore.OpRemoveColl:
		return x.removeColl(op.Coll)
	case objstore.OpDropColl:
		return x.dropColl(op.Coll)
	}
	c, err := x.coll(op.Coll)
	if err != nil {
		return err
	}
	find := x.object
	if op.Code == objstore.OpRemove {
		find = x.replaced
	}
	i, err := find(c, op.OID)
	if err != nil {
		return err
	}
	w := &x.works[i]
	switch op.Code {
	case objstore.OpTouch:
		if w.cur == nil {
			x.edit(w)
		}
	case objstore.OpWrite:
		return x.write(w, op.Off, op.Len, p)
	case objstore.OpZero:
		x.editMap(w)
		x.extend(w, op.Off, op.Len)
		return x.zero(w, op.Off, op.Len)
	case objstore.OpTruncate:
		return x.truncate(w, op.Off)
	case objstore.OpRemove:
		if w.cur == nil {
			return nil
		}
		return x.remove(w)
	case objstore.OpSetAttr:
		n := x.edit(w)
		for _, kv := range op.KVs {
			if k, ok := findAttr(n.attrs, kv.Key); ok {
				n.attrs[k] = kv
			} else {
				n.attrs = slices.Insert(n.attrs, k, kv)
			}
		}
	case objstore.OpOmapSet:
		n := x.editMap(w)
		if !n.omap {
			x.edit(w).omap = true
		}
		x.omapTouch(n.nid)
		for _, kv := range op.KVs {
			if err := x.omapPut(n.nid, kv.Key, kv.Value); err != nil {
				return err
			}
		}
	case objstore.OpOmapSetHeader:
		x.edit(w).header = op.Value

	// What these take from an object that is not there changes nothing.
	case objstore.OpRmAttr:
		if w.cur == nil {
			return nil
		}
		if k, ok := findAttr(w.cur.attrs, op.Key); ok {
			n := x.edit(w)
			n.attrs = slices.Delete(n.attrs, k, k+1)
		}
	case objstore.OpRmAttrs:
		if w.cur != nil && len(w.cur.attrs) > 0 {
			x.edit(w).attrs = nil
		}
	case objstore.OpOmapRm:
		if w.cur != nil && w.cur.omap {
			return x.omapRm(w.cur.nid, op.Keys)
		}
	case objstore.OpOmapRmRange:
		if w.cur != nil && w.cur.omap {
			return x.omapRmRange(w.cur.nid, op.Key, op.End)
		}
	case objstore.OpOmapClear:
		if w.cur == nil {
			return nil
		}
		if len(w.cur.header) > 0 {
			x.edit(w).header = nil
		}
		if w.cur.omap {
			x.edit(w).omap = false
			return x.omapRmRange(w.cur.nid, "", "")
		}

	case objstore.OpClone, objstore.OpCloneRange, objstore.OpRename:
		if w.cur == nil {
			return objstore.ErrNotFound
		}
		dc := c
		if op.Code == objstore.OpRename {
			if dc, err = x.coll(op.DestColl); err != nil {
				return err
			}
		}
		find := x.object
		if op.Code != objstore.OpCloneRange {
			find = x.replaced
		}
		j, err := find(dc, op.Dest)
		if err != nil {
			return err
		}
		switch from, to := &x.works[i], &x.works[j]; op.Code {
		case objstore.OpClone:
			return x.clone(from, to)
		case objstore.OpCloneRange:
			return x.cloneRange(from, to, op.Off, op.Len, op.DestOff)
		default:
			return x.rename(from, to)
		}
	default:
		return fmt.Errorf("unknown step: %w", objstore.ErrInvalid)
	}
	return nil
}

func (x *exec) createColl(c objstore.Coll) error {
	if _, err := x.coll(c); err == nil {
		return fmt.Errorf("collection %v exists: %w", c, objstore.ErrInvalid)
	}
	k := &collection{name: c, id: x.state.nextColl}
	x.state.nextColl++
	x.setColl(c, k)
	return x.batch.Set(numKey(keyColl, k.id), encodeColl(c), nil)
}

func (x *exec) setColl(c objstore.Coll, k *collection) {
	if x.colls == nil {
		x.colls = make(map[objstore.Coll]*collection)
	}
	x.colls[c] = k
}

func (x *exec) removeColl(c objstore.Coll) error {
	k, err := x.coll(c)
	if err != nil {
		return err
	}
	gone := make(map[object.ID]bool)
	for i := range x.works {
		w := &x.works[i]
		if w.key.coll != k.id {
			continue
		}
		if w.cur != nil {
			return fmt.Errorf("collection %v is not empty: %w", c, objstore.ErrInvalid)
		}
		gone[w.key.oid] = true
	}
	it, err := x.s.iter(numKey(keyOnode, k.id), numKey(keyOnode, k.id+1))
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		_, o, err := decodeOnodeKey(it.Key())
		if err != nil {
			return x.s.corrupt("onode key", err)
		}
		if !gone[o] {
			return fmt.Errorf("collection %v is not empty: %w", c, objstore.ErrInvalid)
		}
	}
	if err := it.Error(); err != nil {
		return x.s.corrupt("collection", err)
	}
	x.setColl(c, nil)
	return x.batch.Delete(numKey(keyColl, k.id), nil)
}

// dropColl forgets a collection. Its records stay under a number that is not used
// again, and its blocks in use, until the store is swept (sweep.go).
func (x *exec) dropColl(c objstore.Coll) error {
	k, err := x.coll(c)
	if err != nil {
		return err
	}
	for i := range x.works {
		if x.works[i].key.coll == k.id {
			return fmt.Errorf("collection %v is dropped after a step on it: %w", c, objstore.ErrInvalid)
		}
	}
	x.setColl(c, nil)
	if err := x.batch.Set([]byte{keySweep}, nil, nil); err != nil {
		return err
	}
	return x.batch.Delete(numKey(keyColl, k.id), nil)
}

// remove gives up all that an object has.
func (x *exec) remove(w *work) error {
	n := w.cur
	for _, r := range n.segs {
		for _, b := range r.seg.blocks {
			if err := x.free(b); err != nil {
				return err
			}
		}
	}
	x.state.stored -= n.size
	w.cur, w.own, w.changed = nil, false, true
	if n.omap {
		return x.omapRmRange(n.nid, "", "")
	}
	return nil
}

// rename moves the object whole: what is kept by its nid stays where it is.
func (x *exec) rename(from, to *work) error {
	if from == to {
		return nil
	}
	if to.cur != nil {
		if err := x.remove(to); err != nil {
			return err
		}
	}
	to.cur, to.own, to.changed = from.cur, from.own, true
	from.cur, from.own, from.changed = nil, false, true
	return nil
}

func (x *exec) clone(from, to *work) error {
	if from == to {
		return nil
	}
	if to.cur != nil {
		if err := x.remove(to); err != nil {
			return err
		}
	}
	for i := range from.cur.segs {
		if err := x.share(from, from.cur.segs[i].no, 0, segBlocks); err != nil {
			return err
		}
	}
	src := from.cur
	n := x.edit(to)
	n.size, n.omap, n.header, n.attrs = src.size, src.omap, src.header, slices.Clone(src.attrs)
	for _, r := range src.segs {
		n.segs = append(n.segs, segRef{r.no, &segment{slices.Clone(r.seg.blocks)}, true})
	}
	x.state.stored += n.size
	if src.omap {
		return x.omapCopy(src.nid, n.nid)
	}
	return nil
}

// encode adds the new onodes and all else that is known only now to the batch.
func (x *exec) encode() error {
	for i := range x.works {
		w := &x.works[i]
		if w.old != nil && !w.old.inline() {
			if err := x.dropSegments(w.old); err != nil {
				return err
			}
		}
	}
	for i := range x.works {
		w := &x.works[i]
		if w.cur == nil {
			if w.old != nil || w.lost {
				x.key = onodeKey(x.key[:0], w.key.coll, &w.key.oid)
				if err := x.batch.Delete(x.key, nil); err != nil {
					return err
				}
			}
			continue
		}
		if err := x.encodeOnode(w); err != nil {
			return err
		}
	}
	for chunk, c := range x.refs {
		var err error
		if c.empty() {
			err = x.batch.Delete(numKey(keyRefs, chunk), nil)
		} else {
			err = x.batch.Set(numKey(keyRefs, chunk), c.encode(), nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dropSegments deletes the records of segments that were written and are no
// more.
func (x *exec) dropSegments(old *onode) error {
	var cur *onode
	for i := range x.works {
		if c := x.works[i].cur; c != nil && c.nid == old.nid {
			cur = c
		}
	}
	for _, r := range old.segs {
		if cur != nil && !cur.inline() {
			if _, ok := cur.find(r.no); ok {
				continue
			}
		}
		x.key = segmentKey(x.key[:0], old.nid, r.no)
		if err := x.batch.Delete(x.key, nil); err != nil {
			return err
		}
	}
	return nil
}

func (x *exec) encodeOnode(w *work) error {
	n := w.cur
	if !w.own {
		if !w.changed {
			return nil
		}
	} else {
		all := !n.inline() && !x.onDisk(n.nid)
		for i := range n.segs {
			r := &n.segs[i]
			if n.inline() {
				w.changed = w.changed || r.dirty
			} else if r.dirty || all {
				x.key = segmentKey(x.key[:0], n.nid, r.no)
				x.val = r.seg.encode(x.val[:0])
				if err := x.batch.Set(x.key, x.val, nil); err != nil {
					return err
				}
			}
			r.dirty = false
		}
	}
	if !w.changed {
		return nil
	}
	x.key = onodeKey(x.key[:0], w.key.coll, &w.key.oid)
	x.val = n.encode(x.val[:0])
	return x.batch.Set(x.key, x.val, nil)
}

// onDisk reports whether the segments of a nid are records of their own
// already.
func (x *exec) onDisk(nid uint64) bool {
	for i := range x.works {
		if o := x.works[i].old; o != nil && o.nid == nid {
			return !o.inline()
		}
	}
	return false
}

// commit makes the transaction happen.
func (x *exec) commit(done func(error)) error {
	s := x.s
	x.state.seq++
	if err := x.batch.Set([]byte{keyState}, x.state.encode(), nil); err != nil {
		x.rollback()
		return err
	}
	rec := &record{seq: x.state.seq, placed: x.placed, frees: mergeRuns(x.frees)}
	x.meta = encodeRecord(x.meta[:0], rec, x.batch.Repr())
	if len(x.meta) > math.MaxUint32/2 {
		x.rollback()
		return fmt.Errorf("transaction of %d bytes: %w", len(x.meta), errTooLarge)
	}
	jr := journal.Record{Meta: x.meta, Done: done}
	for i := range rec.placed {
		x.journalData(&jr, &rec.placed[i])
	}
	need := rec.need(journal.Size(&jr), x.batch.Len(), x.batch.Count(), x.last)
	if size := need.Size; size > journal.MaxRecord(int64(s.super.JournalSize)) {
		x.rollback()
		return fmt.Errorf("transaction of %d bytes: %w", size, errTooLarge)
	}
	// A checkpoint that cannot write metadata gives the journal no room: what
	// waits for that is refused as what comes later is.
	if err := s.jrnl.Reserve(need, x.journalRoom); err != nil {
		x.rollback()
		return errors.Join(s.broken(), err)
	}

	// From here on there is no way back.
	held := uint64(0)
	for _, r := range rec.frees {
		held += r.Len
	}
	s.space.mu.Lock()
	s.space.held += held
	s.space.mu.Unlock()
	s.recMu.Lock()
	s.records = append(s.records, rec)
	s.recMu.Unlock()
	s.applied.Lock()
	s.applying.Store(rec.seq)
	if seq := s.jrnl.Append(&jr, need); seq != rec.seq {
		panic(fmt.Sprintf("BUG: record %d has number %d in the journal", rec.seq, seq))
	}
	if err := s.db.Apply(x.batch, pebble.NoSync); err != nil {
		s.fail(fmt.Errorf("metadata: %w", err))
	}
	s.applied.Unlock()
	for i := range x.works {
		w := &x.works[i]
		if w.cur != w.old || w.lost {
			s.cache.put(w.key, w.cur)
		}
	}
	if x.colls != nil {
		s.setColls(x.colls)
	}
	s.state = x.state
	s.stats.stored.Store(x.state.stored)
	s.stats.allocated.Store(x.state.allocated)
	s.stats.omapPut.Add(x.added)
	x.end()
	s.ckpt.consider(s)
	return nil
}

// journalData adds a run's data to the journal's record.
func (x *exec) journalData(jr *journal.Record, p *placed) {
	b := p.data.Bytes()
	if !p.direct {
		for i := range int(p.run.Len) {
			jr.Blocks = append(jr.Blocks, b[i*blockSize:(i+1)*blockSize])
		}
		jr.CRCs = append(jr.CRCs, p.crcs...)
		return
	}
	s, run := x.s, p.run
	jr.Direct = append(jr.Direct, journal.Direct{Off: int64(run.Start * blockSize), Data: b, CRCs: p.crcs, Written: func() {
		s.pending.remove(run)
		p.data.Release()
		p.data = buffer.Ref{} // or the record would hold it
	}})
}

func mergeRuns(runs []alloc.Run) []alloc.Run {
	if len(runs) < 2 {
		return runs
	}
	slices.SortFunc(runs, func(a, b alloc.Run) int {
		if a.Start < b.Start {
			return -1
		}
		return 1
	})
	out := runs[:1]
	for _, r := range runs[1:] {
		if last := &out[len(out)-1]; last.End() == r.Start {
			last.Len += r.Len
		} else {
			out = append(out, r)
		}
	}
	return out
}
