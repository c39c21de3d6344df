package pg

import (
	"fmt"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// Trimming: giving back what removed snapshots held (SnapTrimmer). The map says
// which snapshots of the pool are being removed. From then on nobody can read
// them; their clones go one step after the other, each step one transaction of a
// few clones, the next when that is durable. Requests come in between. A step
// takes a snapshot from the clones that serve it, and removes those that serve
// none any more.
//
// When nothing of a snapshot is left, the group notes it as purged and reports
// it. When all groups of the pool have, the monitors take it off the list, and
// then the groups forget it too.
//
// Where a step ended is nowhere written down: the index of clones shows what is
// left. So a restart, or another primary, just goes on.

// trimmer is the trimming of one group.
type trimmer struct {
	queue osdmap.SnapSet // being removed and not purged here
	// listed: the group is in Env.trims. If it is among the first of those, a step
	// is taken at next, or when the transaction of the last one is durable.
	listed bool
	next   time.Time // zero: what it waits for comes as an event
	after  uint64    // token of the last step
	failed bool      // there is damage; nothing more until a scrub finds none, or the interval ends
}

// trimRetry is how soon to try again when there is no room for a step's log, or
// to see whether settings have changed.
const trimRetry = 5 * time.Second

// trims are the groups that have something to trim, in the order in which they
// came; as many as Config.TrimGroups of them may go on.
type trims struct {
	groups []*PG
	woken  time.Time // the first may go on since then, and has not been told
}

// Woken is when a group came to want a Tick by what another one did; zero if none
// did since the last call.
func (e *Env) Woken() time.Time {
	at := e.trims.woken
	e.trims.woken = time.Time{}
	return at
}

// trimming reports whether it is the group's turn.
func (p *PG) trimming() bool {
	i := slices.Index(p.env.trims.groups, p)
	return i >= 0 && i < p.env.Config.TrimGroups
}

// trimState is what it adds to the group's state.
func (p *PG) trimState() msg.PGState {
	switch {
	case p.trim.failed:
		return msg.PGSnapTrimError
	case !p.trim.listed:
		return 0
	case p.trimming():
		return msg.PGSnapTrim
	}
	return msg.PGSnapTrimWait
}

// checkTrim looks anew at what there is to trim, and whether that may be. The
// next step is an event of its own.
func (p *PG) checkTrim(now time.Time) {
	t, state, had := &p.trim, p.State(), p.trim.queue.Size()
	t.queue = p.removed.Subtract(p.info.Purged)
	healthy := p.role == roleActive && p.clean()
	want := healthy && len(t.queue) > 0 && !t.failed && !p.osdmap.HasFlag(osdmap.FlagNoSnapTrim) && p.scrub.run == nil
	switch {
	case want && !t.listed:
		t.listed = true
		p.env.trims.groups = append(p.env.trims.groups, p)
		if t.after == 0 {
			t.next = now
		}
	case !want && t.listed:
		p.stopTrim(now)
	}
	if s := p.State(); s != state || t.queue.Size() != had {
		p.stamps.enter(now, p.Epoch(), s)
		p.changed = true
	}
}

// stopTrim lets the next group have its turn.
func (p *PG) stopTrim(now time.Time) {
	t, list := &p.trim, &p.env.trims
	t.listed, t.next = false, time.Time{}
	i := slices.Index(list.groups, p)
	if i < 0 {
		return
	}
	list.groups = slices.Delete(list.groups, i, i+1)
	if n := p.env.Config.TrimGroups; i < n && n <= len(list.groups) {
		q := list.groups[n-1]
		q.trim.next, list.woken = now, now
		q.stamps.enter(now, q.Epoch(), q.State())
		q.changed = true
	}
}

// trimTick takes the next step if it is time for it.
func (p *PG) trimTick(now time.Time) {
	if t := &p.trim; !t.next.IsZero() && !now.Before(t.next) {
		p.trimMore(now)
	}
}

// trimmed goes on when the last step is durable.
func (p *PG) trimmed(now time.Time) {
	t := &p.trim
	if t.after == 0 || t.after > p.durable {
		return
	}
	t.after = 0
	if len(t.queue) == 0 {
		p.checkTrim(now)
		return
	}
	if pause := p.env.Config.TrimSleep; t.listed && pause > 0 {
		t.next = now.Add(pause)
	} else if t.listed {
		p.trimMore(now)
	}
}

// trimMore takes the next step.
func (p *PG) trimMore(now time.Time) {
	t := &p.trim
	t.next = time.Time{}
	if !t.listed || t.after != 0 {
		return
	}
	if !p.trimming() {
		t.next = now.Add(trimRetry)
		return
	}
	p.shrinkContexts()
	snap := t.queue[0].Begin
	ids, err := p.clonesOf(snap, max(1, p.env.Config.TrimBatch))
	if err == nil {
		if len(ids) > 0 {
			err = p.trimClones(snap, ids)
		} else {
			err = p.purge()
		}
	}
	if err != nil {
		t.failed = true
		p.note(NoteCluster, fmt.Sprintf("trimming snapshot %d", snap), err)
		p.checkTrim(now)
	}
}

// purgeBatch is how many snapshots are noted as purged at once.
const purgeBatch = 256

// purge notes the snapshots at the front of the queue that have no clones.
func (p *PG) purge() error {
	queue := p.trim.queue
	var done osdmap.SnapSet
	for n := uint64(0); n < purgeBatch && n < queue.Size(); n++ {
		next := queue.First(n + 1).Subtract(queue.First(n))[0]
		ids, err := p.clonesOf(next.Begin, 1)
		if err != nil {
			return err
		}
		if len(ids) > 0 {
			break
		}
		done = done.Union(osdmap.SnapSet{next})
	}
	p.info.Purged = p.info.Purged.Union(done)
	p.trim.queue = queue.Subtract(done)
	p.changed = true
	txn := new(objstore.Txn)
	p.writeInfo(txn)
	// Refused, it is in memory all the same: there is nothing left.
	p.trim.after = p.submitLocal(txn).token
	return nil
}

// trimClones takes the snapshots that are being removed from clones that serve
// one of them. Nothing is changed if a clone is not as it must be.
func (p *PG) trimClones(snap object.SnapID, ids []object.ID) error {
	for _, id := range ids {
		head, err := p.object(id.Head())
		if err == nil {
			_, err = p.cloneContext(head, id.Snap)
		}
		if err != nil {
			return err
		}
		if c := head.snaps.find(id.Snap); c == nil || !slices.Contains(c.Snaps, snap) {
			return fmt.Errorf("pg %v: the head of %v does not know it: %w", p.id, id, errno.EIO)
		}
	}
	u := undo{info: p.info}
	txn := new(objstore.Txn)
	for _, id := range ids {
		p.trimClone(txn, &u, p.objects.byID[id.Head()], p.objects.byID[id])
	}
	f := p.submit(txn, nil, nil, p.info.LastUpdate, u)
	for i := range u.more {
		u.more[i].object.pending = f.token
	}
	p.trim.after = f.token
	return nil
}

// trimClone stages what becomes of a clone and of its head (trim_object).
func (p *PG) trimClone(txn *objstore.Txn, u *undo, head, o *objectContext) {
	u.more = append(u.more, remember(head), remember(o))
	ss := head.snaps.clone()
	i := ss.index(o.id.Snap)
	c := ss.Clones[i]
	var keep, gone []object.SnapID
	for _, s := range c.Snaps {
		if p.removed.Contains(s) {
			gone = append(gone, s)
		} else {
			keep = append(keep, s)
		}
	}
	p.unindexSnaps(txn, o.id, gone)
	change := Stats{Bytes: -ss.bytes()}
	t := &Entry{Kind: EntryModify, Object: o.id, Version: p.next(), Prior: o.info.Version}
	if len(keep) > 0 {
		ss.Clones[i].Snaps = keep
		o.info.Prior, o.info.Version = o.info.Version, t.Version
		txn.SetAttr(p.coll, o.id, attrInfo, wire.Marshal(&o.info))
	} else {
		t.Kind = EntryDelete
		ss.remove(i)
		change.Objects--
		change.Clones--
		if o.info.Flags&ObjectOmap != 0 {
			change.OmapObjects--
		}
		o.exists, o.info = false, ObjectInfo{}
		txn.Remove(p.coll, o.id)
	}
	change.Bytes += ss.bytes()
	p.logTrim(txn, u, t)

	t = &Entry{Kind: EntryModify, Object: head.id, Version: p.next(), Prior: head.info.Version}
	if head.whiteout() && len(ss.Clones) == 0 {
		t.Kind = EntryDelete
		change.Objects--
		change.Whiteouts--
		head.info, head.snaps = ObjectInfo{}, SnapSet{}
		txn.Remove(p.coll, head.id)
	} else {
		head.snaps = ss
		head.info.Prior, head.info.Version = head.info.Version, t.Version
		txn.SetAttrs(p.coll, head.id, []objstore.KV{
			{Key: attrInfo, Value: wire.Marshal(&head.info)}, {Key: attrSnaps, Value: wire.Marshal(&ss)},
		})
	}
	p.addStats(head.id, &change)
	p.logTrim(txn, u, t)
}

func (p *PG) logTrim(txn *objstore.Txn, u *undo, t *Entry) {
	p.logEntry(txn, t, new(wire.Encoder), 0)
	u.logged++
}

// trimRefused tries again later: the store had no room.
func (p *PG) trimRefused(now time.Time, token uint64) {
	if t := &p.trim; t.after == token {
		t.after = 0
		if len(t.queue) == 0 {
			p.checkTrim(now)
		} else {
			t.next = now.Add(trimRetry)
		}
	}
}

// forgetPurged forgets the snapshots that the map no longer lists.
func (p *PG) forgetPurged() {
	if len(p.info.Purged) > 0 {
		p.info.Purged = p.info.Purged.Intersect(p.removed)
	}
}
