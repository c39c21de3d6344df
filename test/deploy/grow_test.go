package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/internal/binary"
)

// TestGrowAndShrink gives a directory more OSDs, then takes the first away. The
// data is where the OSDs are.
func TestGrowAndShrink(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"one process": nil, "processes": {"--processes"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 64
			dir := binary.Dir(t)
			up := func(more ...string) { binary.Up(t, dir, append(more, args...)...) }
			up("--osd-size", "1073741824")
			fill(t, client(t, dir), "rbd", n)
			binary.Down(t, dir)
			refuses(t, "--osds 0|--osds -1", "up", "--dir", dir, "--osds", "-1", "--detach")

			// Up waits until all groups are clean where they belong now.
			up("--osds", "3", "--osd-size", "1073741824")
			c := client(t, dir)
			allUp(t, c, 3)
			check(t, fill(t, c, "rbd", 0), n)

			r := binary.Run(t, "remove", "osd.0", "--dir", dir)
			if r.Code != 0 || !strings.Contains(r.Out, "osd.0 can be deleted once") {
				t.Fatalf("remove: %v\n%s", r, binary.LogTail(dir))
			}
			allUp(t, c, 2)
			check(t, fill(t, c, "rbd", 0), n)
			binary.Down(t, dir)

			// What is left of it is not in the way, and goes when wanted.
			up()
			c = client(t, dir)
			allUp(t, c, 2)
			check(t, fill(t, c, "rbd", 0), n)
			if _, err := os.Stat(filepath.Join(dir, "osd.0")); err != nil {
				t.Error(err)
			}
			binary.Down(t, dir)
			refuses(t, "--osds 1: .* has 2 OSDs; to remove one: pulpo remove", "up", "--dir", dir, "--osds", "1", "--detach")
		})
	}
}

// TestRemovedMonitor takes a monitor out of a directory that runs as a whole.
func TestRemovedMonitor(t *testing.T) {
	t.Parallel()
	dir := binary.Dir(t)
	binary.Up(t, dir, "--mons", "3")
	if r := binary.Run(t, "remove", "mon.c", "--dir", dir); r.Code != 0 {
		t.Fatalf("remove: %v", r)
	}
	quorum(t, client(t, dir), "a", "b")
	for _, args := range [][]string{{"--processes"}, nil, {"--mons", "3"}} {
		binary.Down(t, dir)
		binary.Up(t, dir, args...)
	}
	// Another one of that name is a new one.
	quorum(t, client(t, dir), "a", "b", "c")
}

// TestRemoveElsewhere drains an OSD of another host and removes a monitor.
func TestRemoveElsewhere(t *testing.T) {
	t.Parallel()
	const n = 32
	first, second := newHost(t), newHost(t)
	binary.Up(t, first.dir, "--listen", first.addr, "--osd-size", "1073741824")
	admin := client(t, first.dir)
	tok := first.token("--mon")
	second.pulpo("join", "--token", tok, "--addr", second.addr, "--mon", "--mon-name", "two", "--osd-size", "1073741824")
	mon, osd := second.run("mon.two"), second.run("osd.1")
	allUp(t, admin, 2)
	quorum(t, admin, "a", "two")
	pool := fill(t, admin, "rbd", n)

	refuses(t, "want osd.N or mon.NAME", "remove", "mgr.x", "--dir", first.dir)
	refuses(t, "no keyring|key", "remove", "osd.1", "--dir", second.dir)
	first.pulpo("remove", "osd.1")
	if err := osd.wait(); err != nil {
		t.Errorf("an OSD that was removed: %v\n%s", err, osd.log)
	}
	allUp(t, admin, 1)
	check(t, pool, n)
	first.pulpo("remove", "mon.two")
	if err := mon.wait(); err != nil {
		t.Errorf("a monitor that was removed: %v\n%s", err, mon.log)
	}
	// Whoever starts it again is not made to try on and on.
	if r := binary.Run(t, "mon", "--dir", second.dir, "--id", "two"); r.Code != 0 || !strings.Contains(r.Err, "this monitor was removed") {
		t.Errorf("a monitor that was removed before: %v", r)
	}
	quorum(t, admin, "a")
	run(t, admin, "osd pool create", "pool", "goes on")
}
