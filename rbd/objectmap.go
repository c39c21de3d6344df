package rbd

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd/calls"
)

// objectMap is the object map of an image that this client owns (the feature
// object-map): which data objects may exist. Nobody else changes it, so the copy
// in memory is right.
//
// What it says must never be less than what there is:
//
//   - Before a write that may create an object, it says ObjectExists.
//   - Before a removal it says ObjectPending, after it ObjectNonexistent.
//   - With the feature fast-diff an object that a snapshot shares is
//     ObjectExistsClean until something is written to it.
//
// So a client that dies in between leaves a map that says too much, which costs
// reads, and not one that says too little, which would lose data. If an update
// fails the image is flagged: the map cannot be trusted until it is rebuilt.
type objectMap struct {
	img  *Image
	lock rados.Lock // of this map; its holder is the image's owner

	mu      sync.Mutex
	bits    *clsrbd.BitVector
	invalid bool
	sent    map[mapChange]*mapUpdate // on their way
}

// mapChange is an update of a range of objects.
type mapChange struct {
	begin, end uint64
	state      clsrbd.ObjectState
	expected   int // calls.AnyState, or the state of those that change
}

// mapUpdate is a change on its way, for all who want it. Changes do not go
// together: a method does not see what another one changed in the same sequence.
type mapUpdate struct {
	done chan struct{}
	err  error // once done
}

// mapLock is the lock on an object map. librbd's has no cookie and no tag.
var mapLock = rados.Lock{Name: clsrbd.LockName}

// openObjectMap takes the lock of the image's object map and loads it. The image
// is owned, so whoever holds the lock is gone.
func openObjectMap(ctx context.Context, img *Image, v *view) (*objectMap, error) {
	m := &objectMap{img: img, lock: mapLock, invalid: v.flags&ObjectMapInvalid != 0, sent: map[mapChange]*mapUpdate{}}
	if err := m.acquire(ctx); err != nil {
		return nil, fmt.Errorf("lock of the object map: %w", err)
	}
	want := img.layout.Objects(v.size)
	bits, err := ask(ctx, img.pool, m.name(), calls.LoadObjectMap())
	switch {
	case err == nil && bits.Len() >= want:
		bits.Resize(want, 0) // it is longer when shrinking the image was not finished
		m.bits = bits
		return m, nil
	case err == nil:
		err = fmt.Errorf("object map of %d objects, the image has %d: %w", bits.Len(), want, errno.EINVAL)
	case errors.Is(err, errno.EBLOCKLISTED) || ctx.Err() != nil:
		return nil, err
	}
	img.log.Warn("object map is damaged", "err", err)
	m.bits = clsrbd.NewBitVector(0)
	m.bits.Resize(want, clsrbd.ObjectExists)
	if err := m.invalidate(ctx); err != nil {
		return nil, err
	}
	return m, m.save(ctx)
}

func (m *objectMap) name() string { return clsrbd.ObjectMapName(m.img.id, clsrbd.HeadSnap) }

func (m *objectMap) acquire(ctx context.Context) error {
	for {
		err := m.img.pool.Lock(ctx, m.name(), m.lock)
		if err == nil || errors.Is(err, rados.ErrExists) {
			return nil
		}
		if !errors.Is(err, rados.ErrBusy) {
			return err
		}
		info, err := m.img.pool.LockInfo(ctx, m.name(), m.lock.Name)
		if err != nil {
			return err
		}
		for _, h := range info.Holders {
			if err := m.img.pool.BreakLock(ctx, m.name(), m.lock.Name, h.Client, h.Cookie); err != nil && !isMissing(err) {
				return err
			}
		}
	}
}

// release gives the lock back.
func (m *objectMap) release(ctx context.Context) error {
	if err := m.img.pool.Unlock(ctx, m.name(), m.lock.Name, m.lock.Cookie); err != nil && !isMissing(err) {
		return err
	}
	return nil
}

// mayExist tells whether there may be an object. No means no.
func (m *objectMap) mayExist(n uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.invalid || n >= m.bits.Len() || m.bits.Get(n) != clsrbd.ObjectNonexistent
}

// trusted tells whether the map says what there is.
func (m *objectMap) trusted() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.invalid
}

// state is what the map says of an object.
func (m *objectMap) state(n uint64) clsrbd.ObjectState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bits.Get(n)
}

// update sets the state of objects, here and on disk, unless they have it. The
// caller keeps others off the objects, unless they set the same state.
func (m *objectMap) update(ctx context.Context, c mapChange) error {
	m.mu.Lock()
	c.end = min(c.end, m.bits.Len())
	u := m.sent[c]
	if u == nil {
		if !m.needed(c) {
			m.mu.Unlock()
			return nil
		}
		u = &mapUpdate{done: make(chan struct{})}
		m.sent[c] = u
		// It serves others as well, so it does not end with this caller.
		m.img.tasks.Go(func() { m.send(m.img.life, c, u) })
	}
	m.mu.Unlock()
	select {
	case <-u.done:
		return u.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// needed tells whether a change changes something.
func (m *objectMap) needed(c mapChange) bool {
	for n := c.begin; n < c.end; n++ {
		if c.applies(m.bits.Get(n)) {
			return true
		}
	}
	return false
}

func (c *mapChange) applies(now clsrbd.ObjectState) bool {
	if c.expected >= 0 && now != uint8(c.expected) && (c.expected != int(clsrbd.ObjectExists) || now != clsrbd.ObjectExistsClean) {
		return false
	}
	return now != c.state
}

func (m *objectMap) send(ctx context.Context, c mapChange, u *mapUpdate) {
	var op rados.WriteOp
	op.AssertLocked(m.lock)
	addWrite(&op, calls.UpdateObjectMap(c.begin, c.end, c.state, c.expected))
	err := m.img.pool.Mutate(ctx, m.name(), &op)
	if err != nil {
		err = m.failed(ctx, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		for n := c.begin; n < min(c.end, m.bits.Len()); n++ {
			if c.applies(m.bits.Get(n)) {
				m.bits.Set(n, c.state)
			}
		}
	}
	delete(m.sent, c)
	u.err = err
	close(u.done)
}

// failed is what becomes of an update that failed with err: with the image
// flagged the write may go on. An owner that is none any more must not.
func (m *objectMap) failed(ctx context.Context, err error) error {
	if errors.Is(err, errno.EBLOCKLISTED) || errors.Is(err, rados.ErrBusy) || ctx.Err() != nil {
		return fmt.Errorf("object map: %w", err)
	}
	m.img.log.Warn("object map cannot be updated", "err", err)
	return m.invalidate(ctx)
}

// invalidate flags the image: nobody trusts the map from now on.
func (m *objectMap) invalidate(ctx context.Context) error {
	m.mu.Lock()
	done := m.invalid
	m.invalid = true
	m.mu.Unlock()
	if done {
		return nil
	}
	return m.img.flag(ctx, clsrbd.HeadSnap, true)
}

// save replaces what is on disk.
func (m *objectMap) save(ctx context.Context) error {
	var op rados.WriteOp
	op.AssertLocked(m.lock)
	m.mu.Lock()
	addWrite(&op, calls.SaveObjectMap(m.bits))
	m.mu.Unlock()
	return m.img.pool.Mutate(ctx, m.name(), &op)
}

// flag sets or takes back the flags that say that the object map of the image or
// of a snapshot cannot be trusted.
func (img *Image) flag(ctx context.Context, snap uint64, invalid bool) error {
	flags := ObjectMapInvalid
	if img.view.Load().has(FastDiff) {
		flags |= FastDiffInvalid
	}
	set := flags
	if !invalid {
		set = 0
	}
	if err := img.tellSnap(ctx, snap, calls.SetFlags(snap, set, flags)); err != nil {
		return fmt.Errorf("flags of the object map: %w", err)
	}
	img.told.Add(1)
	return nil
}

// snapObjectMap loads the object map of a snapshot, which does not change. nil:
// there is none to trust, so any object may exist.
func (img *Image) snapObjectMap(ctx context.Context, h *header, s *snapshot) *clsrbd.BitVector {
	if !h.has(ObjectMap) || s.flags&ObjectMapInvalid != 0 {
		return nil
	}
	bits, err := ask(ctx, img.pool, clsrbd.ObjectMapName(img.id, s.ID), calls.LoadObjectMap())
	if err != nil || bits.Len() < img.layout.Objects(s.Size) {
		img.log.Warn("object map of a snapshot cannot be read", "snapshot", s.ID, "err", err)
		return nil
	}
	return bits
}
