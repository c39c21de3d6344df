package updown

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pulpo-storage/pulpo/internal/binary"
)

// TestKilledFirstStart kills "pulpo up" at moments of its first start, again and
// again in the same directory; what it leaves never stands in the way.
func TestKilledFirstStart(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	for i, kills := range []int{1, 2, 1, 3, 1, 5} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			dir := binary.Dir(t)
			for range kills {
				// Most of what can be torn is made in the first moments.
				moment := time.Duration(r.ExpFloat64() * float64(60*time.Millisecond))
				if r.IntN(2) == 0 {
					killForeground(t, dir, moment)
				} else {
					killDetached(t, dir, moment)
				}
			}
			p := binary.Up(t, dir)
			serves(t, dir)
			p.Kill(t)
			binary.Up(t, dir)
			serves(t, dir)
			binary.Down(t, dir)
		})
	}
}

func killForeground(t *testing.T, dir string, moment time.Duration) {
	t.Helper()
	cmd := exec.Command(binary.Path(t), "up", "--dir", dir, "--osds", "2")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(moment)
	cmd.Process.Kill()
	err := cmd.Wait()
	if !cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
		t.Fatalf("up ended before it was killed: %v\n%s", err, tree(t, dir))
	}
}

// killDetached kills the process in the background, so soon after it has taken
// the directory.
func killDetached(t *testing.T, dir string, moment time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary.Path(t), "up", "--dir", dir, "--osds", "2", "--detach")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for {
		p, err := binary.Owner(dir)
		if err == nil {
			time.Sleep(moment)
			p.Signal(unix.SIGKILL)
			p.Wait(ctx)
			p.Close()
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("nobody has taken the directory: %v", err)
		}
	}
	// It may have served before the signal came; else it says that it ended.
	cmd.Wait()
	if ctx.Err() != nil {
		t.Fatal("up --detach waits for a process that was killed")
	}
}

// TestTornFirstStart lays out what a start leaves that was cut between any two
// of its first steps.
func TestTornFirstStart(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"nothing":          {},
		"locked":           {"lock": "12345\n"},
		"log only":         {"lock": "12345\n", "log/pulpo.log": "it begins\n"},
		"empty log":        {"lock": "", "log/": ""},
		"identity not yet": {"lock": "12345\n", "log/pulpo.log": "", "cluster.json.new": `{"form`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := binary.Dir(t)
			for path, content := range files {
				full := filepath.Join(dir, path)
				if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
					t.Fatal(err)
				}
				if path[len(path)-1] == '/' {
					if err := os.MkdirAll(full, 0o755); err != nil {
						t.Fatal(err)
					}
				} else if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			binary.Up(t, dir)
			serves(t, dir)
		})
	}
}
