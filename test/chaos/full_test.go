package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/internal/peer"
	"github.com/pulpo-storage/pulpo/rados"
)

const fullSize = 300 << 20

// TestFullOSD fills an OSD up to what it may use.
func TestFullOSD(t *testing.T) {
	t.Parallel()
	fill(t, binary.Dir(t), "--osd-size", fmt.Sprint(fullSize))
}

// TestFullFileSystem fills the file system under a cluster, which has been
// promised more than there is.
func TestFullFileSystem(t *testing.T) {
	t.Parallel()
	dir := binary.Dir(t)
	if err := unix.Mount("pulpo-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d", fullSize)); err != nil {
		t.Skipf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		binary.End(dir)
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	fill(t, dir, "--osd-size", fmt.Sprint(4*fullSize))
}

// fill writes until there is no room, checks that nothing is lost and that
// deletes pass and make room, and does it across SIGKILL and a restart.
func fill(t *testing.T, dir string, args ...string) {
	const size = 1 << 20 // of an object
	l := New(seed(t), 4, 4)
	p := binary.Up(t, dir, args...)
	c := connect(t, binary.Conf(dir))
	createPool(t, c, "load")
	loaded := openPool(t, c, "load")
	crew := newCrew()
	written := l.After(200)
	for _, w := range l.Writers {
		crew.add(t.Context(), w, loaded)
	}
	wait(t, written, "progress")
	crew.finish(t)

	waiting := openPool(t, c, "rbd").Pool
	pool := waiting.FailIfFull()
	f := &filler{seed: l.Seed, size: size}
	f.write(t, pool, fullSize/size)
	t.Logf("%d objects of %d bytes until there was no space", len(f.names), size)
	if got := len(f.names); got < fullSize/size/3 {
		t.Errorf("only %d MiB could be written to %d MiB", got*size>>20, fullSize>>20)
	}
	f.verify(t, pool)
	verify(t, l, loaded)
	waitHealth(t, c, "OSD_FULL")

	// A client that waits for space is not told to go away.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	err := waiting.WriteFull(ctx, "patient", payloadOf(l.Seed, 0, 4096))
	cancel()
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a write without FailIfFull to a full cluster: %v, want it to wait", err)
	}

	p.Kill(t)
	binary.Up(t, dir)
	f.verify(t, pool)
	verify(t, l, loaded)
	if err := writeSoon(t, pool, "more", payloadOf(l.Seed, 1, size)); !errors.Is(err, rados.ErrNoSpace) {
		t.Errorf("write after the restart of a full cluster: %v, want %v", err, rados.ErrNoSpace)
	}

	// Until the map says full again a write that does not fit is refused.
	waitHealth(t, c, "OSD_FULL")
	patient := make(chan error, 1)
	ctx, cancel = context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() { patient <- waiting.WriteFull(ctx, "patient", payloadOf(l.Seed, 0, 4096)) }()
	f.remove(t, pool, len(f.names)/2)
	if err := <-patient; err != nil {
		t.Errorf("a write that waited, after half was removed: %v", err)
	}
	f.write(t, pool, len(f.names)/4)
	f.verify(t, pool)
	verify(t, l, loaded)

	binary.Down(t, dir)
	fsck(t, dir, 1)
	binary.Up(t, dir)
	c = connect(t, binary.Conf(dir))
	f.verify(t, openPool(t, c, "rbd").Pool)
	verify(t, l, openPool(t, c, "load"))
}

// filler writes objects of one size and remembers those that were acknowledged.
type filler struct {
	seed uint64
	size int
	next atomic.Int64

	mu    sync.Mutex
	names map[string]int64 // and the numbers that their bytes are drawn from
}

// write writes until there is no space, or up to so many objects.
func (f *filler) write(t *testing.T, p *rados.Pool, most int) {
	t.Helper()
	if f.names == nil {
		f.names = map[string]int64{}
	}
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(most))
	for range 4 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				n := f.next.Add(1)
				name := fmt.Sprintf("fill-%d", n)
				err := writeSoon(t, p, name, payloadOf(f.seed, n, f.size))
				if errors.Is(err, rados.ErrNoSpace) {
					return
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				f.mu.Lock()
				f.names[name] = n
				f.mu.Unlock()
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// remove removes some of the objects.
func (f *filler) remove(t *testing.T, p *rados.Pool, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for name := range f.names {
		if n--; n < 0 {
			return
		}
		if err := p.Remove(ctx, name); err != nil {
			t.Fatalf("remove from a full cluster: %v", err)
		}
		delete(f.names, name)
	}
}

// verify reads all: each is there, bit for bit, and of those that were refused
// there is nothing.
func (f *filler) verify(t *testing.T, p *rados.Pool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for name, n := range f.names {
		got, err := p.ReadFull(ctx, name)
		if err != nil {
			t.Fatalf("seed %#x: %v", f.seed, err)
		}
		if !bytes.Equal(got, payloadOf(f.seed, n, f.size)) {
			t.Fatalf("seed %#x: %s: %d bytes that are not those written", f.seed, name, len(got))
		}
	}
	for o, err := range p.Objects(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := f.names[o.Name]; !ok && strings.HasPrefix(o.Name, "fill-") {
			t.Fatalf("seed %#x: %s is listed though its write was refused", f.seed, o.Name)
		}
	}
}

func writeSoon(t *testing.T, p *rados.Pool, name string, data []byte) error {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return p.WriteFull(ctx, name, data)
}

// payloadOf are bytes that are drawn from a seed and a number.
func payloadOf(seed uint64, n int64, size int) []byte {
	return noise(rand.New(rand.NewPCG(seed, uint64(n)|1<<63)), size)
}

// waitHealth waits until the cluster's health has a check.
func waitHealth(t *testing.T, c *rados.Cluster, check string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		r, err := c.Command(ctx, rados.ToMons(), map[string]string{"prefix": "health", "format": "json"}, nil)
		if err != nil {
			t.Fatalf("waiting for %s: %v", check, err)
		}
		var h struct{ Checks map[string]json.RawMessage }
		if err := json.Unmarshal(r.Data, &h); err != nil {
			t.Fatal(err)
		}
		if _, ok := h.Checks[check]; ok {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestQuota reaches a pool's quota with the stock tools. The expectations are
// what a stock cluster does; PULPO_PEER_CONF names one to see that again.
func TestQuota(t *testing.T) {
	t.Parallel()
	peer.Require(t, "ceph", "rados")
	if conf := os.Getenv("PULPO_PEER_CONF"); conf != "" {
		t.Run("stock", func(t *testing.T) {
			t.Parallel()
			quota(t, conf)
		})
	}
	t.Run("pulpo", func(t *testing.T) {
		t.Parallel()
		dir := binary.Dir(t)
		binary.Up(t, dir)
		quota(t, binary.Conf(dir))
	})
}

func quota(t *testing.T, conf string) {
	work := t.TempDir()
	if err := os.WriteFile(filepath.Join(work, "f"), payloadOf(1, 1, 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	pool := fmt.Sprintf("quota-%d", os.Getpid())
	for _, step := range []struct {
		command string
		code    int
		says    string
	}{
		{"ceph osd pool create $P 8 && ceph osd pool application enable $P rados", 0, ""},
		{"ceph osd pool set-quota $P max_objects 5", 0, "set-quota max_objects = 5 for pool $P"},
		// Clients wait while a pool is full; it takes a moment until it is known to be.
		{"for i in $(seq 100); do timeout 3 rados -p $P put o$i f || exit; sleep .2; done", 124, ""},
		{"ceph health detail", 0, "pool '$P' is full (running out of quota)"},
		{"ceph osd pool ls detail | grep \"'$P'\"", 0, ",full,full_quota max_objects 5"},
		{"timeout 3 rados -p $P append o2 f", 124, ""},
		{"timeout 3 rados -p $P rm o1", 124, ""},
		{"rados -p $P get o2 g && cmp f g", 0, ""},
		{"timeout 20 rados -p $P rm o1 --force-full", 0, ""},
		{"ceph osd pool set-quota $P max_objects 0", 0, ""},
		{"timeout 20 rados -p $P put again f", 0, ""},
		{"timeout 20 rados -p $P rm o2", 0, ""},
		{"ceph osd pool set-quota $P max_bytes 20000", 0, ""},
		{"for i in $(seq 100); do timeout 3 rados -p $P put o$i f || exit; sleep .2; done", 124, ""},
		{"ceph osd pool get-quota $P", 0, "max bytes  : 20 KiB"},
		{"ceph osd pool rm $P $P --yes-i-really-really-mean-it", 0, "pool '$P' removed"},
	} {
		cmd := exec.Command("bash", "-c", step.command)
		cmd.Dir = work
		cmd.Env = append(peer.Env(conf), "P="+pool)
		r := binary.Exec(t, cmd)
		says := strings.ReplaceAll(step.says, "$P", pool)
		if r.Code != step.code || !strings.Contains(r.Out+r.Err, says) {
			t.Errorf("%s\n%v\nwant exit %d and: %s", step.command, r, step.code, says)
		}
	}
}
