package rbd

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
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
