package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/internal/peer"
)

// imageRows are loads of librbd. Those of fio are on an image of a gigabyte that
// is written all over; an operation of the others is the whole thing.
var imageRows = []row{
	blocks("image: 4 KiB random write, 1 in flight", "randwrite", 4<<10, 1),
	blocks("image: 4 KiB random read, 1 in flight", "randread", 4<<10, 1),
	blocks("image: 4 KiB random write, 16 in flight", "randwrite", 4<<10, 16),
	blocks("image: 4 KiB random read, 16 in flight", "randread", 4<<10, 16),
	blocks("image: 4 MiB sequential write, 16 in flight", "write", 4<<20, 16),
	blocks("image: 4 MiB sequential read, 16 in flight", "read", 4<<20, 16),
	{"image: export of 1 GiB", fill, func(c cluster, _ int) (sample, error) {
		return c.timed(func() error { return c.rbd("export", "bench/image", "-") })
	}},
	{"image: clone and flatten of 1 GiB", fill, flatten},
}

// fill makes the image, unless it is there.
func fill(c cluster) error {
	if c.rbd("info", "bench/image") == nil {
		return nil
	}
	return errors.Join(c.rbd("create", "bench/image", "--size", "1G"),
		c.rbd("bench", "bench/image", "--io-type", "write", "--io-size", "4M", "--io-total", "1G", "--io-pattern", "seq"))
}

// flatten makes a clone of the image that shares nothing with it.
func flatten(c cluster, _ int) (sample, error) {
	if err := errors.Join(c.rbd("snap", "create", "bench/image@s"), c.rbd("snap", "protect", "bench/image@s")); err != nil {
		return sample{}, err
	}
	s, err := c.timed(func() error {
		return errors.Join(c.rbd("clone", "bench/image@s", "bench/clone"), c.rbd("flatten", "bench/clone"))
	})
	return s, errors.Join(err, c.rbd("rm", "bench/clone"), c.rbd("snap", "unprotect", "bench/image@s"), c.rbd("snap", "rm", "bench/image@s"))
}

// timed measures one operation.
func (c cluster) timed(f func() error) (sample, error) {
	before, start := cpu(c.pids), time.Now()
	err := f()
	took := time.Since(start).Seconds()
	return sample{1 / took, took * 1000, (cpu(c.pids) - before) * 1e6}, err
}

// rbd runs the stock tool; its output goes nowhere.
func (c cluster) rbd(args ...string) error {
	cmd := exec.Command("/usr/bin/rbd", args...)
	cmd.Env = peer.Env(c.conf)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("rbd %s: %w: %s", strings.Join(args, " "), err, tail(errs.Bytes()))
	}
	return nil
}

// blocks is a row of fio's: requests of a size in bytes to the image.
func blocks(name, op string, size, depth int) row {
	return row{name, fill, func(c cluster, seconds int) (sample, error) {
		cmd := exec.Command("/usr/bin/fio", "--name=bench", "--ioengine=rbd", "--clientname=admin", "--pool=bench", "--rbdname=image",
			"--rw="+op, "--bs="+strconv.Itoa(size), "--iodepth="+strconv.Itoa(depth), "--time_based", "--runtime="+strconv.Itoa(seconds),
			"--output-format=json")
		cmd.Env = peer.Env(c.conf)
		before := cpu(c.pids)
		b, err := cmd.Output()
		if err != nil {
			return sample{}, fmt.Errorf("fio: %w: %s", err, tail(b))
		}
		used := cpu(c.pids) - before
		type side struct {
			IOPS  float64 `json:"iops"`
			Total float64 `json:"total_ios"`
			Lat   struct {
				Mean float64 `json:"mean"`
			} `json:"lat_ns"`
		}
		var out struct {
			Jobs []struct{ Read, Write side }
		}
		if err := json.Unmarshal(b, &out); err != nil || len(out.Jobs) != 1 {
			return sample{}, fmt.Errorf("fio: %w: %s", err, tail(b))
		}
		r, w := out.Jobs[0].Read, out.Jobs[0].Write
		if r.Total+w.Total == 0 {
			return sample{}, fmt.Errorf("fio did nothing: %s", tail(b))
		}
		return sample{r.IOPS + w.IOPS, (r.Lat.Mean + w.Lat.Mean) / 1e6, used / (r.Total + w.Total) * 1e6}, nil
	}}
}
