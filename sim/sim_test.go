package sim

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
)

var (
	oneSeed   = flag.Uint64("seed", 0, "run this seed only and print its trace")
	seedCount = flag.Uint64("seeds", 200, "how many seeds to run")
	firstSeed = flag.Uint64("first", 1, "the first of them")
	keepGoing = flag.Bool("keep-going", false, "run all of them, also when one has failed")
	saveIn    = flag.String("save", "", "folder for the plans that fail, cut down")
	findIn    = flag.Uint64("find", 0, "run seeds in order until one fails, at most so many")
	onePlan   = flag.String("plan", "", "run this plan only and print its trace")
)

// A world is small and makes much garbage.
func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// TestSeeds runs generated plans. To see one: go test ./sim -run Seeds -seed N.
func TestSeeds(t *testing.T) {
	t.Parallel()
	switch {
	case *onePlan != "":
		text, err := os.ReadFile(*onePlan)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParsePlan(string(text))
		if err != nil {
			t.Fatal(err)
		}
		show(t, p)
		return
	case *oneSeed != 0:
		show(t, Generate(*oneSeed))
		return
	}
	if *findIn != 0 {
		find(t)
		return
	}
	sweep(t)
}

// sweep runs seeds on all processors, in order, until one fails, or all of them.
func sweep(t *testing.T) {
	var (
		mu     sync.Mutex
		total  Stats
		done   uint64
		stop   bool
		worker sync.WaitGroup
	)
	next := func() (seed uint64, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if stop || done == *seedCount {
			return 0, false
		}
		if done++; done%500 == 0 {
			t.Logf("%d seeds of %d", done, *seedCount)
		}
		return *firstSeed + done - 1, true
	}
	for range runtime.GOMAXPROCS(0) {
		worker.Go(func() {
			for seed, ok := next(); ok; seed, ok = next() {
				p := Generate(seed)
				s, v := Run(p, nil)
				mu.Lock()
				total.add(s)
				stop = stop || v != nil && !*keepGoing
				mu.Unlock()
				if v != nil {
					t.Errorf("seed %d: %v\nreplay: go test ./sim -run Seeds -seed %d", seed, v, seed)
					t.Error(keep(p, v))
				}
			}
		})
	}
	worker.Wait()
	t.Logf("%d seeds from %d: %+v", done, *firstSeed, total)
}

func (s *Stats) add(o Stats) {
	s.Events += o.Events
	s.Virtual += o.Virtual
	s.Acked += o.Acked
	s.Maybe += o.Maybe
	s.Restarts += o.Restarts
	s.Elections += o.Elections
	s.Epochs += o.Epochs
}

// find tells which seed is the first to fail, for mutants/run.
func find(t *testing.T) {
	for n := range *findIn {
		if _, v := Run(Generate(*firstSeed+n), nil); v != nil {
			text, _, _ := strings.Cut(v.Text, "\n")
			t.Errorf("caught by %s after %d seeds: %s", v.Check, n+1, text)
			return
		}
	}
	t.Logf("not caught in %d seeds", *findIn)
}

// keep shrinks a plan that failed, makes a scenario file of it if it is told where,
// and tells the end of its trace.
func keep(p *Plan, v *Violation) string {
	small := Shrink(p, v.Check, 150)
	var trace bytes.Buffer
	_, v = Run(small, &trace)
	lines := strings.Split(strings.TrimRight(trace.String(), "\n"), "\n")
	lines = lines[max(0, len(lines)-40):]
	small.Notes = append(small.Notes, strings.Split(v.Error(), "\n")[0])
	name := "testdata/NAME.txt"
	if *saveIn != "" {
		name = filepath.Join(*saveIn, fmt.Sprintf("seed-%d.txt", p.Seed))
		if err := os.WriteFile(name, []byte(small.String()), 0o644); err != nil {
			name = err.Error()
		}
	}
	return fmt.Sprintf("%s:\n%s\nits end:\n%s", name, small, strings.Join(lines, "\n"))
}

func show(t *testing.T, p *Plan) {
	fmt.Print(p)
	s, v := Run(p, os.Stdout)
	t.Logf("%+v", s)
	if v != nil {
		t.Error(v)
	}
}

// TestScenarios runs the plans that once found something.
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			p, err := ParsePlan(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if _, v := Run(p, nil); v != nil {
				t.Errorf("%v\nreplay: go test ./sim -run Seeds -plan %s", v, f)
			}
		})
	}
}

// The same plan gives the same trace: nothing in the machines depends on a clock,
// a random number or the order of a map.
func TestSamePlanSameTrace(t *testing.T) {
	t.Parallel()
	for seed := uint64(1); seed <= 6; seed++ {
		var a, b bytes.Buffer
		Run(Generate(seed), &a)
		Run(Generate(seed), &b)
		if bytes.Equal(a.Bytes(), b.Bytes()) {
			continue
		}
		x, y := strings.Split(a.String(), "\n"), strings.Split(b.String(), "\n")
		for i := range min(len(x), len(y)) {
			if x[i] != y[i] {
				t.Fatalf("seed %d: line %d is\n%s\nand the second time\n%s\nafter\n%s", seed, i, x[i], y[i], strings.Join(x[max(0, i-5):i], "\n"))
			}
		}
		t.Fatalf("seed %d: one trace is longer", seed)
	}
}

func TestPlanText(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		p := Generate(seed)
		p.Notes = []string{"why"}
		q, err := ParsePlan(p.String())
		if err != nil {
			t.Fatal(err)
		}
		if q.String() != p.String() {
			t.Fatalf("seed %d: %s\nbecomes\n%s", seed, p, q)
		}
	}
	for _, bad := range []string{"", "seed x", "mons 1", "at 1s dance", "at 1s kill", "at x kill osd.1", "size 1", "what"} {
		if _, err := ParsePlan(bad); err == nil {
			t.Errorf("%q is a plan", bad)
		}
	}
}
