package calls

import (
	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/wire"
)

// Snapshots: methods of clsrbd.Header(id).

// SnapContext is what writes to data objects carry: the newest snapshot that
// ever was, and those that are, newest first.
type SnapContext struct {
	Seq   uint64
	Snaps []uint64
}

// GetSnapContext asks for it.
func GetSnapContext() Read[SnapContext] {
	return read("get_snapcontext", nil, func(d *wire.Decoder) SnapContext {
		return SnapContext{d.U64(), wire.DecodeSlice(d, 8, d.U64)}
	})
}

// GetSnapshot asks for a snapshot. ENOENT: there is none.
func GetSnapshot(id uint64) Read[clsrbd.SnapInfo] {
	return read("snapshot_get", u64(id), func(d *wire.Decoder) (s clsrbd.SnapInfo) {
		s.Decode(d)
		return s
	})
}

// AddSnapshot adds one, of the image as it is. EEXIST: the name is taken;
// ESTALE: the id is not newer than the newest; EDQUOT: the limit is reached.
func AddSnapshot(id uint64, name string, ns clsrbd.SnapNamespace) Write {
	return write("snapshot_add", func(e *wire.Encoder) {
		e.Str(name)
		e.U64(id)
		ns.Encode(e)
	})
}

// RemoveSnapshot removes one. EBUSY: it is protected or has clones.
func RemoveSnapshot(id uint64) Write { return write("snapshot_remove", u64(id)) }

// RenameSnapshot gives it another name. EEXIST: it is taken.
func RenameSnapshot(id uint64, name string) Write {
	return write("snapshot_rename", func(e *wire.Encoder) {
		e.U64(id)
		e.Str(name)
	})
}

// TrashSnapshot moves a snapshot to the trash: it is out of its user's sight,
// and stays while there are clones.
func TrashSnapshot(id uint64) Write { return write("snapshot_trash_add", u64(id)) }

// GetSnapshotLimit asks how many snapshots the image may have.
func GetSnapshotLimit() Read[uint64] { return read("snapshot_get_limit", nil, getU64) }

// SetSnapshotLimit sets it; all ones is no limit. ERANGE: there are more.
func SetSnapshotLimit(limit uint64) Write { return write("snapshot_set_limit", u64(limit)) }

// GetProtection asks whether a snapshot is protected.
func GetProtection(id uint64) Read[clsrbd.Protection] {
	return read("get_protection_status", u64(id), func(d *wire.Decoder) clsrbd.Protection { return clsrbd.Protection(d.U8()) })
}

// SetProtection changes that.
func SetProtection(id uint64, p clsrbd.Protection) Write {
	return write("set_protection_status", func(e *wire.Encoder) {
		e.U64(id)
		e.U8(uint8(p))
	})
}
