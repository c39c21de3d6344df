package osdmon

import (
	"testing"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// op sends a pool operation and returns its result, with the epoch that the
// client would wait for checked.
func (c *cluster) op(caps string, o msg.PoolOp) (errno.Errno, []byte) {
	c.T.Helper()
	o.FSID = testFSID
	a := c.Receive(c.Session(7, "client.x", caps), &o)
	r := a.Body.(*msg.PoolOpReply)
	c.Commit()
	if r.Epoch != c.Map().Epoch || r.Paxos.Version != uint64(r.Epoch) {
		c.T.Errorf("op %#x: the reply says e%d at e%d", o.Op, r.Epoch, c.Map().Epoch)
	}
	return errno.Errno(-r.Code), r.Reply
}

func TestPoolOps(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const all = "allow *"
	want := func(what string, no errno.Errno, o msg.PoolOp) []byte {
		t.Helper()
		got, data := c.op(all, o)
		if got != no {
			t.Errorf("%s: %v, want %v", what, got, no)
		}
		return data
	}
	want("create", 0, msg.PoolOp{Op: msg.PoolOpCreate, Name: "a", CrushRule: -1})
	want("create again", 0, msg.PoolOp{Op: msg.PoolOpCreate, Name: "a", CrushRule: -1})
	want("create with a bad rule", errno.ENOENT, msg.PoolOp{Op: msg.PoolOpCreate, Name: "b", CrushRule: 9})
	if p := c.Map().Pools[1]; p == nil || c.Map().PoolNames[1] != "a" || len(c.Map().Pools) != 1 {
		t.Fatalf("pools %v", c.Map().PoolNames)
	}

	// Pool snapshots.
	want("snap of no pool", errno.ENOENT, msg.PoolOp{Op: msg.PoolOpCreateSnap, Pool: 9, Name: "s"})
	want("snap", 0, msg.PoolOp{Op: msg.PoolOpCreateSnap, Pool: 1, Name: "s"})
	want("snap again", 0, msg.PoolOp{Op: msg.PoolOpCreateSnap, Pool: 1, Name: "s"})
	want("unmanaged in a pool with pool snaps", errno.EINVAL, msg.PoolOp{Op: msg.PoolOpCreateUnmanagedSnap, Pool: 1})
	want("removal of one", errno.EINVAL, msg.PoolOp{Op: msg.PoolOpDeleteUnmanagedSnap, Pool: 1, SnapID: 1})
	if p := c.Map().Pools[1]; p.SnapSeq != 1 || p.Snaps[1].Name != "s" || p.SnapEpoch != c.Map().Epoch || !p.Has(osdmap.PoolFlagPoolSnaps) {
		t.Errorf("pool %+v", p)
	}
	want("rm snap", 0, msg.PoolOp{Op: msg.PoolOpDeleteSnap, Pool: 1, Name: "s"})
	if m := c.Map(); len(m.Pools[1].Snaps) != 0 || m.Pools[1].SnapSeq != 2 || !m.RemovedSnapsQueue[1].Contains(1) || !m.NewRemovedSnaps[1].Contains(1) {
		t.Errorf("pool %+v, queue %v", m.Pools[1], m.RemovedSnapsQueue)
	}
	want("rm snap again", 0, msg.PoolOp{Op: msg.PoolOpDeleteSnap, Pool: 1, Name: "s"})

	// Unmanaged ones.
	want("create", 0, msg.PoolOp{Op: msg.PoolOpCreate, Name: "u", CrushRule: 0})
	want("removal before any", errno.EOPNOTSUPP, msg.PoolOp{Op: msg.PoolOpDeleteUnmanagedSnap, Pool: 2, SnapID: 1})
	for want2 := range uint64(3) {
		data := want("id", 0, msg.PoolOp{Op: msg.PoolOpCreateUnmanagedSnap, Pool: 2})
		if id := wire.NewDecoder(data).U64(); id != want2+2 || len(data) != 8 {
			t.Errorf("id %d, want %d", id, want2+2)
		}
	}
	want("pool snap in a pool with unmanaged ones", errno.EINVAL, msg.PoolOp{Op: msg.PoolOpCreateSnap, Pool: 2, Name: "s"})
	want("removal of one", errno.EINVAL, msg.PoolOp{Op: msg.PoolOpDeleteSnap, Pool: 2, Name: "s"})
	want("an id never given", errno.ENOENT, msg.PoolOp{Op: msg.PoolOpDeleteUnmanagedSnap, Pool: 2, SnapID: 50})
	want("rm", 0, msg.PoolOp{Op: msg.PoolOpDeleteUnmanagedSnap, Pool: 2, SnapID: 3})
	e := c.Map().Epoch
	want("rm again", 0, msg.PoolOp{Op: msg.PoolOpDeleteUnmanagedSnap, Pool: 2, SnapID: 3})
	// The number that the removal took is as good as purged.
	want("rm of what removal took", 0, msg.PoolOp{Op: msg.PoolOpDeleteUnmanagedSnap, Pool: 2, SnapID: 5})
	if m := c.Map(); m.Epoch != e || m.Pools[2].SnapSeq != 5 || m.RemovedSnapsQueue[2].Contains(5) || !c.snaps[2].Contains(5) {
		t.Errorf("e%d -> e%d, pool %+v, queue %v, purged %v", e, m.Epoch, m.Pools[2], m.RemovedSnapsQueue, c.snaps)
	}
	c.Reload(c.Service)
	if !c.isRemoved(2, object.SnapID(5)) || c.isRemoved(2, 4) {
		t.Error("purged snapshots lost by a restart")
	}

	want("delete", 0, msg.PoolOp{Op: msg.PoolOpDelete, Pool: 2, Name: "delete"})
	want("delete again", 0, msg.PoolOp{Op: msg.PoolOpDelete, Pool: 2, Name: "delete"})
	if c.Map().Pools[2] != nil || c.snaps[2] != nil {
		t.Error("the pool is there")
	}
	c.Options["mon_allow_pool_delete"] = "false"
	want("delete where that is off", errno.EPERM, msg.PoolOp{Op: msg.PoolOpDelete, Pool: 1, Name: "delete"})
	want("something else", errno.EOPNOTSUPP, msg.PoolOp{Op: msg.PoolOpAUIDChange, Pool: 1})
}

func TestPoolOpCapabilities(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.Run("osd pool create", "pool", "a")
	c.Run("osd pool create", "pool", "b")
	for _, k := range []struct {
		caps string
		op   msg.PoolOp
		want errno.Errno
	}{
		{"allow r", msg.PoolOp{Op: msg.PoolOpCreate, Name: "x", CrushRule: -1}, errno.EPERM},
		{"allow r", msg.PoolOp{Op: msg.PoolOpDelete, Pool: 1}, errno.EPERM},
		{"allow r", msg.PoolOp{Op: msg.PoolOpCreateSnap, Pool: 1, Name: "s"}, errno.EPERM},
		{"allow r", msg.PoolOp{Op: msg.PoolOpCreateUnmanagedSnap, Pool: 2}, errno.EPERM},
		{"allow rw", msg.PoolOp{Op: msg.PoolOpCreateSnap, Pool: 1, Name: "s"}, 0},
		{"allow r, allow command \"osd pool op unmanaged-snap\"", msg.PoolOp{Op: msg.PoolOpCreateUnmanagedSnap, Pool: 2}, 0},
		{"allow r, allow command \"osd pool op unmanaged-snap\" with poolname=a", msg.PoolOp{Op: msg.PoolOpCreateUnmanagedSnap, Pool: 2}, errno.EPERM},
	} {
		if got, _ := c.op(k.caps, k.op); got != k.want {
			t.Errorf("%s, op %#x: %v, want %v", k.caps, k.op.Op, got, k.want)
		}
	}
}
