package stock

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/internal/crowd"
	"github.com/pulpo-storage/pulpo/internal/peer"
)

// TestManySoak runs every stock suite, and the tests of our own clients, on three
// monitors and five OSDs with three copies of everything, at rest and while OSDs
// are killed. What the tools say must be what they say on a stock cluster of as
// many OSDs, of which none is killed.
func TestManySoak(t *testing.T) {
	binary.SoakRounds(t)
	peer.Require(t, "ceph", "rados", "rbd", "ceph-osd", "ceph-mon", "ceph-mgr", "python3")
	stock := sync.OnceValue(func() string { return peer.Conf(t, "--osds", fmt.Sprint(crowd.OSDs)) })
	scripts := glob(t, "testdata/*.script")
	scripts = append(scripts, glob(t, "testdata/long/*.script")...)
	said := sync.OnceValue(func() map[string][]outcome { return runScripts(t, stock(), scripts) })
	for _, p := range crowd.Paces {
		t.Run(string(p), func(t *testing.T) {
			c := crowd.Start(t)
			t.Run("go-ceph", func(t *testing.T) {
				cmd := exec.CommandContext(t.Context(), filepath.Join(peer.Root(), "test/suites/go-ceph"), "--timeout", "30m", "rados", "rbd")
				cmd.Env = append(os.Environ(), "CEPH_CONF="+c.Conf, "CGO_ENABLED=1", "GOFLAGS=")
				c.During(t, p, 0, func() { pass(t, cmd) })
				// The suite gives the cluster a name, which the scripts would see.
				cmd = exec.CommandContext(t.Context(), "ceph", "config-key", "rm", "rbd/mirror/site_name")
				cmd.Env = peer.Env(c.Conf)
				pass(t, cmd)
			})
			t.Run("clients", func(t *testing.T) {
				cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-timeout=30m", "-vet=off", "./rados", "./rbd", "./cli/radoscmd", "./cli/rbdcmd")
				cmd.Dir = peer.Root()
				cmd.Env = append(os.Environ(), "PULPO_TEST_CONF="+c.Conf)
				c.During(t, p, 0, func() { pass(t, cmd) })
			})
			t.Run("scripts", func(t *testing.T) {
				want := said()
				if p != crowd.AtRest {
					t.Setenv("OSDS_DIE", "1") // for watch.py
				}
				c.During(t, p, 0, func() {
					for path, got := range runScripts(t, c.Conf, scripts) {
						compareScript(t, path, readScript(t, path), [2][]outcome{want[path], got})
					}
				})
			})
		})
	}
}

// pass runs a command that must succeed.
func pass(t *testing.T, cmd *exec.Cmd) {
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("%s: %v", cmd, err)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(peer.Root(), "test/stock", pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(paths), err)
	}
	return paths
}

// runScripts runs script files on a cluster, all at once.
func runScripts(t *testing.T, conf string, paths []string) map[string][]outcome {
	return atOnce(paths, func(path string) []outcome {
		name := strings.TrimSuffix(filepath.Base(path), ".script")
		return runScript(t.Context(), conf, t.TempDir(), name, readScript(t, path))
	})
}

// atOnce does something for each path at the same time.
func atOnce[R any](paths []string, f func(path string) R) map[string]R {
	var wg sync.WaitGroup
	var mu sync.Mutex
	all := make(map[string]R, len(paths))
	for _, path := range paths {
		wg.Go(func() {
			r := f(path)
			mu.Lock()
			defer mu.Unlock()
			all[path] = r
		})
	}
	wg.Wait()
	return all
}
