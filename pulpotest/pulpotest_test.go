package pulpotest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/pulpotest"
	"github.com/pulpo-storage/pulpo/rados"
)

func TestClusterOutlivesRestart(t *testing.T) {
	t.Parallel()
	c := pulpotest.Start(t, pulpotest.Options{})
	if _, err := os.Stat(c.Keyring); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	pool := c.Pool("data")
	for i := range 20 {
		if err := pool.WriteFull(ctx, fmt.Sprint(i), bytes.Repeat([]byte{byte(i)}, 1<<i)); err != nil {
			t.Fatal(err)
		}
	}
	fsid := c.Client.FSID()
	c.Restart()
	if c.Client.FSID() != fsid {
		t.Fatalf("cluster %s, was %s", c.Client.FSID(), fsid)
	}
	pool = c.Pool("data")
	n := 0
	for o, err := range pool.Objects(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		var i int
		if _, err := fmt.Sscan(o.Name, &i); err != nil {
			t.Fatal(err)
		}
		got, err := pool.ReadFull(ctx, o.Name)
		if err != nil || !bytes.Equal(got, bytes.Repeat([]byte{byte(i)}, 1<<i)) {
			t.Fatalf("%s: %d bytes, %v", o.Name, len(got), err)
		}
		n++
	}
	if n != 20 {
		t.Fatalf("%d objects", n)
	}
}

func TestSecondClient(t *testing.T) {
	t.Parallel()
	c := pulpotest.Start(t, pulpotest.Options{})
	other := c.Connect()
	if other.InstanceID() == c.Client.InstanceID() {
		t.Fatal("two clients of one number")
	}
	if _, err := other.Pool(t.Context(), "nothing"); !errors.Is(err, rados.ErrNotFound) {
		t.Fatal(err)
	}
	if err := c.Pool("shared").WriteFull(t.Context(), "o", []byte("x")); err != nil {
		t.Fatal(err)
	}
	p, err := other.Pool(t.Context(), "shared")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.ReadFull(t.Context(), "o"); err != nil || string(got) != "x" {
		t.Fatalf("%q, %v", got, err)
	}
}

// TestDaemonDiesAndReturns ends single daemons of a cluster in both ways; what was
// acknowledged is there afterwards, and the map saw what happened.
func TestDaemonDiesAndReturns(t *testing.T) {
	t.Parallel()
	c := pulpotest.Start(t, pulpotest.Options{OSDs: 2})
	ctx := t.Context()
	pool := c.Pool("data")
	const n = 64
	for i := range n {
		if err := pool.WriteFull(ctx, fmt.Sprint(i), []byte(fmt.Sprint("content ", i))); err != nil {
			t.Fatal(err)
		}
	}
	before := c.Client.Epoch()
	c.Kill("osd.1")
	c.StartDaemon("osd.1")
	c.WaitClean(ctx)
	c.StopDaemon("osd.0")
	c.StartDaemon("osd.0")
	c.WaitClean(ctx)
	for i := range n {
		got, err := pool.ReadFull(ctx, fmt.Sprint(i))
		if err != nil || string(got) != fmt.Sprint("content ", i) {
			t.Fatalf("%d: %q, %v", i, got, err)
		}
	}
	if now := c.Client.Epoch(); now < before+4 {
		t.Errorf("epoch %d, was %d: the map did not see two OSDs go and return", now, before)
	}
}

// TestManyDaemons kills a monitor and an OSD of a cluster of several, in one
// process and in one each; it goes on, and is whole when they are back.
func TestManyDaemons(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]pulpotest.Options{
		"one process": {Mons: 3, OSDs: 3}, "processes": {Mons: 3, OSDs: 3, Processes: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := pulpotest.Start(t, o)
			ctx := t.Context()
			pool := c.Pool("data")
			if err := pool.WriteFull(ctx, "o", []byte("x")); err != nil {
				t.Fatal(err)
			}
			c.Kill("mon.a")
			c.Kill("osd.2")
			c.Pool("made by two monitors")
			c.StartDaemon("mon.a")
			c.StartDaemon("osd.2")
			c.WaitClean(ctx)
			if got, err := pool.ReadFull(ctx, "o"); err != nil || string(got) != "x" {
				t.Fatalf("%q, %v", got, err)
			}
			c.Restart()
			if _, err := c.Client.Pool(ctx, "made by two monitors"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestCopiesNeedMoreThanHalf: pools begin with one copy; who wants more of them
// gets a pool that serves nobody while only a minority is there.
func TestCopiesNeedMoreThanHalf(t *testing.T) {
	t.Parallel()
	c := pulpotest.Start(t, pulpotest.Options{OSDs: 3})
	c.Pool("data")
	for _, want := range []string{"1 1", "2 1", "3 2"} {
		size, _, _ := strings.Cut(want, " ")
		set := map[string]any{"prefix": "osd pool set", "pool": "data", "var": "size", "val": size, "yes_i_really_mean_it": true}
		if r, err := c.Client.Command(t.Context(), rados.ToMons(), set, nil); err != nil {
			t.Fatal(r.Status, err)
		}
		get := map[string]any{"prefix": "osd pool get", "pool": "data", "var": "min_size", "format": "json"}
		r, err := c.Client.Command(t.Context(), rados.ToMons(), get, nil)
		var got struct {
			MinSize int `json:"min_size"`
		}
		if err := errors.Join(err, json.Unmarshal(r.Data, &got)); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(size, " ", got.MinSize) != want {
			t.Errorf("size %s has min_size %d, want %q", size, got.MinSize, want)
		}
	}
}
