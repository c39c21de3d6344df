package rbd

import (
	"context"
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rbd/calls"
	"github.com/pulpo-storage/pulpo/rbd/notify"
)

// Feature is what an image can do that clients must know of, as bits. Their
// names, as rbd(8) prints them, are Feature.Names.
type Feature = clsrbd.Feature

const (
	Layering      = clsrbd.Layering      // clones
	Striping      = clsrbd.StripingV2    // neighbouring bytes in several objects
	ExclusiveLock = clsrbd.ExclusiveLock // one client at a time writes
	ObjectMap     = clsrbd.ObjectMap     // it is known which objects exist
	FastDiff      = clsrbd.FastDiff      // and which changed since a snapshot
	DeepFlatten   = clsrbd.DeepFlatten   // flattening parts snapshots from the parent, too
	Journaling    = clsrbd.Journaling    // changes go to a journal first; not for writing here
	DataPool      = clsrbd.DataPool      // the bytes are in another pool
	Operations    = clsrbd.Operations    // there are OpFeatures
	Migrating     = clsrbd.Migrating
	NonPrimary    = clsrbd.NonPrimary
	DirtyCache    = clsrbd.DirtyCache

	// DefaultFeatures is what images get if nothing else is asked for.
	DefaultFeatures Feature = clsrbd.DefaultFeatures
)

// OpFeature is what has been done with an image, as bits.
type OpFeature = clsrbd.OpFeature

const (
	CloneParent = clsrbd.CloneParent // it has clones of the second format
	CloneChild  = clsrbd.CloneChild  // it is one
	GroupMember = clsrbd.GroupMember // it is in a group of images
	SnapTrash   = clsrbd.SnapTrash   // it has snapshots in the trash
)

// Flag is a warning on an image or a snapshot, as bits.
type Flag = clsrbd.Flag

const (
	ObjectMapInvalid = clsrbd.ObjectMapInvalid // the object map cannot be trusted: it must be rebuilt
	FastDiffInvalid  = clsrbd.FastDiffInvalid  // nor what it says about changes
)

// checkFeatures tells whether an image can have these features.
func checkFeatures(f Feature) error {
	switch {
	case f&^clsrbd.AllFeatures != 0:
		return fmt.Errorf("features %#x are not known: %w", uint64(f&^clsrbd.AllFeatures), errno.ENOSYS)
	case f&clsrbd.InternalFeatures != 0:
		return invalid("%v cannot be asked for", f&clsrbd.InternalFeatures)
	case f&FastDiff != 0 && f&ObjectMap == 0:
		return invalid("fast-diff needs object-map")
	case f&(ObjectMap|Journaling) != 0 && f&ExclusiveLock == 0:
		return invalid("%v needs exclusive-lock", f&(ObjectMap|Journaling))
	case f&Journaling != 0:
		return fmt.Errorf("journaling: %w", errno.EOPNOTSUPP)
	}
	return nil
}

// EnableFeatures switches features on. ObjectMap brings FastDiff with it; the
// maps must be rebuilt before they are of use (RebuildObjectMap). EINVAL:
// features that cannot be switched on later, or are, or need others.
func (img *Image) EnableFeatures(ctx context.Context, f Feature) error {
	m := notify.Message{Op: notify.UpdateFeatures, Features: f, Enabled: true}
	return img.fail("enable features", img.manage(ctx, img.operation(&m), nil))
}

// DisableFeatures switches features off. FastDiff goes with ObjectMap. EINVAL:
// features that cannot be switched off, or are, or others need.
func (img *Image) DisableFeatures(ctx context.Context, f Feature) error {
	m := notify.Message{Op: notify.UpdateFeatures, Features: f}
	return img.fail("disable features", img.manage(ctx, img.operation(&m), nil))
}

func (img *Image) updateFeatures(ctx context.Context, m *notify.Message) error {
	if err := img.managing.acquire(ctx); err != nil {
		return err
	}
	defer img.managing.release()
	if err := img.shut(ctx); err != nil {
		return err
	}
	err := img.switchFeatures(context.WithoutCancel(ctx), m.Features, m.Enabled)
	img.gate.open()
	if err != nil {
		return err
	}
	return img.updated(ctx)
}

// switchFeatures does it. Nobody writes meanwhile.
func (img *Image) switchFeatures(ctx context.Context, f Feature, on bool) error {
	v, err := img.current(ctx)
	if err != nil {
		return err
	}
	allowed := Feature(clsrbd.DisableFeatures)
	want := v.features &^ f
	if on {
		allowed = clsrbd.MutableFeatures
		want = v.features | f
	}
	switch {
	case f == 0 || f&^allowed != 0:
		return invalid("%v cannot be switched", f&^allowed)
	case f&Journaling != 0:
		return fmt.Errorf("journaling: %w", errno.EOPNOTSUPP)
	case on && f&^v.features != f, !on && f&v.features != f:
		return invalid("%v: some of them are as they shall be", f)
	}
	if f&ObjectMap != 0 {
		if want |= FastDiff; !on {
			want &^= FastDiff
		}
	}
	if err := checkFeatures(want &^ (clsrbd.InternalFeatures | Journaling)); err != nil {
		return err
	}
	changed := want ^ v.features
	if on && changed&ObjectMap != 0 {
		if err := img.newObjectMaps(ctx, v); err != nil {
			return err
		}
	}
	if on && changed&(ObjectMap|FastDiff) != 0 {
		if err := img.distrust(ctx, v, changed, true); err != nil {
			return err
		}
	}
	if err := img.tellHeader(ctx, calls.SetFeatures(want, changed)); err != nil {
		return err
	}
	if !on && changed&(ObjectMap|FastDiff) != 0 {
		if err := img.distrust(ctx, v, changed, false); err != nil {
			return err
		}
	}
	if !on && changed&ObjectMap != 0 {
		if err := img.removeObjectMaps(ctx, v); err != nil {
			return err
		}
	}
	img.told.Add(1)
	if err := img.refresh(ctx); err != nil {
		return err
	}
	return img.owner.adapt(ctx)
}

// newObjectMaps makes object maps that say of every object that it may exist.
func (img *Image) newObjectMaps(ctx context.Context, v *view) error {
	save := func(snap, size uint64) error {
		bits := clsrbd.NewBitVector(0)
		bits.Resize(img.layout.Objects(size), clsrbd.ObjectExists)
		return tell(ctx, img.pool, clsrbd.ObjectMapName(img.id, snap), calls.SaveObjectMap(bits))
	}
	for _, s := range v.snaps {
		if err := save(s.ID, s.Size); err != nil {
			return err
		}
	}
	return save(clsrbd.HeadSnap, v.header.size)
}

func (img *Image) removeObjectMaps(ctx context.Context, v *view) error {
	ids := append(slices.Clone(v.snapc.Snaps), clsrbd.HeadSnap)
	for _, id := range ids {
		if err := img.pool.Remove(ctx, clsrbd.ObjectMapName(img.id, id)); err != nil && !isMissing(err) {
			return err
		}
	}
	return nil
}

// distrust sets the flags of features that come, and takes back those of
// features that go, on the image and all snapshots.
func (img *Image) distrust(ctx context.Context, v *view, f Feature, invalid bool) error {
	var mask Flag
	if f&ObjectMap != 0 {
		mask |= ObjectMapInvalid
	}
	if f&FastDiff != 0 {
		mask |= FastDiffInvalid
	}
	set := mask
	if !invalid {
		set = 0
	}
	ids := []uint64{clsrbd.HeadSnap}
	for _, s := range v.snaps {
		ids = append(ids, s.ID)
	}
	for _, id := range ids { // one by one: methods do not see what others of a sequence changed
		if err := img.tellSnap(ctx, id, calls.SetFlags(id, set, mask)); err != nil {
			return err
		}
	}
	return nil
}
