package pg

import (
	"container/list"
	"errors"
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/scrub"
	"github.com/pulpo-storage/pulpo/wire"
)

// Names of attributes in the store. The users' have a prefix, so that none of
// theirs is one of ours.
const (
	attrInfo  = scrub.AttrInfo
	attrSnaps = scrub.AttrSnaps
	userAttr  = "_"
)

// objectContext is what the group knows of an object right now (ObjectContext):
// as of the newest transaction, durable or not. Also objects that do not exist
// have one. A clone has one of its own, without snaps, which are the head's.
type objectContext struct {
	id     object.ID
	exists bool // to clients; a whiteout does not
	info   ObjectInfo
	snaps  SnapSet

	// pending is the token of the newest transaction that changed the object; it
	// counts while it is above PG.durable.
	pending uint64
	// fetching is the request that waits for another object's content; later
	// requests for this object wait behind it, in order.
	fetching *copyOp
	waiting  []*Request

	watches  []*watch  // in order
	notifies []*notify // by id

	lru *list.Element // in contexts.order; nil while the object is watched
}

// whiteout reports whether the object is there for its clones only.
func (o *objectContext) whiteout() bool { return o.info.Flags&ObjectWhiteout != 0 }

// stored reports whether the object is in the store.
func (o *objectContext) stored() bool { return o.exists || o.whiteout() }

// contexts are the objects that were used lately.
type contexts struct {
	byID  map[object.ID]*objectContext
	order list.List // of *objectContext, most recently used first; without those that are watched
}

// object returns the context of an object.
func (p *PG) object(id object.ID) (*objectContext, error) {
	p.env.lookups++
	if o := p.objects.byID[id]; o != nil {
		p.env.lookupHits++
		if o.lru != nil {
			p.objects.order.MoveToFront(o.lru)
		}
		return o, nil
	}
	o := &objectContext{id: id}
	raw, err := p.env.Store.Attr(p.coll, id, attrInfo)
	switch {
	case err == nil:
		if err := wire.Unmarshal(raw, &o.info); err != nil {
			return nil, fmt.Errorf("pg %v: info of %v: %w: %w", p.id, id, err, errno.EIO)
		}
		o.exists = !o.whiteout()
	case errors.Is(err, objstore.ErrNoAttr):
		return nil, fmt.Errorf("pg %v: %v has no info: %w", p.id, id, errno.EIO)
	case !errors.Is(err, objstore.ErrNotFound):
		return nil, fmt.Errorf("pg %v: info of %v: %w", p.id, id, err)
	}
	if o.stored() && id.IsHead() {
		if o.snaps, err = p.loadSnaps(id); err != nil {
			return nil, err
		}
	}
	if p.objects.byID == nil {
		p.objects.byID = map[object.ID]*objectContext{}
	}
	p.objects.byID[id] = o
	o.lru = p.objects.order.PushFront(o)
	return o, nil
}

// loadSnaps reads what a head knows of its clones.
func (p *PG) loadSnaps(head object.ID) (ss SnapSet, err error) {
	raw, err := p.env.Store.Attr(p.coll, head, attrSnaps)
	if errors.Is(err, objstore.ErrNoAttr) {
		return ss, nil
	}
	if err == nil {
		err = wire.Unmarshal(raw, &ss)
	}
	if err != nil {
		return ss, fmt.Errorf("pg %v: snapshots of %v: %w", p.id, head, err)
	}
	return ss, nil
}

// shrinkContexts forgets the objects that were not used for the longest time and
// of which nothing is under way. Nobody may hold a context over a call.
func (p *PG) shrinkContexts() {
	at := p.objects.order.Back()
	for excess := p.objects.order.Len() - p.env.Config.ContextCache; excess > 0 && at != nil; excess-- {
		o := at.Value.(*objectContext)
		at = at.Prev()
		if o.pending <= p.durable && o.fetching == nil && at != nil {
			p.objects.order.Remove(o.lru)
			delete(p.objects.byID, o.id)
		}
	}
}

// forgetContexts forgets all of them: the group is no longer the one to know.
func (p *PG) forgetContexts() { p.objects = contexts{} }
