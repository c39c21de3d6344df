package pg

import (
	"slices"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// packed is a store that has no room for data while it is full.
type packed struct {
	objstore.Store
	full bool
}

func (s *packed) Submit(txn *objstore.Txn, done func(error)) error {
	if s.full && slices.ContainsFunc(txn.Ops, func(op objstore.Op) bool { return op.Code == objstore.OpWrite }) {
		txn.Release()
		return objstore.ErrNoSpace
	}
	return s.Store.Submit(txn, done)
}

// A replica without room is done without: the group serves with the others and does
// not change its members in turns, as long as the map shows the OSD full. Then it is
// taken back.
func TestGangWithoutRoom(t *testing.T) {
	t.Parallel()
	g := newGang(t, 5, 3, 3)
	for range 300 {
		g.fuss(false)
	}
	g.heal()
	g.listens = true
	before := g.newest().PGToUpActing(gangPG.PG)
	last := before.Acting[2]
	store := &packed{g.osds[last].env.Store, true}
	g.osds[last].env.Store = store
	flag := func(full bool) {
		g.propose(func(m *osdmap.Map) {
			if m.State[last] &^= osdmap.StateFull; full {
				m.State[last] |= osdmap.StateFull
			}
		})
	}
	pass := func(d time.Duration) {
		for end := g.now.Add(d); g.now.Before(end); g.now = g.now.Add(time.Second) {
			g.calm()
			for _, n := range g.osds {
				g.step(n, Tick{})
			}
		}
	}
	g.ask("a", true)
	pass(5 * time.Second)
	if at := g.newest().PGToUpActing(gangPG.PG); !slices.Equal(at.Acting, before.Acting[:2]) {
		t.Fatalf("acting %v of %v", at.Acting, before.Acting)
	}
	flag(true)
	epoch := g.newest().Epoch
	pass(2 * time.Minute)
	if n := g.newest().Epoch - epoch; n > 0 {
		g.fail("%d maps while the OSD was full", n)
	}
	store.full = false
	flag(false)
	pass(time.Minute)
	g.heal()
	g.compare()
	if at, state := g.newest().PGToUpActing(gangPG.PG), g.primary().State(); !slices.Equal(at.Acting, before.Acting) || state != msg.PGActive|msg.PGClean {
		t.Errorf("with room again: acting %v, %v", at.Acting, state)
	}
}

// A group with too few members peers and does not start: what others have beyond
// its log may be all that is left of an object, and must not be taken back for it.
func TestPeeredIsNoStart(t *testing.T) {
	t.Parallel()
	g := newGang(t, 1, 3, 3)
	g.calm()
	g.lose(1)
	g.ask("o", true)
	g.calm()
	started := g.primary().info.LastEpochStarted
	g.lose(2)
	p := g.primary()
	if s := p.State(); s&msg.PGPeered == 0 {
		t.Fatalf("with one of three the group is %v", s)
	}
	if i := p.info; i.LastEpochStarted != started || i.History.LastEpochStarted != started {
		t.Errorf("it has started in %d, by its history %d; with two of three it did in %d", i.LastEpochStarted, i.History.LastEpochStarted, started)
	}
	g.start(g.osds[1])
	g.start(g.osds[2])
	g.heal()
	g.compare()
}

// One that has refused and since served without us is the only one to go by.
func TestRefuserThatServed(t *testing.T) {
	t.Parallel()
	g := newGang(t, 1, 2, 2)
	g.heal()
	g.listens = true
	at := g.newest().PGToUpActing(gangPG.PG)
	first, last := g.osds[at.Acting[0]], g.osds[at.Acting[1]]
	store := &packed{last.env.Store, true}
	last.env.Store = store
	g.deaf = true // the monitors do not hear what is wanted
	g.ask("o", true)
	g.calm()
	g.deaf, store.full = false, false
	g.markDown(first.id)
	g.takeOver()
	if s := g.primary().State(); g.primary() != last.pg || s&msg.PGActive == 0 {
		t.Fatalf("osd.%d is %v", last.id, s)
	}
	g.markUp(first.id)
	g.heal()
	g.compare()
}
