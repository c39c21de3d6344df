package pg

import (
	"errors"
	"fmt"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/pglog"
	"github.com/pulpo-storage/pulpo/osd/recovery"
	"github.com/pulpo-storage/pulpo/wire"
)

// Splitting. When a pool gets more groups, some of the objects of a group belong
// to new ones. The old group hands them over, some at a time, and serves nobody
// until it has. A new group exists in the store from the first step, marked as
// forming; the last step, one transaction, takes the marks away and gives each
// new group the ids of the requests that were answered before, so that one which
// comes again is not run again. A crash in between leaves a mark in the old
// group's info, and it goes on.
//
// The logs begin anew at the version where the group was split.

// split is a splitting under way.
type split struct {
	to       uint32 // groups
	at       object.ID
	children map[uint32]*Info // by seed
}

// splitBatch is how many objects move in one transaction.
const splitBatch = 256

// childrenOf are the seeds of the groups that come of a group.
func childrenOf(seed, from, to uint32) (seeds []uint32) {
	for s := from; s < to; s++ {
		if object.StableMod(s, from, maskOf(from)) == seed {
			seeds = append(seeds, s)
		}
	}
	return seeds
}

// ComesOf reports whether a group is made of objects of another one when a pool
// grows from so many groups.
func ComesOf(child, of, groups uint32) bool {
	return object.StableMod(child, groups, maskOf(groups)) == of
}

// maskOf is the smallest 2^k-1 that holds n-1.
func maskOf(n uint32) uint32 {
	m := uint32(0)
	for m < n-1 {
		m = m<<1 | 1
	}
	return m
}

func (p *PG) child(seed uint32) object.SPG {
	return object.SPG{PG: object.PG{Pool: p.id.Pool, Seed: seed}, Shard: p.id.Shard}
}

// beginSplit starts or goes on. The interval's own record, which is on its way
// or durable, calls splitMore.
func (p *PG) beginSplit() {
	p.role = roleSplitting
	p.forgetContexts()
	if p.info.SplitTo == 0 {
		p.info.SplitTo = p.pool.PGNum
	}
}

// splitMore moves some more objects, or ends it.
func (p *PG) splitMore(now time.Time) {
	txn := new(objstore.Txn)
	if p.split == nil {
		if err := p.openChildren(txn); err != nil {
			p.fail(err)
			return
		}
	}
	s := p.split
	ids, next, err := p.env.Store.List(p.coll, s.at, splitBatch)
	if err != nil {
		p.fail(fmt.Errorf("pg %v: split: %w", p.id, err))
		return
	}
	for _, id := range ids {
		if recovery.IsTemp(id) {
			txn.Remove(p.coll, id) // of a copying that ended with the interval
			continue
		}
		seed := object.StableMod(id.Hash, s.to, maskOf(s.to))
		if id.Name == "" || seed == p.id.Seed {
			continue
		}
		c := s.children[seed]
		if c == nil {
			p.fail(fmt.Errorf("pg %v: split: %v is not of this group: %w", p.id, id, errno.EIO))
			return
		}
		clone, err := p.cloneOf(id)
		if err != nil {
			p.fail(fmt.Errorf("pg %v: split: %w", p.id, err))
			return
		}
		i, err := p.storedInfo(id)
		if err != nil {
			p.fail(fmt.Errorf("pg %v: split: %w", p.id, err))
			return
		}
		st := i.footprint(clone)
		c.Stats.Add(&st)
		p.info.Stats.Sub(&st)
		txn.Rename(p.coll, id, objstore.PGColl(c.PG), id)
		if len(i.Watchers) > 0 {
			p.indexWatched(txn, id, true, false)
			newPG(p.env, c.PG).indexWatched(txn, id, false, true)
		}
		if clone != nil {
			p.unindexSnaps(txn, id, clone.Snaps)
			newPG(p.env, c.PG).indexSnaps(txn, id, clone.Snaps)
		}
	}
	s.at = next
	if next.Max {
		p.endSplit(now, txn)
		return
	}
	p.recordChildren(txn)
	p.writeInfo(txn)
	p.submitLocal(txn).must = true
}

// cloneOf is what the head says of a clone; nil for a head. Heads come after
// their clones, so they are still here.
func (p *PG) cloneOf(id object.ID) (*Clone, error) {
	if id.IsHead() {
		return nil, nil
	}
	ss, err := p.loadSnaps(id.Head())
	if err != nil && !(errors.Is(err, objstore.ErrNotFound) && p.missing.Any(id.Head())) {
		return nil, err
	}
	c := ss.find(id.Snap)
	if c == nil && p.missing.Any(id.Head()) {
		// The head comes later, and knows. Until then the index does.
		snaps, err := p.snapsOf(id)
		return &Clone{ID: id.Snap, Snaps: snaps}, err
	}
	if c == nil {
		return nil, fmt.Errorf("pg %v: the head of %v does not know it: %w", p.id, id, errno.EIO)
	}
	return c, nil
}

// storedInfo reads the info of an object that is there.
func (p *PG) storedInfo(id object.ID) (i ObjectInfo, err error) {
	raw, err := p.env.Store.Attr(p.coll, id, attrInfo)
	if err == nil {
		err = wire.Unmarshal(raw, &i)
	}
	if err != nil {
		err = fmt.Errorf("info of %v: %w", id, err)
	}
	return i, err
}

// footprint is what an object adds to the sums; clone is nil for a head.
func (i *ObjectInfo) footprint(clone *Clone) Stats {
	s := Stats{Bytes: int64(i.Size), Objects: 1}
	if i.Flags&ObjectOmap != 0 {
		s.OmapObjects = 1
	}
	if i.Flags&ObjectWhiteout != 0 {
		s.Whiteouts = 1
	}
	if clone != nil {
		s.Clones, s.Bytes = 1, clone.bytes()
	}
	return s
}

// openChildren makes the new groups, or finds them where a splitting was cut
// short.
func (p *PG) openChildren(txn *objstore.Txn) error {
	s := &split{to: p.info.SplitTo, at: object.MinID, children: map[uint32]*Info{}}
	for _, seed := range childrenOf(p.id.Seed, p.info.Groups, s.to) {
		c := newPG(p.env, p.child(seed))
		m, err := p.env.Store.OmapGet(c.coll, c.meta, []string{infoKey})
		switch errno.Code(err) {
		case 0:
			if err := wire.Unmarshal(m[infoKey], &c.info); err != nil {
				return fmt.Errorf("pg %v: info: %w", c.id, err)
			}
		case -int32(errno.ENOENT):
			txn.CreateColl(c.coll)
			txn.Touch(c.coll, c.meta)
			c.info.Forming = true
		default:
			return fmt.Errorf("pg %v: info: %w", c.id, err)
		}
		s.children[seed] = &c.info
	}
	p.split = s
	p.note(NoteInfo, fmt.Sprintf("is being split, %d groups come of it", len(s.children)), nil)
	return nil
}

func (p *PG) recordChildren(txn *objstore.Txn) {
	for _, seed := range childrenOf(p.id.Seed, p.info.Groups, p.split.to) {
		i := p.split.children[seed]
		c := newPG(p.env, i.PG)
		txn.OmapSet(c.coll, c.meta, []objstore.KV{{Key: infoKey, Value: wire.Marshal(i)}})
	}
}

// endSplit makes the new groups whole.
func (p *PG) endSplit(now time.Time, txn *objstore.Txn) {
	s := p.split
	p.info.LogTail = p.info.LastUpdate
	for _, t := range p.log.Entries {
		t.Object = object.ID{}
	}
	p.recordSplitOff(txn)
	p.splitMissing(txn)
	p.recordChildren(txn)
	for _, seed := range childrenOf(p.id.Seed, p.info.Groups, s.to) {
		p.out().Split = append(p.out().Split, p.child(seed))
	}
	p.info.Groups, p.info.SplitTo, p.split = s.to, 0, nil
	// The pool may have grown again; then it begins anew.
	p.begin(now, txn).must = true
}

// recordSplitOff gives the new groups their history, and the ids of requests.
func (p *PG) recordSplitOff(txn *objstore.Txn) {
	for _, seed := range childrenOf(p.id.Seed, p.info.Groups, p.split.to) {
		i := p.split.children[seed]
		stats := i.Stats
		*i = p.info
		i.PG, i.Stats = p.child(seed), stats
		i.Epoch = p.osdmap.Epoch
		i.Groups, i.SplitTo, i.Forming = p.split.to, 0, false
		// The epoch of the map that said so, not that of today: what clients have
		// sent since is good.
		since := p.info.History.LastEpochSplit
		if since == 0 {
			since = p.interval()
		}
		i.History.EpochCreated, i.History.LastEpochSplit = since, since
		c := newPG(p.env, i.PG)
		kvs := []objstore.KV{{Key: pastKey, Value: wire.Marshal(&p.past)}}
		for _, t := range p.log.Entries {
			var e wire.Encoder
			t.Encode(&e, i)
			kvs = append(kvs, objstore.KV{Key: pglog.Key(t.Version), Value: e.Bytes()})
		}
		txn.OmapSet(c.coll, c.meta, kvs)
	}
}

// splitMissing hands over what is missing of the new groups' objects.
func (p *PG) splitMissing(txn *objstore.Txn) {
	to := p.split.to
	for _, o := range p.missing.Sorted() {
		seed := object.StableMod(o.Hash, to, maskOf(to))
		if seed == p.id.Seed {
			continue
		}
		item, _ := p.missing.Get(o)
		c := newPG(p.env, p.child(seed))
		txn.OmapSet(c.coll, c.meta, []objstore.KV{{Key: missingKey(o), Value: wire.Marshal(item)}})
		p.missing.Remove(o)
	}
	p.writeMissing(txn)
}

// giveUpSplit lets what was made of new groups be removed with the pool.
func (p *PG) giveUpSplit() {
	if p.info.SplitTo == 0 {
		return
	}
	for _, seed := range childrenOf(p.id.Seed, p.info.Groups, p.info.SplitTo) {
		c := newPG(p.env, p.child(seed))
		if _, err := p.env.Store.Stat(c.coll, c.meta); err == nil {
			p.out().Split = append(p.out().Split, c.id)
		}
	}
	p.split = nil
}
