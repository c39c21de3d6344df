package rbd

import (
	"context"
	"fmt"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rbd/calls"
	"github.com/pulpo-storage/pulpo/rbd/notify"
)

// RebuildObjectMap makes the object maps of the image and its snapshots from the
// objects that there are, and takes back the flags that say that they cannot be
// trusted. EINVAL: the image has no object map.
func (img *Image) RebuildObjectMap(ctx context.Context, progress Progress) error {
	m := notify.Message{Op: notify.RebuildObjectMap}
	return img.fail("rebuild object map", img.manage(ctx, img.operation(&m), progress))
}

func (img *Image) rebuildObjectMap(ctx context.Context, progress Progress) error {
	if err := img.managing.acquire(ctx); err != nil { // no snapshots meanwhile
		return err
	}
	defer img.managing.release()
	m := img.owner.objectMap.Load()
	if m == nil {
		return invalid("the image has no object map")
	}
	if err := m.invalidate(ctx); err != nil { // until it is whole again
		return err
	}
	maps, err := img.collectMaps(ctx, progress, func(n uint64, s clsrbd.ObjectState) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.bits.Set(n, s)
	})
	if err != nil {
		return err
	}
	v := img.view.Load()
	for i, s := range v.snaps {
		if err := tell(ctx, img.pool, clsrbd.ObjectMapName(img.id, s.ID), calls.SaveObjectMap(maps[i])); err != nil {
			return err
		}
		if s.flags != 0 {
			if err := img.flag(ctx, s.ID, false); err != nil {
				return err
			}
		}
	}
	if err := img.shut(ctx); err != nil {
		return err
	}
	err = m.save(ctx)
	if err == nil {
		err = img.flag(ctx, clsrbd.HeadSnap, false)
	}
	if err == nil {
		m.mu.Lock()
		m.invalid = false
		m.mu.Unlock()
	}
	img.gate.open()
	if err != nil {
		return err
	}
	return img.updated(ctx)
}

// CheckObjectMap compares the object maps with the objects that there are, and
// flags those that are wrong. It returns whether all are right.
func (img *Image) CheckObjectMap(ctx context.Context, progress Progress) (ok bool, err error) {
	const what = "check object map"
	if img.readOnly {
		return false, img.fail(what, errReadOnly)
	}
	err = img.whileOwned(ctx, func(ctx context.Context) error {
		ok, err = img.checkObjectMap(ctx, progress)
		return err
	})
	return ok, img.fail(what, err)
}

func (img *Image) checkObjectMap(ctx context.Context, progress Progress) (bool, error) {
	if err := img.managing.acquire(ctx); err != nil {
		return false, err
	}
	defer img.managing.release()
	m := img.owner.objectMap.Load()
	if m == nil {
		return false, invalid("the image has no object map")
	}
	ok := true
	wrong := func(snap, n uint64, is, want clsrbd.ObjectState) error {
		img.log.Warn("object map is wrong", "snapshot", snap, "object", n, "is", is, "want", want)
		if !ok {
			return nil
		}
		ok = false
		if snap == clsrbd.HeadSnap {
			return m.invalidate(ctx)
		}
		return img.flag(ctx, snap, true)
	}
	type finding struct {
		n        uint64
		is, want clsrbd.ObjectState
	}
	var found []finding
	maps, err := img.collectMaps(ctx, progress, func(n uint64, s clsrbd.ObjectState) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if is := m.bits.Get(n); is != s {
			found = append(found, finding{n, is, s})
		}
	})
	if err != nil {
		return false, err
	}
	for _, f := range found {
		if err := wrong(clsrbd.HeadSnap, f.n, f.is, f.want); err != nil {
			return false, err
		}
	}
	v := img.view.Load()
	for i := range v.snaps {
		s := &v.snaps[i]
		bits, err := ask(ctx, img.pool, clsrbd.ObjectMapName(img.id, s.ID), calls.LoadObjectMap())
		if err != nil || bits.Len() != maps[i].Len() {
			bits = clsrbd.NewBitVector(maps[i].Len())
		}
		for n := range maps[i].Len() {
			if is, want := bits.Get(n), maps[i].Get(n); is != want {
				if err := wrong(s.ID, n, is, want); err != nil {
					return false, err
				}
			}
		}
	}
	if !ok {
		return false, img.updated(ctx)
	}
	return true, nil
}

// collectMaps looks at all objects and returns what the maps of the snapshots
// should be, in their order. What that of the image itself should be is told to
// head object by object, while nobody changes the object.
func (img *Image) collectMaps(ctx context.Context, progress Progress, head func(uint64, clsrbd.ObjectState)) ([]*clsrbd.BitVector, error) {
	v, err := img.current(ctx)
	if err != nil {
		return nil, err
	}
	var ids []uint64
	var maps []*clsrbd.BitVector
	total := img.layout.Objects(v.size)
	for _, s := range v.snaps {
		maps = append(maps, clsrbd.NewBitVector(img.layout.Objects(s.Size)))
		ids = append(ids, s.ID)
		total = max(total, img.layout.Objects(s.Size))
	}
	ids = append(ids, clsrbd.HeadSnap)
	done := counter{progress: progress, total: total}
	all := make([][]clsrbd.ObjectState, total)
	err = parallel(ctx, managing, total, func(ctx context.Context, n uint64) error {
		defer done.add()
		return img.inGate(ctx, func(now *view) error {
			if now.size != v.size || len(now.snaps) != len(v.snaps) {
				return fmt.Errorf("the image was changed: %w", errno.EAGAIN)
			}
			if err := img.objects.own(ctx, n); err != nil {
				return err
			}
			defer img.objects.release(n)
			vs, err := img.listVersions(ctx, n)
			if err != nil {
				return err
			}
			all[n] = vs.states(ids, v.has(FastDiff))
			if n < img.layout.Objects(v.size) {
				head(n, all[n][len(ids)-1])
			}
			return nil
		})
	})
	for n, states := range all {
		for i, m := range maps {
			if states != nil && uint64(n) < m.Len() {
				m.Set(uint64(n), states[i])
			}
		}
	}
	return maps, err
}
