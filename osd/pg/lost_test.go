package pg

import (
	"fmt"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// bereft is a gang in which osd.1 has become the primary; it and the others know of
// the newest writes to o0, o1, o2 and o3, and have of them o0 and o1 as they were
// before. osd.0, which has them all, is down. With a snapshot between, o0 and o1 have
// clones that are lost.
func bereft(t *testing.T, osds int, snaps bool) *gang {
	g := newGang(t, 1, osds, osds)
	g.propose(func(m *osdmap.Map) { m.Pools[testPool].MinSize = 1 })
	g.calm()
	for _, o := range []string{"o0", "o1", "x"} {
		g.ask(o, true)
		g.calm()
	}
	if snaps {
		g.snapshot()
		g.calm()
	}
	for _, n := range g.osds[1:] {
		g.crash(n)
		g.markDown(n.id)
	}
	g.calm()
	for i := range 4 {
		g.ask(fmt.Sprint("o", i), true)
		g.calm()
	}
	g.occupy(255)
	for _, n := range g.osds[1:] {
		g.start(n)
	}
	g.calm()
	g.crash(g.osds[0])
	g.markDown(0)
	g.calm()
	// What was promised to osd.0 ends.
	g.now = g.now.Add(time.Minute)
	g.step(g.osds[1], Tick{})
	g.vacate()
	g.calm()
	return g
}

// declareLost says that what osd.0 has will not come back, so that what was
// acknowledged need not be there.
func (g *gang) declareLost() {
	g.propose(func(m *osdmap.Map) { m.Info[0].LostAt = m.Epoch })
	g.calm()
	clear(g.acked)
	for _, a := range g.open {
		a.must = nil
	}
}

// giveUp marks what is unfound as lost, and lets all settle.
func (g *gang) giveUp(revert bool) (int, *Refusal) {
	n := g.osds[g.primary().env.Whoami]
	count, err := n.pg.GiveUp(g.now, revert)
	n.pg.check()
	g.carryOut(n)
	g.calm()
	return count, err
}

// tokens are what an object has.
func (g *gang) tokens(name string) string {
	p := g.primary()
	for _, id := range g.ids(p) {
		if id.Name == name && id.IsHead() {
			b, err := p.env.Store.Read(p.coll, id, 0, 1<<20)
			if err != nil {
				g.fail("%v: %v", id, err)
			}
			defer b.Release()
			return string(b.Bytes())
		}
	}
	return ""
}

func (g *gang) ids(p *PG) []object.ID {
	ids, _, err := p.env.Store.List(p.coll, object.MinID, 1000)
	if err != nil {
		g.fail("%v", err)
	}
	return ids
}

func TestGiveUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ revert, snaps, late bool }{
		{revert: true}, {revert: false}, {revert: true, snaps: true}, {revert: false, snaps: true}, {revert: true, late: true},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			t.Parallel()
			g := bereft(t, 2, c.snaps)
			p := g.primary()
			lost := p.numUnfound()
			if lost < 4 {
				t.Fatalf("%d objects are unfound", lost)
			}
			before := g.tokens("o0")
			if n, err := g.giveUp(c.revert); err == nil || err.Errno != errno.EINVAL || n != lost || p.numUnfound() != lost {
				t.Fatalf("osd.0 may come back, yet %d objects are given up: %v", n, err)
			}
			g.ask("o0", false)
			g.ask("o2", true)
			g.calm()
			if len(g.open) != 2 || len(p.recovery.waiting) != 2 {
				t.Fatalf("%d requests are open, %d unfound objects waited for", len(g.open), len(p.recovery.waiting))
			}
			g.declareLost()
			if n, err := g.giveUp(c.revert); err != nil || n != lost {
				t.Fatalf("%d given up: %v", n, err)
			}
			p = g.primary()
			if p.numUnfound() != 0 || p.missing.Len() != 0 || len(g.open) != 0 {
				t.Fatalf("%d objects are unfound, %d missing, %d requests wait", p.numUnfound(), p.missing.Len(), len(g.open))
			}
			if after := g.tokens("o0"); c.revert && (after != before || before == "") || !c.revert && after != "" {
				t.Errorf("o0 was %q before and is %q", before, after)
			}
			kinds := map[EntryKind]int{}
			for _, e := range p.log.Entries {
				kinds[e.Kind]++
			}
			if kinds[EntryLostDelete] == 0 || c.revert != (kinds[EntryLostRevert] == 2) {
				t.Errorf("entries %v", kinds)
			}
			sums, err := p.recount(nil)
			have := p.info.Stats
			have.Reads, have.ReadKB, have.Writes, have.WriteKB = 0, 0, 0, 0
			if err != nil || sums != have {
				t.Errorf("sums %+v, there are %+v: %v", have, sums, err)
			}
			if c.late {
				g.crash(g.osds[1]) // what was decided is on its disk
				g.start(g.osds[1])
				g.calm()
			}
			// The one that was given up for lost comes back with what is not true any more.
			g.start(g.osds[0])
			g.calm()
			g.heal()
			g.compare()
		})
	}
}

// The newest prior version is with another copy: it is fetched first.
func TestGiveUpFetchesPrior(t *testing.T) {
	t.Parallel()
	g := bereft(t, 3, false)
	g.declareLost()
	p := g.primary()
	want := g.tokens("o0")
	for _, u := range p.unfoundObjects() {
		p.missing.Add(u.ID, u.Need, object.Version{}) // what is here cannot be read
	}
	if n, err := g.giveUp(true); err != nil || n != 4 {
		t.Fatalf("%d given up: %v", n, err)
	}
	if p = g.primary(); want == "" || g.tokens("o0") != want || p.missing.Len() != 0 {
		t.Errorf("o0 is %q, was %q with osd.2; %d objects are missing", g.tokens("o0"), want, p.missing.Len())
	}
	g.start(g.osds[0])
	g.calm()
	g.heal()
	g.compare()
}
