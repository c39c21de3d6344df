package pg

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
)

// sickStore is a store whose collection of the group is damaged: it cannot be
// listed, nor, if it is refuses, changed, until it is dropped.
type sickStore struct {
	objstore.Store
	sick, refuses bool
	met           bool // somebody has noticed
}

var errSick = fmt.Errorf("table 5: %w: %w", objstore.ErrDamaged, objstore.ErrIO)

func (s *sickStore) Damaged(objstore.Coll) error {
	if s.met {
		return errSick
	}
	return nil
}

func (s *sickStore) List(c objstore.Coll, from object.ID, max int) ([]object.ID, object.ID, error) {
	if s.sick {
		s.met = true
		return nil, object.ID{}, errSick
	}
	return s.Store.List(c, from, max)
}

func (s *sickStore) Submit(txn *objstore.Txn, done func(error)) error {
	for i := range txn.Ops {
		if txn.Ops[i].Code == objstore.OpDropColl {
			s.sick, s.refuses, s.met = false, false, false
		}
	}
	if s.refuses {
		s.met = true
		txn.Release()
		return errSick
	}
	return s.Store.Submit(txn, done)
}

// sicken damages the copy of an OSD.
func (g *gang) sicken(n *member) {
	n.sick = &sickStore{Store: n.store, sick: true}
	n.env.Store = n.sick
}

// eachCopy runs a test with the primary's and with another's copy of sound groups.
func eachCopy(t *testing.T, prefix string, test func(t *testing.T, g *gang, n *member)) {
	for i, who := range []string{"primary", "replica"} {
		t.Run(prefix+who, func(t *testing.T) {
			t.Parallel()
			g := newSoundGang(t)
			test(t, g, g.osds[(int(g.primary().env.Whoami)+i)%3])
		})
	}
}

// A copy that cannot be listed is found by a scrub and filled anew, the primary's
// as well as another, while clients go on.
func TestDamagedCopyIsFilledAnew(t *testing.T) {
	t.Parallel()
	eachCopy(t, "", func(t *testing.T, g *gang, n *member) {
		g.sicken(n)
		g.listens = true
		g.step(g.osds[g.primary().env.Whoami], Scrub{ScrubDeep})
		for range 500 {
			g.fuss(false)
		}
		g.heal()
		g.quiet()
		if n.sick.sick || n.pg.damage != nil || n.pg.ruined {
			t.Fatalf("the copy is still damaged: %v", n.pg.damage)
		}
		if got := strings.Join(g.said, "\n"); !strings.Contains(got, fmt.Sprintf("the copy on osd.%d is damaged", n.id)) ||
			!strings.Contains(got, "drops its damaged copy") {
			t.Errorf("said\n%s", got)
		}
		g.compare()
		if got := g.scrubGroup(ScrubDeep); strings.Contains(got, "shard") {
			t.Errorf("after that a scrub says\n%s", got)
		}
	})
}

// A copy whose store refuses a transaction that must be done is taken out of
// memory, and filled anew; the daemon goes on.
func TestUnchangeableCopyIsFilledAnew(t *testing.T) {
	t.Parallel()
	eachCopy(t, "", func(t *testing.T, g *gang, n *member) {
		g.sicken(n)
		n.sick.refuses = true
		g.listens = true
		// The end of a scrub is written down by all.
		g.step(g.osds[g.primary().env.Whoami], Scrub{ScrubShallow})
		for range 2000 {
			g.fuss(false)
		}
		g.heal()
		if n.sick.sick || n.ruined != nil || n.pg == nil || n.pg.damage != nil {
			t.Fatal("the copy is still damaged")
		}
		g.compare()
	})
}

// A copy whose log or info cannot be read when the OSD starts is filled anew.
func TestRuinedCopyIsFilledAnew(t *testing.T) {
	t.Parallel()
	for _, key := range []string{infoKey, logPrefix} {
		eachCopy(t, key+" of ", func(t *testing.T, g *gang, n *member) {
			g.ruin(n, key)
			for range 500 {
				g.fuss(false)
			}
			g.heal()
			if n.ruined != nil || n.pg == nil || n.pg.ruined {
				t.Fatal("the copy is still ruined")
			}
			g.compare()
			if got := g.scrubGroup(ScrubDeep); strings.Contains(got, "shard") {
				t.Errorf("after that a scrub says\n%s", got)
			}
		})
	}
}

// ruin damages a record of the group and starts the OSD again.
func (g *gang) ruin(n *member, prefix string) {
	g.t.Helper()
	meta := n.pg.meta
	g.damage(n, func(c objstore.Coll, txn *objstore.Txn) {
		key := ""
		if err := n.store.OmapScan(c, meta, prefix, func(k string, _ []byte) bool { key = k; return false }); err != nil || !strings.HasPrefix(key, prefix) {
			g.t.Fatalf("key %q: %v", key, err)
		}
		txn.OmapSet(c, meta, []objstore.KV{{Key: key, Value: []byte("?")}})
	})
	g.listens = true
	g.crash(n)
	g.start(n)
	if n.ruined == nil {
		g.t.Fatal("the copy can be loaded")
	}
}

// Of a group whose only witness is ruined nothing is taken for lost: it is down,
// and says by whom it is blocked.
func TestRuinedWitnessBlocks(t *testing.T) {
	t.Parallel()
	g := newGang(t, 5, 2, 2)
	g.heal()
	a, b := g.osds[0], g.osds[1]
	g.ask("o", true)
	g.heal()
	// Only a has what comes next.
	g.crash(b)
	g.markDown(b.id)
	g.heal2(a)
	g.ask("o", true)
	g.heal2(a)
	g.ruin(a, infoKey)
	g.start(b)
	for range 300 {
		for _, n := range g.osds {
			g.give(n)
			for g.commit(n) {
			}
			for to := range g.osds {
				g.deliver([2]int32{n.id, int32(to)})
			}
		}
	}
	p := b.pg
	if p == nil {
		t.Fatal("no group")
	}
	if a.pg != nil && a.pg.isPrimary() {
		p = a.pg
	}
	if !p.isPrimary() || p.State()&msg.PGDown == 0 || len(p.blockedBy()) != 1 || p.blockedBy()[0] != a.id {
		t.Errorf("primary %v, state %v, blocked by %v", p.isPrimary(), p.State(), p.blockedBy())
	}
}

// heal2 lets everything happen that can with one OSD.
func (g *gang) heal2(n *member) {
	for range 200 {
		g.give(n)
		for g.commit(n) {
		}
		if n.pg != nil {
			if at := n.pg.Wake(); !at.IsZero() && !g.now.Before(at) {
				g.step(n, Tick{})
			}
		}
		for tid := range g.open {
			if a := g.open[tid]; !a.flown && a.epoch < g.newest().Epoch {
				g.request(a)
			}
		}
	}
}

// What was met before the copy took part in an interval is told when it does.
func TestDamageIsToldLater(t *testing.T) {
	t.Parallel()
	eachCopy(t, "", func(t *testing.T, g *gang, n *member) {
		g.listens = true
		g.crash(n)
		g.sicken(n)
		g.start(n)
		g.heal()
		if n.sick.sick || n.pg.damage != nil {
			t.Fatalf("the copy is still damaged: %v", n.pg.damage)
		}
		g.compare()
	})
}

// A copy without others serves what can be read.
func TestDamagedOnlyCopyServes(t *testing.T) {
	t.Parallel()
	g := newGang(t, 7, 1, 1)
	g.heal()
	g.ask("o", true)
	g.heal()
	g.sicken(g.osds[0])
	g.listens = true
	g.step(g.osds[0], Scrub{ScrubDeep})
	for range 50 {
		g.fuss(false)
	}
	p := g.osds[0].pg
	if p.damage == nil || !p.Active() {
		t.Fatalf("damage %v, state %v", p.damage, p.State())
	}
	g.ask("o", false)
	g.heal()
	if !p.Active() || len(g.open) > 0 {
		t.Errorf("state %v, %d requests unanswered", p.State(), len(g.open))
	}
}
