package pg

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/wire"
)

// rotten is a store in which the data of some objects cannot be read, until they
// are made anew.
type rotten struct {
	objstore.Store
	bad map[object.ID]bool
}

func (s *rotten) Read(c objstore.Coll, o object.ID, off, n uint64) (buffer.List, error) {
	if s.bad[o] {
		return nil, errno.EIO
	}
	return s.Store.Read(c, o, off, n)
}

// Submit refuses to change in part what it cannot read. What is cloned of that
// cannot be read either.
func (s *rotten) Submit(txn *objstore.Txn, done func(error)) error {
	bad := maps.Clone(s.bad)
	for i := range txn.Ops {
		switch op := &txn.Ops[i]; {
		case op.Code == objstore.OpRemove:
			delete(bad, op.OID)
		case op.Code == objstore.OpRename:
			delete(bad, op.Dest)
		case op.Code == objstore.OpWrite && op.Off > 0 && bad[op.OID]:
			txn.Release()
			return errno.EIO
		case op.Code == objstore.OpCloneRange && bad[op.OID]:
			bad[op.Dest] = true
		}
	}
	s.bad = bad
	return s.Store.Submit(txn, done)
}

// rot makes the data of an object of an OSD unreadable.
func (g *gang) rot(n *member, name string, snap object.SnapID) {
	s, ok := n.env.Store.(*rotten)
	if !ok {
		s = &rotten{Store: n.env.Store, bad: map[object.ID]bool{}}
		n.env.Store = s
	}
	s.bad[object.New(testPool, "", "", name).At(snap)] = true
}

// damage changes the store of an OSD behind its back.
func (g *gang) damage(n *member, change func(c objstore.Coll, txn *objstore.Txn)) {
	g.t.Helper()
	for g.commit(n) {
	}
	var txn objstore.Txn
	change(n.pg.coll, &txn)
	if err := n.store.Submit(&txn, nil); err != nil {
		g.t.Fatal(err)
	}
	n.store.Step(1)
}

// quiet lets everything happen until nobody scrubs or repairs any more.
func (g *gang) quiet() {
	g.t.Helper()
	for range 5000 {
		busy := false
		for _, n := range g.osds {
			for g.commit(n) {
				busy = true
			}
			for to := range g.osds {
				for g.deliver([2]int32{n.id, int32(to)}) {
					busy = true
				}
			}
		}
		for _, n := range g.osds {
			if n.pg == nil {
				continue
			}
			if at := n.pg.Wake(); !at.IsZero() && !g.now.Before(at) {
				g.step(n, Tick{})
				busy = true
			}
		}
		s := &g.primary().scrub
		if !busy && s.run == nil && s.asked == 0 && !s.repairing && g.primary().clean() {
			return
		}
		if !busy {
			g.now = g.now.Add(200 * time.Millisecond)
		}
	}
	g.fail("the scrub does not end: %+v, state %v", g.primary().scrub, g.primary().State())
}

// scrubGroup scrubs the group and returns what was said.
func (g *gang) scrubGroup(kind ScrubKind) string {
	g.t.Helper()
	g.said, g.listens = nil, true
	g.step(g.osds[g.primary().env.Whoami], Scrub{kind})
	g.quiet()
	g.listens = false
	return strings.Join(g.said, "\n")
}

// newSoundGang is a group of three with some objects.
func newSoundGang(t *testing.T) *gang {
	g := newGang(t, 3, 3, 3)
	g.heal()
	for i := range 12 {
		g.ask(fmt.Sprint("o", i%4), true)
		g.heal()
	}
	return g
}

func TestScrubOfThreeCopies(t *testing.T) {
	t.Parallel()
	g := newSoundGang(t)
	if got, want := g.scrubGroup(ScrubDeep), "1.0 deep-scrub starts\n1.0 deep-scrub ok"; got != want {
		t.Errorf("said\n%s", got)
	}
	p := g.primary()
	for _, n := range g.osds {
		if string(wire.Marshal(&n.pg.scrub.record)) != string(wire.Marshal(&p.scrub.record)) || n.pg.scrub.record.Last != p.info.LastUpdate {
			t.Errorf("osd.%d has the record %+v, the primary %+v", n.id, n.pg.scrub.record, p.scrub.record)
		}
		if !n.env.scrubSlots().Take() {
			t.Errorf("osd.%d has not got its slot back", n.id)
		}
		n.env.scrubSlots().Free()
	}
}

// Each way in which one copy can go bad is found, and healed by a repair.
func TestRepair(t *testing.T) {
	t.Parallel()
	o1 := object.New(testPool, "", "", "o1")
	for _, c := range []struct {
		name string
		hurt func(g *gang, n *member)
		says string // with %d for the OSD
	}{
		{"data that cannot be read", func(g *gang, n *member) { g.rot(n, "o1", object.NoSnap) }, "shard %d soid 1:... : candidate had a read error"},
		{"other data", func(g *gang, n *member) {
			g.damage(n, func(c objstore.Coll, txn *objstore.Txn) { txn.Write(c, o1, 1, buffer.ListOf([]byte("?"))) })
		}, "data_digest"},
		{"other omap", func(g *gang, n *member) {
			g.damage(n, func(c objstore.Coll, txn *objstore.Txn) {
				txn.OmapSet(c, o1, []objstore.KV{{Key: "k", Value: []byte("?")}})
			})
		}, "omap_digest"},
		{"another attribute", func(g *gang, n *member) {
			g.damage(n, func(c objstore.Coll, txn *objstore.Txn) { txn.SetAttr(c, o1, "_a", []byte("?")) })
		}, "attr name mismatch '_a'"},
		{"a broken info", func(g *gang, n *member) {
			g.damage(n, func(c objstore.Coll, txn *objstore.Txn) { txn.SetAttr(c, o1, attrInfo, []byte("?")) })
		}, "candidate had a corrupt info"},
		{"no info", func(g *gang, n *member) {
			g.damage(n, func(c objstore.Coll, txn *objstore.Txn) { txn.RmAttr(c, o1, attrInfo) })
		}, "candidate had a missing info key"},
		{"a short object", func(g *gang, n *member) {
			g.damage(n, func(c objstore.Coll, txn *objstore.Txn) { txn.Truncate(c, o1, 2) })
		}, "candidate size 2 info size"},
		{"no object", func(g *gang, n *member) {
			g.damage(n, func(c objstore.Coll, txn *objstore.Txn) { txn.Remove(c, o1) })
		}, "missing"},
		{"an object too many", func(g *gang, n *member) {
			g.damage(n, func(c objstore.Coll, txn *objstore.Txn) { txn.Touch(c, object.New(testPool, "", "", "extra")) })
		}, "candidate had a missing info key"},
	} {
		for _, primary := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, primary %v", c.name, primary), func(t *testing.T) {
				t.Parallel()
				g := newSoundGang(t)
				n := g.osds[0]
				for _, m := range g.osds {
					if (m.pg == g.primary()) == primary {
						n = m
					}
				}
				c.hurt(g, n)
				n.pg.forgetContexts()
				said := g.scrubGroup(ScrubDeep)
				if want := strings.ReplaceAll(strings.ReplaceAll(c.says, "%d", fmt.Sprint(n.id)), "1:...", o1.String()); !strings.Contains(said, want) {
					t.Errorf("no %q in\n%s", want, said)
				}
				if s := g.primary().State(); s&msg.PGInconsistent == 0 {
					t.Fatalf("found, and the state is %v", s)
				}
				if c.name == "an object too many" {
					return // nobody has a sound copy; it is no clients' data
				}
				said = g.scrubGroup(ScrubRepair)
				if s := g.primary().State(); s != msg.PGActive|msg.PGClean {
					t.Errorf("repaired, and the state is %v\n%s", s, said)
				}
				if said = g.scrubGroup(ScrubDeep); said != "1.0 deep-scrub starts\n1.0 deep-scrub ok" {
					t.Errorf("afterwards\n%s", said)
				}
				g.compare()
				if g.primary().scrub.record.Repaired == 0 {
					t.Error("no copy counts as repaired")
				}
			})
		}
	}
}

// newSnapGang is one whose o1 has two clones, the older of which serves two
// snapshots.
func newSnapGang(t *testing.T) *gang {
	g := newSoundGang(t)
	g.snapshot()
	g.snapshot()
	for range 2 {
		g.ask("o1", true)
		g.heal()
		g.snapshot()
	}
	return g
}

// eachMember runs a test with the primary's copy and with another's.
func eachMember(t *testing.T, name string, make func(*testing.T) *gang, test func(t *testing.T, g *gang, n *member)) {
	for _, primary := range []bool{true, false} {
		t.Run(fmt.Sprintf("%s, primary %v", name, primary), func(t *testing.T) {
			t.Parallel()
			g := make(t)
			for _, n := range g.osds {
				if (n.pg == g.primary()) == primary {
					test(t, g, n)
					return
				}
			}
		})
	}
}

// sameIndex checks that the index of clones is right at each member.
func (g *gang) sameIndex(want []string) {
	g.t.Helper()
	for _, n := range g.osds {
		if got := g.index(n); !slices.Equal(got, want) {
			g.t.Errorf("osd.%d: index %v, want %v", n.id, got, want)
		}
	}
}

// What a copy of a head says of its clones is compared, and put right together with
// the index of clones.
func TestRepairOfSnapSets(t *testing.T) {
	t.Parallel()
	o1 := object.New(testPool, "", "", "o1")
	for _, c := range []struct {
		name string
		hurt func(p *PG, txn *objstore.Txn)
		says string
	}{
		{"a broken set", func(p *PG, txn *objstore.Txn) { txn.SetAttr(p.coll, o1, attrSnaps, []byte("?")) }, "candidate had a corrupt snapset"},
		{"no set", func(p *PG, txn *objstore.Txn) { txn.RmAttr(p.coll, o1, attrSnaps) }, "candidate had a missing snapset key"},
		{"another set", func(p *PG, txn *objstore.Txn) {
			ss, _ := p.loadSnaps(o1)
			ss = ss.clone()
			ss.Seq += 5
			txn.SetAttr(p.coll, o1, attrSnaps, wire.Marshal(&ss))
		}, "snapset inconsistent"},
		{"a set with other snapshots", func(p *PG, txn *objstore.Txn) {
			ss, _ := p.loadSnaps(o1)
			ss = ss.clone()
			ss.Clones[0].Snaps = ss.Clones[0].Snaps[:1]
			txn.SetAttr(p.coll, o1, attrSnaps, wire.Marshal(&ss))
		}, "snapset inconsistent"},
		{"no clone", func(p *PG, txn *objstore.Txn) { txn.Remove(p.coll, o1.At(2)) }, o1.At(2).String() + " : missing"},
		{"a clone without info", func(p *PG, txn *objstore.Txn) { txn.RmAttr(p.coll, o1.At(2), attrInfo) }, "candidate had a missing info key"},
	} {
		eachMember(t, c.name, newSnapGang, func(t *testing.T, g *gang, n *member) {
			index := g.index(n)
			if len(index) != 3 {
				t.Fatalf("index %v", index)
			}
			g.damage(n, func(_ objstore.Coll, txn *objstore.Txn) { c.hurt(n.pg, txn) })
			n.pg.forgetContexts()
			if said := g.scrubGroup(ScrubShallow); !strings.Contains(said, c.says) {
				t.Errorf("no %q in\n%s", c.says, said)
			}
			if s := g.primary().State(); s&msg.PGInconsistent == 0 {
				t.Fatalf("found, and the state is %v", s)
			}
			said := g.scrubGroup(ScrubRepair)
			if s := g.primary().State(); s != msg.PGActive|msg.PGClean {
				t.Errorf("repaired, and the state is %v\n%s", s, said)
			}
			if said = g.scrubGroup(ScrubDeep); said != "1.0 deep-scrub starts\n1.0 deep-scrub ok" {
				t.Errorf("afterwards\n%s", said)
			}
			g.compare()
			g.sameIndex(index)
		})
	}
}

// The index of clones is put right by any scrub, by each copy for itself.
func TestScrubMendsIndex(t *testing.T) {
	t.Parallel()
	o1 := object.New(testPool, "", "", "o1")
	for _, c := range []struct {
		name string
		hurt func(p *PG, txn *objstore.Txn)
		says string // after "osd.N found snap mapper error on pg 1.0 "
	}{
		{"all of a clone", func(p *PG, txn *objstore.Txn) { p.unindexSnaps(txn, o1.At(2), []object.SnapID{1, 2}) },
			"oid " + o1.At(2).String() + " snaps missing in mapper, should be: 1,2 was  r -2...repaired"},
		{"one of two snapshots", func(p *PG, txn *objstore.Txn) { p.unindexSnaps(txn, o1.At(2), []object.SnapID{2}) },
			"oid " + o1.At(2).String() + " snaps in mapper: 1, oi: 1,2...repaired"},
		{"a snapshot too many", func(p *PG, txn *objstore.Txn) { p.indexSnaps(txn, o1.At(2), []object.SnapID{17}) },
			"oid " + o1.At(2).String() + " snaps in mapper: 11, oi: 1,2...repaired"},
		{"a clone that is not", func(p *PG, txn *objstore.Txn) { p.indexSnaps(txn, o1.At(9), []object.SnapID{2}) },
			"oid " + o1.At(9).String() + " snaps in mapper: 2, oi: ...repaired"},
		{"a key without meaning", func(p *PG, txn *objstore.Txn) {
			txn.OmapSet(p.coll, p.meta, []objstore.KV{{Key: snapKeys(2) + "?"}, {Key: snapPrefix}})
		}, "key 730000000000000002"},
	} {
		eachMember(t, c.name, newSnapGang, func(t *testing.T, g *gang, n *member) {
			index := g.index(n)
			g.damage(n, func(_ objstore.Coll, txn *objstore.Txn) { c.hurt(n.pg, txn) })
			said := g.scrubGroup(ScrubShallow)
			if want := fmt.Sprintf("osd.%d found snap mapper error on pg 1.0 %s", n.id, c.says); !strings.Contains(said, want) {
				t.Errorf("no %q in\n%s", want, said)
			}
			g.sameIndex(index)
			if said := g.scrubGroup(ScrubShallow); said != "1.0 scrub starts\n1.0 scrub ok" {
				t.Errorf("afterwards\n%s", said)
			}
		})
	}
}

// An entry of the log of one copy that can be read, and is another one, is found by a
// scrub, and a repair has that copy filled anew.
func TestScrubComparesLogs(t *testing.T) {
	t.Parallel()
	eachMember(t, "", newSoundGang, func(t *testing.T, g *gang, n *member) {
		meta := n.pg.meta
		var at object.Version
		g.damage(n, func(c objstore.Coll, txn *objstore.Txn) {
			var key string
			var entry Entry
			var after Info
			err := n.store.OmapScan(c, meta, logPrefix, func(k string, v []byte) bool {
				if strings.HasPrefix(k, logPrefix) {
					key = k
					entry.Decode(wire.NewDecoder(slices.Clone(v)), &after)
				}
				return key == ""
			})
			if err != nil || key == "" {
				t.Fatalf("key %q, %v", key, err)
			}
			at = entry.Version
			entry.ReqID.TID++
			var e wire.Encoder
			entry.Encode(&e, &after)
			txn.OmapSet(c, meta, []objstore.KV{{Key: key, Value: e.Bytes()}})
		})
		g.crash(n)
		g.start(n)
		g.heal()
		said := g.scrubGroup(ScrubShallow)
		if want := fmt.Sprintf("1.0 shard %d : log entry %v is not that of other shards\n1.0 scrub 1 errors", n.id, at); !strings.Contains(said, want) {
			t.Errorf("no %q in\n%s", want, said)
		}
		if s := g.primary().State(); s&msg.PGInconsistent == 0 {
			t.Fatalf("found, and the state is %v", s)
		}
		g.said, g.listens = nil, true
		g.step(g.osds[g.primary().env.Whoami], Scrub{ScrubRepair})
		dropped := fmt.Sprintf("osd.%d drops its damaged copy", n.id)
		for round := 0; round < 50 && !slices.ContainsFunc(g.said, func(s string) bool { return strings.Contains(s, dropped) }); round++ {
			for range 100 {
				g.fuss(false)
			}
			g.heal()
		}
		g.listens = false
		g.heal()
		if said = strings.Join(g.said, "\n"); !strings.Contains(said, "1.0 repair 1 errors, 1 fixed") || !strings.Contains(said, dropped) {
			t.Errorf("the repair says\n%s", said)
		}
		if s := g.primary().State(); s != msg.PGActive|msg.PGClean {
			t.Errorf("repaired, and the state is %v", s)
		}
		if said := g.scrubGroup(ScrubDeep); said != "1.0 deep-scrub starts\n1.0 deep-scrub ok" {
			t.Errorf("afterwards\n%s", said)
		}
		g.compare()
	})
}

// What an operator would do is done by itself for what is certain, if that is
// wanted, and not if there is too much of it.
func TestAutoRepair(t *testing.T) {
	t.Parallel()
	for _, most := range []int{5, 0} {
		g := newSoundGang(t)
		c := *g.conf
		c.Scrub.AutoRepair, c.Scrub.AutoRepairMost, c.Scrub.DeepInterval = true, most, 0
		for _, n := range g.osds {
			n.env.Config = &c
		}
		g.propose(allowScrubs)
		g.heal()
		n := g.osds[1]
		g.rot(n, "o2", object.NoSnap)
		g.said, g.listens = nil, true
		g.now = g.now.Add(48 * time.Hour)
		for len(g.said) == 0 {
			for _, n := range g.osds {
				g.step(n, Tick{})
			}
			g.quiet()
		}
		g.listens = false
		if s := g.primary().State(); (s&msg.PGInconsistent == 0) != (most > 0) {
			t.Errorf("at most %d: %v\n%s", most, s, strings.Join(g.said, "\n"))
		}
		if most > 0 {
			g.compare()
		}
	}
}

// A read of what the primary cannot read is served from another copy, which then
// takes the place of the bad one.
func TestReadHeals(t *testing.T) {
	t.Parallel()
	g := newSoundGang(t)
	n := g.osds[g.primary().env.Whoami]
	g.rot(n, "o3", object.NoSnap)
	g.said, g.listens = nil, true
	g.ask("o3", false)
	g.heal()
	g.listens = false
	if len(n.env.Store.(*rotten).bad) > 0 || n.env.Repaired != 1 {
		t.Errorf("bad %v, repaired %d", n.env.Store.(*rotten).bad, n.env.Repaired)
	}
	if said := strings.Join(g.said, "\n"); !strings.Contains(said, "1.0 missing primary copy of "+object.New(testPool, "", "", "o3").String()+", will try copies on") {
		t.Errorf("said\n%s", said)
	}
	g.compare()
	if said := g.scrubGroup(ScrubDeep); said != "1.0 deep-scrub starts\n1.0 deep-scrub ok" {
		t.Errorf("afterwards\n%s", said)
	}
}

// A replica that cannot read what a write changes is a member again when it has the
// object from another, and does not come and go until then.
func TestWriteHealsReplica(t *testing.T) {
	t.Parallel()
	g := newSoundGang(t)
	at := g.newest().PGToUpActing(gangPG.PG)
	n := g.osds[at.Acting[1]]
	before := g.newest().Epoch
	g.rot(n, "o3", object.NoSnap)
	g.listens = true
	g.ask("o3", true)
	g.heal()
	g.listens = false
	if bad := n.env.Store.(*rotten).bad; len(bad) > 0 {
		t.Errorf("bad %v", bad)
	}
	if now := g.newest(); now.Epoch-before > 8 || !slices.Equal(now.PGToUpActing(gangPG.PG).Acting, at.Acting) {
		t.Errorf("%d maps, acting %v, which was %v", now.Epoch-before, now.PGToUpActing(gangPG.PG).Acting, at.Acting)
	}
	g.compare()
	if said := g.scrubGroup(ScrubDeep); said != "1.0 deep-scrub starts\n1.0 deep-scrub ok" {
		t.Errorf("afterwards\n%s", said)
	}
}

// So is a write to what the primary cannot read.
func TestWriteHeals(t *testing.T) {
	t.Parallel()
	g := newSoundGang(t)
	n := g.osds[g.primary().env.Whoami]
	g.rot(n, "o3", object.NoSnap)
	g.listens = true
	g.ask("o3", true)
	g.heal()
	g.ask("o3", false)
	g.heal()
	g.listens = false
	if len(n.env.Store.(*rotten).bad) > 0 || n.env.Repaired != 1 {
		t.Errorf("bad %v, repaired %d", n.env.Store.(*rotten).bad, n.env.Repaired)
	}
	g.compare()
}

// While OSDs crash and the group moves about, scrubs that are asked for again and
// again find nothing.
func TestGangScrubs(t *testing.T) {
	t.Parallel()
	scrubbed := 0
	for seed := range uint64(30) {
		g := newGang(t, seed, 3, 3)
		c := *g.conf
		c.Scrub.Limits.Stride, c.Scrub.Limits.Keys, c.Scrub.MaxPreemptions = 1, 2, int(seed%3)
		g.conf = &c
		for _, n := range g.osds {
			n.env.Config = &c
		}
		for i := range 4000 {
			if i%400 == 399 {
				g.snapshot()
			}
			g.fuss(i%50 == 0)
			for _, n := range g.osds {
				if !n.alive || n.pg == nil {
					continue
				}
				if at := n.pg.scrub.next; !at.IsZero() && !g.now.Before(at) && g.r.IntN(3) == 0 {
					g.step(n, Tick{})
				}
				if g.r.IntN(300) == 0 && n.pg.isPrimary() {
					g.step(n, Scrub{[]ScrubKind{ScrubShallow, ScrubDeep, ScrubRepair}[g.r.IntN(3)]})
				}
			}
		}
		scrubbed += g.sound
		g.heal()
		g.compare()
		if said := g.scrubGroup(ScrubDeep); !strings.Contains(said, " ok") || strings.Contains(said, "errors") {
			t.Errorf("seed %d: %s", seed, said)
		}
	}
	t.Logf("%d scrubs", scrubbed)
	if scrubbed == 0 {
		t.Error("no scrub came to its end")
	}
}
