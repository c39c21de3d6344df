// Package stock runs the stock tools against Pulpo and against a stock cluster
// and compares what they say.
package stock

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/internal/peer"
	"github.com/pulpo-storage/pulpo/pulpotest"
)

// step is a line of a script.
type step struct {
	line    int
	command string
	codes   bool // compare only the exit codes
}

type outcome struct {
	out, err string
	code     int
}

func readScript(t *testing.T, path string) []step {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var steps []step
	sc := bufio.NewScanner(f)
	for n := 1; sc.Scan(); n++ {
		l := strings.TrimSpace(sc.Text())
		if l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		cmd, codes := strings.CutPrefix(l, "~")
		steps = append(steps, step{n, cmd, codes})
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}

// variable is what differs between two clusters by nature.
var variable = []struct {
	re *regexp.Regexp
	as string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?([+-]\d{4})?`), "TIME"},
	{regexp.MustCompile(`\b127\.0\.0\.1:\d+/\d+`), "ADDR"},
	// What librbd's threads log, in any order and in the middle of what the tool
	// says, and what a stock client says when it is told twice of a monitor: a matter
	// of time against either cluster.
	{regexp.MustCompile(`TIME [0-9a-f]{12} -1 librbd[^\n]*`), "\n"},
	{regexp.MustCompile(`(?m)^TIME [0-9a-f]{12} -1 monclient: (handle_auth_reply_more no authorizer\?|get_auth_request but no auth handler is set up)\n`), ""},
	// What rbd prints of images: when they were made, their ids and those of pools.
	{regexp.MustCompile(`[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}`), "DATE"},
	{regexp.MustCompile(`\.group\.[0-9a-f]+_[0-9a-f]+_[0-9a-f]+`), ".group.ID"},
	{regexp.MustCompile(`\b0x[0-9a-f]{12}\b`), "POINTER"},
	{regexp.MustCompile(`\b[1-9a-f][0-9a-f]{8,14}\b`), "ID"},
	{regexp.MustCompile(`\b(rbd_data|journal_data)\.\d+\.`), "$1.POOL."},
}

func normalize(b []byte) string {
	s := string(b)
	for _, v := range variable {
		s = v.re.ReplaceAllString(s, v.as)
	}
	return s
}

func run(ctx context.Context, conf, dir, pool, command string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", command)
	cmd.Dir = dir
	cmd.Env = append(peer.Env(conf), "P="+pool, "T="+testdata)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return outcome{}, err
	}
	if ctx.Err() != nil {
		return outcome{}, fmt.Errorf("no answer: %w", ctx.Err())
	}
	// Where librbd's threads logged, lines may be broken anywhere.
	words := strings.Join(strings.Fields(normalize(errs.Bytes())), " ")
	return outcome{normalize(out.Bytes()), words, cmd.ProcessState.ExitCode()}, nil
}

var testdata = filepath.Join(peer.Root(), "test/stock/testdata")

// TestScripts runs each script on both clusters at once and compares the
// outcome of every line.
func TestScripts(t *testing.T) {
	t.Parallel()
	peer.Require(t, "ceph", "rados", "rbd", "ceph-osd", "ceph-mon", "ceph-mgr")
	scripts, err := filepath.Glob("testdata/*.script")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	lines, err := filepath.Glob("testdata/*.ceph")
	if err != nil || len(lines) == 0 {
		t.Fatalf("no command lines: %v", err)
	}
	stock := peer.Conf(t)
	ours := pulpotest.Start(t, pulpotest.Options{}).Conf
	for _, path := range lines {
		compare := startCeph(t, stock, ours, path)
		t.Run(strings.TrimSuffix(filepath.Base(path), ".ceph"), func(t *testing.T) {
			t.Parallel()
			compare(t)
		})
	}
	for _, path := range scripts {
		name := strings.TrimSuffix(filepath.Base(path), ".script")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps := readScript(t, path)
			var wg sync.WaitGroup
			var results [2][]outcome
			for i, conf := range [2]string{stock, ours} {
				dir := t.TempDir()
				wg.Go(func() { results[i] = runScript(t.Context(), conf, dir, name, steps) })
			}
			wg.Wait()
			compareScript(t, path, steps, results)
		})
	}
}

// runScript runs a script's lines one after the other.
func runScript(ctx context.Context, conf, dir, name string, steps []step) []outcome {
	all := make([]outcome, len(steps))
	for i, s := range steps {
		var err error
		if all[i], err = run(ctx, conf, dir, "script-"+name, s.command); err != nil {
			all[i] = outcome{err: err.Error(), code: -1}
		}
	}
	return all
}

// compareScript compares the outcomes on the stock cluster and on ours.
func compareScript(t *testing.T, path string, steps []step, results [2][]outcome) {
	t.Helper()
	for i, s := range steps {
		want, got := results[0][i], results[1][i]
		if s.codes {
			want.out, want.err, got.out, got.err = "", "", "", ""
		}
		if got != want {
			t.Errorf("%s:%d: %s\nstock: exit %d\n%s%s\nhere: exit %d\n%s%s", path, s.line, s.command,
				want.code, want.out, want.err, got.code, got.out, got.err)
		}
	}
}
