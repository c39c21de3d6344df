package pg

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/wire"
)

// The index of clones by the snapshots that they serve (SnapMapper): for each, a
// key in the omap of the group's own object, made and removed in the transaction
// that changes the clone. So removing a snapshot costs what it held, not a walk
// through all objects.

// snapPrefix begins the keys of the index. The snapshot's number follows, most
// significant byte first, and the clone's id.
const snapPrefix = "s"

func snapKeys(snap object.SnapID) string {
	return snapPrefix + string(binary.BigEndian.AppendUint64(nil, uint64(snap)))
}

func snapKey(snap object.SnapID, clone object.ID) string {
	return snapKeys(snap) + string(wire.Marshal(clone))
}

// indexSnaps notes that a clone serves snapshots.
func (p *PG) indexSnaps(txn *objstore.Txn, clone object.ID, snaps []object.SnapID) {
	kvs := make([]objstore.KV, len(snaps))
	for i, s := range snaps {
		kvs[i].Key = snapKey(s, clone)
	}
	txn.OmapSet(p.coll, p.meta, kvs)
}

// unindexSnaps notes that it does not any more.
func (p *PG) unindexSnaps(txn *objstore.Txn, clone object.ID, snaps []object.SnapID) {
	keys := make([]string, len(snaps))
	for i, s := range snaps {
		keys[i] = snapKey(s, clone)
	}
	txn.OmapRm(p.coll, p.meta, keys)
}

// clonesOf returns up to max clones that serve a snapshot.
func (p *PG) clonesOf(snap object.SnapID, max int) (ids []object.ID, err error) {
	prefix := snapKeys(snap)
	var bad error
	err = p.env.Store.OmapScan(p.coll, p.meta, prefix, func(key string, _ []byte) bool {
		raw, ok := strings.CutPrefix(key, prefix)
		if !ok || len(ids) == max {
			return false
		}
		var id object.ID
		if bad = wire.Unmarshal([]byte(raw), &id); bad != nil {
			bad = fmt.Errorf("pg %v: index of snapshot %d: %w: %w", p.id, snap, bad, errno.EIO)
			return false
		}
		ids = append(ids, id)
		return true
	})
	if bad != nil {
		err = bad
	}
	return ids, err
}

// snapsOf returns the snapshots that a clone serves by the index, newest first.
func (p *PG) snapsOf(clone object.ID) (snaps []object.SnapID, err error) {
	err = p.env.Store.OmapScan(p.coll, p.meta, snapPrefix, func(key string, _ []byte) bool {
		raw, ok := strings.CutPrefix(key, snapPrefix)
		var id object.ID
		if ok && len(raw) > 8 && wire.Unmarshal([]byte(raw[8:]), &id) == nil && id == clone {
			snaps = append(snaps, object.SnapID(binary.BigEndian.Uint64([]byte(raw[:8]))))
		}
		return ok
	})
	slices.Reverse(snaps)
	return snaps, err
}
