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
