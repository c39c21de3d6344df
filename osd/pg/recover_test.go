package pg

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// cramped makes all of recovery happen with little: logs that end soon, so that
// copies are filled; objects in many pieces; few objects at a time.
func cramped(g *gang) *gang {
	c := g.conf
	c.LogEntries, c.LogTrim = 12, 1
	c.RecoveryChunk, c.RecoveryMaxActive, c.BackfillScan = 7, 2, 2
	return g
}

// snapshot makes a snapshot that writes know of from now on.
func (g *gang) snapshot() {
	s := g.snaps.Seq + 1
	g.snaps = object.SnapContext{Seq: s, Snaps: append([]object.SnapID{s}, g.snaps.Snaps...)}
}

// index is what the group's own object says of clones.
func (g *gang) index(n *member) (keys []string) {
	err := n.store.OmapScan(n.pg.coll, n.pg.meta, snapPrefix, func(key string, _ []byte) bool {
		raw, ok := strings.CutPrefix(key, snapPrefix)
		if ok {
			var id object.ID
			if err := wire.Unmarshal([]byte(raw[8:]), &id); err != nil {
				g.fail("%q: %v", key, err)
			}
			keys = append(keys, fmt.Sprintf("%d: %v", binary.BigEndian.Uint64([]byte(raw)), id))
		}
		return ok
	})
	if err != nil {
		g.fail("%v", err)
	}
	return keys
}

// As TestGangSurvives, with clones, and with backfill most of the time.
func TestGangRecovers(t *testing.T) {
	t.Parallel()
	seeds, from := uint64(30), uint64(0)
	if v := os.Getenv("GANG_SEED"); v != "" {
		fmt.Sscan(v, &from)
		seeds = 1
	} else if v := os.Getenv("GANG_SEEDS"); v != "" {
		fmt.Sscan(v, &seeds)
	}
	list := []uint64{69, 173} // once a clone left out of the index, and a copy that stayed
	for i := range seeds {
		list = append(list, from+i)
	}
	for _, seed := range list {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			size := 2 + int(seed%2)
			g := cramped(newGang(t, seed, size+int(seed/2%3), size))
			// Good times and bad ones, so that logs go on while somebody is away.
			for i := range 6000 {
				if g.r.IntN(150) == 0 {
					g.snapshot()
				}
				g.fuss(i/500%3 == 2)
			}
			g.heal()
			g.compare()
			want := g.index(g.osds[g.primary().env.Whoami])
			for _, n := range g.osds {
				if n.pg != nil {
					for _, key := range g.index(n) {
						if !slices.Contains(want, key) {
							g.fail("osd.%d, but not the primary, has %s in its index", n.id, key)
						}
					}
					for _, key := range want {
						if !slices.Contains(g.index(n), key) {
							g.fail("osd.%d has not, as the primary has, %s in its index", n.id, key)
						}
					}
				}
				if n.env.moving != 0 || len(n.places[0].Held())+len(n.places[1].Held()) != 0 {
					g.fail("osd.%d holds %d bytes and places %v, %v", n.id, n.env.moving, n.places[0].Held(), n.places[1].Held())
				}
			}
		})
	}
}

// other is a group that takes the places of ours.
var other = object.SPG{PG: object.PG{Pool: 9}, Shard: object.NoShard}

// occupy gives all places for recovery to another group.
func (g *gang) occupy(priority int) {
	for _, n := range g.osds {
		n.places[PlaceLocal].Request(other, priority, true)
	}
}

// vacate takes back what occupy gave.
func (g *gang) vacate() {
	for _, n := range g.osds {
		n.places[PlaceLocal].Cancel(other)
	}
}

// calm lets everything through until nothing moves.
func (g *gang) calm() {
	for busy := true; busy; {
		busy = false
		for _, n := range g.osds {
			for n.alive && n.has < g.newest().Epoch {
				g.give(n)
				busy = true
			}
			for n.alive && g.commit(n) {
				busy = true
			}
		}
		for from := range g.osds {
			for to := range g.osds {
				for g.deliver([2]int32{int32(from), int32(to)}) {
					busy = true
				}
			}
		}
	}
}

// A group waits for a place while another one has it, shows that, and goes before
// it when it is told to.
func TestForcedRecoveryGoesFirst(t *testing.T) {
	t.Parallel()
	for _, fills := range []bool{false, true} {
		g := newGang(t, 1, 3, 3)
		if fills {
			g.conf.LogEntries, g.conf.LogTrim = 3, 1
		}
		write := func() {
			for i := range 20 {
				g.ask(fmt.Sprint("o", i%4), true)
				g.calm()
			}
		}
		g.calm()
		write()
		g.crash(g.osds[2])
		g.markDown(2)
		g.calm()
		write()
		g.occupy(200)
		g.start(g.osds[2])
		g.calm()
		p, wait, forced := g.primary(), msg.PGRecoveryWait, msg.PGForcedRecovery
		if fills {
			wait, forced = msg.PGBackfillWait, msg.PGForcedBackfill
		}
		if s := p.State(); s&wait == 0 || s&forced != 0 || p.objectStats().Degraded == 0 {
			t.Fatalf("waiting for a place a group is %v, %d copies degraded", s, p.objectStats().Degraded)
		}
		primary := g.osds[p.env.Whoami]
		primary.pg.Step(g.now, Force{Backfill: fills})
		if s := p.State(); s&forced == 0 {
			t.Errorf("told to go first a group is %v", s)
		}
		g.carryOut(primary)
		g.calm()
		if p = g.primary(); !p.clean() || p.State()&forced != 0 || p.objectStats().Degraded != 0 {
			t.Errorf("a group that went first is %v, %d copies degraded", p.State(), p.objectStats().Degraded)
		}
		if p.recovery.done.ObjectsRecovered == 0 || p.recovery.done.BytesRecovered == 0 {
			t.Errorf("recovered: %+v", p.recovery.done)
		}
		g.compare()
	}
}

// What only an OSD that is down has is unfound; requests wait for it, and all is
// well when that OSD is back.
func TestUnfound(t *testing.T) {
	t.Parallel()
	g := newGang(t, 1, 2, 2)
	g.calm()
	g.ask("o0", true)
	g.calm()
	g.crash(g.osds[1])
	g.markDown(1)
	g.calm()
	for i := range 4 {
		g.ask(fmt.Sprint("o", i), true)
		g.calm()
	}
	// osd.1 learns of the writes and gets none of them.
	g.occupy(255)
	g.start(g.osds[1])
	g.calm()
	g.crash(g.osds[0])
	g.markDown(0)
	g.calm()
	p := g.primary()
	q := p.Query()
	if s := p.State(); s&msg.PGRecoveryUnfound == 0 || p.objectStats().Unfound != 4 || q.Missing != 4 || len(q.Unfound) != 4 {
		t.Fatalf("state %v, %d objects unfound of %d missing, listed %v", s, p.objectStats().Unfound, q.Missing, q.Unfound)
	}
	for _, u := range q.Unfound {
		if (u.ID.Name == "o0") == u.Have.IsZero() || u.Need.IsZero() {
			t.Errorf("listed %+v", u)
		}
	}
	if !slices.Contains(q.MightHave, MightHave{0, "osd is down"}) {
		t.Errorf("may be with %v", q.MightHave)
	}
	g.ask("o0", false)
	g.ask("o1", true)
	g.calm()
	if len(g.open) != 2 {
		t.Fatalf("%d requests wait", len(g.open))
	}
	g.vacate()
	g.heal()
	g.compare()
}

// What an object has in common with a version that is here cannot be had if that
// one cannot be read: then all of it has to travel.
func TestBorrowsNothingRotten(t *testing.T) {
	t.Parallel()
	for _, who := range []struct {
		what string
		osd  int32
	}{{"push", 2}, {"pull", 0}} {
		t.Run(who.what, func(t *testing.T) {
			t.Parallel()
			g := newGang(t, 1, 3, 3)
			n := g.osds[who.osd]
			write := func() {
				g.ask("o", true)
				g.calm()
			}
			g.calm()
			write()
			g.snapshot()
			write() // and there is a clone for the first snapshot
			g.lose(n.id)
			g.snapshot()
			write() // and one for the second, which has the bytes of the first, and more
			g.start(n)
			g.rot(n, "o", 1)
			g.listens = true
			g.heal()
			if want := "cannot be read"; n.env.ReadErrors == 0 || !strings.Contains(strings.Join(g.said, "\n"), want) {
				t.Errorf("%d errors, said %q", n.env.ReadErrors, g.said)
			}
			g.compare()
		})
	}
}
