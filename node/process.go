package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pulpo-storage/pulpo/metric"
)

// process is a daemon that has a process of its own, which this one supervises as
// systemd would: when it ends without having been told to, that is reported and
// it is started again, after a delay that grows while it does not stay up.
//
//	starting ──READY──► running ──its end──► waiting ──delay──► starting
//	    │                  └────────────── stop, kill ─────────► stopped
//	    └──its end, the first time──► stopped: the start has failed
//
// The process holds the read end of a pipe whose write end is ours. When we are
// gone, however we went, the pipe says so and it stops.
type process struct {
	daemon  string // "osd.0"
	command func() *exec.Cmd
	log     *slog.Logger
	changed func() // the state is another one

	mu   sync.Mutex
	proc ProcessState
	cmd  *exec.Cmd

	ended bool // for good, as the daemon told before its end

	stop chan struct{} // no more lives
	once sync.Once
	done chan struct{}
}

// ProcessState is how a daemon of a directory is.
type ProcessState struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"` // 0: none
	State string `json:"state"`
	// Status is what the daemon said last, in this life or before it ended.
	Status   string    `json:"status,omitempty"`
	Restarts int       `json:"restarts"`
	Retry    time.Time `json:"retry,omitzero"` // when it is started again
}

// EndedNote is what a daemon tells its supervisor that has ended for good: the
// cluster has told it to stop.
const (
	EndedNote = endedKey + "=1"
	endedKey  = "X_PULPO_ENDED"
)

// errEnded is why a daemon did not start that the cluster has told to stop before.
var errEnded = errors.New("told to stop by the cluster")

// States of a supervised process.
const (
	stateStarting = "starting"
	stateRunning  = "running"
	stateWaiting  = "waiting"
	stateStopped  = "stopped"
)

// Delays before a daemon is started again. One that stayed up for settled begins
// with the first again.
const (
	firstDelay = 100 * time.Millisecond
	mostDelay  = 30 * time.Second
	settled    = time.Minute
)

func nextDelay(d, lived time.Duration) time.Duration {
	if d == 0 || lived >= settled {
		return firstDelay
	}
	return min(2*d, mostDelay)
}

// stopPatience is how long a process may take to stop before it is killed.
const stopPatience = 30 * time.Second

// startProcess starts a daemon and returns when it runs. One whose first life
// ends before that is not tried again.
func startProcess(ctx context.Context, name string, command func() *exec.Cmd, log *slog.Logger, changed func()) (*process, error) {
	p := &process{
		daemon: name, command: command, log: log.With("daemon", name), changed: changed,
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	p.proc = ProcessState{Name: name, State: stateStarting}
	first := make(chan error, 1)
	go p.run(first)
	select {
	case err := <-first:
		if err != nil {
			<-p.done
			return nil, err
		}
		return p, nil
	case <-ctx.Done():
		p.kill()
		return nil, fmt.Errorf("%s: start: %w", name, context.Cause(ctx))
	}
}

// run lives one life of the daemon after the other. first is told how the first
// start went.
func (p *process) run(first chan<- error) {
	defer close(p.done)
	var delay time.Duration
	told := false
	tell := func(err error) {
		if !told {
			told = true
			first <- err
		}
	}
	for {
		began := time.Now()
		err := p.live(func() { tell(nil) })
		select {
		case <-p.stop:
			p.set(func(s *ProcessState) { *s = ProcessState{Name: p.daemon, State: stateStopped} })
			tell(errors.New("stopped"))
			return
		default:
		}
		if !told {
			if p.ended {
				err = errEnded
			}
			p.set(func(s *ProcessState) { s.PID, s.State = 0, stateStopped })
			tell(err)
			return
		}
		if p.ended {
			p.log.Warn("daemon has ended", "why", err)
			p.set(func(s *ProcessState) { s.PID, s.State = 0, stateStopped })
			<-p.stop
			return
		}
		delay = nextDelay(delay, time.Since(began))
		p.log.Error("daemon ended", "err", err, "restart", delay)
		p.set(func(s *ProcessState) {
			s.PID, s.State, s.Status = 0, stateWaiting, err.Error()
			s.Retry, s.Restarts = time.Now().Add(delay), s.Restarts+1
		})
		select {
		case <-p.stop:
		case <-time.After(delay):
		}
	}
}

// live runs the daemon once, until its end, and says why it ended.
func (p *process) live(running func()) error {
	heard := func(name, value string) {
		switch name {
		case "READY":
			p.set(func(s *ProcessState) { s.State = stateRunning })
			running()
		case endedKey:
			p.ended = true
		case "STATUS":
			p.set(func(s *ProcessState) { s.Status = value })
		}
	}
	l, err := listenNotify(heard)
	if err != nil {
		return err
	}
	defer l.close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close() // after the process's end
	cmd := p.command()
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+l.name)
	cmd.ExtraFiles = []*os.File{r}
	// The terminal's signals are ours: we end daemons in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	p.mu.Lock()
	select {
	case <-p.stop:
		err = errors.New("stopped")
	default:
		err = cmd.Start()
	}
	if err == nil {
		p.cmd = cmd
	}
	p.mu.Unlock()
	r.Close()
	if err != nil {
		return err
	}
	p.set(func(s *ProcessState) {
		s.PID, s.State, s.Status, s.Retry = cmd.Process.Pid, stateStarting, "", time.Time{}
	})
	err = cmd.Wait()
	p.mu.Lock()
	p.cmd = nil
	p.mu.Unlock()
	l.flush()
	why := cmd.ProcessState.String()
	if last := p.status().Status; err != nil && cmd.ProcessState.ExitCode() > 0 && last != "" {
		why = last
	}
	return errors.New(why)
}

func (p *process) set(f func(*ProcessState)) {
	p.mu.Lock()
	f(&p.proc)
	p.mu.Unlock()
	p.changed()
}

func (p *process) status() ProcessState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proc
}

func (p *process) name() string               { return p.daemon }
func (p *process) registry() *metric.Registry { return nil }

// serves reports whether the daemon says that it does what it is for.
func (p *process) serves() bool {
	s := p.status()
	return s.State == stateRunning && (s.Status == statusActive || !strings.HasPrefix(p.daemon, "osd."))
}

// signal reaches the process of this life, if there is one.
func (p *process) signal(sig syscall.Signal) {
	p.once.Do(func() { close(p.stop) })
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		p.cmd.Process.Signal(sig)
	}
}

func (p *process) close() error {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-time.After(stopPatience):
	}
	p.kill()
	return fmt.Errorf("%s: did not stop within %v and was killed", p.daemon, stopPatience)
}

func (p *process) kill() error {
	p.signal(syscall.SIGKILL)
	<-p.done
	return nil
}

// lifelineFD is where a supervised process finds its end of the pipe.
const lifelineFD = 3

// daemonCommand is the command that runs a daemon of this directory by itself.
func daemonCommand(o *Options, name string) *exec.Cmd {
	kind, id, _ := strings.Cut(name, ".")
	args := []string{kind, "--dir", o.Dir, "--id", id, "--metrics", o.Metrics, "--lifeline-fd", strconv.Itoa(lifelineFD)}
	cmd := exec.Command(o.Program, append(args, o.ProgramArgs...)...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd
}
