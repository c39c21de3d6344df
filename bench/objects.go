package main

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/internal/peer"
)

// objectRows are loads of "rados bench".
var objectRows = []row{
	objects("4 KiB write, 16 in flight", "write", 4<<10, 16),
	objects("4 KiB random read, 16 in flight", "rand", 4<<10, 16),
	objects("4 KiB write, 1 in flight", "write", 4<<10, 1),
	objects("4 KiB random read, 1 in flight", "rand", 4<<10, 1),
	objects("64 KiB write, 16 in flight", "write", 64<<10, 16),
	objects("64 KiB random read, 16 in flight", "rand", 64<<10, 16),
	objects("4 MiB write, 16 in flight", "write", 4<<20, 16),
	objects("4 MiB random read, 16 in flight", "rand", 4<<20, 16),
}

// copiesRows are those that tell what copies cost.
var copiesRows = []row{
	objects("3 copies: 4 KiB write, 16 in flight", "write", 4<<10, 16),
	objects("3 copies: 4 KiB random read, 16 in flight", "rand", 4<<10, 16),
	objects("3 copies: 4 KiB write, 1 in flight", "write", 4<<10, 1),
	objects("3 copies: 4 KiB random read, 1 in flight", "rand", 4<<10, 1),
	objects("3 copies: 64 KiB write, 16 in flight", "write", 64<<10, 16),
	objects("3 copies: 64 KiB random read, 16 in flight", "rand", 64<<10, 16),
	objects("3 copies: 4 MiB write, 16 in flight", "write", 4<<20, 16),
	objects("3 copies: 4 MiB random read, 16 in flight", "rand", 4<<20, 16),
}

// objects is a row of one operation (write, rand) with objects of a size in
// bytes. Reads read what a short write run left.
func objects(name, op string, size, depth int) row {
	return row{name: name, measure: func(c cluster, seconds int) (sample, error) {
		args := []string{"-p", "bench", "bench", strconv.Itoa(seconds), op, "-t", strconv.Itoa(depth)}
		if op == "write" {
			args = append(args, "-b", strconv.Itoa(size), "--no-cleanup")
		} else if _, err := c.bench("-p", "bench", "bench", strconv.Itoa(max(seconds/2, 2)), "write", "-t", "16", "-b", strconv.Itoa(size), "--no-cleanup"); err != nil {
			return sample{}, err
		}
		before := cpu(c.pids)
		b, err := c.bench(args...)
		if err != nil {
			return sample{}, err
		}
		used := cpu(c.pids) - before
		var s sample
		total := number(b, `Total (?:writes|reads) made:\s+([0-9.]+)`)
		s.ops = number(b, `Average IOPS:\s+([0-9.]+)`)
		s.latency = number(b, `Average Latency\(s\):\s+([0-9.e-]+)`) * 1000
		if total == 0 || s.ops == 0 {
			return s, fmt.Errorf("cannot read the figures in %q", b)
		}
		s.cpu = used / total * 1e6
		_, err = c.bench("-p", "bench", "cleanup")
		return s, err
	}}
}

func (c cluster) bench(args ...string) (string, error) {
	cmd := exec.Command("/usr/bin/rados", args...)
	cmd.Env = peer.Env(c.conf)
	b, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("rados %s: %w: %s", strings.Join(args, " "), err, tail(b))
	}
	return string(b), nil
}
