package mgrmon

import (
	"slices"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Who is not the OSD, or allowed to act for it, cannot speak for it.
func TestWhoMayReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	r := w.groupsReport(1, w.group("2.1", healthy))
	w.s.Receive(w.osdSession(0), r)
	w.s.Receive(w.session("client.x", "allow r"), r)
	w.s.Receive(w.session("osd.1", ""), r)
	if len(w.heard) != 0 || w.states()["unknown"] != 105 {
		t.Fatalf("heard %v, %v", w.heard, w.states())
	}
	w.report(r)
	if !slices.Equal(w.heard, []int32{1}) || w.states()["active+clean"] != 1 {
		t.Errorf("heard %v, %v", w.heard, w.states())
	}
}

// A snapshot is purged when each group of its pool has nothing left of it.
func TestPurged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	w.settle()
	n := w.m.Pools[2].PGNum
	var groups []msg.PGStat
	for seed := range n {
		g := w.group(object.PG{Pool: 2, Seed: seed}.String(), healthy)
		g.ReportedSeq = 9
		g.Purged = []msg.Interval{{Start: 3, Len: 4}, {Start: 10, Len: 2}}
		groups = append(groups, g)
	}
	groups[n-1].Purged = []msg.Interval{{Start: 1, Len: 4}, {Start: 6, Len: 5}}
	w.report(w.groupsReport(1, groups[1:]...))
	if got := w.s.Purged(2); len(got) != 0 {
		t.Errorf("purged %v, though a group did not say so", got)
	}
	w.report(w.groupsReport(1, groups[0]))
	if got := w.s.Purged(2).String(); got != "[3~2,6~1,a~1]" {
		t.Errorf("purged %v", got)
	}
	if got := w.s.Purged(99); got != nil {
		t.Errorf("purged %v of no pool", got)
	}
}

func TestStatsForTheMap(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	if _, _, ok := w.s.PoolUsage(2); ok {
		t.Error("the use of a pool is known before any report")
	}
	if _, ok := w.s.CleanFloor(); ok {
		t.Error("the floor is known before any report")
	}
	if _, ok := w.s.Fullness(0); ok || !w.s.LastReport(0).IsZero() || w.s.Seq(0) != 0 || w.s.PoolCreated(2, 32) {
		t.Error("something is known before any report")
	}
	w.settle()
	if floor, ok := w.s.CleanFloor(); !ok || floor != 130 {
		t.Errorf("floor %d, %v", floor, ok)
	}
	if !w.s.PoolCreated(2, 32) || w.s.PoolCreated(2, 33) || w.s.PoolCreated(99, 1) {
		t.Error("created")
	}

	g := w.group("2.1", msg.PGActive)
	g.ReportedSeq, g.LastEpochClean = 2, 77
	g.Objects.Objects, g.Objects.Bytes = 3, 4096
	r := w.groupsReport(1, g)
	r.Epoch, r.Full, r.Stat.Seq = 99, uint32(osdmap.StateNearFull), 41
	w.now = w.now.Add(time.Minute)
	w.report(r)
	if n, bytes, ok := w.s.PoolUsage(2); n != 3 || bytes != 4096 || !ok {
		t.Errorf("%d objects, %d bytes, %v", n, bytes, ok)
	}
	if floor, ok := w.s.CleanFloor(); !ok || floor != 77 {
		t.Errorf("floor %d, %v", floor, ok)
	}
	if bits, ok := w.s.Fullness(1); !ok || bits != osdmap.StateNearFull || w.s.LastReport(1) != w.now || w.s.Seq(1) != 41 {
		t.Errorf("full %v %v, seen %v, seq %d", bits, ok, w.s.LastReport(1), w.s.Seq(1))
	}
	g.ReportedSeq, g.LastEpochClean = 3, 130
	g.State = msg.PGCreating | msg.PGActivating
	r.PGs, r.Stat.Seq = []msg.PGStat{g}, 42
	w.report(r)
	if floor, _ := w.s.CleanFloor(); floor != 99 {
		t.Errorf("floor %d: osd.1 still has map 99", floor)
	}
	if w.s.PoolCreated(2, 32) {
		t.Error("a group is still being made")
	}

	// The numbers of an older report that comes late do not count.
	r.Stat.Seq, r.Full = 40, 0
	w.report(r)
	if bits, _ := w.s.Fullness(1); bits != osdmap.StateNearFull {
		t.Errorf("full %v", bits)
	}
	// A process that began anew counts from the beginning.
	r.Stat.Seq, r.Stat.UpFrom = 1, 131
	w.report(r)
	if bits, _ := w.s.Fullness(1); bits != 0 || w.s.Seq(1) != 1 {
		t.Errorf("full %v, seq %d", bits, w.s.Seq(1))
	}
}
