package pg

import (
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/extent"
	"github.com/pulpo-storage/pulpo/wire"
)

// Copy on write. A vector that changes a head runs on the head as if there were
// no snapshots. When it is committed, and snapshots have been made since the
// head was last changed, the first step of the transaction clones the head as it
// was (make_writeable).

// touched notes that bytes of the head change.
func (x *execution) touched(off, n uint64) {
	if x.tracks {
		x.modified = x.modified.Union(extent.Of(off, n))
	}
}

// touchedBeyond notes that all bytes from a size on go.
func (x *execution) touchedBeyond(size uint64) {
	if size < x.info.Size {
		x.touched(size, x.info.Size-size)
	}
}

// clones reports whether the head must be cloned before it changes: it exists,
// and there are snapshots that it does not know of.
func (x *execution) clones() bool {
	return x.obj.exists && len(x.snapc.Snaps) > 0 && x.snapc.Snaps[0] > x.obj.snaps.Seq
}

// nextSnaps is what the head knows of its past after the run, with the bytes that
// clones now have alone, and whether that differs from before.
func (x *execution) nextSnaps() (ss SnapSet, own int64, changed bool) {
	was := &x.obj.snaps
	ss = *was
	cut := x.modified
	if n := was.newest(); n != nil {
		cut = cut.Intersect(n.Overlap)
	}
	clones := x.clones()
	if clones || len(was.Clones) > 0 && len(cut) > 0 {
		ss = was.clone()
		changed = true
	}
	if clones {
		n := 1
		for n < len(x.snapc.Snaps) && x.snapc.Snaps[n] > was.Seq {
			n++
		}
		size := x.obj.info.Size
		ss.Clones = append(ss.Clones, Clone{ID: x.snapc.Seq, Size: size, Snaps: x.snapc.Snaps[:n:n], Overlap: extent.Of(0, size)})
		cut = x.modified.Intersect(extent.Of(0, size))
	}
	if n := ss.newest(); n != nil && len(cut) > 0 {
		n.Overlap = n.Overlap.Subtract(cut)
		own = int64(cut.Size())
	}
	if x.snapc.Seq > ss.Seq {
		ss.Seq = x.snapc.Seq
		changed = true
	}
	return ss, own, changed
}

// stageClone begins the transaction with the clone that the run needs: its
// object, its place in the index, its entry in the log. It returns the clone's
// context as it was, for the case that the transaction is refused.
func (p *PG) stageClone(txn *objstore.Txn, x *execution, ss *SnapSet) (was objectUndo, err error) {
	head, c := x.obj, ss.newest()
	o, err := p.object(head.id.At(c.ID))
	if err != nil {
		return was, err
	}
	was = remember(o)
	at := p.next()
	o.exists, o.info = true, head.info
	o.info.Version, o.info.Prior, o.info.Watchers = at, head.info.Version, nil

	txn.Clone(p.coll, head.id, o.id)
	txn.SetAttr(p.coll, o.id, attrInfo, wire.Marshal(&o.info))
	if !head.snaps.empty() {
		txn.RmAttr(p.coll, o.id, attrSnaps)
	}
	p.indexSnaps(txn, o.id, c.Snaps)
	x.stats.Objects++
	x.stats.Clones++
	if o.info.Flags&ObjectOmap != 0 {
		x.stats.OmapObjects++
	}
	t := &Entry{Kind: EntryClone, Object: o.id, Version: at, Prior: head.info.Version, UserVersion: head.info.UserVersion,
		MTime: x.info.MTime}
	p.logEntry(txn, t, new(wire.Encoder), 0)
	return was, nil
}

// leaveWhiteout leaves of a deleted head what its clones need.
func (x *execution) leaveWhiteout(txn *objstore.Txn) {
	if x.info.Flags&ObjectWhiteout == 0 {
		x.info.Size, x.info.Flags = 0, ObjectWhiteout
		x.stats.Objects++
		x.stats.Whiteouts++
		txn.Touch(x.pg.coll, x.obj.id)
	}
}

// stored reports whether the head is in the store after the run.
func (x *execution) stored() bool { return x.exists || x.info.Flags&ObjectWhiteout != 0 }
