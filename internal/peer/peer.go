// Package peer gives tests a real Ceph cluster of the distribution's packages to
// compare with; test/peer/ceph-peer makes it.
package peer

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Conf returns the path of the ceph.conf of a stock cluster with one OSD. The
// cluster lives until the test ends; with PULPO_PEER_CONF set it is the one that
// this names. Without Ceph's packages the test is skipped: "make test" installs
// them.
func Conf(t testing.TB, args ...string) string {
	t.Helper()
	if c := os.Getenv("PULPO_PEER_CONF"); c != "" && len(args) == 0 {
		return c
	}
	Require(t, "ceph-mon", "ceph-osd", "ceph-mgr", "ceph")
	// The path of a unix socket is short, that of t.TempDir is not.
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(Root(), "test/peer/ceph-peer")
	t.Cleanup(func() {
		if out, err := exec.Command(script, "down", "--dir", dir).CombinedOutput(); err != nil {
			t.Errorf("ceph-peer down: %v\n%s", err, out)
		}
	})
	// On a disk that turns, stock OSDs rest for 5 s after each step of trimming.
	up := []string{"up", "--dir", dir, "--set", "osd snap trim sleep hdd = 0"}
	if out, err := exec.Command(script, append(up, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("ceph-peer up: %v\n%s", err, out)
	}
	return filepath.Join(dir, "ceph.conf")
}

// Require skips the test if one of the stock programs is not installed. In CI
// that is a failure: the test command installs them.
func Require(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := lookPath(p); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is not installed", p)
			}
			t.Skipf("%s is not installed; test/install does that", p)
		}
	}
}

// path is where the distribution's programs are; the stock tools are Python of
// the distribution's, whatever else the caller's PATH has first.
const path = "/usr/sbin:/usr/bin:/sbin:/bin"

func lookPath(name string) (string, error) {
	for dir := range strings.SplitSeq(path, ":") {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p, nil
		}
	}
	return "", exec.ErrNotFound
}

// Env is the environment for stock tools that use the cluster of a ceph.conf.
func Env(conf string) []string {
	env := []string{"PATH=" + path, "CEPH_CONF=" + conf, "LC_ALL=C.UTF-8"}
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		switch name {
		case "PATH", "CEPH_CONF", "CEPH_ARGS", "CEPH_KEYRING", "PYTHONPATH", "PYTHONHOME", "LC_ALL", "LANG":
		default:
			env = append(env, e)
		}
	}
	return env
}

// Root is the root of the source tree.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}
