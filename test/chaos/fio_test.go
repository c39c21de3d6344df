package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/internal/peer"
)

func TestFioSurvivesKill(t *testing.T) {
	t.Parallel()
	killFio(t, 3, 16<<20)
}

func TestFioSurvivesKillSoak(t *testing.T) {
	t.Parallel()
	killFio(t, binary.SoakRounds(t), 256<<20)
}

// killFio kills the cluster under fio on the stock librbd, which writes all of an
// image in random order and sizes, many at a time, then reads it and compares,
// again and again until there were so many kills. Snapshots of the image are
// taken and removed all the while, so that it writes to clones and the kills meet
// trimming. fio does not notice the kills.
func killFio(t *testing.T, rounds, size int) {
	peer.Require(t, "fio", "rbd", "rados")
	seed := seed(t)
	r := rand.New(rand.NewPCG(seed, 1<<32))
	dir := binary.Dir(t)
	p := binary.Up(t, dir)
	conf := binary.Conf(dir)
	stockRBD(t, conf, "create", "--size", fmt.Sprintf("%dB", size), "--object-size", "1M", "image")

	ctx, cancel := context.WithCancel(t.Context())
	snapped := make(chan error, 1)
	var snaps int
	go func() { snapped <- snapshots(ctx, conf, &snaps) }()
	for kills, run := 0, 0; kills < rounds; run++ {
		cmd := exec.Command("fio", "--name=verified", "--ioengine=rbd", "--clientname=admin", "--pool=rbd", "--rbdname=image",
			"--rw=randwrite", "--bsrange=4k-128k", "--iodepth=16", fmt.Sprintf("--randseed=%d", seed>>8+uint64(run)),
			"--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0", "--size="+fmt.Sprint(size), "--rate="+fmt.Sprint(size/2))
		cmd.Env = peer.Env(conf)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.Dir = t.TempDir()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		var err error
		for over := false; !over; {
			var next <-chan time.Time
			if kills < rounds {
				next = time.After(300*time.Millisecond + time.Duration(r.Int64N(int64(time.Second))))
			}
			select {
			case err = <-ended:
				over = true
			case <-next:
				kills++
				p = again(t, dir, p, r)
			case <-time.After(4 * patience):
				cmd.Process.Kill()
				<-ended
				t.Fatalf("seed %#x: fio makes no progress\n%s", seed, &out)
			}
		}
		if err != nil || strings.Contains(out.String(), "verify:") {
			t.Fatalf("seed %#x: fio, after %d kills: %v\n%s", seed, kills, err, &out)
		}
	}
	cancel()
	if err := <-snapped; err != nil {
		t.Fatal(err)
	}
	t.Logf("fio verified; %d kills, %d snapshots", rounds, snaps)
	stockRBD(t, conf, "object-map", "check", "image")
	stockRBD(t, conf, "snap", "purge", "--no-progress", "image")
	stockRBD(t, conf, "rm", "--no-progress", "image")
	nothingLeft(t, dir, p, r)
}

// snapshots takes a snapshot after the other of the image, reads each twice, which
// must give the same, and removes it, until the context ends.
func snapshots(ctx context.Context, conf string, done *int) error {
	run := func(args ...string) (string, error) {
		cmd := exec.Command("bash", "-c", strings.Join(args, " "))
		cmd.Env = peer.Env(conf)
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		late := time.AfterFunc(2*patience, func() { cmd.Process.Kill() })
		defer late.Stop()
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("%v: %w\n%s", args, err, errs.String())
		}
		return out.String(), nil
	}
	for ctx.Err() == nil {
		snap := fmt.Sprintf("image@s%d", *done)
		if _, err := run("rbd snap create --no-progress", snap); err != nil {
			return err
		}
		first, err := run("rbd export --no-progress", snap, "- | sha1sum")
		if err != nil {
			return err
		}
		second, err := run("rbd export --no-progress", snap, "- | sha1sum")
		if err != nil {
			return err
		}
		if first != second {
			return fmt.Errorf("%s changed: %s, %s", snap, first, second)
		}
		if _, err := run("rbd snap rm --no-progress", snap); err != nil {
			return err
		}
		*done++
	}
	return nil
}

// stockRBD runs the stock tool, which must succeed.
func stockRBD(t *testing.T, conf string, args ...string) {
	t.Helper()
	cmd := exec.Command("rbd", args...)
	cmd.Env = peer.Env(conf)
	if r := binary.Exec(t, cmd); r.Code != 0 {
		t.Fatalf("rbd %v: %v", args, r)
	}
}
