package chaos

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/internal/peer"
)

// watcher is a program on the stock librados that watches an object.
type watcher struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
}

func startWatcher(t *testing.T, conf, pool, object string, timeout time.Duration) *watcher {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", "testdata/watcher.py", pool, object, fmt.Sprint(int(timeout.Seconds())))
	cmd.Env = peer.Env(conf)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &watcher{t, cmd, in, make(chan string, 100)}
	go func() {
		defer close(w.lines)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			w.lines <- sc.Text()
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		for range w.lines {
		}
		cmd.Wait()
	})
	w.says("watching")
	return w
}

// says waits for the watcher's next word.
func (w *watcher) says(want string) {
	w.t.Helper()
	select {
	case got := <-w.lines:
		if got != want {
			w.t.Fatalf("the watcher says %q, want %q", got, want)
		}
	case <-time.After(2 * patience):
		w.t.Fatalf("the watcher says nothing, want %q", want)
	}
}

func (w *watcher) tell(command string) {
	w.t.Helper()
	if _, err := io.WriteString(w.in, command+"\n"); err != nil {
		w.t.Fatal(err)
	}
}

// stockRados runs the stock tool, which must succeed.
func stockRados(t *testing.T, conf string, args ...string) string {
	t.Helper()
	cmd := exec.Command("rados", append([]string{"-p", "rbd"}, args...)...)
	cmd.Env = peer.Env(conf)
	r := binary.Exec(t, cmd)
	if r.Code != 0 {
		t.Fatalf("rados %v: %v", args, r)
	}
	return r.Out
}

// TestWatchSurvivesKill kills a cluster under a stock client that watches an
// object. The client hears of the next notification, which is sent as soon as
// anybody can, and its application of nothing else.
func TestWatchSurvivesKill(t *testing.T) {
	t.Parallel()
	peer.Require(t, "rados")
	dir := binary.Dir(t)
	p := binary.Up(t, dir)
	conf := binary.Conf(dir)
	stockRados(t, conf, "create", "o")
	w := startWatcher(t, conf, "rbd", "o", 0)
	for round := range 3 {
		p.Kill(t)
		p = binary.Up(t, dir)
		text := fmt.Sprintf("round-%d", round)
		stockRados(t, conf, "notify", "o", text)
		w.says("heard " + text)
	}
	w.tell("check")
	w.says("ok")
}

// TestFrozenWatcherIsRemoved stops a stock client that watches an object for
// longer than its timeout. It is removed, others do not wait for it any more,
// and it learns of that when it goes on.
func TestFrozenWatcherIsRemoved(t *testing.T) {
	t.Parallel()
	peer.Require(t, "rados")
	dir := binary.Dir(t)
	binary.Up(t, dir)
	conf := binary.Conf(dir)
	stockRados(t, conf, "create", "o")
	const timeout = 12 * time.Second // the client pings every 5 s
	w := startWatcher(t, conf, "rbd", "o", timeout)
	stockRados(t, conf, "notify", "o", "before")
	w.says("heard before")
	if err := w.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	frozen := time.Now()
	if stockRados(t, conf, "listwatchers", "o") == "" {
		t.Error("the watcher was removed at once")
	}
	for stockRados(t, conf, "listwatchers", "o") != "" {
		if time.Since(frozen) > timeout+patience {
			t.Fatalf("still watches after %v without a sign of life", time.Since(frozen))
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("removed after %v, its timeout is %v", time.Since(frozen), timeout)
	stockRados(t, conf, "notify", "o", "nobody hears")
	if err := w.cmd.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	w.says("error -107")
	w.tell("check")
	w.says("failed 107")
	w.tell("again")
	w.says("ok")
	stockRados(t, conf, "notify", "o", "after")
	w.says("heard after")
}
