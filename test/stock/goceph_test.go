package stock

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/internal/peer"
	"github.com/pulpo-storage/pulpo/pulpotest"
)

// TestGoCeph runs go-ceph's own tests, through the stock librados, against
// Pulpo. What is left to build is listed in test/suites/go-ceph.left.
func TestGoCeph(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("compiles go-ceph")
	}
	if _, err := os.Stat("/usr/include/rados/librados.h"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("librados-dev is not installed")
		}
		t.Skip("librados-dev is not installed; test/install does that")
	}
	suites := filepath.Join(peer.Root(), "test/suites")
	conf := pulpotest.Start(t, pulpotest.Options{}).Conf
	left, err := os.ReadFile(filepath.Join(suites, "go-ceph.left"))
	if err != nil {
		t.Fatal(err)
	}
	var skip []string
	for l := range strings.Lines(string(left)) {
		if name := strings.TrimSpace(l); name != "" && !strings.HasPrefix(name, "#") {
			skip = append(skip, name)
		}
	}
	cmd := exec.Command(filepath.Join(suites, "go-ceph"), "--skip", "TestRadosTestSuite/("+strings.Join(skip, "|")+")$", "rados")
	cmd.Env = append(os.Environ(), "CEPH_CONF="+conf, "CGO_ENABLED=1", "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("go-ceph: %v", err)
	}
}
