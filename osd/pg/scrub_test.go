package pg

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/scrub"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// scrubWorld is a world that keeps what is said in the cluster's log.
func scrubWorld(t testing.TB) *world {
	w := newWorld(t)
	w.changeMap(allowScrubs)
	w.setScrub(func(o *scrub.Options) { o.DeepRandomize = 0 })
	return w
}

// allowScrubs lets groups be scrubbed when it is time to.
func allowScrubs(m *osdmap.Map) {
	m.Pools[testPool].Flags &^= osdmap.PoolFlagNoScrub | osdmap.PoolFlagNoDeepScrub
}

func (w *world) setScrub(change func(*scrub.Options)) {
	c := *w.env.Config
	change(&c.Scrub)
	w.env.Config = &c
	w.step(Reconfigured{})
}

// clusterLog takes the lines that were said since the last call.
func (w *world) clusterLog() (lines []string) {
	for _, n := range w.notes {
		switch n.Level {
		case NoteCluster:
			lines = append(lines, "ERR "+n.Text)
		case NoteClusterWarn:
			lines = append(lines, "WRN "+n.Text)
		case NoteClusterInfo:
			lines = append(lines, "INF "+n.Text)
		case NoteClusterDebug:
			lines = append(lines, "DBG "+n.Text)
		}
	}
	w.notes = nil
	return lines
}

func (w *world) wantLog(want ...string) {
	w.t.Helper()
	if a, b := strings.Join(w.clusterLog(), "\n"), strings.Join(want, "\n"); a != b {
		w.t.Errorf("log:\n%s\nwant\n%s", a, b)
	}
}

// changeMap publishes the next map.
func (w *world) changeMap(change func(*osdmap.Map)) {
	w.t.Helper()
	m, err := osdmap.Decode(w.m.Encode())
	if err != nil {
		w.t.Fatal(err)
	}
	m.Epoch++
	change(m)
	w.m = m
	w.step(MapChange{Map: m})
}

// write runs operations with the snapshots there are.
func (w *world) write(name string, ops ...msg.Op) *Request {
	w.t.Helper()
	r := w.request(name, 0, 0, ops...)
	for s := w.snap; s > 0; s-- {
		r.Op.SnapContext.Snaps = append(r.Op.SnapContext.Snaps, s)
	}
	r.Op.SnapContext.Seq = w.snap
	w.step(r)
	return r
}

func opOmapSet(key, value string) msg.Op {
	return opIn(msg.OpOmapSetVals, mapOf(map[string]string{key: value}))
}

// scrub scrubs the group to the end.
func (w *world) scrub(kind ScrubKind) {
	w.t.Helper()
	w.step(Scrub{kind})
	w.finishScrub()
}

func (w *world) finishScrub() {
	w.t.Helper()
	for n := 0; w.pg.scrub.run != nil || w.pg.scrub.asked != 0; n++ {
		w.step(Tick{})
		if n > 1e5 {
			w.t.Fatal("the scrub does not end")
		}
	}
}

// damage changes the store behind the group's back.
func (w *world) damage(change func(txn *objstore.Txn)) {
	w.t.Helper()
	var txn objstore.Txn
	change(&txn)
	if err := w.store.Submit(&txn, nil); err != nil {
		w.t.Fatal(err)
	}
	w.store.Step(1)
	w.pg.forgetContexts()
}

// inconsistent asks for the results of the last scrub, as rados does.
func (w *world) inconsistent(snaps bool) (*msg.OSDOpReply, int) {
	w.t.Helper()
	op := msg.Op{Code: msg.OpScrubLS, In: buffer.Wrap(wire.Marshal(&scrub.Ask{Snaps: snaps, Max: 32}))}
	r := w.send(w.request("", 0, 0, op))
	if r.Result < 0 {
		return r, 0
	}
	d := wire.NewDecoder(r.Ops[0].Out.Bytes())
	d.Begin("scrub_ls_result_t", 1)
	if at := d.U32(); at != w.pg.info.History.SameIntervalSince {
		w.t.Errorf("results of interval %d", at)
	}
	return r, d.Count(4)
}

// populate makes objects of all sorts, with clones, a whiteout and omaps.
func (w *world) populate() {
	w.t.Helper()
	for i := range 12 {
		name := fmt.Sprint("o", i)
		wantResult(w.t, w.do(name, opWriteFull(strings.Repeat("x", 100*i)), opSetXattr("a", name)), 0)
		if i%3 == 0 {
			wantResult(w.t, w.do(name, opOmapSet("k", "v")), 0)
		}
	}
	w.snap = 4
	w.write("o1", opWrite(3, "yyy"))
	w.write("o2", msg.Op{Code: msg.OpDelete})
	w.snap = 7
	w.write("o1", opWrite(60, "zzz"))
	w.clusterLog()
}

func TestScrubOfASoundGroup(t *testing.T) {
	t.Parallel()
	w := scrubWorld(t)
	w.populate()
	before := w.now
	w.scrub(ScrubShallow)
	w.wantLog("DBG 1.0 scrub starts", "DBG 1.0 scrub ok")
	s := w.pg.stat()
	if !s.LastScrubStamp.After(before) || s.LastDeepStamp.After(before) || s.LastScrub != w.pg.info.LastUpdate || !s.LastDeepScrub.IsZero() {
		t.Errorf("%+v", s)
	}
	w.scrub(ScrubDeep)
	w.wantLog("DBG 1.0 deep-scrub starts", "DBG 1.0 deep-scrub ok")
	if s = w.pg.stat(); !s.LastDeepStamp.After(before) || s.LastDeepScrub != w.pg.info.LastUpdate || s.State != msg.PGActive|msg.PGClean ||
		s.Objects.OmapKeys != 4 || s.Objects.OmapBytes != 4 {
		t.Errorf("%+v", s)
	}
	if r, n := w.inconsistent(false); r.Result != 0 || n != 0 {
		t.Errorf("%v, %d objects", r, n)
	}
	w.restart(true)
	if again := w.pg.stat(); again.LastDeepStamp != s.LastDeepStamp.UTC() || again.LastScrub != s.LastScrub || again.Objects.OmapKeys != 4 {
		t.Errorf("after a restart %+v, before %+v", again, s)
	}
	if r, _ := w.inconsistent(false); r.Result != -int32(errno.ENOENT) {
		t.Errorf("results of a scrub before the restart: %v", r)
	}
}

// States and figures of a group that is found damaged.
func TestScrubFindsDamage(t *testing.T) {
	t.Parallel()
	head := func(name string) object.ID { return object.New(testPool, "", "", name) }
	for _, c := range []struct {
		name          string
		change        func(w *world, txn *objstore.Txn)
		shallow, deep int64
		objects       int // that are listed as inconsistent
		snaps         int
		log           []string // some of the lines
	}{
		{"an object cut short", func(w *world, txn *objstore.Txn) { txn.Truncate(w.pg.coll, head("o5"), 7) }, 2, 0, 1, 1,
			[]string{"ERR 1.0 shard 0 soid %o5 : candidate size 7 info size 500 mismatch",
				"ERR deep-scrub 1.0 %o5 : on disk size (7) does not match object info size (500) adjusted for ondisk to (500)"}},
		{"an object without info", func(w *world, txn *objstore.Txn) { txn.RmAttr(w.pg.coll, head("o5"), attrInfo) }, 3, 0, 1, 1,
			[]string{"ERR 1.0 shard 0 soid %o5 : candidate had a missing info key", "ERR deep-scrub 1.0 %o5 : no '_' attr",
				"ERR 1.0 deep-scrub : stat mismatch, got 15/15 objects, 3/3 clones, 15/15 dirty, 4/4 omap, 0/0 pinned, 0/0 hit_set_archive, 1/1 whiteouts, " +
					"6106/6606 bytes, 0/0 manifest objects, 0/0 hit_set_archive bytes."}},
		{"an object whose info is broken", func(w *world, txn *objstore.Txn) { txn.SetAttr(w.pg.coll, head("o5"), attrInfo, []byte{2, 1, 9}) }, 3, 0, 1, 1,
			[]string{"ERR 1.0 shard 0 soid %o5 : candidate had a corrupt info"}},
		{"a lost object", func(w *world, txn *objstore.Txn) { txn.Remove(w.pg.coll, head("o5")) }, 1, 0, 0, 0,
			[]string{"ERR 1.0 deep-scrub : stat mismatch, got 14/15 objects, 3/3 clones, 14/15 dirty, 4/4 omap, 0/0 pinned, 0/0 hit_set_archive, 1/1 whiteouts, " +
				"6106/6606 bytes, 0/0 manifest objects, 0/0 hit_set_archive bytes."}},
		{"a lost clone", func(w *world, txn *objstore.Txn) { txn.Remove(w.pg.coll, head("o1").At(4)) }, 2, 0, 0, 1,
			[]string{"ERR deep-scrub 1.0 %o1 : expected clone %o1:4 {} missing", "INF deep-scrub 1.0 %o1 : 1 missing clone(s)"}},
		{"a clone too many", func(w *world, txn *objstore.Txn) { txn.Clone(w.pg.coll, head("o1").At(4), head("o1").At(9)) }, 1, 0, 0, 2,
			[]string{"ERR deep-scrub 1.0 %o1:9 : is an unexpected clone"}},
		{"a clone without a head", func(w *world, txn *objstore.Txn) { txn.Remove(w.pg.coll, head("o2")) }, 2, 0, 0, 1,
			[]string{"ERR deep-scrub 1.0 %o2:4 : is an unexpected clone"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := scrubWorld(t)
			w.populate()
			w.scrub(ScrubDeep)
			w.clusterLog()
			w.damage(func(txn *objstore.Txn) { c.change(w, txn) })
			w.scrub(ScrubDeep)
			log := w.clusterLog()
			for _, want := range c.log {
				for i := range 12 {
					id := head(fmt.Sprint("o", i))
					want = strings.ReplaceAll(want, "%"+id.Name+":", strings.TrimSuffix(id.String(), "head"))
					want = strings.ReplaceAll(want, "%"+id.Name+" ", id.String()+" ")
				}
				if !slices.Contains(log, want) {
					t.Errorf("no line %s", want)
				}
			}
			if want := fmt.Sprintf("ERR 1.0 deep-scrub %d errors", c.shallow+c.deep); log[len(log)-1] != want {
				t.Errorf("log ends with %s, want %s", log[len(log)-1], want)
			}
			s := w.pg.stat()
			if s.State != msg.PGActive|msg.PGClean|msg.PGInconsistent || s.Objects.ShallowScrubErrors != c.shallow || s.Objects.DeepScrubErrors != c.deep ||
				s.Objects.ScrubErrors != c.shallow+c.deep || s.LastCleanScrub == s.LastScrubStamp {
				t.Errorf("%v, %+v", s.State, s.Objects)
			}
			if _, n := w.inconsistent(false); n != c.objects {
				t.Errorf("%d inconsistent objects, want %d", n, c.objects)
			}
			if _, n := w.inconsistent(true); n != c.snaps {
				t.Errorf("%d inconsistent sets of clones, want %d", n, c.snaps)
			}
			if t.Failed() {
				t.Log(strings.Join(log, "\n"))
			}
			w.restart(true)
			if s := w.pg.State(); s&msg.PGInconsistent == 0 {
				t.Errorf("after a restart: %v", s)
			}
		})
	}
}

// With one copy only the sums can be repaired.
func TestRepairOfOneCopy(t *testing.T) {
	t.Parallel()
	w := scrubWorld(t)
	w.populate()
	w.damage(func(txn *objstore.Txn) { txn.Remove(w.pg.coll, object.New(testPool, "", "", "o5")) })
	w.scrub(ScrubRepair)
	w.wantLog("DBG 1.0 repair starts",
		"ERR 1.0 repair : stat mismatch, got 14/15 objects, 3/3 clones, 14/15 dirty, 4/4 omap, 0/0 pinned, 0/0 hit_set_archive, 1/1 whiteouts, "+
			"6106/6606 bytes, 0/0 manifest objects, 0/0 hit_set_archive bytes.",
		"ERR 1.0 repair 1 errors, 1 fixed")
	if s := w.pg.stat(); s.State != msg.PGActive|msg.PGClean || s.Objects.Objects != 14 {
		t.Errorf("%+v", s)
	}
	w.scrub(ScrubShallow)
	w.wantLog("DBG 1.0 scrub starts", "DBG 1.0 scrub ok")
	w.damage(func(txn *objstore.Txn) { txn.Truncate(w.pg.coll, object.New(testPool, "", "", "o4"), 7) })
	w.scrub(ScrubRepair)
	if s := w.pg.State(); s != msg.PGActive|msg.PGClean|msg.PGInconsistent|msg.PGFailedRepair {
		t.Errorf("%v", s)
	}
	w.clusterLog()
	w.damage(func(txn *objstore.Txn) { txn.Truncate(w.pg.coll, object.New(testPool, "", "", "o4"), 400) })
	w.scrub(ScrubShallow)
	w.wantLog("DBG 1.0 scrub starts", "DBG 1.0 scrub ok")
	if s := w.pg.State(); s != msg.PGActive|msg.PGClean {
		t.Errorf("%v", s)
	}
}

// Writes go on during a scrub, until one has begun a chunk again too often.
func TestWritesDuringAScrub(t *testing.T) {
	t.Parallel()
	w := scrubWorld(t)
	w.populate()
	w.setScrub(func(o *scrub.Options) { o.Limits.Stride, o.MaxPreemptions, o.ChunkMax = 1, 2, 400 })
	w.step(Scrub{ScrubDeep})
	w.step(Tick{})
	for n := range 2 {
		w.step(Tick{})
		w.step(Tick{})
		if r := w.pg.scrub.run; !r.reading() || r.preempted != n {
			t.Fatalf("reading %v, begun again %d times", r.reading(), r.preempted)
		}
		wantResult(t, w.do("o5", opWriteFull(fmt.Sprint(n))), 0)
	}
	w.step(Tick{})
	r := w.request("o5", 0, 0, opWriteFull("waits"))
	w.step(r)
	if w.replies[r.TID] != nil || r.Stage != StageWaitScrub {
		t.Fatalf("the third write is %v", r.Stage)
	}
	seen := 0
	w.pg.Requests(func(q *Request) {
		if q == r {
			seen++
		}
	})
	if seen != 1 {
		t.Errorf("the write is there %d times", seen)
	}
	wantResult(t, w.do("o5", opRead(0, 10)), 0)
	w.finishScrub()
	if got := w.replies[r.TID]; got == nil || got.Result != 0 {
		t.Errorf("the write that waited: %v", got)
	}
	w.wantLog("DBG 1.0 deep-scrub starts", "DBG 1.0 deep-scrub ok")
	// Its session ends while it waits.
	w.setScrub(func(o *scrub.Options) { o.MaxPreemptions = 0 })
	w.step(Scrub{ScrubDeep})
	w.step(Tick{})
	w.step(Tick{})
	w.step(w.request("o5", 0, 0, opWriteFull("gone")))
	w.step(SessionClosed{w.sess})
	w.finishScrub()
	if got := w.do("o5", opRead(0, 10)); string(got.Ops[0].Out.Bytes()) != "waits" {
		t.Errorf("o5 is %q", got.Ops[0].Out.Bytes())
	}
}

// Whatever is written while a group is scrubbed, nothing is found.
func TestNoFalseFindings(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := scrubWorld(t)
		w.populate()
		w.setScrub(func(o *scrub.Options) {
			o.ChunkMin, o.ChunkMax = 3, rapid.IntRange(3, 6).Draw(rt, "chunk")
			o.Limits.Stride = uint64(rapid.IntRange(1, 9000).Draw(rt, "stride"))
			o.Limits.Keys = rapid.IntRange(1, 9).Draw(rt, "keys")
			o.MaxPreemptions = rapid.IntRange(0, 3).Draw(rt, "preemptions")
		})
		w.step(Scrub{[]ScrubKind{ScrubShallow, ScrubDeep, ScrubRepair}[rapid.IntRange(0, 2).Draw(rt, "kind")]})
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			name := fmt.Sprint("o", rapid.IntRange(0, 13).Draw(rt, "object"))
			op := func(ops ...msg.Op) { w.write(name, ops...) }
			switch rapid.IntRange(0, 8).Draw(rt, "what") {
			case 0:
				op(opWriteFull(strings.Repeat("n", rapid.IntRange(0, 300).Draw(rt, "size"))))
			case 1:
				op(opWrite(uint64(rapid.IntRange(0, 400).Draw(rt, "off")), "abc"))
			case 2:
				op(msg.Op{Code: msg.OpDelete})
			case 3:
				op(opOmapSet(fmt.Sprint("k", rapid.IntRange(0, 4).Draw(rt, "key")), "value"))
			case 4:
				w.snap++
			default:
				w.step(Tick{})
			}
		}
		w.finishScrub()
		for _, line := range w.clusterLog() {
			if !strings.HasPrefix(line, "DBG") {
				rt.Fatal(line)
			}
		}
		w.scrub(ScrubDeep)
		for _, line := range w.clusterLog() {
			if !strings.HasPrefix(line, "DBG") {
				rt.Fatal("afterwards: " + line)
			}
		}
	})
}

// A write that the store has no room for was never there.
func TestRefusedWriteDuringAScrub(t *testing.T) {
	t.Parallel()
	w := scrubWorld(t)
	w.populate()
	w.setScrub(func(o *scrub.Options) { o.ChunkMin, o.ChunkMax, o.Limits.Stride = 3, 3, 1 })
	w.step(Scrub{ScrubDeep})
	for n := 0; w.pg.scrub.run == nil || w.pg.scrub.run.checker.Sums.Objects < 8; n++ {
		w.step(Tick{})
	}
	for i := range 12 {
		w.refuse = objstore.ErrNoSpace
		wantResult(t, w.do(fmt.Sprint("o", i), opWriteFull("no room")), -int32(errno.ENOSPC))
	}
	w.clusterLog()
	w.finishScrub()
	w.wantLog("DBG 1.0 deep-scrub ok")
}

func TestScrubSchedule(t *testing.T) {
	t.Parallel()
	w := scrubWorld(t)
	w.populate()
	begin := w.now
	if at := w.pg.Wake(); at.Sub(begin) < 23*time.Hour || at.Sub(begin) > 37*time.Hour {
		t.Fatalf("the first scrub is due after %v", at.Sub(begin))
	}
	var kinds []string
	for w.now.Sub(begin) < 20*24*time.Hour {
		w.now = w.pg.Wake()
		w.step(Tick{})
		w.finishScrub()
		for _, line := range w.clusterLog() {
			if strings.HasSuffix(line, "ok") {
				kinds = append(kinds, strings.Fields(line)[2])
			}
		}
	}
	deep := 0
	for _, k := range kinds {
		if k == "deep-scrub" {
			deep++
		}
	}
	if len(kinds) < 13 || len(kinds) > 20 || deep != 2 {
		t.Errorf("in 20 days %v", kinds)
	}
}

// Flags keep a group from being scrubbed, unless somebody asks for it, and end a
// scrub under way.
func TestScrubFlags(t *testing.T) {
	t.Parallel()
	w := scrubWorld(t)
	w.populate()
	w.setScrub(func(o *scrub.Options) { o.Limits.Stride = 1 })
	late := func() { w.now = w.now.Add(48 * time.Hour); w.step(Tick{}) }
	flags := func(f osdmap.Flags) {
		w.changeMap(func(m *osdmap.Map) { m.Flags = f })
	}
	late()
	w.step(Tick{})
	if q := w.pg.Query().Scrub; w.pg.State()&msg.PGScrubbing == 0 || !q.Active || q.Mode != "scrub" || len(q.Awaited) != 1 {
		t.Fatalf("%v %+v", w.pg.State(), q)
	}
	flags(osdmap.FlagNoScrub)
	if w.pg.State()&msg.PGScrubbing != 0 || w.pg.scrub.run != nil {
		t.Fatalf("with noscrub: %v", w.pg.State())
	}
	late()
	if w.pg.scrub.run != nil {
		t.Fatal("a shallow scrub began with noscrub")
	}
	w.clusterLog()
	w.scrub(ScrubShallow)
	w.wantLog("DBG 1.0 scrub starts", "DBG 1.0 scrub ok")
	flags(osdmap.FlagNoDeepScrub)
	w.now = w.now.Add(20 * 24 * time.Hour)
	w.step(Tick{})
	if r := w.pg.scrub.run; r == nil || r.deep {
		t.Fatalf("with nodeep-scrub, when it is time for a deep one: %+v", r)
	}
	w.finishScrub()
	flags(0)
	for w.pg.scrub.run == nil {
		w.now = w.pg.Wake()
		w.step(Tick{})
	}
	if s := w.pg.State(); s&msg.PGDeepScrub == 0 {
		t.Errorf("%v", s)
	}
	w.finishScrub()
	// The pool's flags do the same.
	w.changeMap(func(m *osdmap.Map) {
		m.Pools[testPool].Flags |= osdmap.PoolFlagNoScrub | osdmap.PoolFlagNoDeepScrub
	})
	if at := w.pg.Wake(); !at.IsZero() {
		t.Errorf("wants to be woken at %v", at)
	}
}

// A scrub waits for a slot of the daemon, and gives it back.
func TestScrubSlots(t *testing.T) {
	t.Parallel()
	w := scrubWorld(t)
	w.env.scrubSlots().Take()
	w.step(Scrub{ScrubShallow})
	w.step(Tick{})
	if w.pg.scrub.run != nil {
		t.Fatal("a scrub without a slot")
	}
	w.env.scrubSlots().Free()
	w.now = w.pg.Wake()
	w.finishScrub()
	if !w.env.scrubSlots().Take() {
		t.Error("the slot is gone")
	}
	w.env.scrubSlots().Free()
	w.wantLog("DBG 1.0 scrub starts", "DBG 1.0 scrub ok")
}

// A new interval ends a scrub without result; one that was asked for begins anew.
func TestScrubOverAnInterval(t *testing.T) {
	t.Parallel()
	w := scrubWorld(t)
	w.populate()
	w.setScrub(func(o *scrub.Options) { o.Limits.Stride = 1 })
	w.step(Scrub{ScrubDeep})
	w.step(Tick{})
	w.step(Tick{})
	w.wantLog("DBG 1.0 deep-scrub starts")
	w.changeMap(func(m *osdmap.Map) { m.Pools[testPool].MinSize = 2 })
	if w.pg.scrub.run != nil || w.pg.State()&msg.PGScrubbing != 0 {
		t.Fatalf("%v", w.pg.State())
	}
	w.changeMap(func(m *osdmap.Map) { m.Pools[testPool].MinSize = 1 })
	w.finishScrub()
	w.wantLog("DBG 1.0 deep-scrub starts", "DBG 1.0 deep-scrub ok")
}

func TestLargeOmap(t *testing.T) {
	t.Parallel()
	w := scrubWorld(t)
	w.setScrub(func(o *scrub.Options) { o.LargeOmapKeys = 3 })
	for i := range 4 {
		w.do("big", opOmapSet(fmt.Sprint("k", i), "val"))
	}
	w.clusterLog()
	w.scrub(ScrubDeep)
	id := object.New(testPool, "", "", "big")
	w.wantLog("DBG 1.0 deep-scrub starts",
		fmt.Sprintf("WRN Large omap object found. Object: %v PG: 1.%x (1.0) Key count: 4 Size (bytes): 12", id, id.Hash), "DBG 1.0 deep-scrub ok")
	if o := w.pg.stat().Objects; o.LargeOmap != 1 || o.OmapKeys != 4 || o.OmapBytes != 12 {
		t.Errorf("%+v", o)
	}
}
