package rbd

import (
	"math"
	"slices"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

var snapGetMethods = objclass.Class{
	"get_snapcontext":        {Flags: rd, Call: getSnapContext},
	"snapshot_get":           {Flags: rd, Call: getSnapshot},
	"get_snapshot_name":      {Flags: rd, Call: getSnapshotName},
	"get_snapshot_timestamp": {Flags: rd, Call: getSnapshotTime},
	"snapshot_get_limit":     {Flags: rd, Call: getSnapLimit},
	"get_protection_status":  {Flags: rd, Call: getProtection},
}

// getSnapContext returns u64 newest id ever, vector of u64 ids, newest first:
// what a client sends along with its writes.
func getSnapContext(c objclass.Context, _ []byte) ([]byte, error) {
	var ids []uint64
	if err := each(c, snapPrefix, func(e objclass.Entry) error {
		ids = append(ids, snapID(e.Key))
		return nil
	}); err != nil {
		return nil, err
	}
	seq, err := readU64(c, "snap_seq")
	if err != nil {
		return nil, err
	}
	slices.Reverse(ids)
	return encoded(func(e *wire.Encoder) { e.U64(seq); wire.EncodeSlice(e, ids, e.U64) }), nil
}

// snapshotOf decodes a snapshot's id and reads the snapshot.
func snapshotOf(c objclass.Context, in []byte) (*snapshot, error) {
	id, err := parseSnapID(in)
	if err != nil {
		return nil, err
	}
	return readSnapshot(c, id)
}

// getSnapshot takes u64 id and returns SnapshotInfo.
func getSnapshot(c objclass.Context, in []byte) ([]byte, error) {
	s, err := snapshotOf(c, in)
	if err != nil {
		return nil, err
	}
	return wire.Marshal(&clsrbd.SnapInfo{
		ID: s.id, Namespace: s.namespace, Name: s.name, Size: s.size, Created: s.created, Children: s.children,
	}), nil
}

func getSnapshotName(c objclass.Context, in []byte) ([]byte, error) {
	s, err := snapshotOf(c, in)
	if err != nil {
		return nil, err
	}
	return encodeString(s.name), nil
}

func getSnapshotTime(c objclass.Context, in []byte) ([]byte, error) {
	s, err := snapshotOf(c, in)
	if err != nil {
		return nil, err
	}
	return encoded(func(e *wire.Encoder) { e.Time(s.created) }), nil
}

// noLimit is the limit of images that have none.
const noLimit = math.MaxUint64

func snapLimit(c objclass.Context) (uint64, error) {
	n, err := readU64(c, "snap_limit")
	if isMissing(err) {
		return noLimit, nil
	}
	return n, err
}

// getSnapLimit returns u64.
func getSnapLimit(c objclass.Context, _ []byte) ([]byte, error) {
	n, err := snapLimit(c)
	if err != nil {
		return nil, err
	}
	return encodedU64(n), nil
}

// getProtection takes u64 id and returns u8.
func getProtection(c objclass.Context, in []byte) ([]byte, error) {
	id, err := parseU64(in)
	if err != nil {
		return nil, err
	}
	if err := exists(c); err != nil {
		return nil, err
	}
	if id == head {
		return nil, errno.EINVAL
	}
	s, err := readSnapshot(c, id)
	if err != nil {
		return nil, err
	}
	if s.protection > clsrbd.Protected {
		return nil, errno.EIO
	}
	return []byte{byte(s.protection)}, nil
}
