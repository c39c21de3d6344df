package updown

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/rados"
)

const patience = 2 * time.Minute

// refuses runs a command that must fail with one clear line and change nothing
// in the directory.
func refuses(t *testing.T, dir, says string, args ...string) {
	t.Helper()
	before := tree(t, dir)
	r := binary.Run(t, args...)
	if r.Code != 1 {
		t.Fatalf("pulpo %s: %v\nwant exit 1", strings.Join(args, " "), r)
	}
	if r.Out != "" || strings.Count(r.Err, "\n") != 1 || !strings.HasPrefix(r.Err, "pulpo: ") {
		t.Errorf("pulpo %s: %v\nwant one line on stderr", strings.Join(args, " "), r)
	}
	if !regexp.MustCompile(says).MatchString(r.Err) {
		t.Errorf("pulpo %s: %v\nwant it to say: %s", strings.Join(args, " "), r, says)
	}
	if after := tree(t, dir); after != before {
		t.Errorf("pulpo %s changed the directory:\n%s\nbefore:\n%s", strings.Join(args, " "), after, before)
	}
}

// tree lists what is under a path.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		// What a store does to its own files while it runs is not looked at.
		if rel, _ := filepath.Rel(dir, path); strings.Count(rel, "/") < 1 {
			fmt.Fprintln(&b, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// serves checks that the cluster of a directory serves: that what a client
// writes is read by another one.
func serves(t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	put(t, ctx, dir, "serves", "yes")
	if got := get(t, ctx, dir, "serves"); got != "yes" {
		t.Fatalf("read %q", got)
	}
}

func pool(t *testing.T, ctx context.Context, dir string) (*rados.Pool, func()) {
	t.Helper()
	c, err := rados.ConnectFile(ctx, binary.Conf(dir))
	if err != nil {
		t.Fatalf("connect: %v\n%s", err, binary.LogTail(dir))
	}
	p, err := c.Pool(ctx, "rbd")
	if err != nil {
		c.Close()
		t.Fatal(err)
	}
	return p, func() { c.Close() }
}

func put(t *testing.T, ctx context.Context, dir, name, value string) {
	t.Helper()
	p, done := pool(t, ctx, dir)
	defer done()
	if err := p.WriteFull(ctx, name, []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, ctx context.Context, dir, name string) string {
	t.Helper()
	p, done := pool(t, ctx, dir)
	defer done()
	b, err := p.ReadFull(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestUpAndDown follows a directory through its life.
func TestUpAndDown(t *testing.T) {
	t.Parallel()
	dir := binary.Dir(t)
	refuses(t, dir, "no cluster", "down", "--dir", dir)
	refuses(t, dir, "no cluster", "status", "--dir", dir)

	r := binary.Run(t, "up", "--dir", dir, "--detach")
	if r.Code != 0 {
		t.Fatalf("up: %v", r)
	}
	for _, want := range []string{dir + "/ceph.conf", "pulpo down --dir " + dir, "log/pulpo.log"} {
		if !strings.Contains(r.Out, want) {
			t.Errorf("up does not say %q:\n%s", want, r.Out)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	put(t, ctx, dir, "kept", "value")
	if st, err := os.Stat(filepath.Join(dir, "ceph.client.admin.keyring")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("keyring: %v %v, want mode 0600", st, err)
	}
	secrets(t, dir)
	healthy(t, ctx, dir)
	if r := binary.Run(t, "status", "--dir", dir); r.Code != 0 || !strings.Contains(r.Out, "HEALTH_OK") {
		t.Errorf("status: %v", r)
	}

	// The directory is in use.
	p, err := binary.Owner(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	inUse := fmt.Sprintf("in use by process %d", p.PID)
	refuses(t, dir, inUse, "up", "--dir", dir, "--detach")
	refuses(t, dir, inUse, "up", "--dir", dir)
	serves(t, dir)
	conf, keyring := read(t, dir, "ceph.conf"), read(t, dir, "ceph.client.admin.keyring")

	binary.Down(t, dir)
	if err := p.Wait(ctx); err != nil {
		t.Errorf("down returned before the process had ended: %v", err)
	}
	if r := binary.Run(t, "down", "--dir", dir); r.Code != 0 || !strings.Contains(r.Out, "not running") {
		t.Errorf("down again: %v", r)
	}
	refuses(t, dir, "not running", "status", "--dir", dir)

	// The second start continues: same cluster, same address, same key, same data.
	binary.Up(t, dir)
	if got := get(t, ctx, dir, "kept"); got != "value" {
		t.Errorf("after a restart: %q", got)
	}
	if got := read(t, dir, "ceph.client.admin.keyring"); got != keyring {
		t.Error("the administrator's key has changed")
	}
	if got := read(t, dir, "ceph.conf"); got != conf {
		t.Errorf("ceph.conf has changed:\n%s\nbefore:\n%s", got, conf)
	}
	healthy(t, ctx, dir)
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// secrets checks that nobody else may read a key.
func secrets(t *testing.T, dir string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "keyring") {
			return err
		}
		n++
		if st, err := d.Info(); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v, want mode 0600", path, st, err)
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Errorf("%d keyrings: %v", n, err)
	}
}

// healthy checks what a cluster is after its first start.
func healthy(t *testing.T, ctx context.Context, dir string) {
	t.Helper()
	c, err := rados.ConnectFile(ctx, binary.Conf(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Command(ctx, rados.ToMons(), map[string]string{"prefix": "health"}, nil)
	if err != nil || strings.TrimSpace(string(r.Data)) != "HEALTH_OK" {
		t.Errorf("health: %s %v", r.Data, err)
	}
	p, err := c.PoolByID(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	info, err := p.Info()
	if err != nil {
		t.Fatal(err)
	}
	if info.Name != "rbd" || info.PGNum != 32 || strings.Join(info.Applications, " ") != "rbd" || info.Size != 1 {
		t.Errorf("pool 1: %+v", info)
	}
}

// TestForeground runs without --detach and ends with each signal it must heed.
func TestForeground(t *testing.T) {
	t.Parallel()
	dir := binary.Dir(t)
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM} {
		cmd := exec.Command(binary.Path(t), "up", "--dir", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var errs strings.Builder
		cmd.Stderr = &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		b := make([]byte, 1000)
		n, _ := out.Read(b)
		if !strings.Contains(string(b[:n]), "The cluster serves") {
			t.Errorf("up says %q\n%s", b[:n], &errs)
		} else {
			serves(t, dir)
		}
		cmd.Process.Signal(sig)
		if err := cmd.Wait(); err != nil {
			t.Errorf("up after %v: %v\n%s", sig, err, &errs)
		}
		late.Stop()
	}
}

func TestForeignDirectory(t *testing.T) {
	t.Parallel()
	dir := binary.Dir(t)
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), []byte("years of work"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"up", "--dir", dir}, {"up", "--dir", dir, "--detach"}} {
		refuses(t, dir, "directory is not empty and holds no Pulpo cluster", args...)
	}
	refuses(t, dir, "no cluster", "down", "--dir", dir)
	refuses(t, dir, "no cluster", "status", "--dir", dir)
	file := filepath.Join(dir, "thesis.tex")
	refuses(t, dir, "not a directory", "up", "--dir", file, "--detach")
	if got := read(t, dir, "thesis.tex"); got != "years of work" {
		t.Errorf("the file is now %q", got)
	}
}

func TestDirectoryOfTheFuture(t *testing.T) {
	t.Parallel()
	dir := binary.Dir(t)
	for content, says := range map[string]string{
		`{"format": 1000, "fsid": "x"}`: "newer",
		`{"format": 1, "fsid": "x"}`:    "fsid",
		`{"format"`:                     "cluster.json",
		``:                              "cluster.json",
	} {
		if err := os.WriteFile(filepath.Join(dir, "cluster.json"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		r := binary.Run(t, "up", "--dir", dir, "--detach")
		if r.Code != 1 || !strings.Contains(r.Err, says) || strings.Count(r.Err, "\n") != 1 {
			t.Errorf("cluster.json %q: %v\nwant one line that says %s", content, r, says)
		}
		if got := read(t, dir, "cluster.json"); got != content {
			t.Errorf("cluster.json %q has become %q", content, got)
		}
	}
}

func TestTakenPort(t *testing.T) {
	t.Parallel()
	for range 5 {
		if takenPort(t) {
			return
		}
	}
	t.Error("each time somebody else had the port when the cluster was down")
}

// takenPort returns false if another program takes the port while it is free.
func takenPort(t *testing.T) bool {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := ln.Addr().String()
	dir := binary.Dir(t)
	r := binary.Run(t, "up", "--dir", dir, "--detach", "--listen", taken)
	if r.Code != 1 || strings.Count(r.Err, "\n") != 1 || !strings.Contains(r.Err, taken) || !strings.Contains(r.Err, "taken") {
		t.Errorf("up on a taken port: %v\nwant one line that names it", r)
	}
	if _, err := binary.Owner(dir); err == nil {
		t.Error("a process still holds the directory")
	}
	// Once it is free the same command works, and the port stays the cluster's.
	ln.Close()
	binary.Up(t, dir, "--listen", taken)
	if conf := read(t, dir, "ceph.conf"); !strings.Contains(conf, taken) {
		t.Errorf("ceph.conf does not name %s:\n%s", taken, conf)
	}
	serves(t, dir)
	binary.Down(t, dir)
	if ln, err = net.Listen("tcp", taken); err != nil {
		t.Logf("after down: %v", err)
		return false
	}
	refuses(t, dir, regexp.QuoteMeta(taken)+".*taken", "up", "--dir", dir, "--detach")
	ln.Close()
	binary.Up(t, dir)
	serves(t, dir)
	return true
}

func TestListenOnAllInterfaces(t *testing.T) {
	t.Parallel()
	dir := binary.Dir(t)
	binary.Up(t, dir, "--listen", "0.0.0.0")
	if conf := read(t, dir, "ceph.conf"); strings.Contains(conf, "0.0.0.0:") {
		t.Errorf("ceph.conf names an address that nobody can reach:\n%s", conf)
	}
	serves(t, dir)
}

func TestUnusableParents(t *testing.T) {
	t.Parallel()
	t.Run("below a file", func(t *testing.T) {
		t.Parallel()
		dir := binary.Dir(t)
		file := filepath.Join(dir, "file")
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		refuses(t, dir, "not a directory", "up", "--dir", filepath.Join(file, "d"), "--detach")
	})
	t.Run("missing", func(t *testing.T) {
		t.Parallel()
		// A path that does not exist yet is made.
		dir := filepath.Join(binary.Dir(t), "a", "b")
		t.Cleanup(func() { binary.End(dir) })
		binary.Up(t, dir)
		serves(t, dir)
	})
	t.Run("read-only", func(t *testing.T) {
		t.Parallel()
		dir := binary.Dir(t)
		mount(t, dir, "size=1m", unix.MS_RDONLY)
		refuses(t, dir, "read-only file system", "up", "--dir", filepath.Join(dir, "d"), "--detach")
		refuses(t, dir, "read-only file system", "up", "--dir", dir, "--detach")
	})
	t.Run("a path for no ceph.conf", func(t *testing.T) {
		t.Parallel()
		dir := binary.Dir(t)
		refuses(t, dir, "characters", "up", "--dir", filepath.Join(dir, "a b"), "--detach")
	})
}

// mount mounts a small file system over a directory.
func mount(t *testing.T, dir, options string, flags uintptr) {
	t.Helper()
	if err := unix.Mount("pulpo-test", dir, "tmpfs", flags, options); err != nil {
		t.Skipf("mount a file system: %v", err)
	}
	t.Cleanup(func() {
		binary.End(dir)
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
}

// TestFullDisk brings a cluster up where there is no room for it. With room the
// same directory works.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for _, size := range []string{"64k", "1m", "8m"} {
		t.Run(size, func(t *testing.T) {
			t.Parallel()
			dir := binary.Dir(t)
			mount(t, dir, "size="+size, 0)
			r := binary.Run(t, "up", "--dir", dir, "--detach")
			if r.Code != 1 || strings.Count(r.Err, "\n") != 1 || !strings.Contains(strings.ToLower(r.Err), "space") {
				t.Errorf("up on %s: %v\nwant one line that says there is no space", size, r)
			}
			if _, err := binary.Owner(dir); err == nil {
				t.Fatal("a process still holds the directory")
			}
			if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=1g"); err != nil {
				t.Fatal(err)
			}
			binary.Up(t, dir)
			serves(t, dir)
		})
	}
}

// TestWords misuses each option. What went wrong is said, and does not stand in
// the way of a right start afterwards.
func TestWords(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		says string
		args []string // after --dir
	}{
		{"unknown flag: --nonesuch", []string{"up", "--nonesuch"}},
		{"unknown flag: --force", []string{"down", "--force"}},
		{"unknown command|arguments", []string{"up", "more"}},
		{"--osds", []string{"up", "--osds", "-1", "--detach"}},
		{"--osds", []string{"up", "--osds", "many", "--detach"}},
		{"--listen", []string{"up", "--listen", "example.org", "--detach"}},
		{"--listen", []string{"up", "--listen", "127.0.0.1:99999", "--detach"}},
		{"192.0.2.1.*address", []string{"up", "--listen", "192.0.2.1", "--detach"}},
		{"--log-level", []string{"up", "--log-level", "loud"}},
		{"--log-level", []string{"up", "--log-level", "loud", "--detach"}},
		{"--osd-size", []string{"up", "--osd-size", "-5", "--detach"}},
		{"osd-size|needed", []string{"up", "--osd-size", "5", "--detach"}},
		{"metrics", []string{"up", "--metrics", "nonsense", "--detach"}},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			t.Parallel()
			dir := binary.Dir(t)
			r := binary.Run(t, append(test.args, "--dir", dir)...)
			if r.Code != 1 || strings.Count(r.Err, "\n") != 1 || !regexp.MustCompile(test.says).MatchString(r.Err) {
				t.Errorf("%v\nwant exit 1 and one line that says %s", r, test.says)
			}
			if _, err := binary.Owner(dir); err == nil {
				t.Fatal("a process holds the directory")
			}
			binary.Up(t, dir)
			serves(t, dir)
		})
	}
	if r := binary.Run(t, "nonesuch"); r.Code != 1 || strings.Count(r.Err, "\n") != 1 || !strings.Contains(r.Err, "unknown command") {
		t.Errorf("pulpo nonesuch: %v", r)
	}
}

// TestOtherNumberOfOSDs asks for more OSDs than a directory has. Whether that is
// granted or refused, at once, nothing is lost.
func TestOtherNumberOfOSDs(t *testing.T) {
	t.Parallel()
	dir := binary.Dir(t)
	binary.Up(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	p, done := pool(t, ctx, dir)
	for i := range 50 {
		if err := p.WriteFull(ctx, fmt.Sprint(i), []byte("kept")); err != nil {
			t.Fatal(err)
		}
	}
	done()
	binary.Down(t, dir)
	began := time.Now()
	if r := binary.Run(t, "up", "--dir", dir, "--detach", "--osds", "3"); r.Code != 0 {
		if strings.Count(r.Err, "\n") != 1 || time.Since(began) > 10*time.Second {
			t.Errorf("up --osds 3 after %v: %v\nwant one line, at once", time.Since(began), r)
		}
		binary.Up(t, dir)
	}
	p, done = pool(t, ctx, dir)
	defer done()
	for i := range 50 {
		if b, err := p.ReadFull(ctx, fmt.Sprint(i)); err != nil || string(b) != "kept" {
			t.Fatalf("object %d: %q, %v", i, b, err)
		}
	}
}
