// Package crowd gives tests a cluster of many daemons whose OSDs are killed while
// the test works on it: three monitors and five OSDs, a process each, and three
// copies of everything. That is as many as it takes for one OSD to be away while
// pools are served and filled again; whoever uses them may notice but by waiting.
package crowd

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/pulpotest"
	"github.com/pulpo-storage/pulpo/rados"
)

// The daemons of a crowd.
const (
	Mons = 3
	OSDs = 5
)

// Pace is how OSDs die while a test works on the cluster; never two at a time.
type Pace string

const (
	AtRest    Pace = "at rest"    // none does
	AnyTime   Pace = "any time"   // the next dies a moment after the last is up again
	WhenWhole Pace = "when whole" // the next dies when all copies are there again
)

// Paces are all of them.
var Paces = []Pace{AtRest, AnyTime, WhenWhole}

// Cluster is a cluster of many processes.
type Cluster struct {
	*pulpotest.Cluster
	rand *rand.Rand
}

// Start starts a crowd. It is gone when the test ends.
func Start(t *testing.T) *Cluster {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	c := &Cluster{
		Cluster: pulpotest.Start(t, pulpotest.Options{Mons: Mons, OSDs: OSDs, Processes: true}),
		rand:    rand.New(rand.NewPCG(seed, 0)),
	}
	// Suites leave the size of a pool to the cluster, whose ceph.conf says one copy;
	// what a running monitor is told goes before that.
	for i := range Mons {
		c.command(t, rados.ToMon(string(rune('a'+i))), map[string]any{"prefix": "config set", "var": "osd_pool_default_size", "val": []string{"3"}})
	}
	c.command(t, rados.ToMons(), map[string]any{"prefix": "osd pool set", "pool": "rbd", "var": "size", "val": "3"})
	c.waitUp(t)
	c.waitWhole(t)
	return c
}

func (c *Cluster) command(t *testing.T, to rados.Target, cmd map[string]any) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := c.Client.Command(ctx, to, cmd, nil)
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	return r.Data
}

// patience bounds the time until all OSDs are up, or all copies are there again.
const patience = 2 * time.Minute

// waitUp waits until all OSDs are up.
func (c *Cluster) waitUp(t *testing.T) {
	t.Helper()
	wait(t, func() (left []string) {
		var osds struct {
			Up int `json:"num_up_osds"`
		}
		c.ask(t, "osd stat", &osds)
		if osds.Up < OSDs {
			left = append(left, fmt.Sprintf("%d OSDs are up", osds.Up))
		}
		return left
	})
}

// waitWhole waits until all groups have all their copies. They may do other things
// besides: suites make and remove pools and snapshots.
func (c *Cluster) waitWhole(t *testing.T) {
	t.Helper()
	wait(t, func() (left []string) {
		var groups struct {
			Summary struct {
				States []struct {
					Name string `json:"name"`
					Num  int    `json:"num"`
				} `json:"num_pg_by_state"`
			} `json:"pg_summary"`
		}
		c.ask(t, "pg stat", &groups)
		for _, s := range groups.Summary.States {
			if !strings.HasPrefix(s.Name, "active+clean") {
				left = append(left, fmt.Sprintf("%d %s", s.Num, s.Name))
			}
		}
		return left
	})
}

// wait waits until nothing is left of what keeps it waiting.
func wait(t *testing.T, what func() (left []string)) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		left := what()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("after %v: %s", patience, strings.Join(left, ", "))
			return
		}
	}
}

func (c *Cluster) ask(t *testing.T, prefix string, v any) {
	t.Helper()
	if err := json.Unmarshal(c.command(t, rados.ToMons(), map[string]any{"prefix": prefix, "format": "json"}), v); err != nil {
		t.Fatalf("%s: %v", prefix, err)
	}
}

// During kills OSDs with -9, one after the other, while work runs, and starts each
// again up to three seconds later. OSDs below spare are left alone. It returns when
// all copies are there again, and logs how many were killed.
func (c *Cluster) During(t *testing.T, p Pace, spare int, work func()) {
	t.Helper()
	began := time.Now()
	done, stopped := make(chan struct{}), make(chan struct{})
	kills := 0
	go func() {
		defer close(stopped)
		if p != AtRest {
			kills = c.kill(t, p, spare, done)
		}
	}()
	func() {
		defer func() { close(done); <-stopped }() // also if work ends the test
		work()
	}()
	took := time.Since(began)
	c.waitWhole(t)
	t.Logf("%v, %d kills", took.Round(time.Second), kills)
}

// kill kills until done, and tells how often.
func (c *Cluster) kill(t *testing.T, p Pace, spare int, done <-chan struct{}) (kills int) {
	rest := func(most time.Duration) (ended bool) {
		select {
		case <-done:
			return true
		case <-time.After(time.Duration(c.rand.Int64N(int64(most)))):
			return false
		}
	}
	for {
		name := fmt.Sprintf("osd.%d", spare+c.rand.IntN(OSDs-spare))
		c.Kill(name)
		kills++
		rest(3 * time.Second)
		c.StartDaemon(name)
		c.waitUp(t)
		if p == WhenWhole {
			c.waitWhole(t)
		}
		if rest(4 * time.Second) {
			return kills
		}
	}
}
