package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pulpo-storage/pulpo/internal/peer"
	"github.com/pulpo-storage/pulpo/rados"
)

// What it costs to lose an OSD. Each cluster has three OSDs, a process each, and
// two copies of everything. One of the OSDs is killed, its store is removed, and
// the operator marks it out: so the same is done to both, and all that it held is
// copied by the other two. A client does a fixed modest number of small requests
// a second to an image in the same pool, before and meanwhile.

const (
	recoveryOSDs  = 3
	lostOSD       = recoveryOSDs - 1
	recoveryLimit = 40 * time.Minute // for one cluster, all in all
	restSeconds   = 20
	clientRate    = 100     // reads a second, and as many writes
	fillObject    = 4 << 20 // bytes
	imageBytes    = 1 << 30 // see fill
	pollEvery     = time.Second
	gib           = 1 << 30
)

// loss is what came of losing an OSD.
type loss struct {
	lost         int64 // bytes that it held
	took         time.Duration
	rest, during clientSample
	cpu          float64 // seconds of all OSDs, meanwhile
	restMemory   int64   // of the OSD that had most, bytes
	memory       int64   // the same, at its peak
}

// recoverer starts a cluster whose OSDs have room for so many bytes.
type recoverer struct {
	name  string
	start func(dir, binary string, size int64) (c *cluster, stop func() error, err error)
}

var recoveries = []recoverer{{"stock", startStock}, {"pulpo", startProcesses}}

func (x recoverer) row() string { return "recovery: " + x.name }

// runRecovery measures those clusters that match, one after the other.
func runRecovery(out *strings.Builder, match *regexp.Regexp, amount int64, dir, binary string) error {
	var fsys unix.Statfs_t
	if err := unix.Statfs(dir, &fsys); err != nil {
		return err
	}
	// Two copies of half as much again, and what logs and metadata take.
	if need := uint64(amount)*7/2 + 4*gib; fsys.Bavail*uint64(fsys.Bsize) < need {
		return fmt.Errorf("recovery: %s has less than %d GiB left", dir, need/gib)
	}
	fmt.Fprintf(out, "\n## Loss of an OSD that held %.3g GiB\n\n", float64(amount)/gib)
	fmt.Fprintf(out, "OSDs: %d, a process each; copies: 2; 4 MiB objects; options by default, those of recovery as for solid state disks. One is killed, its store removed, then it is marked out; the time is from then until all groups are active+clean, looked at every second. "+
		"Meanwhile, and for %d s before, librbd (fio, no cache) does %d random reads and %d random writes of 4 KiB a second to an image of 1 GiB in the same pool. Memory is that of the OSD with most.\n\n",
		recoveryOSDs, restSeconds, clientRate, clientRate)
	out.WriteString("| cluster | GiB | s | MiB/s | CPU s/GiB | read p50/p99 at rest, ms | meanwhile | write p50/p99 at rest, ms | meanwhile | requests/s meanwhile | MB at rest | at most |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, x := range recoveries {
		if !match.MatchString(x.row()) {
			continue
		}
		c, stop, err := x.start(dir, binary, amount*5/2+4*gib)
		if err != nil {
			return err
		}
		got, err := c.lose(amount)
		if err = errors.Join(err, stop()); err != nil {
			return fmt.Errorf("recovery: %s: %w", c.name, err)
		}
		gibs := float64(got.lost) / gib
		line := fmt.Sprintf("| %s | %.2f | **%.1f** | %.0f | %.1f | %s | **%s** | %s | **%s** | %.0f | %d | %d |\n", c.name, gibs, got.took.Seconds(),
			1024*gibs/got.took.Seconds(), got.cpu/gibs, got.rest.read, got.during.read, got.rest.write, got.during.write, got.during.rate,
			got.restMemory>>20, got.memory>>20)
		out.WriteString(line)
		log.Print(strings.TrimSpace(line))
	}
	return nil
}

// fastDisk are the stock defaults for solid state disks. A virtual disk often says
// that it turns, and then stock OSDs rest after each object that they copied.
var fastDisk = []string{"osd recovery sleep hdd = 0", "osd recovery sleep hybrid = 0", "osd recovery max active hdd = 10"}

// startStock makes a stock cluster.
func startStock(dir, _ string, size int64) (*cluster, func() error, error) {
	script, home := filepath.Join(peer.Root(), "test/peer/ceph-peer"), filepath.Join(dir, "stock-recovery")
	c := &cluster{name: "stock", conf: filepath.Join(home, "ceph.conf")}
	c.store = func(osd int) string { return filepath.Join(home, "data", "osd."+strconv.Itoa(osd)) }
	stop := func() error { return command(nil, script, "down", "--dir", home) }
	args := []string{"up", "--dir", home, "--bluestore", "--osds", strconv.Itoa(recoveryOSDs), "--block-size", strconv.FormatInt(size>>20, 10) + "M"}
	for _, o := range fastDisk {
		args = append(args, "--set", o)
	}
	err := command(nil, script, args...)
	if err == nil {
		c.pids, err = pidFiles(filepath.Join(home, "run", "osd.*.pid"))
	}
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return c, stop, nil
}

// startProcesses makes one of ours whose daemons have a process each that nobody
// starts again.
func startProcesses(dir, binary string, size int64) (*cluster, func() error, error) {
	home := filepath.Join(dir, "pulpo-recovery")
	c := &cluster{name: "pulpo", conf: filepath.Join(home, "ceph.conf")}
	c.store = func(osd int) string { return filepath.Join(home, "osd."+strconv.Itoa(osd), "store") }
	var running []*exec.Cmd
	stop := func() error {
		for _, d := range slices.Backward(running) {
			d.Process.Signal(unix.SIGTERM)
			d.Wait() // the one that was killed says so
		}
		return os.RemoveAll(home)
	}
	err := command(nil, binary, "up", "--dir", home, "--osds", strconv.Itoa(recoveryOSDs), "--osd-size", strconv.FormatInt(size, 10), "--detach")
	err = errors.Join(err, command(nil, binary, "down", "--dir", home))
	daemon := func(args ...string) {
		if err == nil {
			d := exec.Command(binary, append(args, "--dir", home, "--log-level", "warn")...)
			d.Stderr = os.Stderr
			if err = d.Start(); err == nil {
				running = append(running, d)
			}
		}
	}
	daemon("mon", "--id", "a")
	for osd := range recoveryOSDs {
		daemon("osd", "--id", strconv.Itoa(osd))
	}
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	for _, d := range running[1:] {
		c.pids = append(c.pids, d.Process.Pid)
	}
	return c, stop, nil
}

// lose fills the cluster, takes an OSD away, and waits until all is well again.
func (c *cluster) lose(amount int64) (got loss, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), recoveryLimit)
	defer cancel()
	connecting, stop := context.WithTimeout(ctx, time.Minute)
	conn, err := rados.ConnectFile(connecting, c.conf)
	stop()
	if err != nil {
		return got, err
	}
	defer conn.Close()
	if err := c.makePool(2); err != nil {
		return got, err
	}
	// A stock cluster of three OSDs is made with a min_size of two for all pools.
	if err := command(peer.Env(c.conf), "ceph", "osd", "pool", "set", "bench", "min_size", "1"); err != nil {
		return got, err
	}
	groups, err := c.groups(ctx, conn)
	if err != nil {
		return got, err
	}
	there := 0
	for _, g := range groups {
		if slices.Contains(g.Acting, lostOSD) {
			there++
		}
	}
	if there == 0 {
		return got, fmt.Errorf("osd.%d has no groups", lostOSD)
	}
	objects := (amount*int64(len(groups))/int64(there) - imageBytes) / fillObject
	if err := fill(*c); err != nil {
		return got, err
	}
	if objects > 0 {
		log.Printf("%s: writes %d objects of 4 MiB", c.name, objects)
		if _, err := c.bench("-p", "bench", "bench", strconv.Itoa(int(recoveryLimit.Seconds())), "write", "-t", "16", "-b", strconv.Itoa(fillObject),
			"--max-objects", strconv.FormatInt(objects, 10), "--no-cleanup"); err != nil {
			return got, err
		}
	}
	if got.lost, err = c.heldBy(ctx, conn); err != nil {
		return got, err
	}
	rest, err := c.startClient(restSeconds)
	if err != nil {
		return got, err
	}
	if got.rest, err = rest.wait(); err != nil {
		return got, err
	}

	victim := c.pids[lostOSD]
	c.pids = slices.Delete(slices.Clone(c.pids), lostOSD, lostOSD+1)
	for _, pid := range c.pids {
		got.restMemory = max(got.restMemory, rss([]int{pid}))
		// From here on VmHWM is the peak.
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
			return got, err
		}
	}
	if err := unix.Kill(victim, unix.SIGKILL); err != nil {
		return got, err
	}
	log.Printf("%s: osd.%d is gone", c.name, lostOSD)
	if err := c.await(ctx, conn, func(states map[string]int) bool { return states["active+clean"] <= len(groups)-there }); err != nil {
		return got, err
	}
	if err := os.RemoveAll(c.store(lostOSD)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return got, err
	}
	client, err := c.startClient(int(recoveryLimit.Seconds()))
	if err != nil {
		return got, err
	}
	used, began := cpu(c.pids), time.Now()
	_, err = conn.Command(ctx, rados.ToMons(), map[string]any{"prefix": "osd out", "ids": []string{strconv.Itoa(lostOSD)}}, nil)
	if err == nil {
		err = c.await(ctx, conn, func(states map[string]int) bool { return states["active+clean"] == len(groups) })
	}
	got.took, got.cpu = time.Since(began), cpu(c.pids)-used
	during, clientErr := client.stop()
	if err = errors.Join(err, clientErr); err != nil {
		return got, err
	}
	got.during = during
	for _, pid := range c.pids {
		got.memory = max(got.memory, status(pid, "VmHWM"))
	}
	return got, nil
}

// group is what the manager knows of a placement group.
type group struct {
	State  string
	Acting []int
	Sum    struct {
		Bytes int64 `json:"num_bytes"`
	} `json:"stat_sum"`
}

func (c *cluster) groups(ctx context.Context, conn *rados.Cluster) ([]group, error) {
	r, err := conn.Command(ctx, rados.ToMgr(), map[string]string{"prefix": "pg ls-by-pool", "poolstr": "bench", "format": "json"}, nil)
	if err != nil {
		return nil, err
	}
	var list struct {
		Stats []group `json:"pg_stats"`
	}
	err = json.Unmarshal(r.Data, &list)
	return list.Stats, err
}

// await waits until the groups are in the states that are wanted.
func (c *cluster) await(ctx context.Context, conn *rados.Cluster, ok func(states map[string]int) bool) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		list, err := c.groups(ctx, conn)
		if err != nil {
			return err
		}
		states := map[string]int{}
		for _, g := range list {
			states[g.State]++
		}
		if ok(states) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %v", ctx.Err(), states)
		case <-tick.C:
		}
	}
}

// heldBy waits until the statistics have all that was written, and says how much
// of it the OSD holds that is going to be lost.
func (c *cluster) heldBy(ctx context.Context, conn *rados.Cluster) (held int64, err error) {
	for before, since := int64(-1), 0; since < 8; before = held {
		list, err := c.groups(ctx, conn)
		if err != nil {
			return 0, err
		}
		held = 0
		for _, g := range list {
			if slices.Contains(g.Acting, lostOSD) {
				held += g.Sum.Bytes
			}
		}
		if since++; held == 0 || held != before {
			since = 0
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: osd.%d holds %d bytes", ctx.Err(), lostOSD, held)
		case <-time.After(pollEvery):
		}
	}
	return held, nil
}

// client is fio, as the client of an image.
type client struct {
	cmd  *exec.Cmd
	out  bytes.Buffer
	errs bytes.Buffer
}

// clientSample is what it saw.
type clientSample struct {
	read, write percentiles
	rate        float64 // requests done in a second
}

// percentiles are latencies in milliseconds.
type percentiles struct{ p50, p99 float64 }

func (p percentiles) String() string { return digits(p.p50) + " / " + digits(p.p99) }

func (c *cluster) startClient(seconds int) (*client, error) {
	rate := strconv.Itoa(clientRate)
	f := &client{cmd: exec.Command("/usr/bin/fio", "--name=client", "--ioengine=rbd", "--clientname=admin", "--pool=bench", "--rbdname=image",
		"--rw=randrw", "--bs=4k", "--iodepth=16", "--rate_iops="+rate+","+rate, "--time_based", "--runtime="+strconv.Itoa(seconds), "--output-format=json")}
	// librbd would answer writes from its cache, before an OSD has heard of them.
	conf, err := os.ReadFile(c.conf)
	if err != nil {
		return nil, err
	}
	uncached := c.conf + ".uncached"
	if err := os.WriteFile(uncached, append(conf, "\n[client]\nrbd cache = false\n"...), 0o644); err != nil {
		return nil, err
	}
	f.cmd.Env = peer.Env(uncached)
	f.cmd.Stdout, f.cmd.Stderr = &f.out, &f.errs
	return f, f.cmd.Start()
}

// stop ends it early; what it has measured counts.
func (f *client) stop() (clientSample, error) {
	if err := f.cmd.Process.Signal(unix.SIGINT); err != nil {
		return clientSample{}, err
	}
	return f.wait()
}

func (f *client) wait() (s clientSample, err error) {
	status := f.cmd.Wait() // of one that was interrupted it is not zero
	type side struct {
		IOPS  float64
		Total float64 `json:"total_ios"`
		Lat   struct {
			Percentile map[string]float64
		} `json:"clat_ns"`
	}
	var out struct {
		Jobs []struct {
			Error       int
			Read, Write side
		}
	}
	b := f.out.Bytes()
	if i := bytes.IndexByte(b, '{'); i > 0 {
		b = b[i:] // after what it has to say of the signal
	}
	if err := json.Unmarshal(b, &out); err != nil || len(out.Jobs) != 1 {
		return s, fmt.Errorf("fio: %w, %w: %s %s", status, err, tail(f.out.Bytes()), tail(f.errs.Bytes()))
	}
	j := &out.Jobs[0]
	if j.Error != 0 || j.Read.Total == 0 || j.Write.Total == 0 {
		return s, fmt.Errorf("fio: error %d after %v requests: %s", j.Error, j.Read.Total+j.Write.Total, tail(f.errs.Bytes()))
	}
	of := func(d *side) percentiles {
		ms := func(p string) float64 { return math.Round(d.Lat.Percentile[p]/1e4) / 100 }
		return percentiles{ms("50.000000"), ms("99.000000")}
	}
	return clientSample{of(&j.Read), of(&j.Write), j.Read.IOPS + j.Write.IOPS}, nil
}
