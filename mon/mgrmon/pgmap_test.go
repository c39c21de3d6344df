package mgrmon

import (
	"maps"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
	"pgregory.net/rapid"
)

func wantStates(t *testing.T, w *world, want map[string]int) {
	t.Helper()
	if got := w.states(); !maps.Equal(got, want) {
		t.Errorf("states %v, want %v", got, want)
	}
}

func TestUnknownUntilReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	wantStates(t, w, map[string]int{"unknown": 105})
	const want = `{"pg_ready":false,"pg_summary":{"num_pg_by_state":[{"name":"unknown","num":105}],"num_pgs":105,"num_bytes":0,` +
		`"total_bytes":0,"total_avail_bytes":0,"total_used_bytes":0,"total_used_raw_bytes":0}` + "\n}"
	if got := string(w.run(`{"prefix":"pg stat","format":"json"}`).Output); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	w.settle()
	wantStates(t, w, map[string]int{"active+clean": 105})
	if !w.s.ready() {
		t.Error("all have reported, and still it is not ready")
	}
}

// Where a group that nobody told about is, the map says.
func TestUnknownGroupHasPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	p := w.s.pgmap()
	for g := range p.groups() {
		at := w.m.PGToUpActing(g.PG)
		if placed := p.placed(g); osdVector(placed.Acting) != osdVector(at.Acting) || placed.ActingPrimary != at.ActingPrimary || placed.State != 0 {
			t.Fatalf("%+v, want it at %+v", placed, at)
		}
		if len(g.Acting) != 0 {
			t.Fatal("the place is kept")
		}
	}
}

func TestNewestReportCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	w.settle()
	at := func(epoch uint32, seq uint64, state msg.PGState) {
		g := w.group("2.1", state)
		g.ReportedEpoch, g.ReportedSeq = epoch, seq
		w.report(w.groupsReport(1, g))
	}
	at(200, 5, msg.PGActive)
	at(200, 4, msg.PGPeering)
	at(199, 9, msg.PGPeering)
	wantStates(t, w, map[string]int{"active+clean": 104, "active": 1})
	at(200, 5, msg.PGActive|msg.PGDegraded)
	wantStates(t, w, map[string]int{"active+clean": 104, "active+degraded": 1})
	at(201, 1, healthy)
	wantStates(t, w, map[string]int{"active+clean": 105})
}

func TestReportsOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	for _, pg := range []object.PG{{Pool: 2, Seed: 32}, {Pool: 2, Seed: 1<<32 - 1}, {Pool: 99}, {Pool: -1}} {
		w.report(w.groupsReport(0, msg.PGStat{PG: pg, State: healthy}))
	}
	w.report(w.groupsReport(0, w.group("2.1", 0)))
	w.report(w.groupsReport(77))
	wantStates(t, w, map[string]int{"unknown": 105})
	if w.s.pgs.osds[77] != nil {
		t.Error("an OSD that does not exist has numbers")
	}
}

func TestFollowsMap(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	w.settle()
	w.change(func(inc *osdmap.Incremental) { inc.OldPools = []int64{4} })
	wantStates(t, w, map[string]int{"active+clean": 73})

	resize := func(n uint32) {
		w.change(func(inc *osdmap.Incremental) {
			p := w.m.Pools[2].Clone()
			p.PGNum, p.PGPNum = n, n
			inc.NewPools[2] = p
		})
	}
	resize(40)
	wantStates(t, w, map[string]int{"active+clean": 73, "unknown": 8})
	resize(16)
	wantStates(t, w, map[string]int{"active+clean": 57})
	resize(32)
	wantStates(t, w, map[string]int{"active+clean": 57, "unknown": 16})

	primaries := 0
	for g := range w.s.pgmap().groups() {
		if !unknown(g) && g.ActingPrimary == 0 {
			primaries++
		}
	}
	w.down(0)
	wantStates(t, w, map[string]int{"active+clean": 57 - primaries, "stale+active+clean": primaries, "unknown": 16})
	if w.s.pgs.osds[0] == nil {
		t.Error("the numbers of an OSD that is down are lost")
	}
	w.settle()
	wantStates(t, w, map[string]int{"active+clean": 73})

	// One that is out has no space.
	if n := w.s.pgmap().current().osds.space.Total; n != 30<<30 {
		t.Errorf("total %d", n)
	}
	w.change(func(inc *osdmap.Incremental) { inc.NewWeight[0] = osdmap.WeightOut })
	if n := w.s.pgmap().current().osds.space.Total; n != 20<<30 {
		t.Errorf("total %d without osd.0", n)
	}
	w.change(func(inc *osdmap.Incremental) { inc.NewState[0] = osdmap.StateExists })
	if w.s.pgmap().osds[0] != nil {
		t.Error("an OSD that is gone has numbers")
	}
}

// Whatever is reported in whatever order, the sums are those of the newest
// reports.
func TestSumsAreSums(t *testing.T) {
	t.Parallel()
	m := readMap(t, "osdmap-130.bin")
	pools := []int64{1, 2, 3, 4, 6, 7}
	states := []msg.PGState{healthy, msg.PGActive, msg.PGPeering, msg.PGActive | msg.PGDegraded, msg.PGDown}
	rapid.Check(t, func(rt *rapid.T) {
		p := newPGMap()
		now := time.Unix(1e9, 0)
		p.follow(m, now)
		newest := map[object.PG]msg.PGStat{}
		space := map[[2]int64]int64{}
		seqs := map[int32]uint64{}
		for range rapid.IntRange(1, 30).Draw(rt, "reports") {
			id := rapid.Int32Range(0, 3).Draw(rt, "osd")
			r := &msg.OSDReport{ID: id}
			r.Stat.Seq = rapid.Uint64Range(1, 9).Draw(rt, "seq")
			pool := rapid.SampledFrom(pools).Draw(rt, "pool")
			r.Pools = []msg.PoolUsage{{Pool: pool, Store: msg.StoreStats{Stored: rapid.Int64Range(0, 99).Draw(rt, "stored")}}}
			if m.Exists(id) && r.Stat.Seq >= seqs[id] {
				seqs[id] = r.Stat.Seq
				for _, other := range pools {
					delete(space, [2]int64{other, int64(id)})
				}
				space[[2]int64{pool, int64(id)}] = r.Pools[0].Store.Stored
			}
			for range rapid.IntRange(0, 4).Draw(rt, "groups") {
				g := msg.PGStat{
					PG:    object.PG{Pool: rapid.SampledFrom(pools).Draw(rt, "pool"), Seed: rapid.Uint32Range(0, 20).Draw(rt, "seed")},
					State: rapid.SampledFrom(states).Draw(rt, "state"), ReportedEpoch: rapid.Uint32Range(1, 3).Draw(rt, "epoch"),
					ReportedSeq: rapid.Uint64Range(1, 3).Draw(rt, "gseq"),
				}
				g.Objects.Objects = rapid.Int64Range(0, 1000).Draw(rt, "objects")
				r.PGs = append(r.PGs, g)
				old := newest[g.PG]
				if m.Exists(id) && g.PG.Seed < m.Pools[g.PG.Pool].PGNum &&
					(g.ReportedEpoch > old.ReportedEpoch || g.ReportedEpoch == old.ReportedEpoch && g.ReportedSeq >= old.ReportedSeq) {
					newest[g.PG] = g
				}
			}
			p.report(r, now)
			if rapid.Bool().Draw(rt, "ask") {
				p.current()
			}
		}
		sum := p.current()
		var objects, active int64
		byPool := map[int64]int64{}
		for pg, g := range newest {
			objects += g.Objects.Objects
			byPool[pg.Pool] += g.Objects.Objects
			if g.State&msg.PGActive != 0 {
				active++
			}
		}
		if sum.all.Objects.Objects != objects || int64(sum.active) != active || sum.unknown != 105-len(newest) || sum.all.groups != 105 {
			rt.Fatalf("%d objects, %d active, %d unknown; want %d, %d, %d", sum.all.Objects.Objects, sum.active, sum.unknown, objects, active, 105-len(newest))
		}
		for _, id := range pools {
			var stored, n int64
			for key, v := range space {
				if key[0] == id {
					stored += v
					n++
				}
			}
			if s := sum.pools[id]; s.Objects.Objects != byPool[id] || s.Store.Stored != stored || int64(s.NumStoreStat) != n {
				rt.Fatalf("pool %d: %d objects, %d stored on %d; want %d, %d, %d", id, s.Objects.Objects, s.Store.Stored, s.NumStoreStat, byPool[id], stored, n)
			}
		}
	})
}
