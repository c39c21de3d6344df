package rbd

import (
	"slices"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// Mirroring by snapshots: the snapshot of an image says which peers need it, and
// at a peer how much of it has arrived.
var mirrorSnapshotMethods = objclass.Class{
	"mirror_image_snapshot_unlink_peer":       {Flags: rd | wr, Call: unlinkSnapshotPeer},
	"mirror_image_snapshot_set_copy_progress": {Flags: rd | wr, Call: setSnapshotProgress},
}

// changeMirrorSnapshot changes what mirroring keeps with a snapshot; EINVAL if it
// did not make it.
func changeMirrorSnapshot(c objclass.Context, id uint64, change func(m *clsrbd.MirrorSnap) error) error {
	s, err := readSnapshot(c, id)
	if err != nil {
		return err
	}
	if s.namespace.Type != clsrbd.SnapMirror {
		return errno.EINVAL
	}
	if err := change(&s.namespace.Mirror); err != nil {
		return err
	}
	return writeSnapshot(c, id, s)
}

// unlinkSnapshotPeer takes u64 snapshot, string uuid of a peer that does not need
// it any more.
func unlinkSnapshotPeer(c objclass.Context, in []byte) ([]byte, error) {
	var id uint64
	var peer string
	if err := objclass.Parse(in, func(d *wire.Decoder) { id, peer = d.U64(), d.Str() }); err != nil {
		return nil, err
	}
	return nil, changeMirrorSnapshot(c, id, func(m *clsrbd.MirrorSnap) error {
		i := slices.Index(m.Peers, peer)
		if i < 0 {
			return errno.ENOENT
		}
		m.Peers = slices.Delete(m.Peers, i, i+1)
		return nil
	})
}

// setSnapshotProgress takes u64 snapshot, bool complete, u64 number of the last
// data object that was copied; that counts only where the image is a copy.
func setSnapshotProgress(c objclass.Context, in []byte) ([]byte, error) {
	var id, last uint64
	var complete bool
	if err := objclass.Parse(in, func(d *wire.Decoder) { id, complete, last = d.U64(), d.Bool(), d.U64() }); err != nil {
		return nil, err
	}
	return nil, changeMirrorSnapshot(c, id, func(m *clsrbd.MirrorSnap) error {
		m.Complete = complete
		if m.State == clsrbd.MirrorNonPrimary || m.State == clsrbd.MirrorNonPrimaryDemoted {
			m.LastCopied = last
		}
		return nil
	})
}
