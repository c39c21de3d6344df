package pg

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osdmap"
	"pgregory.net/rapid"
)

// past is all that clients ever were promised of an object: what it is, and what
// it was at each snapshot.
type past struct {
	now *model
	at  map[object.SnapID]*model
}

func (p *past) clone() *past { return &past{p.now, maps.Clone(p.at)} }

// snapModel is a pool with snapshots that clients manage, as simply as it can be
// said. Making a snapshot copies everything.
type snapModel struct {
	objects map[string]*past
	alive   []object.SnapID // newest first
	last    object.SnapID
}

func (m *snapModel) clone() *snapModel {
	c := *m
	c.objects = map[string]*past{}
	for n, p := range m.objects {
		c.objects[n] = p.clone()
	}
	c.alive = slices.Clone(m.alive)
	return &c
}

func (m *snapModel) context() object.SnapContext {
	return object.SnapContext{Seq: m.last, Snaps: slices.Clone(m.alive)}
}

// Random histories of changes, snapshots, rollbacks, removals, trimming,
// refusals, crashes and restarts. After each step what can be read at every
// snapshot is what the model says; the figures, the index and the rules of the
// package comment hold of the store; bytes that are told to be unchanged are.
func TestSnapshotsAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.env.Config.ContextCache, w.env.Config.LogEntries, w.env.Config.DupsTracked, w.env.Config.LogTrim = 2, 6, 6, 2
		names := []string{"x", "y"}
		m := &snapModel{objects: map[string]*past{}, last: 1}
		for _, n := range names {
			m.objects[n] = &past{now: &model{}, at: map[object.SnapID]*model{}}
		}
		durable := m.clone() // what is durable of it, while w.manual
		removed := osdmap.SnapSet(nil)
		// A transaction is durable when the next step begins, unless it crashes.
		w.manual = true
		due := map[uint64]int32{}
		settle := func() {
			w.commit(len(w.inAir))
			for tid, want := range due {
				if got := w.replies[tid]; got == nil || got.Result != want {
					rt.Fatalf("request %d: %+v, want %d", tid, got, want)
				}
			}
			clear(w.replies)
			clear(due)
			durable = m.clone()
		}

		write := func(t *rapid.T, name string, sc object.SnapContext, ops []modelOp) {
			vec := make([]msg.Op, len(ops))
			for i := range ops {
				vec[i] = ops[i].op
			}
			p := m.objects[name]
			after, e := runModel(p.now, ops)
			refused := e.writes && rapid.IntRange(0, 9).Draw(t, "refused") == 0
			r := w.request(name, 0, 0, vec...)
			r.Op.SnapContext = sc
			if refused {
				w.refuse = objstore.ErrNoSpace
				e.result = -int32(errno.ENOSPC)
			} else {
				p.now = after
			}
			due[r.TID] = e.result
			w.step(r)
			w.refuse = nil
		}

		rt.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				settle()
				name := rapid.SampledFrom(names).Draw(t, "object")
				ops := rapid.SliceOfN(rapid.Custom(genOp), 1, 3).Draw(t, "ops")
				write(t, name, m.context(), ops)
			},
			"snapshot": func(t *rapid.T) {
				settle()
				m.last++
				m.alive = append([]object.SnapID{m.last}, m.alive...)
				for _, p := range m.objects {
					p.at[m.last] = p.now
				}
				durable = m.clone()
			},
			"rollback": func(t *rapid.T) {
				if len(m.alive) == 0 {
					t.Skip()
				}
				settle()
				name := rapid.SampledFrom(names).Draw(t, "object")
				snap := rapid.SampledFrom(m.alive).Draw(t, "snapshot")
				back := modelOp{op: opRollback(snap), apply: func(c *model) (string, error) {
					*c = *m.objects[name].at[snap].clone()
					return "", nil
				}}
				ops := append([]modelOp{back}, rapid.SliceOfN(rapid.Custom(genOp), 0, 2).Draw(t, "ops")...)
				write(t, name, m.context(), ops)
			},
			"remove snapshot": func(t *rapid.T) {
				if len(m.alive) == 0 {
					t.Skip()
				}
				settle()
				i := rapid.IntRange(0, len(m.alive)-1).Draw(t, "which")
				snap := m.alive[i]
				m.alive = slices.Delete(m.alive, i, i+1)
				for _, p := range m.objects {
					delete(p.at, snap)
				}
				removed = removed.Union(osdmap.NewSnapSet(snap))
				durable = m.clone()
				w.removeSnaps(snap)
			},
			"trim": func(t *rapid.T) {
				settle()
				for range rapid.IntRange(1, 6).Draw(t, "steps") {
					if rapid.IntRange(0, 4).Draw(t, "refused") == 0 {
						w.refuse = objstore.ErrNoSpace
					}
					w.tickOnce()
					w.refuse = nil
					if rapid.Bool().Draw(t, "commit") {
						w.commit(min(1, len(w.inAir)))
					}
				}
			},
			"forget": func(*rapid.T) {
				// The monitors take off their list what the group has purged.
				settle()
				purged := w.pg.info.Purged
				w.poolMap(func(om *osdmap.Map, _ *osdmap.Pool) {
					removed = removed.Subtract(purged)
					om.RemovedSnapsQueue = map[int64]osdmap.SnapSet{testPool: removed}
				})
			},
			"restart": func(t *rapid.T) {
				if crash := rapid.Bool().Draw(t, "crash"); crash {
					m = durable.clone()
					w.restart(true)
					clear(due)
				} else {
					settle()
					w.restart(false)
				}
				settle()
			},
			"": func(t *rapid.T) {
				w.pg.check()
				if len(w.inAir) == 0 {
					w.audit(t)
				}
				m.check(t, w)
			},
		})
		// When all snapshots are removed, nothing is left of them.
		settle()
		w.removeSnaps(m.alive...)
		w.trim()
		w.audit(rt)
		if s := w.pg.info.Stats; s.Clones != 0 || s.Whiteouts != 0 {
			rt.Fatalf("left: %+v", s)
		}
	})
}

// check reads everything. Whoever asks by the store's view sees what is not
// durable yet, too; answers wait, so the executions are looked at.
func (m *snapModel) check(t *rapid.T, w *world) {
	for _, name := range slices.Sorted(maps.Keys(m.objects)) {
		p := m.objects[name]
		head, err := w.pg.object(object.New(testPool, "", "", name))
		if err != nil {
			t.Fatalf("%v", err)
		}
		versions := maps.Clone(p.at)
		versions[object.NoSnap] = p.now
		for _, snap := range slices.Sorted(maps.Keys(versions)) {
			o, want, err := head, versions[snap], error(nil)
			if snap != object.NoSnap {
				o, err = w.pg.at(head, snap, false)
			}
			if errno.Code(err) == -int32(errno.ENOENT) || err == nil && !o.exists {
				if want.exists {
					t.Fatalf("%s at %d: %v, want %v", name, snap, err, want)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s at %d: %v", name, snap, err)
			}
			if got := readAll(t, w, o); got.String() != want.String() {
				t.Fatalf("%s at %d is\n%v, want\n%v\n%+v", name, snap, got, want, head.snaps)
			}
		}
		m.checkOverlaps(t, w, head)
	}
}

// readAll reads an object as a client would.
func readAll(t *rapid.T, w *world, o *objectContext) *model {
	var x execution
	x.begin(w.pg, w.request(o.id.Name, 1, 0), o, w.now, false)
	l, err := x.readRange(0, 0, 0, 0)
	attrs, err2 := x.userAttrs()
	header, err3 := x.omapHeader()
	got := &model{exists: true, data: l.Bytes(), attrs: map[string]string{}, omap: map[string]string{}, header: string(header)}
	err4 := x.omapScan("", func(k string, v []byte) bool { got.omap[k] = string(v); return true })
	for k, v := range attrs {
		got.attrs[k] = string(v)
	}
	for _, err := range []error{err, err2, err3, err4} {
		if err != nil {
			t.Fatalf("%v: %v", o.id, err)
		}
	}
	return got
}

// checkOverlaps compares what clones are said to share with what they have.
func (m *snapModel) checkOverlaps(t *rapid.T, w *world, head *objectContext) {
	for i, c := range head.snaps.Clones {
		read := func(id object.ID) []byte {
			l, err := w.store.Read(w.pg.coll, id, 0, 1<<20)
			if err != nil {
				t.Fatalf("%v: %v", id, err)
			}
			return l.Bytes()
		}
		next := head.id
		if i+1 < len(head.snaps.Clones) {
			next = head.id.At(head.snaps.Clones[i+1].ID)
		}
		a, b := read(head.id.At(c.ID)), read(next)
		for _, s := range c.Overlap {
			if !bytes.Equal(a[s.Off:s.End], b[s.Off:s.End]) {
				t.Fatalf("clone %d of %v says that it shares %v with %v: %q, %q", c.ID, head.id, c.Overlap, next, a, b)
			}
		}
	}
}
