package chaos

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/internal/peer"
	oid "github.com/pulpo-storage/pulpo/object" // load.go has an object of its own
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore"
)

// TestManySnapshots takes snapshots of one image, with a write of 4 KiB after
// each, and removes them: they take the space of what was written, and nothing
// is left of them.
func TestManySnapshots(t *testing.T) {
	t.Parallel()
	manySnapshots(t, 30, 16<<20)
}

func TestManySnapshotsSoak(t *testing.T) {
	t.Parallel()
	binary.SoakRounds(t)
	manySnapshots(t, 1000, 64<<20)
}

func manySnapshots(t *testing.T, count int, written int64) {
	peer.Require(t, "rados", "rbd")
	const size, step = 1 << 30, 4 << 10
	dir := binary.Dir(t)
	p := binary.Up(t, dir)
	conf := binary.Conf(dir)
	cmd := exec.Command("/usr/bin/python3", "testdata/snapshots.py",
		fmt.Sprint(count), fmt.Sprint(size), fmt.Sprint(written), fmt.Sprint(step))
	cmd.Env, cmd.Stderr = peer.Env(conf), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	out := bufio.NewScanner(stdout)
	out.Buffer(nil, 1<<20)
	hear := func() []float64 {
		t.Helper()
		if !out.Scan() {
			t.Fatalf("snapshots.py ended: %v", cmd.Wait())
		}
		var said struct{ Seconds []float64 }
		if err := json.Unmarshal(out.Bytes(), &said); err != nil {
			t.Fatal(err)
		}
		return said.Seconds
	}
	goOn := func() { fmt.Fprintln(in) }

	hear()
	goOn()
	created := hear()
	// What the store holds, as it was left.
	p.Kill(t)
	fsck(t, dir, 1)
	used := allocated(t, dir)
	there, _ := walk(t, dir)
	p = binary.Up(t, dir)
	said := waitClones(t, conf, there)
	// Each write is to a place of its own until there are no more of those.
	unique := written + int64(count)*step
	t.Logf("%d snapshots: %d bytes allocated to data for %d unique (%+.1f%%)",
		count, used, unique, 100*float64(used-unique)/float64(unique))
	if used > unique*11/10 {
		t.Errorf("%d bytes are used, more than a tenth above the %d that differ", used, unique)
	}
	// The statistics count what each clone has for itself.
	if said.Bytes < unique || said.Bytes > unique*11/10 {
		t.Errorf("statistics say %d bytes, %d differ", said.Bytes, unique)
	}
	goOn()
	removed := hear()
	n := max(1, count/10)
	for _, m := range []struct {
		what  string
		times []float64
	}{{"create", created}, {"remove", removed}} {
		t.Logf("%s: the first %d took %v (median), the last %v", m.what, n, median(m.times[:n]), median(m.times[count-n:]))
	}
	goOn()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, dir, p, rand.New(rand.NewPCG(seed(t), 0)))
}

// waitClones waits until the statistics know all objects and clones.
func waitClones(t *testing.T, conf string, want figures) figures {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		got := reported(t, conf)
		if got.Objects == want.Objects && got.Clones == want.Clones {
			return got
		}
		if time.Since(begin) > patience {
			t.Fatalf("statistics say %+v, a walk %+v", got, want)
		}
	}
}

func median(seconds []float64) time.Duration {
	s := slices.Sorted(slices.Values(seconds))
	return time.Duration(s[len(s)/2] * float64(time.Second)).Round(10 * time.Microsecond)
}

// allocated is the space that the objects of a pool take in the store of an OSD
// that is down: its own objects, such as maps, do not count.
func allocated(t *testing.T, dir string) int64 {
	t.Helper()
	s, err := diskstore.Open(filepath.Join(dir, "osd.0", "store"), diskstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := int64(s.Usage().Allocated)
	ids, next, err := s.List(objstore.MetaColl, oid.MinID, 1<<20)
	if err != nil || next != oid.MaxID {
		t.Fatalf("%d objects and more, %v", len(ids), err)
	}
	for _, id := range ids {
		info, err := s.Stat(objstore.MetaColl, id)
		if err != nil {
			t.Fatal(err)
		}
		n -= int64((info.Size + block - 1) / block * block)
	}
	return n
}
