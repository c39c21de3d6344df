package deploy

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pulpo-storage/pulpo/internal/binary"
)

// TestProcesses runs each daemon in a process of its own, and ends them one by one
// and all at once.
func TestProcesses(t *testing.T) {
	t.Parallel()
	dir := binary.Dir(t)
	binary.Up(t, dir, "--processes", "--mons", "3", "--osds", "2")
	c := client(t, dir)
	quorum(t, c, "a", "b", "c")
	allUp(t, c, 2)
	pool := fill(t, c, "rbd", 64)

	// Each has its own.
	pids := map[int]string{}
	for _, name := range []string{"mon.a", "mon.b", "mon.c", "osd.0", "osd.1"} {
		p := binary.Daemon(t, dir, name)
		if other := pids[p.PID]; other != "" {
			t.Errorf("%s and %s are both process %d", name, other, p.PID)
		}
		pids[p.PID] = name
	}
	status := binary.Run(t, "status", "--dir", dir)
	for pid, name := range pids {
		if want := fmt.Sprintf("process %d ", pid); status.Code != 0 || !strings.Contains(status.Out, want) || !strings.Contains(status.Out, name) {
			t.Errorf("status does not say that %s is %s:\n%v", name, want, status)
		}
	}

	// One that is killed is started again, and the rest goes on.
	for _, name := range []string{"osd.1", "mon.b"} {
		old := binary.Daemon(t, dir, name)
		old.Kill(t)
		until(t, name+" runs again", func() error {
			r := binary.Run(t, "status", "--dir", dir)
			for line := range strings.Lines(r.Out) {
				if strings.HasPrefix(line, name) && strings.Contains(line, "running") && strings.Contains(line, "1 restarts") &&
					!strings.Contains(line, fmt.Sprintf("process %d ", old.PID)) {
					return nil
				}
			}
			return fmt.Errorf("%v", r)
		})
	}
	allUp(t, c, 2)
	quorum(t, c, "a", "b", "c")
	check(t, pool, 64)
	if log := binary.LogTail(dir); !strings.Contains(log, "signal: killed") {
		t.Errorf("the log does not tell why they ended:\n%s", log)
	}

	binary.Down(t, dir)
	if left := binary.Daemons(dir); len(left) > 0 {
		t.Errorf("down has left %s, process %d", left[0].Daemon, left[0].PID)
	}
	// The same directory in one process.
	binary.Up(t, dir)
	check(t, fill(t, client(t, dir), "rbd", 0), 64)
}

// TestKilledSupervisor kills the process that supervises the others: they stop,
// and none that hangs is in the way of the next start.
func TestKilledSupervisor(t *testing.T) {
	t.Parallel()
	dir := binary.Dir(t)
	p := binary.Up(t, dir, "--processes", "--osds", "2")
	pool := fill(t, client(t, dir), "rbd", 32)
	_ = pool
	stuck := binary.Daemon(t, dir, "osd.1")
	stuck.Signal(unix.SIGSTOP)
	others := []*binary.Process{binary.Daemon(t, dir, "mon.a"), binary.Daemon(t, dir, "osd.0")}
	p.Kill(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, o := range others {
		if err := o.Wait(ctx); err != nil {
			t.Errorf("%s is still there: %v", o.Daemon, err)
		}
	}
	binary.Up(t, dir, "--processes")
	if err := stuck.Wait(ctx); err != nil {
		t.Errorf("%s is still there: %v", stuck.Daemon, err)
	}
	check(t, fill(t, client(t, dir), "rbd", 0), 32)
	refuses(t, "osd.0 runs already, as process", "osd", "--dir", dir, "--id", "0")
	refuses(t, "mon.a runs already|taken", "mon", "--dir", dir, "--id", "a")
	binary.Down(t, dir)
}

// TestCannotStart has a daemon that cannot run: the start fails and says which
// and why.
func TestCannotStart(t *testing.T) {
	t.Parallel()
	dir := binary.Dir(t)
	binary.Up(t, dir, "--osds", "2")
	binary.Down(t, dir)
	lose(t, dir, "osd.1")
	for _, args := range [][]string{{"--detach"}, {"--detach", "--processes"}} {
		refuses(t, "osd.1: its store is gone from "+dir+"/osd.1/store", append([]string{"up", "--dir", dir}, args...)...)
		if left := binary.Daemons(dir); len(left) > 0 {
			t.Errorf("%s still runs, process %d", left[0].Daemon, left[0].PID)
		}
	}
	refuses(t, "osd.1: its store is gone", "osd", "--dir", dir, "--id", "1")
}

// TestWords misuses the commands of single daemons.
func TestWords(t *testing.T) {
	t.Parallel()
	dir := binary.Dir(t)
	refuses(t, "no cluster", "osd", "--dir", dir, "--id", "0")
	binary.Up(t, dir)
	binary.Down(t, dir)
	refuses(t, "--id", "osd", "--dir", dir)
	refuses(t, "no osd.7 lives here", "osd", "--dir", dir, "--id", "7")
	refuses(t, "no mon.z lives here", "mon", "--dir", dir, "--id", "z")
	refuses(t, "leading monitor", "mgr", "--dir", dir, "--id", "x")
	refuses(t, "--log-level", "mon", "--dir", dir, "--id", "a", "--log-level", "loud")
	refuses(t, "--mons 8: a cluster has 7 monitors at most", "up", "--dir", dir, "--mons", "8", "--detach")
	refuses(t, "--metrics .*port must be 0", "up", "--dir", dir, "--processes", "--metrics", "127.0.0.1:9283", "--detach")
	binary.Up(t, dir, "--mons", "2")
	binary.Down(t, dir)
	refuses(t, "--mons 1: .* has 2 monitors; to remove one: ceph mon rm", "up", "--dir", dir, "--mons", "1", "--detach")
}
