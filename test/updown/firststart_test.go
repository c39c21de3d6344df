package updown

import (
	"errors"
	"math/rand/v2"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/internal/binary"
)

// TestKilledFirstStart kills "pulpo up" at moments of its first start, again and
// again in the same directory; what it leaves never stands in the way.
func TestKilledFirstStart(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	began := time.Now()
	for _, kills := range []int{1, 2, 1, 3, 1, 5} {
		dir := binary.Dir(t)
		for range kills {
			cmd := exec.Command(binary.Path(t), "up", "--dir", dir, "--osds", "2")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// Most of what can be torn is made in the first moments.
			time.Sleep(time.Duration(r.ExpFloat64() * float64(60*time.Millisecond)))
			cmd.Process.Kill()
			var exit *exec.ExitError
			err := cmd.Wait()
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("up ended before it was killed: %v\n%s", err, tree(t, dir))
			}
		}
		p := binary.Up(t, dir)
		serves(t, dir)
		p.Kill(t)
		binary.Up(t, dir)
		serves(t, dir)
		binary.Down(t, dir)
		if time.Since(began) > 20*time.Second {
			return
		}
	}
}
