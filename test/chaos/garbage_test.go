package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/rados"
)

// TestGarbage lets 10,000 peers that are no good at the ports of monitor, manager
// and OSD while clients write, read and connect anew.
func TestGarbage(t *testing.T) {
	t.Parallel()
	const (
		visits      = 10_000
		atOnce      = 200
		moreMemory  = 64 << 20
		moreFiles   = 4 // what the store opens in the ordinary course
		slowest     = 10 * time.Second
		connectEach = 2000
	)
	l := New(seed(t), 8, 4)
	dir := binary.Dir(t)
	p := binary.Up(t, dir)
	c := connect(t, binary.Conf(dir))
	pool := openPool(t, c, "rbd")
	addrs := addresses(t, c)
	if len(addrs) < 2 {
		t.Fatalf("addresses of daemons: %v", addrs)
	}

	work := newCrew()
	timed := &stopwatch{Store: pool}
	for _, w := range l.Writers {
		work.add(t.Context(), w, timed)
	}
	// The memory that the load alone takes is not the visitors'.
	wait(t, l.After(1500), "progress")
	rss, files := resources(t, p)
	before := l.Acked()

	var wg sync.WaitGroup
	var next atomic.Int64
	for range atOnce {
		wg.Go(func() {
			for {
				n := next.Add(1) - 1
				if n >= visits || t.Failed() {
					return
				}
				r := rand.New(rand.NewPCG(l.Seed, uint64(n)))
				v := &visitors[int(n)%len(visitors)]
				addr := addrs[int(n)/len(visitors)%len(addrs)]
				if err := v.visit(addr, r); err != nil {
					t.Errorf("visit %d at %s: %v", n, addr, err)
				}
				if n%connectEach == 0 {
					// Newcomers are let in meanwhile.
					newcomer(t, dir)
				}
			}
		})
	}
	wg.Wait()
	during := l.Acked() - before
	wait(t, l.After(100), "progress after the visits")
	work.finish(t)
	t.Logf("%d operations during the visits, the slowest took %v", during, timed.slowest())
	if s := timed.slowest(); s > slowest {
		t.Errorf("an operation took %v during the visits", s)
	}
	verify(t, l, pool)

	// Connections end a moment after their sockets; memory goes back with the
	// next collection.
	deadline := time.Now().Add(patience)
	for {
		rss1, files1 := resources(t, p)
		if rss1 <= rss+moreMemory && files1 <= files+moreFiles {
			t.Logf("memory %d MiB, before %d; files %d, before %d", rss1>>20, rss>>20, files1, files)
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("memory %d MiB, before %d; files %d, before %d", rss1>>20, rss>>20, files1, files)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestSilentCrowd keeps connections open that never say who they are, more than
// a daemon is ready to wait for. They keep nobody out.
func TestSilentCrowd(t *testing.T) {
	t.Parallel()
	const crowd = 1500
	dir := binary.Dir(t)
	p := binary.Up(t, dir)
	addrs := addresses(t, connect(t, binary.Conf(dir)))
	_, files := resources(t, p)
	for i := range crowd {
		for _, a := range addrs {
			c, err := net.Dial("tcp", a)
			if err != nil {
				t.Fatalf("connection %d: %v", i, err)
			}
			defer c.Close()
		}
	}
	newcomer(t, dir)
	if _, n := resources(t, p); n > files+len(addrs)*1200 {
		t.Errorf("the process has %d files open, %d before the crowd came", n, files)
	}
}

// newcomer connects, writes and reads.
func newcomer(t *testing.T, dir string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := func() error {
		c, err := rados.ConnectFile(ctx, binary.Conf(dir))
		if err != nil {
			return err
		}
		defer c.Close()
		p, err := c.Pool(ctx, "rbd")
		if err != nil {
			return err
		}
		p = p.Namespace("newcomers")
		name := fmt.Sprintf("client-%d", c.InstanceID())
		if err := p.WriteFull(ctx, name, []byte(name)); err != nil {
			return err
		}
		b, err := p.ReadFull(ctx, name)
		if err == nil && string(b) != name {
			err = fmt.Errorf("read %q, want %q", b, name)
		}
		return err
	}(); err != nil {
		t.Errorf("a new client: %v", err)
	}
}

func resources(t *testing.T, p *binary.Process) (rss int64, files int) {
	t.Helper()
	rss, err := p.RSS()
	if err != nil {
		t.Fatal(err)
	}
	files, err = p.Files()
	if err != nil {
		t.Fatal(err)
	}
	return rss, files
}

// addresses asks the cluster where its monitor, manager and OSDs listen.
func addresses(t *testing.T, c *rados.Cluster) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	type vec struct {
		Addrvec []struct{ Type, Addr string }
	}
	var mon struct {
		Mons []struct {
			Addrs vec `json:"public_addrs"`
		}
	}
	var mgr struct {
		Addrs vec `json:"active_addrs"`
	}
	var osd struct {
		OSDs []struct {
			Addrs vec `json:"public_addrs"`
		}
	}
	for prefix, into := range map[string]any{"mon dump": &mon, "mgr dump": &mgr, "osd dump": &osd} {
		r, err := c.Command(ctx, rados.ToMons(), map[string]string{"prefix": prefix, "format": "json"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(r.Data, into); err != nil {
			t.Fatalf("%s: %v", prefix, err)
		}
	}
	vecs := []vec{mgr.Addrs}
	for _, m := range mon.Mons {
		vecs = append(vecs, m.Addrs)
	}
	for _, o := range osd.OSDs {
		vecs = append(vecs, o.Addrs)
	}
	seen := map[string]bool{}
	var all []string
	for _, v := range vecs {
		for _, a := range v.Addrvec {
			if a.Type == "v2" && !seen[a.Addr] {
				seen[a.Addr] = true
				all = append(all, a.Addr)
			}
		}
	}
	return all
}

// stopwatch keeps the time of the slowest operation on a store.
type stopwatch struct {
	Store
	worst atomic.Int64
}

func (s *stopwatch) slowest() time.Duration { return time.Duration(s.worst.Load()) }

func (s *stopwatch) lap(began time.Time) {
	d := int64(time.Since(began))
	for {
		w := s.worst.Load()
		if d <= w || s.worst.CompareAndSwap(w, d) {
			return
		}
	}
}

func (s *stopwatch) Mutate(ctx context.Context, object string, op *Op) error {
	defer s.lap(time.Now())
	return s.Store.Mutate(ctx, object, op)
}

func (s *stopwatch) Read(ctx context.Context, object string) (*State, error) {
	defer s.lap(time.Now())
	return s.Store.Read(ctx, object)
}
