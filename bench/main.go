// Command bench measures Pulpo against a stock Ceph cluster on the same disk: the
// same stock "rados bench", the two clusters in turn, several rounds, medians.
// The machines it runs on are small and noisy, so what counts are the ratios.
//
// The result is a table on standard output and in bench/results.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/internal/peer"
)

// row is one kind of load.
type row struct {
	name string
	// prepare makes what the load needs, once on each cluster.
	prepare func(c cluster) error
	measure func(c cluster, seconds int) (sample, error)
}

// cluster is one of the two.
type cluster struct {
	name string
	conf string
	pids []int // of the daemons whose CPU counts
	// store is where an OSD has its data.
	store func(osd int) string
}

// setting is a kind of cluster and what is measured on it.
type setting struct {
	osds, copies int
	rows         []row
}

var settings = []setting{
	{1, 1, slices.Concat(objectRows, imageRows)},
	{3, 3, copiesRows},
}

// sample is the outcome of one run.
type sample struct {
	ops     float64 // per second
	latency float64 // average, ms
	cpu     float64 // microseconds of the OSD's CPU per operation
}

func main() {
	log.SetFlags(0)
	rounds := flag.Int("rounds", 3, "how often each row is measured on each cluster")
	seconds := flag.Int("seconds", 5, "how long each run takes")
	only := flag.String("only", "", "only the rows whose name matches this regular expression")
	dir := flag.String("dir", "", "where both clusters live; default a temporary directory")
	binary := flag.String("pulpo", "bin/pulpo", "the binary")
	lost := flag.Float64("gib", 10, "with -only recovery: how much an OSD holds that is lost, in GiB")
	snapshots := flag.Int("snapshots", 1000, "with -only snapshots: how many are made of an image")
	flag.Parse()
	if err := run(*rounds, *seconds, *only, *dir, *binary, int64(*lost*gib), *snapshots); err != nil {
		log.Fatal("bench: ", err)
	}
}

func run(rounds, seconds int, only, dir, binary string, lost int64, snapshots int) (err error) {
	match, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "bench"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "# %s\n\n", time.Now().UTC().Format("2006-01-02 15:04 MST"))
	fmt.Fprintf(&out, "%s, %d cores, Go %s, commit %s. `rados bench`, `rbd` and librbd (through fio) of 16.2.15, %d s a run, medians of %d, on the same disk, BlueStore on files for the stock cluster, cephx, crc. Each OSD of the stock cluster is a process, Pulpo is one.\n",
		cpuName(), runtime.NumCPU(), strings.TrimPrefix(runtime.Version(), "go"), commit(), seconds, rounds)
	for _, s := range settings {
		s.rows = slices.DeleteFunc(s.rows, func(r row) bool { return !match.MatchString(r.name) })
		if len(s.rows) == 0 {
			continue
		}
		if err := s.run(&out, rounds, seconds, dir, binary); err != nil {
			return err
		}
	}
	// These take their time and much room, so they are run only when asked for.
	if only != "" && slices.ContainsFunc(recoveries, func(x recoverer) bool { return match.MatchString(x.row()) }) {
		if err := runRecovery(&out, match, lost, dir, binary); err != nil {
			return err
		}
	}
	if only != "" && wantSnapshots(match) {
		if err := runSnapshots(&out, match, snapshots, dir, binary); err != nil {
			return err
		}
	}
	fmt.Print(out.String())
	results := filepath.Join(peer.Root(), "bench/results")
	if err := os.MkdirAll(results, 0o755); err != nil {
		return err
	}
	file := filepath.Join(results, time.Now().UTC().Format("2006-01-02-1504")+".md")
	return os.WriteFile(file, []byte(out.String()), 0o644)
}

// both starts both kinds of cluster; set are options of the stock one's. took is how
// long ours needed. stop ends and removes them.
func both(osds int, dir, binary string, set ...string) (stock, ours cluster, took time.Duration, stop func(), err error) {
	script := filepath.Join(peer.Root(), "test/peer/ceph-peer")
	n := strconv.Itoa(osds)
	stockDir, ourDir := filepath.Join(dir, "stock"+n), filepath.Join(dir, "pulpo"+n)
	var undo []func()
	stop = func() {
		for _, f := range slices.Backward(undo) {
			f()
		}
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	args := []string{"up", "--dir", stockDir, "--bluestore", "--osds", n}
	for _, o := range set {
		args = append(args, "--set", o)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return stock, ours, 0, nil, err
	}
	undo = append(undo, func() { command(nil, script, "down", "--dir", stockDir) })
	if err := command(nil, script, args...); err != nil {
		return stock, ours, 0, nil, err
	}
	undo = append(undo, func() {
		command(nil, binary, "down", "--dir", ourDir)
		os.RemoveAll(ourDir)
	})
	started := time.Now()
	if err := command(nil, binary, "up", "--dir", ourDir, "--osds", n, "--detach"); err != nil {
		return stock, ours, 0, nil, err
	}
	took = time.Since(started)
	stock = cluster{name: "stock", conf: filepath.Join(stockDir, "ceph.conf")}
	if stock.pids, err = pidFiles(filepath.Join(stockDir, "run", "osd.*.pid")); err != nil {
		return stock, ours, 0, nil, err
	}
	ours = cluster{name: "pulpo", conf: filepath.Join(ourDir, "ceph.conf")}
	// All of Pulpo is one process: what the monitor takes counts against it.
	ours.pids, err = pidFiles(filepath.Join(ourDir, "lock"))
	return stock, ours, took, stop, err
}

// run measures both kinds of cluster in turn.
func (s *setting) run(out *strings.Builder, rounds, seconds int, dir, binary string) error {
	stock, ours, upTook, stop, err := both(s.osds, dir, binary)
	if err != nil {
		return err
	}
	defer stop()
	idle := rss(ours.pids)
	for _, c := range []cluster{stock, ours} {
		if err := c.makePool(s.copies); err != nil {
			return err
		}
	}

	fmt.Fprintf(out, "\n## OSDs: %d, copies: %d\n\nFrom nothing to serving: %d ms. Memory at rest: %d MB.\n\n", s.osds, s.copies, upTook.Milliseconds(), idle>>20)
	out.WriteString("| load | stock ops/s | pulpo ops/s | ratio | stock ms | pulpo ms | stock CPU us/op | pulpo CPU us/op | CPU ratio |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range s.rows {
		for _, c := range []cluster{stock, ours} {
			if r.prepare == nil {
				break
			}
			if err := r.prepare(c); err != nil {
				return fmt.Errorf("%s on %s: %w", r.name, c.name, err)
			}
		}
		got := map[string][]sample{}
		for range rounds {
			for _, c := range []cluster{stock, ours} {
				s, err := r.measure(c, seconds)
				if err != nil {
					return fmt.Errorf("%s on %s: %w", r.name, c.name, err)
				}
				got[c.name] = append(got[c.name], s)
			}
		}
		a, b := median(got["stock"]), median(got["pulpo"])
		line := fmt.Sprintf("| %s | %s | %s | **%.2f** | %.2f | %.2f | %.0f | %.0f | %.2f |\n",
			r.name, digits(a.ops), digits(b.ops), b.ops/a.ops, a.latency, b.latency, a.cpu, b.cpu, b.cpu/a.cpu)
		out.WriteString(line)
		log.Print(strings.TrimSpace(line))
	}
	fmt.Fprintf(out, "\nMemory of pulpo at the end: %d MB.\n", rss(ours.pids)>>20)
	return nil
}

// makePool makes the pool that all loads use, and waits until it is clean.
func (c cluster) makePool(copies int) error {
	env := peer.Env(c.conf)
	for _, args := range [][]string{
		{"ceph", "osd", "pool", "create", "bench", "32"},
		{"ceph", "osd", "pool", "set", "bench", "size", strconv.Itoa(copies), "--yes-i-really-mean-it"},
		{"rbd", "pool", "init", "bench"},
	} {
		if err := command(env, args[0], args[1:]...); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(2 * time.Minute); ; {
		cmd := exec.Command("/usr/bin/ceph", "pg", "ls-by-pool", "bench", "--format", "json")
		cmd.Env = env
		b, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("ceph pg ls-by-pool: %w", err)
		}
		var list struct {
			Stats []struct {
				State  string
				Acting []int
			} `json:"pg_stats"`
		}
		if err := json.Unmarshal(b, &list); err != nil {
			return fmt.Errorf("ceph pg ls-by-pool: %w", err)
		}
		clean := 0
		for _, pg := range list.Stats {
			if pg.State == "active+clean" && len(pg.Acting) == copies {
				clean++
			}
		}
		if clean >= 32 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %d of 32 placement groups are clean after two minutes", c.name, clean)
		}
	}
}

// digits shows a figure with at least three digits.
func digits(f float64) string {
	if f >= 100 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}

func number(s, re string) float64 {
	m := regexp.MustCompile(re).FindStringSubmatch(s)
	if m == nil {
		return 0
	}
	f, _ := strconv.ParseFloat(m[1], 64)
	return f
}

func median(s []sample) sample {
	mid := func(f func(sample) float64) float64 {
		v := make([]float64, len(s))
		for i := range s {
			v[i] = f(s[i])
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	return sample{
		mid(func(s sample) float64 { return s.ops }),
		mid(func(s sample) float64 { return s.latency }),
		mid(func(s sample) float64 { return s.cpu }),
	}
}

// cpu is the time in seconds that processes have used.
func cpu(pids []int) float64 {
	ticks := 0.0
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		f := strings.Fields(rest)
		for _, i := range []int{11, 12} { // utime, stime
			n, _ := strconv.ParseFloat(f[i], 64)
			ticks += n
		}
	}
	return ticks / 100
}

func rss(pids []int) int64 {
	var sum int64
	for _, pid := range pids {
		sum += status(pid, "VmRSS")
	}
	return sum
}

// status is a figure in bytes of what the kernel says of a process.
func status(pid int, name string) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return int64(number(string(b), name+`:\s+(\d+) kB`)) << 10
}

func pidFiles(pattern string) ([]int, error) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no %s", pattern)
	}
	var pids []int
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

func command(env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	if env != nil {
		cmd.Env = env
		if !strings.Contains(name, "/") {
			cmd.Path = "/usr/bin/" + name
			cmd.Err = nil
		}
	}
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, tail(b))
	}
	return nil
}

func tail(b []byte) []byte {
	b = bytes.TrimSpace(b)
	return b[max(0, len(b)-400):]
}

func commit() string {
	b, err := exec.Command("git", "-C", peer.Root(), "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

func cpuName() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	if m := regexp.MustCompile(`model name\s*:\s*(.*)`).FindSubmatch(b); m != nil {
		return string(m[1])
	}
	return runtime.GOARCH
}
