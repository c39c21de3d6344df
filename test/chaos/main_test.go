package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/rados"
)

func TestMain(m *testing.M) { os.Exit(binary.Main(m)) }

// seed is a test's; PULPO_CHAOS_SEED gives that of an earlier run.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := rand.Uint64()
	if s := os.Getenv("PULPO_CHAOS_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 0, 64); err != nil {
			t.Fatalf("PULPO_CHAOS_SEED: %v", err)
		}
	}
	t.Logf("PULPO_CHAOS_SEED=%#x", n)
	return n
}

// patience is how long one answer may take before a test gives up.
const patience = 30 * time.Second

func connect(t *testing.T, conf string) *rados.Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := rados.ConnectFile(ctx, conf)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func openPool(t *testing.T, c *rados.Cluster, name string) Pool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p, err := c.Pool(ctx, name)
	if err != nil {
		t.Fatalf("pool: %v", err)
	}
	return Pool{p}
}

func createPool(t *testing.T, c *rados.Cluster, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := c.CreatePool(ctx, name, rados.PGNum(32)); err != nil {
		t.Fatal(err)
	}
}

// crew runs writers until it is told to stop.
type crew struct {
	stop chan struct{}
	wg   sync.WaitGroup

	mu   sync.Mutex
	errs []error
}

func newCrew() *crew { return &crew{stop: make(chan struct{})} }

// add puts a writer to work.
func (c *crew) add(ctx context.Context, w *Writer, s Store) {
	c.wg.Go(func() {
		if err := w.Run(ctx, s, c.stop); err != nil {
			c.mu.Lock()
			c.errs = append(c.errs, err)
			c.mu.Unlock()
		}
	})
}

// finish lets the operations under way end; fails if they do not.
func (c *crew) finish(t *testing.T) {
	t.Helper()
	close(c.stop)
	c.wait(t)
}

func (c *crew) wait(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	go func() { c.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("writers are stuck: operations are not answered")
	}
	for _, err := range c.errs {
		t.Error(err)
	}
	if len(c.errs) > 0 {
		t.FailNow()
	}
}

// wait waits for an event of a load that must come.
func wait(t *testing.T, ch <-chan struct{}, what string) {
	t.Helper()
	waitWithin(t, ch, patience, what)
}

func waitWithin(t *testing.T, ch <-chan struct{}, limit time.Duration, what string) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(limit):
		t.Fatalf("no %s within %v", what, limit)
	}
}

// verify compares all of a pool with the load.
func verify(t *testing.T, l *Load, p Pool) Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := l.Verify(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	names, err := p.Names(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.VerifyNames(names); err != nil {
		t.Fatal(err)
	}
	return out
}

// fsck checks all stores of a cluster that is down.
func fsck(t *testing.T, dir string, osds int) {
	t.Helper()
	for i := range osds {
		store := fmt.Sprintf("%s/osd.%d/store", dir, i)
		r := binary.Run(t, "store", "fsck", "--deep", store)
		t.Logf("fsck: %s", r.Out)
		if r.Code != 0 {
			t.Errorf("fsck %s: %v", store, r)
		}
	}
}
