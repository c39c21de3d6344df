package pg

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// removeSnaps puts snapshots on the map's list of those that are being removed.
func (w *world) removeSnaps(snaps ...object.SnapID) {
	w.t.Helper()
	w.poolMap(func(m *osdmap.Map, _ *osdmap.Pool) {
		q := m.RemovedSnapsQueue[testPool].Union(osdmap.NewSnapSet(snaps...))
		m.RemovedSnapsQueue = map[int64]osdmap.SnapSet{testPool: q}
	})
}

// tickOnce lets the time come when the group wants to be woken.
func (w *world) tickOnce() bool {
	at := w.pg.Wake()
	if at.IsZero() {
		return false
	}
	if at.After(w.now) {
		w.now = at
	}
	w.step(Tick{})
	return true
}

// trim lets the group trim all that it has.
func (w *world) trim() {
	w.t.Helper()
	for n := 0; w.pg.State()&msg.PGSnapTrim != 0 || len(w.inAir) > 0; n++ {
		if n > 10000 {
			w.t.Fatal("trimming does not end")
		}
		if len(w.inAir) > 0 {
			w.commit(1)
		} else {
			w.tickOnce()
		}
	}
}

// versions makes an object with a clone for each snapshot: v1, v2, ...
func (w *world) versions(name string, snaps ...object.SnapID) {
	w.t.Helper()
	wantResult(w.t, w.do(name, opWriteFull("version 0")), 0)
	var sc []object.SnapID
	for i, s := range snaps {
		sc = append([]object.SnapID{s}, sc...)
		wantResult(w.t, w.doAs(name, snapc(sc...), opWrite(8, fmt.Sprint(i+1))), 0)
	}
}

func TestTrim(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.versions("o", 1, 2, 3, 4)
	w.versions("p", 2)
	wantResult(t, w.doAs("p", snapc(2), msg.Op{Code: msg.OpDelete}), 0)
	// One clone for two snapshots.
	wantResult(t, w.do("q", opWriteFull("old")), 0)
	wantResult(t, w.doAs("q", snapc(3, 2), opWriteFull("new")), 0)
	w.wantStats(6+1+1+1+1-1, 6, 1, 9+4+9+3+3)

	w.removeSnaps(2)
	if s := w.pg.State(); s != msg.PGActive|msg.PGClean|msg.PGSnapTrim {
		t.Errorf("state %v", s)
	}
	if st, _ := w.pg.Stat(w.now, true); st.SnapTrimQueue != 1 || len(st.Purged) != 0 {
		t.Errorf("%+v", st)
	}
	// It cannot be read from now on, by nobody.
	for _, name := range []string{"o", "p", "q"} {
		if got := w.readAt(name, 2); !strings.Contains(got, "No such file") {
			t.Errorf("%s at a snapshot that is being removed: %q", name, got)
		}
	}
	w.trim()
	w.wantSnaps("o", "1[1] 9 [0~8], 3[3] 9 [0~8], 4[4] 9 [0~8], head 9, seq 4")
	w.wantSnaps("p", errno.ENOENT.Error())
	w.wantSnaps("q", "3[3] 3 [], head 3, seq 3")
	w.wantStats(4+2, 4, 0, 9+3+3+3)
	for snap, want := range map[object.SnapID]string{1: "version 0", 3: "version 2", 4: "version 3", object.NoSnap: "version 4"} {
		if got := w.readAt("o", snap); got != want {
			t.Errorf("at %d: %q, want %q", snap, got, want)
		}
	}
	st, _ := w.pg.Stat(w.now, true)
	if st.State != msg.PGActive|msg.PGClean || st.SnapTrimQueue != 0 || len(st.Purged) != 1 || st.Purged[0] != (msg.Interval{Start: 2, Len: 1}) {
		t.Errorf("%+v", st)
	}
	// A client that has not heard of it does not bring it back.
	wantResult(t, w.doAs("q", snapc(4, 2), opWrite(0, "N")), 0)
	w.wantSnaps("q", "3[3] 3 [], 4[4] 3 [1~2], head 3, seq 4")

	// What is purged is known after a restart, and forgotten with the map's list.
	w.restart(false)
	if got := w.pg.info.Purged.String(); got != "[2~1]" || w.pg.State()&msg.PGSnapTrim != 0 {
		t.Errorf("purged %s, %v", got, w.pg.State())
	}
	w.poolMap(func(m *osdmap.Map, _ *osdmap.Pool) { m.RemovedSnapsQueue = nil })
	if len(w.pg.info.Purged) != 0 {
		t.Errorf("purged %v", w.pg.info.Purged)
	}
}

// Many snapshots, most of which nothing was written under.
func TestTrimNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.versions("o", 1000)
	var all []object.SnapID
	for s := object.SnapID(1); s <= 1200; s++ {
		all = append(all, s)
	}
	before := w.pg.nextToken
	w.removeSnaps(all...)
	w.trim()
	if got := w.pg.info.Purged.String(); got != "[1~4b0]" {
		t.Errorf("purged %s", got)
	}
	if n := w.pg.nextToken - before; n > 10 {
		t.Errorf("%d transactions", n)
	}
	w.wantSnaps("o", "head 9, seq 1000")
	w.wantStats(1, 0, 0, 9)
}

// Requests come in between the steps, and a crash at any point loses nothing and
// leaves nothing.
func TestTrimAndCrash(t *testing.T) {
	t.Parallel()
	for crashAt := range 14 {
		t.Run(fmt.Sprint(crashAt), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			const objects = 7
			for i := range objects {
				w.versions(fmt.Sprint(i), 1, 2, 3)
			}
			for i := range 3 {
				wantResult(t, w.doAs(fmt.Sprint(i), snapc(3, 2, 1), msg.Op{Code: msg.OpDelete}), 0)
			}
			w.manual = true
			w.removeSnaps(1, 3)
			for step := 0; w.pg.State()&msg.PGSnapTrim != 0 || len(w.inAir) > 0; step++ {
				if step == crashAt {
					w.restart(true)
					w.audit(t)
				}
				if len(w.inAir) > 1 {
					t.Fatalf("%d transactions under way", len(w.inAir))
				}
				w.tickOnce()
				tid := w.tid
				if r := w.doAt("5", 2, opRead(0, 0)); r == nil {
					// It waits for what it saw to be durable.
					w.commit(len(w.inAir))
					r = w.replies[tid+1]
					if r == nil || string(r.Ops[0].Out.Bytes()) != "version 1" {
						t.Fatalf("%+v", r)
					}
				}
				w.commit(len(w.inAir))
			}
			for i := range objects {
				w.manual = false
				name := fmt.Sprint(i)
				if got := w.readAt(name, 2); got != "version 1" {
					t.Errorf("%s at 2: %q", name, got)
				}
				want := "2[2] 9 [0~8], head 9, seq 3"
				if i < 3 {
					want = "2[2] 9 [], seq 3"
				}
				w.wantSnaps(name, want)
			}
			w.wantStats(2*objects, objects, 3, 3*9+4*(9+1))
			w.removeSnaps(2)
			w.trim()
			w.wantStats(objects-3, 0, 0, (objects-3)*9)
		})
	}
}

// Groups of a loop take turns; trimming pauses when told to, and stops while the
// map says so.
func TestTrimThrottle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 4 {
		w.versions(fmt.Sprint(i), 1)
	}
	other := newPG(w.env, object.SPG{PG: object.PG{Pool: 9}, Shard: object.NoShard})
	other.mapping.Acting = []int32{0}
	w.env.trims.groups = []*PG{other}
	w.removeSnaps(1)
	if s := w.pg.State(); s != msg.PGActive|msg.PGClean|msg.PGSnapTrimWait {
		t.Errorf("state %v while another group trims", s)
	}
	w.tickOnce()
	w.wantStats(8, 4, 0, 4*9+4)
	other.stopTrim(w.now)
	if w.env.Woken().IsZero() || !w.env.Woken().IsZero() || w.pg.Wake().After(w.now) {
		t.Error("nobody was told that its turn has come")
	}

	w.env.Config.TrimSleep = time.Second
	w.tickOnce()
	w.wantStats(6, 2, 0, 4*9+2)
	if at := w.pg.Wake(); at.Sub(w.now) < 900*time.Millisecond {
		t.Errorf("the next step is at %v, it is %v", at, w.now)
	}
	w.poolMap(func(m *osdmap.Map, _ *osdmap.Pool) { m.Flags |= osdmap.FlagNoSnapTrim })
	if s := w.pg.State(); s != msg.PGActive|msg.PGClean || !w.pg.Wake().IsZero() || len(w.env.trims.groups) != 0 {
		t.Errorf("state %v, wants to be woken at %v, though nothing may be trimmed", s, w.pg.Wake())
	}
	w.poolMap(func(m *osdmap.Map, _ *osdmap.Pool) { m.Flags &^= osdmap.FlagNoSnapTrim })
	w.trim()
	w.wantStats(4, 0, 0, 4*9)

	// No room: later.
	w.env.Config.TrimSleep = 0
	wantResult(t, w.doAs("0", snapc(2), opWrite(0, "V")), 0)
	w.refuse = objstore.ErrNoSpace
	before := w.pg.info
	w.removeSnaps(2)
	w.tickOnce()
	if w.pg.info.Stats != before.Stats || w.pg.info.LastUpdate != before.LastUpdate {
		t.Errorf("%+v after a refusal, was %+v", w.pg.info, before)
	}
	w.wantStats(5, 1, 0, 4*9+1)
	w.trim()
	w.wantStats(4, 0, 0, 4*9)
}

// Where index and object contradict each other, trimming ends and says so.
func TestTrimDamage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.versions("o", 1)
	var txn objstore.Txn
	w.pg.indexSnaps(&txn, object.New(testPool, "", "", "o").At(7), []object.SnapID{2})
	if err := w.store.Submit(&txn, nil); err != nil {
		t.Fatal(err)
	}
	w.store.Sync()
	w.removeSnaps(2)
	w.tickOnce()
	if s := w.pg.State(); s != msg.PGActive|msg.PGClean|msg.PGSnapTrimError {
		t.Errorf("state %v", s)
	}
	if !w.pg.Wake().IsZero() || len(w.env.trims.groups) != 0 {
		t.Error("goes on")
	}
	wantResult(t, w.do("o", opWriteFull("still")), 0)
	// A scrub puts the index right, and trimming goes on.
	w.scrub(ScrubShallow)
	w.trim()
	if s := w.pg.State(); s != msg.PGActive|msg.PGClean {
		t.Errorf("after a scrub: %v", s)
	}
	w.audit(t)
}
