package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/rados"
)

func TestKill(t *testing.T) {
	t.Parallel()
	kill(t, 3, 24, 1000)
}

func TestKillSoak(t *testing.T) {
	t.Parallel()
	kill(t, binary.SoakRounds(t), 64, 3000)
}

// kill kills the cluster under load, brings it up again and compares, so many
// times; each time after up to most operations.
//
// Half of the writers give up when their cluster dies: what was under way is in
// doubt, and they come back as new clients. The other half do not notice: their
// clients send again what was not answered, and nothing may be done twice, so in
// their objects nothing is in doubt at all. The monitor's promises are kept too.
func kill(t *testing.T, rounds, writers int, most int64) {
	l := New(seed(t), writers, 6)
	r := rand.New(rand.NewPCG(l.Seed, 1<<32))
	const pool, clients, osds = "chaos", 4, 2
	dir := binary.Dir(t)
	p := binary.Up(t, dir, "--osds", strconv.Itoa(osds))
	createPool(t, connect(t, binary.Conf(dir)), pool)

	patient := make([]Pool, clients)
	for i := range patient {
		patient[i] = openPool(t, connect(t, binary.Conf(dir)), pool)
	}
	var notes notes
	for round := range rounds {
		hasty := make([]Pool, clients)
		conns := make([]*rados.Cluster, clients)
		for i := range hasty {
			conns[i] = connect(t, binary.Conf(dir))
			hasty[i] = openPool(t, conns[i], pool)
		}
		ctx, giveUp := context.WithCancel(t.Context())
		quitters, stayers := newCrew(), newCrew()
		acks := 100 + r.Int64N(most-100)
		moment := l.After(acks)
		for i, w := range l.Writers {
			if i%2 == 0 {
				quitters.add(ctx, w, hasty[i/2%clients])
			} else {
				stayers.add(t.Context(), w, patient[i/2%clients])
			}
		}
		quitters.wg.Go(func() { notes.write(ctx, conns[0]) })
		wait(t, moment, "progress")
		time.Sleep(time.Duration(r.Int64N(int64(10 * time.Millisecond))))
		p.Kill(t)
		giveUp()
		quitters.wait(t)
		for _, c := range conns {
			c.Close()
		}
		for range r.IntN(3) {
			dieStarting(t, dir, r)
		}
		p = binary.Up(t, dir)
		// The patient ones go on over the restart.
		wait(t, l.After(200), "progress of clients that were there before")
		stayers.finish(t)
		c := connect(t, binary.Conf(dir))
		out := verify(t, l, openPool(t, c, pool))
		notes.verify(t, c)
		t.Logf("round %d: killed after %d operations; %d objects as they must be; in doubt: %d done, %d not; %d keys",
			round+1, acks, out.Objects, out.Done, out.NotDone, len(notes.acked))
	}

	binary.Down(t, dir)
	fsck(t, dir, osds)
	binary.Up(t, dir)
	c := connect(t, binary.Conf(dir))
	verify(t, l, openPool(t, c, pool))
	notes.verify(t, c)
}

// notes are keys that were set in the monitor's store (config-key).
type notes struct {
	acked []string
	next  int
}

// write sets one key after the other until the context ends.
func (n *notes) write(ctx context.Context, c *rados.Cluster) {
	for {
		n.next++
		key := fmt.Sprintf("chaos/%d", n.next)
		cmd := map[string]string{"prefix": "config-key set", "key": key, "val": "value of " + key}
		if _, err := c.Command(ctx, rados.ToMons(), cmd, nil); err != nil {
			return
		}
		n.acked = append(n.acked, key)
	}
}

// verify checks that all are there that were acknowledged.
func (n *notes) verify(t *testing.T, c *rados.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if len(n.acked) == 0 {
		t.Fatal("the monitor acknowledged nothing")
	}
	r, err := c.Command(ctx, rados.ToMons(), map[string]string{"prefix": "config-key dump", "key": "chaos/"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var found map[string]string
	if err := json.Unmarshal(r.Data, &found); err != nil {
		t.Fatalf("config-key dump: %v", err)
	}
	for _, key := range n.acked {
		if found[key] != "value of "+key {
			t.Fatalf("the monitor acknowledged %s and has %q", key, found[key])
		}
	}
}

// dieStarting starts the cluster and kills it at a random moment of its start,
// mostly while it replays its journal.
func dieStarting(t *testing.T, dir string, r *rand.Rand) {
	t.Helper()
	cmd := exec.Command(binary.Path(t), "up", "--dir", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Duration(r.Int64N(int64(300 * time.Millisecond))))
	cmd.Process.Kill()
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(interface{ Signal() unix.Signal }).Signal() != unix.SIGKILL {
		t.Fatalf("pulpo up ended before it was killed: %v", err)
	}
}
