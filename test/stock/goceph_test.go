package stock

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pulpo-storage/pulpo/internal/peer"
	"github.com/pulpo-storage/pulpo/pulpotest"
)

// TestGoCeph runs go-ceph's own tests, through the stock librados and librbd,
// against Pulpo.
func TestGoCeph(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("compiles go-ceph")
	}
	if _, err := os.Stat("/usr/include/rbd/librbd.h"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("librbd-dev is not installed")
		}
		t.Skip("librbd-dev is not installed; test/install does that")
	}
	conf := pulpotest.Start(t, pulpotest.Options{}).Conf
	cmd := exec.Command(filepath.Join(peer.Root(), "test/suites/go-ceph"), "rados", "rbd")
	cmd.Env = append(os.Environ(), "CEPH_CONF="+conf, "CGO_ENABLED=1", "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("go-ceph: %v", err)
	}
}
