// Package block uses images with the stock programs that speak librbd themselves:
// QEMU's tools, rbd-fuse and fio.
package block

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/internal/peer"
)

func TestMain(m *testing.M) { os.Exit(binary.Main(m)) }

// tools runs stock programs on a cluster.
type tools struct {
	*testing.T
	conf, tmp string
}

func start(t *testing.T, programs ...string) *tools {
	t.Helper()
	peer.Require(t, programs...)
	dir := binary.Dir(t)
	binary.Up(t, dir)
	return &tools{t, binary.Conf(dir), t.TempDir()}
}

func (w *tools) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Dir = peer.Env(w.conf), w.tmp
	return cmd
}

// run runs a program that must succeed.
func (w *tools) run(name string, args ...string) string {
	w.Helper()
	cmd := w.command(name, args...)
	r := binary.Exec(w, cmd)
	if r.Code != 0 {
		w.Fatalf("%v: %v", cmd.Args, r)
	}
	return r.Out
}

func (w *tools) spec(image string) string { return "rbd:rbd/" + image + ":conf=" + w.conf }

// file makes one with pieces of data and holes.
func (w *tools) file(size int) (path string, content []byte) {
	content = make([]byte, size)
	r := rand.New(rand.NewPCG(1, uint64(size)))
	for range 20 {
		piece := content[r.IntN(size):]
		piece = piece[:min(len(piece), 1+r.IntN(2<<20))]
		for i := range piece {
			piece[i] = byte(r.Uint32())
		}
	}
	path = filepath.Join(w.tmp, "file.raw")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		w.Fatal(err)
	}
	return path, content
}

// image is what the rbd tool reads of an image or a snapshot.
func (w *tools) image(spec string) []byte {
	w.Helper()
	path := filepath.Join(w.tmp, "exported")
	w.run("rbd", "export", "--no-progress", "rbd/"+spec, path)
	b, err := os.ReadFile(path)
	if err != nil {
		w.Fatal(err)
	}
	os.Remove(path)
	return b
}

func (w *tools) same(what string, got, want []byte) {
	w.Helper()
	if !bytes.Equal(got, want) {
		w.Fatalf("%s: %d bytes (%x), want %d (%x)", what, len(got), md5.Sum(got), len(want), md5.Sum(want))
	}
}

func TestQEMU(t *testing.T) {
	t.Parallel()
	w := start(t, "qemu-img", "qemu-io", "rbd")
	const size = 24 << 20
	raw, content := w.file(size)

	w.run("qemu-img", "convert", "-f", "raw", "-O", "raw", raw, w.spec("vm"))
	w.same("converted into an image", w.image("vm"), content)
	w.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", w.spec("vm"), "back.qcow2")
	w.run("qemu-img", "compare", "-f", "qcow2", "-F", "raw", "back.qcow2", w.spec("vm"))
	if out := w.run("qemu-img", "info", w.spec("vm")); !strings.Contains(out, "virtual size: 24 MiB") {
		t.Errorf("info: %s", out)
	}

	w.run("qemu-img", "snapshot", "-c", "before", w.spec("vm"))
	if out := w.run("qemu-img", "snapshot", "-l", w.spec("vm")); !strings.Contains(out, "before") {
		t.Errorf("snapshots: %s", out)
	}
	out := w.run("qemu-io", "-f", "raw", "-c", "write -P 0xab 1M 3M", "-c", "write -z 8M 4M", "-c", "discard 16M 4M", "-c", "flush",
		"-c", "read -P 0xab 1M 3M", "-c", "read -P 0 8M 4M", w.spec("vm"))
	if strings.Contains(out, "failed") || strings.Contains(out, "error") {
		t.Errorf("qemu-io: %s", out)
	}
	w.same("the snapshot", w.image("vm@before"), content)
	head := bytes.Clone(content)
	copy(head[1<<20:], bytes.Repeat([]byte{0xab}, 3<<20))
	clear(head[8<<20 : 12<<20])
	clear(head[16<<20 : 20<<20])
	w.same("the image", w.image("vm"), head)
	w.run("qemu-img", "snapshot", "-a", "before", w.spec("vm"))
	w.same("rolled back", w.image("vm"), content)
	w.run("qemu-img", "snapshot", "-d", "before", w.spec("vm"))
	w.run("qemu-img", "resize", "-f", "raw", w.spec("vm"), "32M")
	w.same("grown", w.image("vm"), append(bytes.Clone(content), make([]byte, 8<<20)...))
	w.run("qemu-img", "resize", "-f", "raw", "--shrink", w.spec("vm"), "16M")
	w.same("shrunk", w.image("vm"), content[:16<<20])
}

func TestFuse(t *testing.T) {
	t.Parallel()
	w := start(t, "rbd-fuse", "fusermount", "rbd")
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
		t.Skipf("no FUSE on this machine: %v", err)
	} else {
		f.Close()
	}
	raw, content := w.file(16 << 20)
	w.run("rbd", "import", "--no-progress", raw, "rbd/img")
	at := filepath.Join(w.tmp, "mnt")
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := w.command("rbd-fuse", "-f", "-c", w.conf, "-p", "rbd", at)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		binary.Exec(t, w.command("fusermount", "-u", "-z", at))
		select {
		case <-ended:
		case <-time.After(time.Minute):
			cmd.Process.Kill()
			t.Error("rbd-fuse does not end")
		}
	})
	path := filepath.Join(at, "img")
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			break
		}
		select {
		case err := <-ended:
			ended <- err
			if strings.Contains(said.String(), "Operation not permitted") || strings.Contains(said.String(), "Permission denied") {
				t.Skipf("may not mount here: %s", &said)
			}
			t.Fatalf("rbd-fuse: %v\n%s", err, &said)
		default:
		}
		if time.Since(begin) > 2*time.Minute {
			t.Fatalf("the image is not there\n%s", &said)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w.same("read through the mount", got, content)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	piece := bytes.Repeat([]byte("pulpo"), 100000)
	if _, err := f.WriteAt(piece, 3<<20+17); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	copy(content[3<<20+17:], piece)
	w.same("written through the mount", w.image("img"), content)
}

// TestFioSoak writes 2 GiB in pieces of all sizes in random order, then reads
// them and compares.
func TestFioSoak(t *testing.T) {
	binary.SoakRounds(t)
	w := start(t, "fio", "rbd")
	const size = 2 << 30
	w.run("rbd", "create", "--size", fmt.Sprintf("%dB", size), "rbd/img")
	cmd := w.command("fio", "--name=verified", "--ioengine=rbd", "--clientname=admin", "--pool=rbd", "--rbdname=img", "--rw=randwrite",
		"--bsrange=512-256k", "--blockalign=512", "--iodepth=16", "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0",
		fmt.Sprint("--size=", size))
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "verify:") || !strings.Contains(string(out), "err= 0") {
		t.Fatalf("fio: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}
