package osdmon

import (
	"slices"
	"testing"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// A removed snapshot stays in the map until the OSDs have nothing left of it,
// and is remembered for ever after.
func TestPurge(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.Options["mon_max_snap_prune_per_epoch"] = "2"
	c.Run("osd pool create", "pool", "a")
	for range 5 {
		if err, _ := c.op("allow *", msg.PoolOp{Op: msg.PoolOpCreateUnmanagedSnap, Pool: 1}); err != 0 {
			t.Fatal(err)
		}
	}
	for id := uint64(2); id < 6; id++ {
		if err, _ := c.op("allow *", msg.PoolOp{Op: msg.PoolOpDeleteUnmanagedSnap, Pool: 1, SnapID: id}); err != 0 {
			t.Fatal(err)
		}
	}
	queue := func(want string) {
		t.Helper()
		if got := c.Map().RemovedSnapsQueue[1].String(); got != want {
			t.Errorf("queue %s, want %s", got, want)
		}
	}
	queue("[2~4]")
	news := func(purged ...object.SnapID) {
		t.Helper()
		c.stats.purged = map[int64]osdmap.SnapSet{1: osdmap.NewSnapSet(purged...)}
		c.life.news = true
		c.Advance(0)
	}
	news()
	e := c.Map().Epoch
	news(6, 7) // not removed
	if c.Map().Epoch != e {
		t.Errorf("e%d for nothing", c.Map().Epoch)
	}
	news(2, 4, 5)
	if m := c.Map(); m.Epoch != e+1 || m.NewPurgedSnaps[1].String() != "[2~1,4~1]" {
		t.Errorf("e%d, purged %v", m.Epoch, m.NewPurgedSnaps)
	}
	queue("[3~1,5~1]")
	news(2, 4, 5) // what was said before
	queue("[3~1]")
	news(3, 5)
	queue("[]")
	if c.Map().RemovedSnapsQueue[1] != nil {
		t.Error("an empty queue stays")
	}
	// Who was away for longer than there are maps is told of all.
	c.first = c.Map().Epoch
	all := []msg.Interval{{Start: 2, Len: 4}, {Start: 7, Len: 4}}
	if m, _ := c.Publish(nil, "osdmap", 1); len(m) == 0 || !slices.Equal(m[0].(*msg.OSDMap).GapRemoved[1], all) {
		t.Errorf("%+v", m)
	}
	c.Reload(c.Service)
	for id := object.SnapID(2); id < 6; id++ {
		if !c.isRemoved(1, id) {
			t.Errorf("snapshot %d is forgotten", id)
		}
	}
	e = c.Map().Epoch
	if err, _ := c.op("allow *", msg.PoolOp{Op: msg.PoolOpDeleteUnmanagedSnap, Pool: 1, SnapID: 3}); err != 0 || c.Map().Epoch != e {
		t.Errorf("removed again: %v, e%d", errno.Errno(err), c.Map().Epoch)
	}
}
