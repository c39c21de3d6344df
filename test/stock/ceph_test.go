package stock

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/internal/peer"
)

// poolID is the number of a pool, which depends on what else was made.
var poolID = regexp.MustCompile(`\bpool \d+\b`)

// cephLine is what testdata/cephcli.py says of a line: many command lines of the
// ceph tool run under one start of Python.
type cephLine struct {
	Line    int    `json:"line"`
	Command string `json:"command"`
	Out     string `json:"out"`
	Err     string `json:"err"`
	Code    int    `json:"code"`
}

func runCeph(ctx context.Context, conf, dir, path, name string) ([]cephLine, error) {
	ctx, cancel := context.WithTimeout(ctx, 18*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/usr/bin/python3", filepath.Join(testdata, "cephcli.py"), path, name)
	cmd.Dir = dir
	cmd.Env = append(peer.Env(conf), "P="+name, "T="+testdata)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, errs.Bytes())
	}
	var lines []cephLine
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var l cephLine
		if err := d.Decode(&l); err != nil {
			return nil, err
		}
		l.Out = poolID.ReplaceAllString(normalize([]byte(l.Out)), "pool N")
		l.Err = poolID.ReplaceAllString(normalize([]byte(l.Err)), "pool N")
		lines = append(lines, l)
	}
	return lines, nil
}

// startCeph begins to run a file of command lines on both clusters; the function
// it returns waits and compares the outcome of each line. All files run at once,
// whatever the number of parallel tests: a stock monitor spends its time waiting
// to put changes together.
func startCeph(t *testing.T, stock, ours, path string) func(*testing.T) {
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	name := "cmp-" + strings.TrimSuffix(filepath.Base(path), ".ceph")
	var results [2][]cephLine
	var failed [2]error
	var wg sync.WaitGroup
	for i, conf := range [2]string{stock, ours} {
		dir := t.TempDir()
		wg.Go(func() { results[i], failed[i] = runCeph(t.Context(), conf, dir, path, name) })
	}
	t.Cleanup(wg.Wait)
	return func(t *testing.T) {
		wg.Wait()
		compareCeph(t, filepath.Base(path), results, failed)
	}
}

func compareCeph(t *testing.T, file string, results [2][]cephLine, failed [2]error) {
	if err := errors.Join(failed[:]...); err != nil {
		t.Fatal(err)
	}
	want, got := results[0], results[1]
	if len(want) != len(got) || len(want) == 0 {
		t.Fatalf("%d lines on the stock cluster, %d here", len(want), len(got))
	}
	for i, w := range want {
		g := got[i]
		if w.Code < 0 && g.Code >= 0 {
			// librados 16.2.15 dies now and then on its way out, for one of "ping".
			t.Logf("%s:%d: %s: nothing to compare with, the tool died of signal %d on the stock cluster", file, w.Line, w.Command, -w.Code)
			continue
		}
		if g != w {
			t.Errorf("%s:%d: %s\nstock: exit %d\n%s%s\nhere: exit %d\n%s%s", file, w.Line, w.Command,
				w.Code, w.Out, w.Err, g.Code, g.Out, g.Err)
		}
	}
}
