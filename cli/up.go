package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/node"
)

const defaultDir = "pulpo-data"

func newUp() *cobra.Command {
	var (
		o       node.Options
		detach  bool
		procs   bool
		readyFD int
		level   string
	)
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run a whole cluster on this host",
		Long: `Run a whole cluster on this host: monitors, a manager and OSDs, in one process
or with --processes in one each.

The first time it makes the cluster in the directory; afterwards it continues
the one that is there. It serves until SIGINT or SIGTERM.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Dir, err = filepath.Abs(o.Dir); err != nil {
				return err
			}
			if o.Mons < 0 {
				return fmt.Errorf("--mons %d: want a positive number", o.Mons)
			}
			if o.OSDs < 0 {
				return fmt.Errorf("--osds %d: want a positive number", o.OSDs)
			}
			if o.OSDSize < 0 {
				return fmt.Errorf("--osd-size %d: want a positive number of bytes", o.OSDSize)
			}
			if o.Memory < 0 {
				return fmt.Errorf("--memory %d: want a positive number of bytes", o.Memory)
			}
			if procs {
				if err := inProcesses(&o, level); err != nil {
					return err
				}
			}
			if detach {
				return startDetached(cmd.OutOrStdout(), o.Dir, level, o)
			}
			if o.Log, err = logAt(level); err != nil {
				return err
			}
			o.MemoryLimit = limitMemory
			ready := func(err error) {
				if err == nil {
					howTo(cmd.OutOrStdout(), o.Dir)
				}
			}
			if readyFD > 0 {
				ready = reportTo(os.NewFile(uintptr(readyFD), "ready"))
				o.Opened, o.ReopenLog = logInto, logInto
			}
			return serve(cmd.Context(), o, ready)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "dir", defaultDir, "the cluster's directory")
	f.IntVar(&o.Mons, "mons", 0, "number of monitors (default 1, or those the directory has)")
	f.IntVar(&o.OSDs, "osds", 0, "number of OSDs (default 1, or those the directory has)")
	f.StringVar(&o.Listen, "listen", "", "ADDR or ADDR:PORT to listen on; the port is the monitor's (default 127.0.0.1, or as before)")
	f.StringVar(&o.Metrics, "metrics", "127.0.0.1:0", "loopback address of the Prometheus metrics; empty for none")
	f.Int64Var(&o.OSDSize, "osd-size", 0, "size of the data file of each new OSD in bytes (default: what the file system has free, at most 1 TiB)")
	f.Int64Var(&o.Memory, "memory", 0, "bytes of memory to stay below (default 64 MiB, and 192 MiB for each OSD)")
	f.BoolVar(&procs, "processes", false, "run each daemon in a process of its own, which is started again when it ends")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&detach, "detach", false, "return once the cluster serves; it goes on in the background")
	f.IntVar(&readyFD, "ready-fd", 0, "")
	f.MarkHidden("ready-fd")
	return cmd
}

func logAt(level string) (*slog.Logger, error) {
	var lvl slog.Level
	if err := lvl.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: want debug, info, warn or error", level)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: lvl})), nil
}

// inProcesses makes each daemon a process of its own.
func inProcesses(o *node.Options, level string) (err error) {
	if _, port, err := net.SplitHostPort(o.Metrics); err == nil && port != "0" {
		return fmt.Errorf("--metrics %s: each process serves its own, so the port must be 0", o.Metrics)
	}
	if o.Memory != 0 {
		return errors.New("--memory is that of one process; with --processes set osd_memory_target instead")
	}
	o.Program, err = os.Executable()
	o.ProgramArgs = []string{"--log-level", level}
	return err
}

// limitMemory tells the garbage collector how much there may be, unless the
// environment has. An eighth is for what it does not see, and for its being late.
func limitMemory(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes - bytes/8)
	}
}

// serve runs the cluster until the context ends or a daemon fails.
func serve(ctx context.Context, o node.Options, ready func(error)) error {
	c, err := node.Start(ctx, o)
	if err == nil {
		err = c.WaitReady(ctx)
		if err != nil {
			c.Close()
		}
	}
	ready(err)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-c.Failed():
	}
	return errors.Join(c.Err(), c.Close())
}

func howTo(w io.Writer, dir string) {
	fmt.Fprintf(w, `The cluster serves. To use it with Ceph's own tools:

    export CEPH_CONF=%s
    ceph -s
    rados -p rbd put hello /etc/hostname

To stop it: pulpo down --dir %s
`, filepath.Join(dir, "ceph.conf"), dir)
}

// reportTo tells the parent of a detached cluster how the start went.
func reportTo(f *os.File) func(error) {
	return func(err error) {
		if err != nil {
			fmt.Fprintf(f, "error %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		} else {
			fmt.Fprintln(f, "ready")
		}
		f.Close()
	}
}

// logInto sends what this process prints, a panic too, to the log in the
// cluster's directory.
func logInto(d *node.Dir) error {
	if err := os.MkdirAll(d.Join("log"), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(d.Join("log", "pulpo.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	return errors.Join(syscall.Dup3(int(f.Fd()), 1, 0), syscall.Dup3(int(f.Fd()), 2, 0))
}

// startTimeout bounds how long a detached start may take; a journal that is
// full takes seconds to replay.
const startTimeout = 2 * time.Minute

// startDetached runs "pulpo up" in a session of its own and waits until it
// says that it serves.
func startDetached(out io.Writer, dir, level string, o node.Options) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// Until the child has the directory its words go to a file of their own: a
	// directory that turns out not to be usable must stay as it is.
	logFile, err := os.CreateTemp("", "pulpo-up-*.log")
	if err != nil {
		return err
	}
	defer logFile.Close()
	defer os.Remove(logFile.Name())
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	args := []string{"up", "--dir", dir, "--mons", strconv.Itoa(o.Mons), "--osds", strconv.Itoa(o.OSDs), "--listen", o.Listen, "--metrics", o.Metrics,
		"--osd-size", strconv.FormatInt(o.OSDSize, 10), "--memory", strconv.FormatInt(o.Memory, 10), "--log-level", level, "--ready-fd", "3"}
	if o.Program != "" {
		args = append(args, "--processes")
	}
	child := exec.Command(self, args...)
	child.Stdout, child.Stderr = logFile, logFile
	child.ExtraFiles = []*os.File{w}
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		w.Close()
		return err
	}
	w.Close()
	pid := child.Process.Pid
	r.SetReadDeadline(time.Now().Add(startTimeout))
	line, err := bufio.NewReader(r).ReadString('\n')
	switch word, rest, _ := strings.Cut(strings.TrimSpace(line), " "); {
	case word == "ready":
		child.Process.Release()
		fmt.Fprintf(out, "The log is %s.\n", filepath.Join(dir, "log", "pulpo.log"))
		howTo(out, dir)
		return nil
	case word == "error":
		child.Wait()
		return errors.New(rest)
	case errors.Is(err, os.ErrDeadlineExceeded):
		syscall.Kill(pid, syscall.SIGTERM)
		child.Wait()
		return fmt.Errorf("the cluster did not serve within %v", startTimeout)
	default:
		werr := child.Wait()
		return fmt.Errorf("the cluster ended at its start (%v): %s", werr, lastLine(logFile.Name()))
	}
}

func lastLine(path string) string {
	b, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}
