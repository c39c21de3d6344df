package pg

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/recovery"
	"github.com/pulpo-storage/pulpo/wire"
)

// Backfill: members whose log says too little are filled, all at the same time.
// recovery.Backfill decides; here its units are carried out. To each target the
// versions of a unit go one after the other, the oldest first, so that each finds
// there what it has in common with the one before. Where a target is, its
// last_backfill, is written down there from time to time; an interval later it
// goes on from there.

// unit is a head with its clones that is being made equal at targets.
type unit struct {
	*recovery.Unit
	targets map[int32]*unitTarget
}

// unitTarget is one of those.
type unitTarget struct {
	queue    []recovery.Digest // to be sent, in order
	has      map[object.SnapID]bool
	sending  bool
	removing bool // what it must not have is being removed
}

// progressEvery is after how many units targets write down how far they are.
const progressEvery = 64

// fillBody tells a target how far it is; it answers when it is complete.
type fillBody struct {
	Last object.ID // last_backfill
	Info Info      // of the whole group, if it is complete
}

func (b *fillBody) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	b.Last.Encode(e)
	b.Info.Encode(e)
	e.End(m)
}

func (b *fillBody) Decode(d *wire.Decoder) {
	env := d.Begin("pg_fill", 1)
	b.Last.Decode(d)
	b.Info.Decode(d)
	d.End(env)
}

// beginFill begins, or goes on after places were lost.
func (p *PG) beginFill() {
	r := &p.recovery
	if r.fill != nil {
		return
	}
	last := map[int32]object.ID{}
	least := object.MaxID
	for _, o := range p.unfilled() {
		last[o] = p.peering.peers[o].info.LastBackfill
		if last[o].Compare(least) < 0 {
			least = last[o]
		}
	}
	r.fill, r.units, r.told = recovery.NewBackfill(p.env.Config.BackfillScan, last), map[object.ID]*unit{}, 0
	r.base = p.objectsUpTo(least)
}

// objectsUpTo counts the objects here up to a head.
func (p *PG) objectsUpTo(last object.ID) (n int64) {
	if last.IsMin() {
		return 0
	}
	for from := (object.ID{Pool: p.id.Pool}); !from.Max; {
		ids, next, err := p.env.Store.List(p.coll, from, 1024)
		if err != nil {
			return n
		}
		for _, id := range ids {
			if id.Compare(last) > 0 {
				return n
			}
			if id.Name != "" {
				n++
			}
		}
		from = next
	}
	return n
}

// filledObjects is how many objects a target has by now.
func (p *PG) filledObjects(osd int32) int64 {
	r, q := &p.recovery, p.peering.peers[osd]
	if r.fill == nil {
		if q.filledTo != q.info.LastBackfill {
			q.filledTo, q.filled = q.info.LastBackfill, p.objectsUpTo(q.info.LastBackfill)
		}
		return q.filled
	}
	n := r.base + r.fill.Passed()
	for _, u := range r.units {
		if t := u.targets[osd]; t != nil {
			n -= int64(len(t.queue))
		}
	}
	return n
}

// fillMore goes on with the units under way, and begins others.
func (p *PG) fillMore(now time.Time) {
	r := &p.recovery
	for _, head := range p.unitHeads() {
		u := r.units[head]
		for _, osd := range sortedOSDs(u.targets) {
			if !p.unitNext(now, u, osd) {
				return
			}
		}
	}
	for len(r.moves) < max(1, p.env.Config.RecoveryMaxActive) {
		next, asks, err := r.fill.Next(p.scanHere)
		if err != nil {
			p.note(NoteCluster, "backfill", err)
			p.recoverBy(now.Add(p.env.Config.RecoveryRetry))
			return
		}
		for _, a := range asks {
			p.tell(a.OSD, PeerScan, &a)
		}
		if next == nil {
			break
		}
		p.beginUnit(now, next)
	}
	p.tellProgress()
}

func (p *PG) unitHeads() (heads []object.ID) {
	for h := range p.recovery.units {
		heads = append(heads, h)
	}
	slices.SortFunc(heads, object.ID.Compare)
	return heads
}

// scanHere reads an interval of the copy here.
func (p *PG) scanHere(from object.ID, max int) (recovery.Interval, error) {
	return recovery.Scan(p.env.Store, p.coll, from, max, func(id object.ID) (object.Version, error) {
		i, err := p.storedInfo(id)
		return i.Version, err
	})
}

// onScan tells the primary what is here. An object whose info cannot be read is
// given a version that it cannot have, and so a new copy. The indices in the
// group's own object, which were emptied when the copy began to be filled, get
// what is found here back; what is pushed or removed later changes that.
func (p *PG) onScan(from int32, q *recovery.ScanRequest) error {
	txn := new(objstore.Txn)
	in, err := recovery.Scan(p.env.Store, p.coll, q.From, q.Max, func(id object.ID) (object.Version, error) {
		i, err := p.storedInfo(id)
		if errors.Is(err, objstore.ErrClosed) {
			return object.Version{}, err
		}
		var ss SnapSet
		if err == nil && id.IsHead() {
			ss, err = p.loadSnaps(id)
		}
		if err != nil {
			return object.Version{}, nil
		}
		if id.IsHead() {
			p.indexWatched(txn, id, false, len(i.Watchers) > 0)
		}
		for _, c := range ss.Clones {
			p.indexSnaps(txn, id.At(c.ID), c.Snaps)
		}
		return i.Version, nil
	})
	if err != nil {
		return err
	}
	p.tellDurable(from, PeerInterval, &in)
	if !txn.Empty() {
		p.submitLocal(txn).must = true
	}
	return nil
}

// onInterval takes in what a target has.
func (p *PG) onInterval(now time.Time, from int32, in recovery.Interval) error {
	f := p.recovery.fill
	if f == nil {
		return nil
	}
	err := f.Scanned(from, in)
	p.recoverMore(now)
	return err
}

// beginUnit starts to make a unit equal.
func (p *PG) beginUnit(now time.Time, next *recovery.Unit) {
	u := &unit{next, map[int32]*unitTarget{}}
	p.recovery.units[u.Head] = u
	for _, w := range u.Targets {
		t := &unitTarget{has: map[object.SnapID]bool{}, removing: len(w.Remove) > 0}
		u.targets[w.OSD] = t
		for i, d := range u.Here {
			if w.Push[i] {
				t.queue = append(t.queue, d)
			} else {
				t.has[d.ID.Snap] = true
			}
		}
		if t.removing {
			p.tell(w.OSD, PeerDrop, &recovery.Remove{Head: u.Head, Objects: w.Remove})
		}
	}
	for _, osd := range sortedOSDs(u.targets) {
		p.unitNext(now, u, osd)
	}
}

// unitNext sends a target the next version, if that is due. It reports false if
// there is no room.
func (p *PG) unitNext(now time.Time, u *unit, osd int32) bool {
	t := u.targets[osd]
	if t == nil || t.sending || len(t.queue) == 0 {
		return true
	}
	d := t.queue[0]
	m := &move{id: d.ID, version: d.Version, osd: osd, unit: u}
	if p.recovery.moves[m.key()] != nil {
		return true
	}
	if !p.beginMove(now, m) {
		return false
	}
	t.sending = true
	p.push(now, m, func(s object.SnapID) bool { return t.has[s] })
	if m.ended {
		t.sending = false
	}
	return true
}

// unitPushed notes that a target has a version.
func (p *PG) unitPushed(now time.Time, u *unit, osd int32, o object.ID) {
	if t := u.targets[osd]; t != nil && t.sending && t.queue[0].ID == o {
		t.sending = false
		t.has[o.Snap] = true
		t.queue = t.queue[1:]
		p.unitDone(now, u, osd)
	}
}

// onDrop removes what a target must not have.
func (p *PG) onDrop(from int32, q *recovery.Remove) error {
	if q.Head.Compare(p.info.LastBackfill) <= 0 {
		return fmt.Errorf("%v is not to be filled, last backfill is %v: %w", q.Head, p.info.LastBackfill, errno.EINVAL)
	}
	txn := new(objstore.Txn)
	p.dropObjects(txn, q.Objects)
	for _, o := range q.Objects {
		p.forgetContext(o)
	}
	p.tellDurable(from, PeerDropped, &recovery.Remove{Head: q.Head})
	p.submitLocal(txn).must = true
	return nil
}

// onDropped notes that it has.
func (p *PG) onDropped(now time.Time, from int32, head object.ID) {
	if u := p.recovery.units[head]; u != nil && u.targets[from] != nil {
		u.targets[from].removing = false
		p.unitDone(now, u, from)
	}
}

// unitDone goes on with a target.
func (p *PG) unitDone(now time.Time, u *unit, osd int32) {
	r := &p.recovery
	if t := u.targets[osd]; len(t.queue) > 0 || t.removing {
		p.unitNext(now, u, osd)
		return
	}
	delete(u.targets, osd)
	r.fill.Done(u.Head, osd)
	if len(u.targets) == 0 {
		delete(r.units, u.Head)
	}
	p.objectMoved(now, u.Head)
}

// logged tells a backfill of a change.
func (p *PG) logged(t *Entry) {
	f := p.recovery.fill
	if f == nil || t.Kind == EntryError {
		return
	}
	gone := t.Deletes()
	f.Changed(t.Object, t.Version, gone)
	if t.Object.Head().Compare(f.At()) <= 0 {
		switch {
		case gone:
			p.recovery.base--
		case t.Kind == EntryClone || t.Prior.IsZero():
			p.recovery.base++
		}
	}
}

// tellProgress tells targets how far they are, now and then.
func (p *PG) tellProgress() {
	r := &p.recovery
	if r.told++; r.told%progressEvery != 0 && !r.fill.Finished() {
		return
	}
	rose := r.fill.Progress()
	for _, osd := range sortedOSDs(rose) {
		b := &fillBody{Last: rose[osd]}
		if b.Last.Max {
			b.Info = p.info
		} else {
			p.peering.peers[osd].info.LastBackfill = b.Last
		}
		p.tell(osd, PeerFill, b)
	}
}

// onFill notes how far the copy here is; or, as primary, that a target is
// complete.
func (p *PG) onFill(now time.Time, from int32, b *fillBody) error {
	if p.isPrimary() {
		q := p.peering.peers[from]
		if q == nil || !q.member || !b.Last.Max || p.recovery.fill == nil || !p.recovery.fill.Finished() {
			return nil
		}
		q.info.LastBackfill, q.info.Stats = b.Last, p.info.Stats
		p.changed = true
		p.recoverMore(now)
		p.tryClean(now)
		p.announce(now)
		return nil
	}
	if from != p.mapping.ActingPrimary || p.role != roleReplica {
		return nil
	}
	if b.Last.Compare(p.info.LastBackfill) <= 0 {
		return fmt.Errorf("last backfill %v after %v: %w", b.Last, p.info.LastBackfill, errno.EINVAL)
	}
	p.info.LastBackfill = b.Last
	if b.Last.Max {
		p.info.Stats = b.Info.Stats
		p.tellDurable(from, PeerFill, b)
	}
	txn := new(objstore.Txn)
	p.writeInfo(txn)
	p.submitLocal(txn).must = true
	return nil
}
