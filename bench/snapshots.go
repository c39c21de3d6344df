package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
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
	"github.com/pulpo-storage/pulpo/rbd"
)

// What a snapshot costs of an image that has many. 4 KiB are written after each,
// to one of the 256 objects of the image after the other; then all are removed,
// the oldest first. It is measured in windows of a tenth of them.

const (
	snapshotWindows = 10
	snapshotWrite   = 4096
	snapshotLimit   = 30 * time.Minute // for one client and cluster, all in all
)

// snapshotter is a client that has an image open.
type snapshotter interface {
	// create and remove make and remove the snapshots of these numbers.
	create(from, to int) (spent, error)
	remove(from, to int) (spent, error)
	close() error
}

// spent is what a client says of some snapshots.
type spent struct {
	Took []float64 // seconds, of each with its write: a client may put off what it has to do
	CPU  float64   // seconds of the client, for all of them
}

// snapshotters are the clients, by the names of their rows; open makes an image.
var snapshotters = []struct {
	name string
	open func(c cluster, image string) (snapshotter, error)
}{
	{"librbd", openStock},
	{"rbd", openOurs},
}

// window is what a snapshot took on average; milliseconds.
type window struct{ clock, server, client float64 }

// windows has a client do something to so many snapshots.
func (c cluster) windows(count int, f func(from, to int) (spent, error)) (all []window, err error) {
	for i := range snapshotWindows {
		before := cpu(c.pids)
		from, to := i*count/snapshotWindows, (i+1)*count/snapshotWindows
		s, err := f(from, to)
		if err != nil {
			return nil, err
		}
		if len(s.Took) != to-from {
			return nil, fmt.Errorf("%d of %d snapshots", len(s.Took), to-from)
		}
		slices.Sort(s.Took)
		each := 1000 / float64(to-from)
		all = append(all, window{1000 * s.Took[len(s.Took)/2], (cpu(c.pids) - before) * each, s.CPU * each})
	}
	return all, nil
}

// wantSnapshots tells whether any of the rows is asked for.
func wantSnapshots(match *regexp.Regexp) bool {
	for _, s := range snapshotters {
		if match.MatchString(snapshotRow(s.name, "stock")) || match.MatchString(snapshotRow(s.name, "pulpo")) {
			return true
		}
	}
	return false
}

func snapshotRow(client, cluster string) string { return "snapshots: " + client + " on " + cluster }

// runSnapshots measures those clients that match.
func runSnapshots(out *strings.Builder, match *regexp.Regexp, count int, dir, binary string) error {
	if count < snapshotWindows {
		return fmt.Errorf("%d snapshots are too few", count)
	}
	stock, ours, _, stop, err := both(1, filepath.Join(dir, "snapshots"), binary,
		// It does not wait for others before it commits a snapshot's number, and
		// trims at once, as on solid state disks.
		"paxos propose interval = 0.01", "osd snap trim sleep hdd = 0", "osd snap trim sleep hybrid = 0")
	if err != nil {
		return err
	}
	defer stop()
	fmt.Fprintf(out, "\n## %d snapshots of an image\n\n", count)
	fmt.Fprintf(out, "An image of 1 GiB, %d bytes written after each snapshot; then all removed, oldest first. For each snapshot of the first and the last %d: ms by the clock with the write (median). CPU of the OSD (pulpo: and monitor) with what it trims meanwhile, and of the client. "+
		"The monitor of the stock cluster commits after 10 ms, not a second. Space is what the pool uses more than before for each byte written.\n\n", snapshotWrite, count/snapshotWindows)
	out.WriteString("| client and cluster | | ms first | ms last | growth | server CPU ms first | last | growth | client CPU ms first | last | space |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, c := range []cluster{stock, ours} {
		if err := c.makePool(1); err != nil {
			return err
		}
		for _, client := range snapshotters {
			row := snapshotRow(client.name, c.name)
			if !match.MatchString(row) {
				continue
			}
			if err := c.snapshots(out, count, client.name, client.open); err != nil {
				return fmt.Errorf("%s: %w", row, err)
			}
		}
	}
	return nil
}

func (c cluster) snapshots(out *strings.Builder, count int, client string, open func(cluster, string) (snapshotter, error)) (err error) {
	s, err := open(c, client)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	before, err := c.used()
	if err != nil {
		return err
	}
	row := func(what, space string, w []window) {
		a, b := w[0], w[len(w)-1]
		line := fmt.Sprintf("| %s on %s | %s | %.1f | %.1f | **%.2f** | %.1f | %.1f | **%.2f** | %.2f | %.2f | %s |\n", client, c.name, what,
			a.clock, b.clock, b.clock/a.clock, a.server, b.server, b.server/a.server, a.client, b.client, space)
		out.WriteString(line)
		log.Print(strings.TrimSpace(line))
	}
	w, err := c.windows(count, s.create)
	if err != nil {
		return err
	}
	after, err := c.used()
	if err != nil {
		return err
	}
	row("create", fmt.Sprintf("%.3f", float64(after-before)/float64(count*snapshotWrite)), w)
	if w, err = c.windows(count, s.remove); err != nil {
		return err
	}
	row("remove", "", w)
	return nil
}

// used is the space that the pool takes, once the statistics do not change any
// more.
func (c cluster) used() (int64, error) {
	last := int64(math.MinInt64)
	for same := 0; same < 3; time.Sleep(3 * time.Second) {
		cmd := exec.Command("/usr/bin/ceph", "df", "--format", "json")
		cmd.Env = peer.Env(c.conf)
		b, err := cmd.Output()
		if err != nil {
			return 0, fmt.Errorf("ceph df: %w", err)
		}
		var df struct {
			Pools []struct {
				Name  string
				Stats struct {
					Used int64 `json:"bytes_used"`
				}
			}
		}
		if err := json.Unmarshal(b, &df); err != nil {
			return 0, fmt.Errorf("ceph df: %w", err)
		}
		for _, p := range df.Pools {
			if p.Name != "bench" {
				continue
			}
			if same++; p.Stats.Used != last {
				last, same = p.Stats.Used, 0
			}
		}
	}
	return last, nil
}

// stockSnapshots is librbd, in a process of its own.
type stockSnapshots struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
	errs bytes.Buffer
}

//go:embed snapshots.py
var snapshotScript string

func openStock(c cluster, image string) (snapshotter, error) {
	s := &stockSnapshots{cmd: exec.Command("/usr/bin/python3", "-c", snapshotScript, image)}
	s.cmd.Env, s.cmd.Stderr = peer.Env(c.conf), &s.errs
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.in, s.out = in, bufio.NewScanner(out)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := s.hear(); err != nil {
		s.cmd.Process.Kill()
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stockSnapshots) hear() (said spent, err error) {
	if !s.out.Scan() {
		return said, fmt.Errorf("librbd's process ended: %s", tail(s.errs.Bytes()))
	}
	return said, json.Unmarshal(s.out.Bytes(), &said)
}

func (s *stockSnapshots) do(what string, from, to int) (spent, error) {
	if _, err := fmt.Fprintln(s.in, what, from, to); err != nil {
		return spent{}, err
	}
	return s.hear()
}

func (s *stockSnapshots) create(from, to int) (spent, error) { return s.do("create", from, to) }
func (s *stockSnapshots) remove(from, to int) (spent, error) { return s.do("remove", from, to) }

func (s *stockSnapshots) close() error {
	s.in.Close()
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("librbd's process: %w: %s", err, tail(s.errs.Bytes()))
	}
	return nil
}

// ourSnapshots is package rbd, in this process.
type ourSnapshots struct {
	ctx     context.Context
	cancel  context.CancelFunc
	cluster *rados.Cluster
	pool    *rados.Pool
	img     *rbd.Image
}

func openOurs(c cluster, image string) (s snapshotter, err error) {
	o := &ourSnapshots{}
	o.ctx, o.cancel = context.WithTimeout(context.Background(), snapshotLimit)
	defer func() {
		if err != nil {
			err = errors.Join(err, o.close())
		}
	}()
	if o.cluster, err = rados.ConnectFile(o.ctx, c.conf); err != nil {
		return nil, err
	}
	if o.pool, err = o.cluster.Pool(o.ctx, "bench"); err != nil {
		return nil, err
	}
	if err := rbd.Create(o.ctx, o.pool, image, 1<<30, rbd.CreateOptions{}); err != nil {
		return nil, err
	}
	if o.img, err = rbd.Open(o.ctx, o.pool, image, rbd.OpenOptions{}); err != nil {
		return nil, err
	}
	_, err = o.img.WriteAt(o.ctx, []byte("first"), 0)
	return o, err
}

func (o *ourSnapshots) each(from, to int, f func(n int) error) (s spent, err error) {
	before := ownCPU()
	for n := from; n < to; n++ {
		start := time.Now()
		if err := f(n); err != nil {
			return s, err
		}
		s.Took = append(s.Took, time.Since(start).Seconds())
	}
	s.CPU = ownCPU() - before
	return s, nil
}

func (o *ourSnapshots) create(from, to int) (spent, error) {
	return o.each(from, to, func(n int) error {
		if err := o.img.CreateSnapshot(o.ctx, "s"+strconv.Itoa(n)); err != nil {
			return err
		}
		p := bytes.Repeat([]byte{byte(n%251 + 1)}, snapshotWrite)
		_, err := o.img.WriteAt(o.ctx, p, int64(n*37%256)<<22)
		return err
	})
}

func (o *ourSnapshots) remove(from, to int) (spent, error) {
	return o.each(from, to, func(n int) error { return o.img.RemoveSnapshot(o.ctx, "s"+strconv.Itoa(n)) })
}

func (o *ourSnapshots) close() (err error) {
	defer o.cancel()
	if o.img != nil {
		err = o.img.Close(o.ctx)
	}
	if o.cluster != nil {
		err = errors.Join(err, o.cluster.Close())
	}
	return err
}

// ownCPU is the time in seconds that this process has used.
func ownCPU() float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
