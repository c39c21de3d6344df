package pg

import (
	"fmt"
	"testing"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// A crash at any point of a splitting leaves a group that goes on, and in the
// end every object in its place, with the sums right.
func TestSplitSurvivesCrashes(t *testing.T) {
	t.Parallel()
	const n, groups = 600, 5
	for crashAt := range 6 {
		t.Run(fmt.Sprint(crashAt), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for i := range n {
				wantResult(t, w.do(fmt.Sprint("o", i), opWriteFull("xyz")), 0)
			}
			w.manual = true
			w.next(func(m *osdmap.Map) { m.Pools[testPool].PGNum = groups })
			if w.pg.Active() {
				t.Fatal("serves while it is being split")
			}
			for range crashAt {
				if len(w.inAir) > 0 {
					w.commit(1)
				}
			}
			w.restart(true)
			for len(w.inAir) > 0 {
				w.commit(1)
			}
			if !w.pg.Active() || w.pg.info.Groups != groups {
				t.Fatalf("%v, %+v", w.pg.State(), w.pg.info)
			}
			total := Stats{}
			for seed := range uint32(groups) {
				id := object.SPG{PG: object.PG{Pool: testPool, Seed: seed}, Shard: object.NoShard}
				p, err := Load(w.env, id, w.now)
				if err != nil {
					t.Fatal(err)
				}
				ids, _, err := w.store.List(objstore.PGColl(id), object.MinID, 10000)
				if err != nil {
					t.Fatal(err)
				}
				objects := 0
				for _, o := range ids {
					if o.Name == "" {
						continue
					}
					objects++
					if object.StableMod(o.Hash, groups, 7) != seed {
						t.Errorf("%v in %v", o, id)
					}
				}
				if i := p.Info(); int(i.Stats.Objects) != objects || i.Forming || i.SplitTo != 0 || i.Groups != groups {
					t.Errorf("%d objects, %+v", objects, i)
				}
				if p.log.Find(object.ReqID{Name: w.sess.Name, TID: 1}) == nil {
					t.Errorf("%v has forgotten the requests of before", id)
				}
				p.log.Check(&p.info)
				total.Add(&p.Info().Stats)
			}
			if total.Objects != n || total.Bytes != 3*n {
				t.Errorf("%+v", total)
			}
		})
	}
}

func TestChildren(t *testing.T) {
	t.Parallel()
	for from := uint32(1); from < 20; from++ {
		for to := from; to < 40; to++ {
			seen := map[uint32]int{}
			for s := range from {
				for _, c := range childrenOf(s, from, to) {
					seen[c]++
				}
			}
			for c := from; c < to; c++ {
				if seen[c] != 1 {
					t.Fatalf("from %d to %d: group %d comes of %d", from, to, c, seen[c])
				}
			}
		}
	}
}

// What a client sends to a new group by the map that made it is good, however many
// maps have come until the group is there.
func TestSplitTakesWhatWasSentMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 20 {
		wantResult(t, w.do(fmt.Sprint("o", i), opWriteFull("xyz")), 0)
	}
	w.manual = true
	w.next(func(m *osdmap.Map) { m.Pools[testPool].PGNum = 2 })
	split := w.m.Epoch
	w.next(func(*osdmap.Map) {})
	w.next(func(*osdmap.Map) {})
	for len(w.inAir) > 0 {
		w.commit(1)
	}
	c, err := Load(w.env, object.SPG{PG: object.PG{Pool: testPool, Seed: 1}, Shard: object.NoShard}, w.now)
	if err != nil {
		t.Fatal(err)
	}
	if h := &c.info.History; h.LastEpochSplit != split || h.EpochCreated != split {
		t.Errorf("split in e%d, the new group says e%d, made in e%d", split, h.LastEpochSplit, h.EpochCreated)
	}
}

// What is missing of a new group's objects is missing there.
func TestSplitHandsOverWhatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 20 {
		wantResult(t, w.do(fmt.Sprint("o", i), opWriteFull("xyz")), 0)
	}
	at, want := w.pg.info.LastUpdate, map[uint32]int{}
	for i := range 5 {
		o := object.New(testPool, "", "", fmt.Sprint("m", i))
		w.pg.missing.Add(o, at, object.Version{})
		want[o.Hash&1]++
	}
	w.next(func(m *osdmap.Map) { m.Pools[testPool].PGNum = 2 })
	for seed := range uint32(2) {
		p, err := Load(w.env, object.SPG{PG: object.PG{Pool: testPool, Seed: seed}, Shard: object.NoShard}, w.now)
		if err != nil {
			t.Fatal(err)
		}
		if p.missing.Len() != want[seed] || want[seed] == 0 {
			t.Errorf("group %d misses %d objects, want %d", seed, p.missing.Len(), want[seed])
		}
	}
}
