package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/internal/peer"
	oid "github.com/pulpo-storage/pulpo/object" // load.go has an object of its own
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore"
	"github.com/pulpo-storage/pulpo/rados"
)

func TestImagesSurviveKill(t *testing.T) {
	t.Parallel()
	killImages(t, 2, 2, 100)
}

func TestImagesSurviveKillSoak(t *testing.T) {
	t.Parallel()
	killImages(t, binary.SoakRounds(t), 3, 400)
}

// killImages kills the cluster while stock clients write, snapshot, clone,
// flatten, resize and remove images, so many times.
//
// Half of the clients die with it and their successors fence them off, as
// software that fails over does; then one operation of each is in doubt. The
// others go on, and nothing of theirs is. At the end all images are removed, and
// nothing may be left of them.
func killImages(t *testing.T, rounds, pairs int, most int64) {
	peer.Require(t, "rbd", "rados")
	seed := seed(t)
	r := rand.New(rand.NewPCG(seed, 1<<32))
	dir := binary.Dir(t)
	p := binary.Up(t, dir)
	conf := binary.Conf(dir)
	admin := connect(t, conf)
	var imagers []*Imager
	start := func(m *Imager) {
		t.Helper()
		if err := m.Start(peer.Env(conf)); err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
	}
	t.Cleanup(func() {
		for _, m := range imagers {
			m.Kill()
			m.End()
		}
	})
	for i := range 2 * pairs {
		m := NewImager(seed, i, i < pairs)
		start(m)
		imagers = append(imagers, m)
	}
	for round := range rounds {
		var acks atomic.Int64
		var stop atomic.Bool
		stopped := make(chan error, len(imagers))
		for _, m := range imagers {
			go func() {
				for !stop.Load() {
					ok, err := m.Step()
					if err != nil || !ok {
						stopped <- err
						return
					}
					acks.Add(1)
				}
				stopped <- nil
			}()
		}
		waitAcks(t, &acks, 20+r.Int64N(most-20), stopped)
		time.Sleep(time.Duration(r.Int64N(int64(20 * time.Millisecond))))
		p.Kill(t)
		for _, m := range imagers[:pairs] {
			m.Kill()
		}
		p = up(t, dir, r)
		var err error
		for range pairs {
			err = errorsOf(err, <-stopped)
		}
		for _, m := range imagers[:pairs] {
			m.End()
			fence(t, admin, m.client)
			start(m)
		}
		if err == nil {
			waitAcks(t, &acks, acks.Load()+10*int64(pairs), stopped)
		}
		stop.Store(true)
		for range pairs {
			err = errorsOf(err, <-stopped)
		}
		if err != nil {
			t.Fatalf("seed %#x: %v", seed, err)
		}
		doubt := each(t, seed, imagers, (*Imager).Verify)
		t.Logf("round %d: %d operations; in doubt: %s", round+1, acks.Load(), doubt)
	}
	done := map[string]int{}
	for _, m := range imagers {
		for k, n := range m.done {
			done[k] += n
		}
	}
	t.Logf("done: %v", done)

	// What there is, before and after all of it is removed, is what is accounted for.
	p = again(t, dir, p, r)
	each(t, seed, imagers, (*Imager).Verify)
	each(t, seed, imagers, (*Imager).RemoveAll)
	for _, m := range imagers {
		if err := m.End(); err != nil {
			t.Fatal(err)
		}
	}
	imagers = nil
	nothingLeft(t, dir, p, r)
}

func errorsOf(a, b error) error {
	if a == nil {
		return b
	}
	return a
}

// waitAcks waits until so many operations are acknowledged.
func waitAcks(t *testing.T, acks *atomic.Int64, want int64, stopped <-chan error) {
	t.Helper()
	for begin := time.Now(); acks.Load() < want; time.Sleep(time.Millisecond) {
		select {
		case err := <-stopped:
			t.Fatalf("a client stopped: %v", err)
		default:
		}
		if time.Since(begin) > 2*patience {
			t.Fatalf("%d operations acknowledged in %v, want %d", acks.Load(), time.Since(begin), want)
		}
	}
}

// each calls f of all imagers at once; it tells what was in doubt.
func each(t *testing.T, seed uint64, imagers []*Imager, f func(*Imager) error) string {
	t.Helper()
	var doubts []string
	var wg sync.WaitGroup
	for _, m := range imagers {
		if m.doubt != nil {
			doubts = append(doubts, m.doubt.String())
		}
		wg.Go(func() {
			if err := f(m); err != nil {
				t.Errorf("seed %#x: %v", seed, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return strings.Join(doubts, "; ")
}

// fence keeps a dead client's last words out.
func fence(t *testing.T, c *rados.Cluster, client string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := map[string]string{"prefix": "osd blocklist", "blocklistop": "add", "addr": client}
	if _, err := c.Command(ctx, rados.ToMons(), cmd, nil); err != nil {
		t.Fatalf("blocklist %s: %v", client, err)
	}
}

// again ends the cluster by SIGKILL and brings it up again; every other time its
// store is checked as it was left, so that a check has to replay the journal too.
func again(t *testing.T, dir string, p *binary.Process, r *rand.Rand) *binary.Process {
	t.Helper()
	p.Kill(t)
	return up(t, dir, r)
}

func up(t *testing.T, dir string, r *rand.Rand) *binary.Process {
	t.Helper()
	if r.IntN(2) == 0 {
		fsck(t, dir, 1)
	}
	return binary.Up(t, dir)
}

// figures are a pool's, as its statistics say or a walk through the store finds.
type figures struct {
	Objects, Clones, Bytes int64
	Index                  int // keys that say which clones serve a snapshot
}

// reported is what the stock rados tool says of the pool.
func reported(t *testing.T, conf string) (f figures) {
	t.Helper()
	cmd := exec.Command("rados", "df", "--format", "json")
	cmd.Env = peer.Env(conf)
	r := binary.Exec(t, cmd)
	var df struct {
		Pools []struct {
			Name    string
			Objects json.Number `json:"num_objects"`
			Clones  json.Number `json:"num_object_clones"`
			Bytes   json.Number `json:"size_bytes"`
		}
	}
	if err := json.Unmarshal([]byte(r.Out), &df); r.Code != 0 || err != nil {
		t.Fatalf("rados df: %v %v", r, err)
	}
	for _, p := range df.Pools {
		if p.Name == "rbd" {
			f.Objects, _ = p.Objects.Int64()
			f.Clones, _ = p.Clones.Int64()
			f.Bytes, _ = p.Bytes.Int64()
		}
	}
	return f
}

// waitReported waits until the statistics are what they must be, in their own time.
func waitReported(t *testing.T, conf string, want figures) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		got := reported(t, conf)
		if got.Objects == want.Objects && got.Clones == want.Clones && got.Bytes == want.Bytes {
			return
		}
		if time.Since(begin) > patience {
			t.Fatalf("statistics say %+v, a walk %+v", got, want)
		}
	}
}

// walk goes through all objects of the pools in the store of an OSD that is down.
// The bytes are right if there are no clones.
func walk(t *testing.T, dir string) (f figures, left []string) {
	t.Helper()
	s, err := diskstore.Open(dir+"/osd.0/store", diskstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	colls, err := s.Collections()
	if err != nil {
		t.Fatal(err)
	}
	var space uint64
	for _, c := range append(colls, objstore.MetaColl) {
		for from := oid.MinID; from != oid.MaxID; {
			ids, next, err := s.List(c, from, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range ids {
				info, err := s.Stat(c, id)
				if err != nil {
					t.Fatal(err)
				}
				space += (info.Size + block - 1) / block * block
				switch {
				case c.Meta:
				case id.Name == "":
					// The group's own object, with the index of snapshots among its keys.
					err := s.OmapScan(c, id, "s", func(key string, _ []byte) bool {
						if !strings.HasPrefix(key, "s") {
							return false
						}
						f.Index++
						return true
					})
					if err != nil {
						t.Fatal(err)
					}
				default:
					f.Objects++
					f.Bytes += int64(info.Size)
					if !id.IsHead() {
						f.Clones++
					}
					left = append(left, id.String())
				}
			}
			from = next
		}
	}
	if u := s.Usage(); u.Allocated > space && f.Clones == 0 {
		t.Errorf("%d bytes are allocated, all objects together take %d", u.Allocated, space)
	}
	return f, left
}

// nothingLeft checks a pool of which all images and snapshots were removed: once
// it is trimmed, which two more kills do not keep it from, there are only those
// objects that a pool of images has.
func nothingLeft(t *testing.T, dir string, p *binary.Process, r *rand.Rand) {
	t.Helper()
	conf := binary.Conf(dir)
	for range 2 {
		time.Sleep(time.Duration(r.Int64N(int64(50 * time.Millisecond))))
		p = again(t, dir, p, r)
	}
	keep := map[string]bool{"rbd_directory": true, "rbd_info": true, "rbd_children": true, "rbd_trash": true}
	pool := openPool(t, connect(t, conf), "rbd")
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	found, err := pool.Names(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var want figures
	for _, n := range found {
		if !keep[n] {
			t.Errorf("%s is left", n)
			continue
		}
		info, err := pool.Stat(ctx, n)
		if err != nil {
			t.Fatal(err)
		}
		want.Objects++
		want.Bytes += int64(info.Size)
	}
	waitReported(t, conf, want)
	binary.Down(t, dir)
	fsck(t, dir, 1)
	got, left := walk(t, dir)
	if got != want {
		t.Errorf("the store has %+v, want %+v: %v", got, want, left)
	}
	// The statistics are not only as they were before it went down.
	binary.Up(t, dir)
	waitReported(t, conf, want)
}

func TestDiskModel(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	disks := Disks{}
	for seq := range 300 {
		o := drawDisk(r, disks, "i", seq, true)
		before := maps.Clone(disks)
		after := o.apply(disks)
		if fmt.Sprint(before) != fmt.Sprint(disks) {
			t.Fatalf("%v changed what was before it", o)
		}
		for name, d := range after {
			if err := compareDisk(d, d, d); err != nil {
				t.Fatalf("%v: %s: %v", o, name, err)
			}
		}
		if o.Do == "write" {
			got := *after[o.Image]
			got.Data = padded(got.Data, 0, len(got.Data))
			got.Data[o.Off] ^= 1
			if compareDisk(before[o.Image], after[o.Image], &got) == nil {
				t.Fatalf("%v: a wrong byte was not found", o)
			}
		}
		disks = after
	}
}
