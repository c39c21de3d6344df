// Package binary runs the pulpo program in tests the way people do: as processes
// of their own, known by the directory of their cluster and ended by signals.
//
// A package that uses it has
//
//	func TestMain(m *testing.M) { os.Exit(binary.Main(m)) }
//
// Nothing outlives a test: when it ends, whoever holds a directory made by [Dir]
// is killed and the directory removed.
package binary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pulpo-storage/pulpo/internal/peer"
)

// timeout bounds one command, upTimeout a start of a cluster: one that takes
// longer has failed, whatever it would say later.
const (
	timeout   = 5 * time.Minute
	upTimeout = 2 * time.Minute
)

var built struct {
	once sync.Once
	dir  string // to remove; empty if PULPO names the program
	path string
	err  error
}

// Main runs a package's tests and removes the program if one of them built it.
func Main(m *testing.M) int {
	defer func() {
		if built.dir != "" {
			os.RemoveAll(built.dir)
		}
	}()
	return m.Run()
}

// Path is the program: what the environment variable PULPO names, else one built
// from this tree.
func Path(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		if built.path = os.Getenv("PULPO"); built.path != "" {
			return
		}
		if built.dir, built.err = os.MkdirTemp("", "pulpo-binary"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "pulpo")
		cmd := exec.Command("go", "build", "-o", built.path, "./cmd/pulpo")
		cmd.Dir = peer.Root()
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// Result is what became of a command.
type Result struct {
	Out, Err string
	Code     int // -1 if a signal ended it
}

func (r Result) String() string { return fmt.Sprintf("exit %d\n%s%s", r.Code, r.Out, r.Err) }

// Run runs the program to its end.
func Run(t testing.TB, args ...string) Result {
	t.Helper()
	return Exec(t, exec.Command(Path(t), args...))
}

// Exec runs any command to its end.
func Exec(t testing.TB, cmd *exec.Cmd) Result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	// A cluster in the background must not keep the pipes open for us.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(timeout, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	if !late.Stop() {
		t.Fatalf("%s: no answer within %v\n%s%s", strings.Join(cmd.Args, " "), timeout, &out, &errs)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, &out, &errs)
	}
	return Result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// Dir makes an empty directory for a cluster. Its path is short: those of unix
// sockets in it have little room.
func Dir(t testing.TB) string {
	t.Helper()
	parent, err := os.MkdirTemp("", "pulpo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	dir := filepath.Join(parent, "d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { End(dir) })
	return dir
}

// End kills whoever serves a directory, or one of its daemons, and waits for
// their end.
func End(dir string) {
	all := Daemons(dir)
	if p, err := Owner(dir); err == nil {
		all = append([]*Process{p}, all...)
	}
	for _, p := range all {
		p.Signal(unix.SIGKILL)
		p.Wait(context.Background())
		p.Close()
	}
}

// Daemons are the processes that run single daemons of a directory.
func Daemons(dir string) (all []*Process) {
	locks, _ := filepath.Glob(filepath.Join(dir, "*.*", "lock"))
	for _, lock := range locks {
		if p, err := holder(lock, dir); err == nil {
			p.Daemon = filepath.Base(filepath.Dir(lock))
			all = append(all, p)
		}
	}
	return all
}

// Daemon is the process that runs a daemon of a directory.
func Daemon(t testing.TB, dir, name string) *Process {
	t.Helper()
	p, err := holder(filepath.Join(dir, name, "lock"), dir)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	p.Daemon = name
	t.Cleanup(p.Close)
	return p
}

// Up brings the cluster of a directory up in the background.
func Up(t testing.TB, dir string, args ...string) *Process {
	t.Helper()
	// A start that hangs leaves in its log where.
	stuck := time.AfterFunc(upTimeout, func() {
		if p, err := Owner(dir); err == nil {
			p.Signal(unix.SIGQUIT)
			p.Close()
		}
	})
	defer stuck.Stop()
	r := Run(t, append([]string{"up", "--dir", dir, "--detach"}, args...)...)
	if r.Code != 0 {
		t.Fatalf("pulpo up: %v\n%s", r, LogTail(dir))
	}
	p, err := Owner(dir)
	if err != nil {
		t.Fatalf("pulpo up says it serves, but: %v\n%s", err, LogTail(dir))
	}
	t.Cleanup(p.Close)
	return p
}

// Down ends the cluster of a directory in the ordinary way.
func Down(t testing.TB, dir string) {
	t.Helper()
	if r := Run(t, "down", "--dir", dir); r.Code != 0 {
		t.Fatalf("pulpo down: %v\n%s", r, LogTail(dir))
	}
}

// Conf is the ceph.conf of the cluster of a directory.
func Conf(dir string) string { return filepath.Join(dir, "ceph.conf") }

// LogTail is the end of the log of a detached cluster.
func LogTail(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, "log", "pulpo.log"))
	if err != nil {
		return "no log: " + err.Error()
	}
	return string(b[max(0, len(b)-32000):])
}

// Process is a running pulpo that serves a directory. It is a handle of the
// process itself (pidfd), so a signal never meets another one of its number.
type Process struct {
	PID    int
	Daemon string // "osd.0"; empty: all of the directory
	fd     int
}

// Owner finds the process that serves a directory.
func Owner(dir string) (*Process, error) { return holder(filepath.Join(dir, "lock"), dir) }

// holder finds the process that a lock names, if it is one of the directory's.
func holder(lock, dir string) (*Process, error) {
	b, err := os.ReadFile(lock)
	if err != nil {
		return nil, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", lock, err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	// The number in a lock that nobody holds may be somebody else's now.
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !bytes.Contains(cmdline, []byte(dir)) {
		unix.Close(fd)
		return nil, fmt.Errorf("process %d does not serve %s", pid, dir)
	}
	return &Process{PID: pid, fd: fd}, nil
}

// Signal sends the process a signal; it may have ended before.
func (p *Process) Signal(sig unix.Signal) { unix.PidfdSendSignal(p.fd, sig, nil, 0) }

// Wait waits for the end of the process.
func (p *Process) Wait(ctx context.Context) error {
	for {
		// A pidfd is readable once its process has ended.
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, 100)
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// Kill ends the process with SIGKILL and returns when it is gone.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	p.Signal(unix.SIGKILL)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := p.Wait(ctx); err != nil {
		t.Fatalf("process %d after SIGKILL: %v", p.PID, err)
	}
}

// Close gives the handle up; the process goes on.
func (p *Process) Close() { unix.Close(p.fd) }

// RSS is the memory the process has resident, in bytes.
func (p *Process) RSS() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			return kb << 10, nil
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", p.PID)
}

// Files is how many file descriptors the process has open.
func (p *Process) Files() (int, error) {
	e, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID))
	return len(e), err
}
