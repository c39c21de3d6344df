package pg

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/recovery"
	"github.com/pulpo-storage/pulpo/wire"
)

// Giving up what nobody is known to have ("pg mark_unfound_lost", in Ceph
// PrimaryLogPG::mark_all_unfound_lost). An operator asks for it, and gets it only
// when nobody is left to be asked: each OSD that may have something has told what
// it has, has been declared lost, or is no more. Of each such object
//
//	revert  the newest version that any copy still has becomes the newest again;
//	        where there is none it is deleted
//	delete  it is deleted
//
// It is one transaction for all of them, with an entry of the log each (LOST_REVERT,
// LOST_DELETE), so every copy learns of it, also one that comes back later with
// what was given up. A prior version that is not here is brought here first.
//
// A member that lacks an object takes no steps on it, only the entry, by which it
// lacks the new version now; recovery brings it.
//
// A head tells of its clones. One that goes and has clones that are there leaves a
// whiteout for them; one that goes back in time keeps to the clones that there are
// now. What the index of snapshots knows of them is enough for that, but for the
// bytes that they share: none, to be safe.

// Refusal is what an operator's command is told.
type Refusal struct {
	Errno errno.Errno
	Words string
}

func (r *Refusal) Error() string { return r.Words }
func (r *Refusal) Unwrap() error { return r.Errno }

// GiveUp gives up all unfound objects, and returns how many those are; it is done
// when the log says so. EINVAL: somebody may still have them; EAGAIN: this copy is
// not the one to say, or has to finish something first.
func (p *PG) GiveUp(now time.Time, revert bool) (n int, err *Refusal) {
	p.settleEffects(now)
	p.stepToken = p.nextToken
	defer p.stepped()
	if p.peering.state != stateActive {
		return 0, &Refusal{errno.EAGAIN, "not primary"}
	}
	n = p.numUnfound()
	switch {
	case n == 0:
		return 0, nil
	case !p.allProbed():
		return n, &Refusal{errno.EINVAL, fmt.Sprintf("pg has %d unfound objects but we haven't probed all sources, not marking lost", n)}
	case p.recoverable() || len(p.recovery.moves) > 0 || p.scrub.run != nil:
		return n, &Refusal{errno.EAGAIN, fmt.Sprintf("pg has %d unfound objects but is still recovering others, not marking lost", n)}
	}
	p.recovery.reverting = revert
	p.giveUp(now, revert)
	return n, nil
}

// giveUp does it, or begins to fetch what it needs.
func (p *PG) giveUp(now time.Time, revert bool) {
	if revert && p.fetchPrior(now) {
		return
	}
	p.recovery.reverting = false
	if err := p.markLost(now, revert); err != nil {
		p.note(NoteCluster, "giving up unfound objects", err)
	}
}

// revertMore goes on when a prior version has come, or does not come.
func (p *PG) revertMore(now time.Time) {
	if p.recovery.reverting {
		p.giveUp(now, true)
	}
}

// fetchPrior brings the prior versions of unfound objects here that another copy
// has newer than this one. It reports whether there are any.
func (p *PG) fetchPrior(now time.Time) (some bool) {
	for _, u := range p.unfoundObjects() {
		if p.recovery.moves[moveKey{u.ID, -1}] != nil {
			some = true
			continue
		}
		from, v := p.priorElsewhere(u.ID)
		if v.Compare(u.Have) <= 0 {
			continue
		}
		some = true
		m := &move{id: u.ID, version: v, osd: from, pull: true, alone: true, prior: true}
		if !p.beginMove(now, m) {
			return true
		}
		p.pull(m, recovery.Cursor{})
	}
	return some
}

// priorElsewhere is the newest prior version that another copy has of what is
// unfound.
func (p *PG) priorElsewhere(o object.ID) (from int32, v object.Version) {
	for _, osd := range sortedOSDs(p.peering.peers) {
		q := p.peering.peers[osd]
		i, ok := q.missing.Get(o)
		if ok && q.known && p.osdmap.IsUp(osd) && !p.recovery.failed[o][osd] && v.Compare(i.Have) < 0 {
			from, v = osd, i.Have
		}
	}
	return from, v
}

// family is an object of which versions are given up: the head, and all clones.
type family struct {
	head   object.ID
	item   Unfound     // of the head, if it is unfound
	clones []object.ID // those that are
	known  map[object.SnapID][]object.SnapID
}

// marking is the transaction that gives objects up, while it is made.
type marking struct {
	*PG
	now  time.Time
	txn  *objstore.Txn
	undo undo
	sums Stats // of the group, as far as they are known again
}

// markLost makes and submits the transaction.
func (p *PG) markLost(now time.Time, revert bool) error {
	families, err := p.lostFamilies()
	if err != nil {
		return err
	}
	x := &marking{PG: p, now: now, txn: new(objstore.Txn), undo: undo{info: p.info}}
	if x.sums, err = p.recount(families); err != nil {
		return err
	}
	lacked := p.rememberMissing()
	restore := func() {
		p.info = x.undo.info
		p.log.Undo(x.undo.logged)
		for _, o := range x.undo.more {
			o.restore()
		}
		lacked()
	}
	for _, f := range families {
		if err := x.family(f, revert); err != nil {
			restore()
			return err
		}
	}
	fl := p.submit(x.txn, nil, nil, p.info.LastUpdate, x.undo)
	p.writeMissing(x.txn) // of this copy alone: the members have been sent theirs
	for _, o := range x.undo.more {
		o.object.pending = fl.token
	}
	fl.refused = func(now time.Time, why error) {
		restore()
		p.note(NoteCluster, "unfound objects are not given up", why)
	}
	fl.then = func(now time.Time) {
		for _, f := range families {
			delete(p.recovery.failed, f.head)
			if p.role == roleActive {
				p.loadWatch(now, f.head)
			}
			p.objectMoved(now, f.head)
		}
	}
	p.changed = true
	return nil
}

// enter adds an entry to the log, with the sums that are right after the last one.
func (x *marking) enter(o object.ID, kind EntryKind, prior object.Version) {
	t := &Entry{Kind: kind, Object: o, Version: x.next(), Prior: prior, MTime: x.now}
	for _, q := range x.peering.peers {
		if q.member && q.missing.Has(o) {
			q.missing.Next(t)
		}
	}
	x.missing.Remove(o)
	s := &x.info.Stats
	s.Objects, s.Bytes, s.OmapObjects, s.Clones, s.Whiteouts = x.sums.Objects, x.sums.Bytes, x.sums.OmapObjects, x.sums.Clones, x.sums.Whiteouts
	x.logEntry(x.txn, t, new(wire.Encoder), 0)
	x.undo.logged++
}

// rememberMissing returns what puts back what is missing, here and at the members.
func (p *PG) rememberMissing() (restore func()) {
	sets := p.missingSets()
	saved := make([][]Unfound, len(sets))
	for i, m := range sets {
		for _, o := range m.Sorted() {
			item, _ := m.Get(o)
			saved[i] = append(saved[i], Unfound{o, item.Need, item.Have})
		}
	}
	return func() {
		for i, m := range sets {
			for _, u := range saved[i] {
				m.Add(u.ID, u.Need, u.Have)
			}
		}
	}
}

// lostFamilies gathers the unfound objects by head, in order, with what the index
// knows of the clones that are there.
func (p *PG) lostFamilies() (list []*family, err error) {
	byHead := map[object.ID]*family{}
	for _, u := range p.unfoundObjects() {
		head := u.ID.Head()
		f := byHead[head]
		if f == nil {
			f = &family{head: head, known: map[object.SnapID][]object.SnapID{}}
			byHead[head] = f
			list = append(list, f)
		}
		if u.ID.IsHead() {
			f.item = u
		} else {
			f.clones = append(f.clones, u.ID)
		}
	}
	err = p.env.Store.OmapScan(p.coll, p.meta, snapPrefix, func(key string, _ []byte) bool {
		raw, ok := strings.CutPrefix(key, snapPrefix)
		var id object.ID
		if !ok || len(raw) <= 8 || wire.Unmarshal([]byte(raw[8:]), &id) != nil {
			return ok
		}
		if f := byHead[id.Head()]; f != nil && !slices.Contains(f.clones, id) {
			snap := object.SnapID(binary.BigEndian.Uint64([]byte(raw)))
			f.known[id.Snap] = append([]object.SnapID{snap}, f.known[id.Snap]...) // newest first
		}
		return true
	})
	return list, err
}

// family adds what becomes of an object and its clones.
func (x *marking) family(f *family, revert bool) error {
	o := &objectContext{id: f.head}
	lost := !f.item.Need.IsZero()
	if !lost || !f.item.Have.IsZero() {
		x.forgetContext(f.head)
		var err error
		if o, err = x.object(f.head); err != nil {
			return err
		}
		x.undo.more = append(x.undo.more, remember(o))
	}
	prior, kind := o.info.Version, EntryModify
	if lost {
		prior, kind = f.item.Need, EntryLostRevert
		if !revert || !o.stored() {
			kind = EntryLostDelete
			x.txn.Remove(x.coll, f.head)
			o.exists, o.info, o.snaps = false, ObjectInfo{}, SnapSet{}
		}
	}
	for _, c := range f.clones {
		item, _ := x.missing.Get(c)
		x.dropObjects(x.txn, []object.ID{c})
		x.enter(c, EntryLostDelete, item.Need)
	}
	had := !o.snaps.empty()
	if err := x.keepClones(o, f); err != nil {
		return err
	}
	if !o.exists && len(o.snaps.Clones) == 0 {
		if kind != EntryLostDelete {
			kind = EntryDelete
		}
		o.info, o.snaps = ObjectInfo{}, SnapSet{}
		x.dropObjects(x.txn, []object.ID{f.head})
		x.enter(f.head, kind, prior)
		return nil
	}
	if !o.exists {
		o.info.Size, o.info.Flags = 0, ObjectWhiteout
		if kind == EntryLostDelete {
			x.txn.Touch(x.coll, f.head)
			kind = EntryModify
		}
	}
	own := o.info.footprint(nil)
	x.sums.Add(&own)
	o.info.Prior, o.info.Version = prior, x.next()
	x.txn.SetAttr(x.coll, f.head, attrInfo, wire.Marshal(&o.info))
	if !o.snaps.empty() {
		x.txn.SetAttr(x.coll, f.head, attrSnaps, wire.Marshal(&o.snaps))
	} else if had {
		x.txn.RmAttr(x.coll, f.head, attrSnaps)
	}
	x.indexWatched(x.txn, f.head, true, len(o.info.Watchers) > 0)
	x.enter(f.head, kind, prior)
	return nil
}

// keepClones makes a head's list of clones that of those that there are, and adds
// them to the sums.
func (x *marking) keepClones(o *objectContext, f *family) error {
	ss := o.snaps.clone()
	for i := len(ss.Clones) - 1; i >= 0; i-- {
		if f.known[ss.Clones[i].ID] == nil {
			ss.remove(i)
		}
	}
	for id, snaps := range f.known {
		if ss.find(id) != nil {
			continue
		}
		info, err := x.storedInfo(f.head.At(id))
		if err != nil {
			return err
		}
		i := ss.index(id)
		ss.Clones = slices.Insert(ss.Clones, i, Clone{ID: id, Size: info.Size, Snaps: snaps})
		if i > 0 {
			ss.Clones[i-1].Overlap = nil
		}
	}
	if c := ss.newest(); c != nil {
		ss.Seq = max(ss.Seq, c.ID)
		if !o.exists {
			c.Overlap = nil
		}
	}
	o.snaps = ss
	return x.addClones(&x.sums, f.head, &ss)
}

// recount adds up what is here but for some families: nobody knows how large what
// is lost was.
func (p *PG) recount(but []*family) (sums Stats, err error) {
	for from := object.MinID; ; {
		ids, next, err := p.env.Store.List(p.coll, from, recountBatch)
		if err != nil {
			return sums, err
		}
		for _, id := range ids {
			if id == p.meta || !id.IsHead() || recovery.IsTemp(id) || slices.ContainsFunc(but, func(f *family) bool { return f.head == id.Head() }) {
				continue
			}
			info, err := p.storedInfo(id)
			if err != nil {
				return sums, err
			}
			own, ss := info.footprint(nil), SnapSet{}
			sums.Add(&own)
			if ss, err = p.loadSnaps(id); err == nil {
				err = p.addClones(&sums, id, &ss)
			}
			if err != nil {
				return sums, err
			}
		}
		if next.Max {
			return sums, nil
		}
		from = next
	}
}

const recountBatch = 512

// addClones adds the clones of a head to sums.
func (p *PG) addClones(sums *Stats, head object.ID, ss *SnapSet) error {
	for i := range ss.Clones {
		c := &ss.Clones[i]
		info, err := p.storedInfo(head.At(c.ID))
		if err != nil {
			return err
		}
		own := info.footprint(c)
		sums.Add(&own)
	}
	return nil
}
