package rbd_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/internal/clusters"
	"github.com/pulpo-storage/pulpo/internal/peer"
	"github.com/pulpo-storage/pulpo/pulpotest"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd"
)

// The stories run against real clusters, each in a pool of its own that they
// share, with images named after them. What one client does to an image is
// looked at with the other: this package, and librbd by its tool or in Python.
var stories = []struct {
	name string
	run  func(*world)
}{
	{"create", testCreate},
	{"bytes", testBytes},
	{"bounds", testBounds},
	{"striping", testStriping},
	{"hand over", testHandOver},
	{"open while told", testOpenWhileTold},
	{"first writes", testFirstWrites},
	{"dead owner", testDeadOwner},
	{"kept lock", testKeptLock},
	{"cancelled lock", testCancelledLock},
	{"snapshots", testSnapshots},
	{"snapshot removal", testSnapshotRemoval},
	{"snapshots are read once", testReadOnce},
	{"snapshots of two clients", testTwoClients},
	{"foreign owner", testForeignOwner},
	{"clones", testClones},
	{"clone formats", testCloneFormats},
	{"clone of a clone", testCloneOfClone},
	{"shared snapshot", testSharedSnapshot},
	{"resize", testResize},
	{"zeroes", testZeroes},
	{"compare and write", testCompareAndWrite},
	{"removal", testRemove},
	{"trash", testTrash},
	{"metadata", testMetadata},
	{"extents", testExtents},
	{"rollback", testRollback},
	{"features", testFeatures},
	{"rebuild", testRebuild},
	{"rename and namespaces", testNames},
	{"export", testExport},
	{"export diff", testExportDiff},
	{"copies", testCopies},
	{"model", testModel},
	{"cache", testCache},
	{"write through", testWriteThrough},
	{"fenced cache", testFenced},
	{"cache model", testCacheModel},
	{"cache together", testCacheTogether},
}

func TestStories(t *testing.T) {
	t.Parallel()
	clusters.Each(t, pulpotest.Options{}, tell)
}

// tell tells the stories on a cluster.
func tell(t *testing.T, conf string) {
	peer.Require(t, "rbd", "python3")
	w := &world{T: t, conf: conf}
	w.connect(3 * time.Minute)
	name := fmt.Sprintf("rbd-test-%d-%d", os.Getpid(), rand.Uint32())
	pool, err := w.cluster.CreatePool(w.ctx, name, rados.PGNum(8), rados.Application("rbd"))
	w.must(err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		c, err := rados.ConnectFile(ctx, conf)
		if err == nil {
			err = c.DeletePool(ctx, name)
			c.Close()
		}
		if err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	w.must(rbd.InitPool(w.ctx, pool, false))
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			w := &world{T: t, conf: conf, pool: name}
			w.connect(5 * time.Minute)
			s.run(w)
		})
	}
}

// world is what a story has: a client, a pool, and the stock tools.
type world struct {
	*testing.T
	conf    string
	pool    string
	ctx     context.Context
	cluster *rados.Cluster
}

func (w *world) connect(d time.Duration) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), d)
	w.Cleanup(cancel)
	w.ctx = ctx
	w.cluster = w.another()
}

// another is a client of its own.
func (w *world) another() *rados.Cluster {
	w.Helper()
	var opts []rados.Option
	if os.Getenv("PULPO_TEST_LOG") != "" {
		opts = append(opts, rados.WithLog(slog.New(slog.NewTextHandler(os.Stderr, nil))))
	}
	c, err := rados.ConnectFile(w.ctx, w.conf, opts...)
	w.must(err)
	w.Cleanup(func() { c.Close() })
	return c
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) wantErr(err, want error) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Fatalf("got error %v, want %v", err, want)
	}
}

// io is the pool, by the story's client.
func (w *world) io() *rados.Pool { return w.ioOf(w.cluster) }

func (w *world) ioOf(c *rados.Cluster) *rados.Pool {
	w.Helper()
	p, err := c.Pool(w.ctx, w.pool)
	w.must(err)
	return p
}

// open opens an image until the story ends.
func (w *world) open(name string, o rbd.OpenOptions) *rbd.Image {
	w.Helper()
	return w.openIn(w.io(), name, o)
}

func (w *world) openIn(p *rados.Pool, name string, o rbd.OpenOptions) *rbd.Image {
	w.Helper()
	if o.Log == nil && os.Getenv("PULPO_TEST_LOG") != "" {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	img, err := rbd.Open(w.ctx, p, name, o)
	w.must(err)
	w.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		img.Close(ctx)
	})
	return img
}

// create makes an image and opens it.
func (w *world) create(name string, size uint64, o rbd.CreateOptions) *rbd.Image {
	w.Helper()
	w.must(rbd.Create(w.ctx, w.io(), name, size, o))
	return w.open(name, rbd.OpenOptions{})
}

func (w *world) write(img *rbd.Image, off int64, p []byte) {
	w.Helper()
	if n, err := img.WriteAt(w.ctx, p, off); err != nil || n != len(p) {
		w.Fatalf("wrote %d bytes at %d: %v", n, off, err)
	}
}

func (w *world) read(img *rbd.Image, off int64, n int) []byte {
	w.Helper()
	p := bytes.Repeat([]byte{0xee}, n)
	if got, err := img.ReadAt(w.ctx, p, off); got != n || err != nil {
		w.Fatalf("read %d of %d bytes at %d: %v", got, n, off, err)
	}
	return p
}

// wantRead reads and compares.
func (w *world) wantRead(img *rbd.Image, off int64, want []byte) {
	w.Helper()
	if got := w.read(img, off, len(want)); !bytes.Equal(got, want) {
		w.Fatalf("%s at %d: %s", img.Spec(), off, difference(got, want))
	}
}

func difference(got, want []byte) string {
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			return fmt.Sprintf("byte %d is %#x, want %#x (%d and %d bytes)", i, got[i:min(i+8, len(got))], want[i:min(i+8, len(want))], len(got), len(want))
		}
	}
	return fmt.Sprintf("%d bytes, want %d", len(got), len(want))
}

// command runs a stock program with the story's cluster.
func (w *world) command(name string, args ...string) (string, error) {
	w.Helper()
	cmd := exec.CommandContext(w.ctx, "/usr/bin/"+name, args...)
	cmd.Env = peer.Env(w.conf)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %q: %w\n%s", name, args, err, errs.String())
	}
	return out.String(), nil
}

// stock runs the stock rbd tool; its first argument may be followed by others.
func (w *world) stock(args ...string) string {
	w.Helper()
	out, err := w.command("rbd", append([]string{"-p", w.pool}, args...)...)
	w.must(err)
	return out
}

// python runs a script with librbd: rbd, io (the pool) and the function check.
func (w *world) python(script string, args ...string) string {
	w.Helper()
	out, err := w.command("python3", append([]string{"-c", prelude + script, w.conf, w.pool}, args...)...)
	w.must(err)
	return out
}

// script is a Python program that runs beside the story.
type script struct {
	w    *world
	in   io.WriteCloser
	out  *bufio.Scanner
	errs bytes.Buffer
	cmd  *exec.Cmd
	seen strings.Builder
}

func (w *world) background(text string, args ...string) *script {
	w.Helper()
	s := &script{w: w}
	s.cmd = exec.CommandContext(w.ctx, "/usr/bin/python3", append([]string{"-c", prelude + text, w.conf, w.pool}, args...)...)
	s.cmd.Env = peer.Env(w.conf)
	s.cmd.Stderr = &s.errs
	in, err := s.cmd.StdinPipe()
	w.must(err)
	out, err := s.cmd.StdoutPipe()
	w.must(err)
	s.in, s.out = in, bufio.NewScanner(out)
	w.must(s.cmd.Start())
	w.Cleanup(func() { s.cmd.Process.Kill(); s.cmd.Wait() })
	return s
}

// wait waits for a line.
func (s *script) wait(line string) {
	s.w.Helper()
	for s.out.Scan() {
		fmt.Fprintln(&s.seen, s.out.Text())
		if s.out.Text() == line {
			return
		}
	}
	s.w.Fatalf("the script ended: %s%s", s.seen.String(), s.errs.String())
}

// say gives it a line.
func (s *script) say(line string) {
	s.w.Helper()
	_, err := io.WriteString(s.in, line+"\n")
	s.w.must(err)
}

// finish gives it a line and returns all that it has said when it ends.
func (s *script) finish() string {
	s.w.Helper()
	s.say("")
	for s.out.Scan() {
		fmt.Fprintln(&s.seen, s.out.Text())
	}
	if err := s.cmd.Wait(); err != nil {
		s.w.Errorf("script: %v\n%s", err, s.errs.String())
	}
	return s.seen.String()
}

const prelude = `
import sys, rados, rbd
cluster = rados.Rados(conffile=sys.argv[1]); cluster.connect()
io = cluster.open_ioctx(sys.argv[2])
def pattern(n, seed):
    out, x = bytearray(n), seed
    for i in range(n):
        x = (x * 1103515245 + 12345) & 0x7fffffff
        out[i] = x >> 16 & 0xff
    return bytes(out)
`

// pattern is n bytes that depend on a seed, the same as in Python.
func pattern(n int, seed uint32) []byte {
	out := make([]byte, n)
	x := uint64(seed)
	for i := range out {
		x = (x*1103515245 + 12345) & 0x7fffffff
		out[i] = byte(x >> 16)
	}
	return out
}
