package mgrmon

import (
	"testing"

	"github.com/pulpo-storage/pulpo/msg"
)

func TestStatfs(t *testing.T) {
	t.Parallel()
	w := stockMonitor(t, goldens(t, "mon"))
	client := w.session("client.x", "allow r")
	ask := func(b *msg.Statfs) *msg.StatfsReply {
		t.Helper()
		r, _ := w.s.Receive(client, b).Body.(*msg.StatfsReply)
		return r
	}
	// The numbers are those of "df".
	if r := ask(&msg.Statfs{FSID: w.FSID()}); r == nil || r.KB != 64424509440>>10 || r.KBUsed != 933068800>>10 || r.KBAvail != 63491440640>>10 || r.NumObjects != 52 {
		t.Errorf("cluster: %+v", r)
	}
	if r := ask(&msg.Statfs{FSID: w.FSID(), HasPool: true, Pool: 6}); r == nil || r.KBAvail != 38660788224>>10 || r.KBUsed != 0 || r.KB != r.KBAvail || r.NumObjects != 1 {
		t.Errorf("pool: %+v", r)
	}
	if r := ask(&msg.Statfs{FSID: w.FSID(), HasPool: true, Pool: 99}); r == nil || r.NumObjects != 52 {
		t.Errorf("a pool that does not exist: %+v", r)
	}
	if r := ask(&msg.Statfs{FSID: msg.FSID{1}}); r != nil {
		t.Error("another cluster is answered")
	}
	client.Caps = nil
	if r := ask(&msg.Statfs{FSID: w.FSID()}); r != nil {
		t.Error("who may not read is answered")
	}
}

func TestPoolStats(t *testing.T) {
	t.Parallel()
	w := stockMonitor(t, goldens(t, "mon"))
	client := w.session("client.x", "allow r")
	b := &msg.GetPoolStats{FSID: w.FSID(), Pools: []string{"rbd", "nope", "ecpool"}}
	r, _ := w.s.Receive(client, b).Body.(*msg.GetPoolStatsReply)
	if r == nil || len(r.Pools) != 2 || !r.PerPool {
		t.Fatalf("%+v", r)
	}
	if s := r.Pools["rbd"]; s.Objects.Objects != 24 || s.Store.Stored != 16062 || s.Store.Allocated != 208896 || s.NumStoreStat != 1 || s.Up != 32 {
		t.Errorf("%+v", s)
	}
	client.Caps = nil
	if w.s.Receive(client, b).Body != nil {
		t.Error("who may not read is answered")
	}
}
