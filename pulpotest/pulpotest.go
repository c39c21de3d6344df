// Package pulpotest runs a cluster inside a test: monitors and OSDs, in the
// process of the test or in one each, which stock clients and the rados package can use.
//
//	func TestMine(t *testing.T) {
//		c := pulpotest.Start(t, pulpotest.Options{})
//		pool := c.Pool("data")
//		if err := pool.WriteFull(t.Context(), "greeting", []byte("hello")); err != nil { ... }
//		out, err := exec.Command("rados", "--conf", c.Conf, "-p", "data", "ls").Output()
//	}
//
// Everything is gone when the test ends. The package is part of Pulpo's
// promised API.
package pulpotest

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/node"
	"github.com/pulpo-storage/pulpo/rados"
)

// Options say what cluster a test wants. The zero value is good.
type Options struct {
	// Dir is where the cluster lives. Empty: a directory that is removed at the
	// end of the test. A directory that is given stays, and a later Start goes on
	// with what is in it.
	Dir  string
	Mons int // 0: one, or those that Dir has
	OSDs int // 0: one, or those that Dir has
	// Processes gives each daemon a process of its own: of the program that the
	// environment variable PULPO names, or else of one built for the purpose.
	Processes bool
	// Log is where the daemons and the client log; nil: nowhere.
	Log *slog.Logger
}

// startLimit bounds the start of a cluster on a slow machine.
const startLimit = time.Minute

// Cluster is a cluster that runs.
type Cluster struct {
	Dir     string // the cluster's directory
	Conf    string // its ceph.conf, for stock tools
	Keyring string // the key of client.admin
	// Client is connected as client.admin.
	Client *rados.Cluster

	t       testing.TB
	opts    Options
	program string
	node    *node.Cluster
}

// Start starts a cluster and connects to it. It is stopped at the end of the
// test.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	if o.Dir == "" {
		// Not t.TempDir: the name of a test may be longer than the path of a
		// socket can be.
		dir, err := os.MkdirTemp("", "pulpotest")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		})
		o.Dir = dir
	}
	c := &Cluster{Dir: o.Dir, Keyring: filepath.Join(o.Dir, "ceph.client.admin.keyring"), t: t, opts: o}
	if o.Processes {
		c.program = program(t)
	}
	t.Cleanup(c.Stop)
	c.start()
	return c
}

// program is the path of pulpo.
func program(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("PULPO"); path != "" {
		return path
	}
	dir, err := os.MkdirTemp("", "pulpotest-bin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "pulpo")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/pulpo-storage/pulpo/cmd/pulpo").CombinedOutput(); err != nil {
		t.Fatalf("build pulpo for a cluster of processes: %v\n%s", err, out)
	}
	return path
}

func (c *Cluster) start() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), startLimit)
	defer cancel()
	level := "error" // a daemon of its own process logs to stderr, whatever Log is
	if c.opts.Log != nil {
		level = "info"
	}
	n, err := node.Start(ctx, node.Options{
		Dir: c.Dir, Mons: c.opts.Mons, OSDs: c.opts.OSDs, Log: c.opts.Log,
		Program: c.program, ProgramArgs: []string{"--log-level", level},
	})
	if err != nil {
		c.t.Fatalf("start a cluster: %v", err)
	}
	c.node = n
	if err := n.WaitReady(ctx); err != nil {
		c.t.Fatalf("start a cluster: %v", err)
	}
	c.Conf = n.Conf()
	c.Client = c.Connect()
}

// Connect connects one more client; it is closed at the end of the test.
func (c *Cluster) Connect(opts ...rados.Option) *rados.Cluster {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), startLimit)
	defer cancel()
	if c.opts.Log != nil {
		opts = append([]rados.Option{rados.WithLog(c.opts.Log.With("daemon", "client"))}, opts...)
	}
	client, err := rados.ConnectFile(ctx, c.Conf, opts...)
	if err != nil {
		c.t.Fatalf("connect to the cluster: %v", err)
	}
	c.t.Cleanup(func() { client.Close() })
	return client
}

// Pool opens a pool of the client; one that does not exist is made.
func (c *Cluster) Pool(name string) *rados.Pool {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), startLimit)
	defer cancel()
	p, err := c.Client.Pool(ctx, name)
	if errors.Is(err, rados.ErrNotFound) {
		p, err = c.Client.CreatePool(ctx, name)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// Stop stops the cluster and waits until it has. Its directory stays until the
// end of the test.
func (c *Cluster) Stop() {
	c.t.Helper()
	if c.Client != nil {
		c.Client.Close()
		c.Client = nil
	}
	if c.node != nil {
		if err := c.node.Close(); err != nil {
			c.t.Errorf("stop the cluster: %v", err)
		}
		c.node = nil
	}
}

// Kill ends one daemon ("osd.1") as if its process had died: it tells nobody, and
// its port is closed. What it acknowledged is on its disk.
func (c *Cluster) Kill(name string) {
	c.t.Helper()
	if err := c.node.KillDaemon(name); err != nil {
		c.t.Fatalf("kill %s: %v", name, err)
	}
}

// StopDaemon stops one daemon in order: an OSD has itself marked down first.
func (c *Cluster) StopDaemon(name string) {
	c.t.Helper()
	if err := c.node.StopDaemon(name); err != nil {
		c.t.Fatalf("stop %s: %v", name, err)
	}
}

// StartDaemon starts a daemon that was killed or stopped. It returns when the
// daemon runs; the map may show it a moment later.
func (c *Cluster) StartDaemon(name string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), startLimit)
	defer cancel()
	if err := c.node.StartDaemon(ctx, name); err != nil {
		c.t.Fatalf("start %s: %v", name, err)
	}
}

// WaitClean waits until all daemons serve and all placement groups are active
// and clean.
func (c *Cluster) WaitClean(ctx context.Context) {
	c.t.Helper()
	if err := c.node.WaitReady(ctx); err != nil {
		c.t.Fatalf("wait for all groups to be clean: %v", err)
	}
}

// Restart stops the cluster and starts it on the same directory. Client is a
// new one then.
func (c *Cluster) Restart() {
	c.t.Helper()
	c.Stop()
	c.start()
}
