package diskstore_test

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/pulpo-storage/pulpo/disk/memdisk"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore"
	"github.com/pulpo-storage/pulpo/objstore/memstore"
	"github.com/pulpo-storage/pulpo/objstore/storetest"
)

// machine is a disk and a file system that lose power together.
type machine struct {
	disk *memdisk.Disk
	fs   *vfs.MemFS
	opt  diskstore.Options
}

func newMachine(t testing.TB) *machine {
	m := &machine{disk: memdisk.New(64 << 20), fs: vfs.NewCrashableMem()}
	m.opt = testOptions(t)
	// A small journal wraps soon and asks for many checkpoints.
	m.opt.Size, m.opt.JournalSize, m.opt.DirectMin = 24<<20, 1<<20, 24<<10
	m.opt.Log = slog.New(slog.DiscardHandler)
	m.opt.Disk, m.opt.MetaFS = m.disk, m.fs
	return m
}

// crash returns what is found after a loss of power at this moment.
func (m *machine) crash(seed uint64, percent int) *machine {
	n := &machine{opt: m.opt}
	n.disk = m.disk.CrashClone(seed, percent, func() {
		n.fs = m.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 1))})
	})
	n.opt.Disk, n.opt.MetaFS = n.disk, n.fs
	return n
}

// watch calls f, one call at a time, before each operation that changes the
// disk or the file system.
func (m *machine) watch(each func()) {
	var mu sync.Mutex
	f := func() {
		mu.Lock()
		defer mu.Unlock()
		each()
	}
	m.disk.SetHook(func(memdisk.Op) error { f(); return nil })
	m.opt.MetaFS = errorfs.Wrap(m.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			f()
		}
		return nil
	}))
}

// cut is a crash that was taken, and how many transactions were acknowledged.
type cut struct {
	*machine
	op    int
	acked int
}

// history runs random transactions and keeps what a store must hold after each.
type history struct {
	states []string // after so many transactions that were taken
}

func (h *history) note(t testing.TB, model objstore.Store) {
	d, err := storetest.Describe(model)
	if err != nil {
		t.Fatal(err)
	}
	h.states = append(h.states, d.String())
}

// verify checks that the store holds a state of the history that has all
// acknowledged transactions, and that it is in order.
func (h *history) verify(t testing.TB, c cut) {
	t.Helper()
	s, err := diskstore.Open("", c.opt)
	if err != nil {
		t.Errorf("cut at operation %d: %v", c.op, err)
		return
	}
	defer s.Close()
	d, err := storetest.Describe(s)
	if err != nil {
		t.Errorf("cut at operation %d: %v", c.op, err)
		return
	}
	found := false
	for _, want := range h.states[c.acked:] {
		found = found || d.String() == want
	}
	if !found {
		for k, want := range h.states[:c.acked] {
			if d.String() == want {
				t.Errorf("cut at operation %d: %d transactions are there, %d were acknowledged", c.op, k, c.acked)
				return
			}
		}
		t.Errorf("cut at operation %d: what is there is no state of the history; %d were acknowledged:\n%v", c.op, c.acked, d)
		return
	}
	r, err := s.Check(true)
	if err != nil {
		t.Errorf("cut at operation %d: check: %v", c.op, err)
		return
	}
	for _, f := range r.Findings {
		t.Errorf("cut at operation %d: %v", c.op, f)
	}
}

// firstSeed chooses other histories, for longer searches.
var firstSeed = flag.Uint64("seed", 11, "first seed of the crash tests")

// TestCutAtEveryWrite crashes the machine before each operation that changes
// something, with what was not synced lost, kept or torn, and looks at what is
// left.
func TestCutAtEveryWrite(t *testing.T) {
	t.Parallel()
	for _, mode := range []diskstore.CommitMode{diskstore.WriteAhead, diskstore.Parallel, diskstore.Direct} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			every := 1
			if testing.Short() {
				every = 10
			}
			seed := *firstSeed + uint64(mode)
			m := newMachine(t)
			m.opt.Mode = mode
			cuts, h := runHistory(t, m, seed, 90, every)
			t.Logf("%d transactions, %d cuts", len(h.states)-1, len(cuts))
			again := rand.New(rand.NewPCG(seed, 3))
			for _, c := range cuts {
				if again.IntN(10) == 0 {
					// Crash while recovering, too.
					var second []cut
					n := c.machine
					ops := 0
					n.watch(func() {
						if ops++; ops%4 == 1 {
							second = append(second, cut{n.crash(uint64(ops), 50), c.op, c.acked})
						}
					})
					if s, err := diskstore.Open("", n.opt); err != nil {
						t.Fatal(err)
					} else if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					for _, c := range second {
						h.verify(t, c)
					}
					n.disk.SetHook(nil)
				}
				h.verify(t, c)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// runHistory runs n random transactions on a fresh store and crashes it, on the
// side, before each operation whose number every divides.
func runHistory(t *testing.T, m *machine, seed uint64, n, every int) ([]cut, *history) {
	var (
		cuts  []cut
		ops   int
		acked atomic.Int64
		on    atomic.Bool
	)
	if err := diskstore.Create("", m.opt); err != nil {
		t.Fatal(err)
	}
	m.watch(func() {
		if !on.Load() {
			return
		}
		ops++
		if ops%every == 0 {
			k := int(acked.Load()) // before the crash: all of these must survive
			cuts = append(cuts, cut{m.crash(seed*1000+uint64(ops), []int{0, 50, 100}[ops/every%3]), ops, k})
		}
	})
	s := open(t, m.opt)
	model := memstore.New()
	defer model.Close()
	h := &history{}
	h.note(t, model)
	g := &storetest.Gen{R: rand.New(rand.NewPCG(seed, 5)), MaxWrite: 60 << 10, Crossing: true}
	submit := func(tx *objstore.Txn) {
		twin := storetest.Clone(tx)
		err := s.Submit(tx, func(err error) {
			if err != nil {
				t.Errorf("commit: %v", err)
			}
			acked.Add(1)
		})
		if errors.Is(err, objstore.ErrNoSpace) || errors.Is(err, objstore.ErrInvalid) && model.Submit(storetest.Clone(twin), nil) == nil {
			t.Fatalf("submit: %v", err)
		}
		if err == nil {
			if err := model.Submit(twin, nil); err != nil {
				t.Fatal(err)
			}
			h.note(t, model)
		}
	}
	submit(g.Setup())
	on.Store(true)
	for range n {
		submit(g.Txn())
		if g.R.IntN(3) == 0 {
			if err := s.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d groups, %d checkpoints", s.Stats().Journal.Groups, s.Stats().Checkpoints)
	on.Store(false)
	m.disk.SetHook(nil)
	cuts = append(cuts, cut{m.crash(seed, 0), ops, int(acked.Load())})
	return cuts, h
}

// A record may be durable before Pebble has its batch, if that is large. A
// checkpoint at that moment must not pass the record.
func TestCheckpointBeforeTheBatchIsApplied(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.opt.Size, m.opt.JournalSize, m.disk = 48<<20, 16<<20, memdisk.New(64<<20)
	m.opt.Disk = m.disk
	s := create(t, m.opt)
	for round := range 10 {
		var kvs []objstore.KV
		for k := range 20000 {
			kvs = append(kvs, objstore.KV{Key: fmt.Sprint(round, k), Value: []byte("value")})
		}
		var tx objstore.Txn
		tx.OmapSet(objstore.MetaColl, name(1), kvs)
		left := make(chan *machine, 1)
		if err := s.Submit(&tx, func(err error) {
			if err == nil {
				err = s.Checkpoint()
			}
			if err != nil {
				t.Error(err)
			}
			left <- m.crash(uint64(round), 0)
		}); err != nil {
			t.Fatal(err)
		}
		after, err := diskstore.Open("", (<-left).opt)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		must(t, after.OmapScan(objstore.MetaColl, name(1), "", func(string, []byte) bool { n++; return true }))
		if n != (round+1)*len(kvs) {
			t.Fatalf("%d keys after %d rounds", n, round+1)
		}
		must(t, after.Close())
	}
	must(t, s.Close())
}
