package rbd

import (
	"errors"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

var snapSetMethods = objclass.Class{
	"snapshot_add":          {Flags: rd | wr, Call: addSnapshot},
	"snapshot_rename":       {Flags: rd | wr, Call: renameSnapshot},
	"snapshot_remove":       {Flags: rd | wr, Call: removeSnapshot},
	"snapshot_trash_add":    {Flags: rd | wr, Call: trashSnapshot},
	"snapshot_set_limit":    {Flags: rd | wr, Call: setSnapLimit},
	"set_protection_status": {Flags: rd | wr, Call: setProtection},
}

// maxSnap is the highest id of a snapshot (CEPH_MAXSNAP).
const maxSnap = head - 1

// addSnapshot takes string name, u64 id, SnapshotNamespace. ESTALE if there was a
// newer snapshot: the client lost a race and asks for another id.
func addSnapshot(c objclass.Context, in []byte) ([]byte, error) {
	s := snapshot{parent: noParent}
	if err := objclass.Parse(in, func(d *wire.Decoder) {
		s.name, s.id = d.Str(), d.U64()
		if d.Left() > 0 {
			s.namespace.Decode(d)
		}
	}); err != nil {
		return nil, err
	}
	if s.namespace.Type > clsrbd.SnapMirror || s.id > maxSnap {
		return nil, errno.EINVAL
	}
	seq, err := readU64(c, "snap_seq")
	if err != nil {
		return nil, err
	}
	if s.id < seq {
		return nil, errno.ESTALE
	}
	if s.size, err = readU64(c, "size"); err != nil {
		return nil, err
	}
	s.flags, err = readU64(c, "flags")
	if _, err := present(err); err != nil {
		return nil, err
	}
	limit, err := snapLimit(c)
	if err != nil {
		return nil, err
	}
	count := uint64(0)
	if err := eachSnapshot(c, func(o *snapshot) error {
		if count++; count >= limit {
			return errno.EDQUOT
		}
		if o.id == s.id || o.name == s.name && sameNamespace(&o.namespace, &s.namespace) {
			return errno.EEXIST
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if s.parent, err = readParent(c); err != nil && !isMissing(err) {
		return nil, err
	}
	if s.namespace.Type == clsrbd.SnapTrashed {
		if err := setOpFeatures(c, clsrbd.SnapTrash, clsrbd.SnapTrash); err != nil {
			return nil, err
		}
	}
	if err := writeU64(c, "snap_seq", s.id); err != nil {
		return nil, err
	}
	s.created = c.Now()
	return nil, writeSnapshot(c, s.id, &s)
}

// renameSnapshot takes u64 id, string name. Only users' snapshots have a name to
// change.
func renameSnapshot(c objclass.Context, in []byte) ([]byte, error) {
	var id uint64
	var name string
	if err := objclass.Parse(in, func(d *wire.Decoder) { id, name = d.U64(), d.Str() }); err != nil {
		return nil, err
	}
	taken, err := anySnapshot(c, func(s *snapshot) bool { return s.namespace.Type == clsrbd.SnapUser && s.name == name })
	if err != nil {
		return nil, err
	}
	if taken {
		return nil, errno.EEXIST
	}
	s, err := readSnapshot(c, id)
	if err != nil {
		return nil, err
	}
	if s.namespace.Type != clsrbd.SnapUser {
		return nil, errno.EINVAL
	}
	s.name = name
	return nil, writeSnapshot(c, id, s)
}

// removeSnapshot takes u64 id. EBUSY while the snapshot is protected or has
// clones. What no snapshot needs any more goes with it: the parent that was kept
// for it, operation features.
func removeSnapshot(c objclass.Context, in []byte) ([]byte, error) {
	id, err := parseU64(in)
	if err != nil {
		return nil, err
	}
	s, err := readSnapshot(c, id)
	if err != nil {
		return nil, err
	}
	if s.protection != clsrbd.Unprotected || s.children > 0 {
		return nil, errno.EBUSY
	}
	if err := removeKey(c, snapKey(id)); err != nil {
		return nil, err
	}
	child, trash := false, false // other snapshots that share data with a parent, or are in the trash
	if err := eachSnapshot(c, func(s *snapshot) error {
		if s.id != id {
			child = child || s.hasParent()
			trash = trash || s.namespace.Type == clsrbd.SnapTrashed
		}
		return nil
	}); err != nil {
		return nil, err
	}
	p, err := readParent(c)
	if _, err := present(err); err != nil {
		return nil, err
	}
	shares := p.Exists() && p.overlap.set
	if p.Exists() && !shares && !child {
		if err := removeKey(c, "parent"); err != nil {
			return nil, err
		}
	}
	var unused clsrbd.OpFeature
	if !child && !shares {
		unused |= clsrbd.CloneChild
	}
	if !trash {
		unused |= clsrbd.SnapTrash
	}
	if unused == 0 {
		return nil, nil
	}
	return nil, setOpFeatures(c, 0, unused)
}

// trashSnapshot takes u64 id. It gives the snapshot a random name, so that its own
// is free.
func trashSnapshot(c objclass.Context, in []byte) ([]byte, error) {
	id, err := parseU64(in)
	if err != nil {
		return nil, err
	}
	s, err := readSnapshot(c, id)
	if err != nil {
		return nil, err
	}
	if s.protection != clsrbd.Unprotected {
		return nil, errno.EBUSY
	}
	if s.namespace.Type == clsrbd.SnapTrashed {
		return nil, errno.EEXIST
	}
	if err := setOpFeatures(c, clsrbd.SnapTrash, clsrbd.SnapTrash); err != nil {
		return nil, err
	}
	s.namespace = clsrbd.SnapNamespace{Type: clsrbd.SnapTrashed, Trash: clsrbd.TrashSnap{Name: s.name, Type: s.namespace.Type}}
	s.name = newUUID(c)
	return nil, writeSnapshot(c, id, s)
}

// setSnapLimit takes u64 snapshots, all ones for no limit. ERANGE if there are
// more. It works on images of both formats.
func setSnapLimit(c objclass.Context, in []byte) ([]byte, error) {
	limit, err := parseU64(in)
	if err != nil {
		return nil, err
	}
	if limit == noLimit {
		return nil, c.RemoveOmapKeys([]string{"snap_limit"})
	}
	count := uint64(0)
	old, err := readV1(c)
	switch {
	case err == nil:
		count = uint64(len(old.snaps))
	case !errors.Is(err, errno.EINVAL):
		return nil, err
	default:
		if err := each(c, snapPrefix, func(objclass.Entry) error { count++; return nil }); err != nil {
			return nil, err
		}
	}
	if limit < count {
		return nil, errno.ERANGE
	}
	return nil, writeU64(c, "snap_limit", limit)
}

// setProtection takes u64 id, u8 protection.
func setProtection(c objclass.Context, in []byte) ([]byte, error) {
	var id uint64
	var status clsrbd.Protection
	if err := objclass.Parse(in, func(d *wire.Decoder) { id, status = d.U64(), clsrbd.Protection(d.U8()) }); err != nil {
		return nil, err
	}
	if err := exists(c); err != nil {
		return nil, err
	}
	if err := requireFeature(c, clsrbd.Layering); err != nil {
		return nil, err
	}
	if id == head || status > clsrbd.Protected {
		return nil, errno.EINVAL
	}
	s, err := readSnapshot(c, id)
	if err != nil {
		return nil, err
	}
	s.protection = status
	return nil, writeSnapshot(c, id, s)
}
