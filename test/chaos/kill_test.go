package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
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
	kill(t, 3, 24)
}

func TestKillSoak(t *testing.T) {
	t.Parallel()
	s := os.Getenv("PULPO_SOAK_ROUNDS")
	if s == "" {
		t.Skip("PULPO_SOAK_ROUNDS is not set")
	}
	rounds, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("PULPO_SOAK_ROUNDS: %v", err)
	}
	kill(t, rounds, 64)
}

// kill kills the cluster under load, brings it up again and compares, so many
// times.
//
// Half of the writers give up when their cluster dies: what was under way is in
// doubt, and they come back as new clients. The other half do not notice: their
// clients send again what was not answered, and nothing may be done twice, so in
// their objects nothing is in doubt at all.
func kill(t *testing.T, rounds, writers int) {
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
	for round := range rounds {
		hasty := make([]Pool, clients)
		conns := make([]*rados.Cluster, clients)
		for i := range hasty {
			conns[i] = connect(t, binary.Conf(dir))
			hasty[i] = openPool(t, conns[i], pool)
		}
		ctx, giveUp := context.WithCancel(t.Context())
		quitters, stayers := newCrew(), newCrew()
		acks := 100 + r.Int64N(900)
		moment := l.After(acks)
		for i, w := range l.Writers {
			if i%2 == 0 {
				quitters.add(ctx, w, hasty[i/2%clients])
			} else {
				stayers.add(t.Context(), w, patient[i/2%clients])
			}
		}
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
		out := verify(t, l, openPool(t, connect(t, binary.Conf(dir)), pool))
		t.Logf("round %d: killed after %d operations; %d objects as they must be; in doubt: %d done, %d not",
			round+1, acks, out.Objects, out.Done, out.NotDone)
	}

	binary.Down(t, dir)
	fsck(t, dir, osds)
	binary.Up(t, dir)
	verify(t, l, openPool(t, connect(t, binary.Conf(dir)), pool))
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
