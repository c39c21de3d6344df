// Package nbd serves images with gateway/nbd to stock clients: nbdinfo, nbdcopy,
// qemu-img, qemu-io, fio. What they do is looked at with the stock rbd tool and
// librbd. PULPO_TEST_CONF names a cluster to take; without, it is ours.
package nbd

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/gateway/nbd"
	"github.com/pulpo-storage/pulpo/internal/clusters"
	"github.com/pulpo-storage/pulpo/internal/peer"
	"github.com/pulpo-storage/pulpo/pulpotest"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd"
)

const mib = 1 << 20

// world is a server of a pool's images, and the tools.
type world struct {
	*testing.T
	ctx  context.Context
	conf string
	pool *rados.Pool
	addr string
}

func start(t *testing.T) *world {
	t.Helper()
	peer.Require(t, "rbd", "python3", "nbdinfo", "nbdcopy", "qemu-img", "qemu-io", "fio")
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	w := &world{T: t, ctx: ctx, conf: clusters.One(t, pulpotest.Options{})}
	cluster, err := rados.ConnectFile(ctx, w.conf)
	w.must(err)
	t.Cleanup(func() { cluster.Close() })
	name := fmt.Sprintf("nbd-test-%d-%s", os.Getpid(), strings.ToLower(t.Name()))
	w.pool, err = cluster.CreatePool(ctx, name, rados.PGNum(8), rados.Application("rbd"))
	w.must(err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := cluster.DeletePool(ctx, name); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	w.must(rbd.InitPool(ctx, w.pool, false))
	w.addr = w.serve(nil)
	return w
}

func (w *world) serve(conf *tls.Config) string { return w.serveImages(conf, &nbd.Images{Pool: w.pool}) }

func (w *world) serveImages(conf *tls.Config, images *nbd.Images) string {
	w.Helper()
	s := &nbd.Server{Exports: images, TLS: conf, Log: slog.New(slog.DiscardHandler)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	w.Cleanup(func() {
		cancel()
		w.must(<-done)
	})
	return l.Addr().String()
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) uri(export string) string { return "nbd://" + w.addr + "/" + export }

func (w *world) try(name string, args ...string) (string, error) {
	cmd := exec.CommandContext(w.ctx, "/usr/bin/"+name, args...)
	cmd.Env = peer.Env(w.conf)
	cmd.Dir = w.TempDir()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %q: %w\n%s%s", name, args, err, out.String(), errs.String())
	}
	return out.String(), nil
}

func (w *world) run(name string, args ...string) string {
	w.Helper()
	out, err := w.try(name, args...)
	w.must(err)
	return out
}

func (w *world) rbd(args ...string) string {
	w.Helper()
	return w.run("rbd", append([]string{"-p", w.pool.Name()}, args...)...)
}

// qemu runs commands of qemu-io; it ends with 0 whatever becomes of them, and
// says so.
func (w *world) qemu(export string, commands ...string) {
	w.Helper()
	args := []string{"-f", "raw"}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	if out := w.run("qemu-io", append(args, w.uri(export))...); strings.Contains(out, "rror") || strings.Contains(out, "failed") {
		w.Fatalf("%s: %s", export, out)
	}
}

// TestCache has the server keep writes back: what was flushed, or written with
// FUA, is there for librbd, and all that was written when the client is gone.
func TestCache(t *testing.T) {
	w := start(t)
	w.rbd("create", "cached", "-s", "16M")
	w.addr = w.serveImages(nil, &nbd.Images{Pool: w.pool, Cache: &rbd.CacheOptions{AtOnce: true, MaxAge: time.Hour}})
	exported := func() []byte { return []byte(w.rbd("export", "cached", "-")) }
	want := make([]byte, 16*mib)
	fill := func(off, n int, b byte) { copy(want[off:], bytes.Repeat([]byte{b}, n)) }
	w.qemu("cached", "write -P 1 4k 8k", "write -P 2 5M 64k", "flush", "write -f -P 3 6M 4k", "write -z 6k 1k", "read -P 3 6M 4k", "read -P 0 6k 1k")
	fill(4<<10, 8<<10, 1)
	fill(5*mib, 64<<10, 2)
	fill(6*mib, 4<<10, 3)
	fill(6<<10, 1<<10, 0)
	if !bytes.Equal(exported(), want) {
		t.Error("librbd reads something else")
	}
	raw := filepath.Join(t.TempDir(), "raw")
	rand.Read(want)
	w.must(os.WriteFile(raw, want, 0o600))
	w.run("nbdcopy", "--flush", raw, w.uri("cached"))
	if !bytes.Equal(exported(), want) {
		t.Error("librbd reads something else after a copy")
	}
}

// TestCopies has images that are plain, striped, cloned and snapshots: nbdcopy
// and qemu-img take from them what rbd export does, and the map that clients see
// is right.
func TestCopies(t *testing.T) {
	w := start(t)
	w.rbd("create", "plain", "-s", "24M", "--object-size", "1M")
	w.rbd("create", "striped", "-s", "24M", "--object-size", "1M", "--stripe-unit", "65536", "--stripe-count", "4")
	for _, image := range []string{"plain", "striped"} {
		w.qemu(image, "write -P 1 3000k 200k", "write -P 2 9M 4k", "flush")
		w.rbd("snap", "create", image+"@s")
		w.rbd("snap", "protect", image+"@s")
		w.qemu(image, "write -P 3 20M 100k", "discard 3M 1M", "write -z 9M 4k", "read -P 3 20M 100k", "read -P 0 9M 4k")
		w.rbd("clone", image+"@s", w.pool.Name()+"/"+image+"-child")
		w.qemu(image+"-child", "read -P 2 9M 4k", "write -P 4 15M 512", "read -P 0 15729152 512")
		for _, spec := range []string{image, image + "@s", image + "-child"} {
			w.copies(spec)
		}
	}
	// Into an image.
	raw := filepath.Join(t.TempDir(), "raw")
	data := make([]byte, 24*mib)
	rand.Read(data[5*mib : 6*mib])
	w.must(os.WriteFile(raw, data, 0o600))
	for i, copyTo := range []func(uri string){
		func(uri string) { w.run("nbdcopy", raw, uri) },
		func(uri string) { w.run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", raw, uri) },
	} {
		name := fmt.Sprintf("into%d", i)
		w.rbd("create", name, "-s", "24M")
		copyTo(w.uri(name))
		w.run("qemu-img", "compare", "-f", "raw", "-F", "raw", raw, w.uri(name))
		w.wantExport(name, data)
	}
}

func (w *world) wantExport(spec string, want []byte) {
	w.Helper()
	path := filepath.Join(w.TempDir(), "export")
	w.rbd("export", "--no-progress", spec, path)
	got, err := os.ReadFile(path)
	w.must(err)
	if !bytes.Equal(got, want) {
		w.Fatalf("%s: rbd export has other bytes", spec)
	}
}

func (w *world) copies(spec string) {
	w.Helper()
	path := filepath.Join(w.TempDir(), "copy")
	w.run("nbdcopy", w.uri(spec), path)
	data, err := os.ReadFile(path)
	w.must(err)
	w.wantExport(spec, data)

	var found []struct {
		Offset, Length int64
		Type           int // bit 0: hole, bit 1: zeros
	}
	w.must(json.Unmarshal([]byte(w.run("nbdinfo", "--map", "--json", w.uri(spec))), &found))
	var diff []struct{ Offset, Length int64 }
	w.must(json.Unmarshal([]byte(w.rbd("diff", spec, "--format", "json")), &diff))
	said := make([]bool, len(data))
	for _, d := range diff {
		for i := d.Offset; i < d.Offset+d.Length; i++ {
			said[i] = true
		}
	}
	end, sum := int64(0), int64(0)
	for _, e := range found {
		if e.Offset != end {
			w.Fatalf("%s: map %+v", spec, found)
		}
		end += e.Length
		for i := e.Offset; i < end; i++ {
			if data[i] != 0 && (e.Type != 0 || !said[i]) {
				w.Fatalf("%s: byte %d in %+v, rbd diff %v", spec, i, e, diff)
			}
		}
		if e.Type == 0 {
			sum += e.Length
		}
	}
	if end != int64(len(data)) || sum == 0 || sum > mib {
		w.Errorf("%s: %d bytes of data of %d: %+v", spec, sum, end, found)
	}
}

func TestFio(t *testing.T) {
	w := start(t)
	w.rbd("create", "fio", "-s", "64M", "--object-size", "1M")
	w.run("fio", "--name=verify", "--ioengine=nbd", "--uri="+w.uri("fio"), "--rw=randrw", "--bsrange=512-128k", "--size=64M", "--io_size=32M",
		"--iodepth=16", "--verify=crc32c", "--verify_fatal=1", "--randseed=7", "--verify_state_save=0")
	if out := w.rbd("object-map", "check", "fio"); strings.Contains(out, "rror") {
		t.Error(out)
	}
	w.idle("fio")
}

// idle waits until nobody has an image open or locked.
func (w *world) idle(image string) {
	w.Helper()
	for {
		lock, status := w.rbd("lock", "ls", image, "--format", "json"), w.rbd("status", image)
		if strings.TrimSpace(lock) == "[]" && strings.Contains(status, "Watchers: none") {
			return
		}
		select {
		case <-w.ctx.Done():
			w.Fatalf("%s: %s%s", image, lock, status)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// TestHandOver has librbd and an NBD client write to the same image at the same
// time, each the blocks of its own, several at a time of the NBD client's.
func TestHandOver(t *testing.T) {
	w := start(t)
	w.rbd("create", "shared", "-s", "32M", "--object-size", "1M")
	const rounds = 60
	ended := make(chan error)
	go func() {
		_, err := w.try("python3", "-c", `
import sys, rados, rbd
with rados.Rados(conffile=sys.argv[1]) as c, c.open_ioctx(sys.argv[2]) as io, rbd.Image(io, "shared") as img:
    for i in range(int(sys.argv[3])):
        img.write(bytes([100 + i]) * 4096, (2 * i + 1) * 65536)
`, w.conf, w.pool.Name(), fmt.Sprint(rounds))
		ended <- err
	}()
	var commands, check []string
	for i := range rounds {
		commands = append(commands, fmt.Sprintf("aio_write -q -P %d %d 4096", i+1, 2*i*65536))
		if i%5 == 4 {
			commands = append(commands, "aio_flush", "sleep 20")
		}
		check = append(check, fmt.Sprintf("read -P %d %d 4096", i+1, 2*i*65536), fmt.Sprintf("read -P %d %d 4096", 100+i, (2*i+1)*65536))
	}
	w.qemu("shared", commands...)
	w.must(<-ended)
	w.qemu("shared", check...)
	w.idle("shared")
	if out := w.rbd("object-map", "check", "shared"); strings.Contains(out, "rror") {
		t.Error(out)
	}
}

// TestResize resizes an image with the stock tool while a client has it open.
func TestResize(t *testing.T) {
	w := start(t)
	w.rbd("create", "r", "-s", "8M", "--object-size", "1M")
	cmd := exec.CommandContext(w.ctx, "/usr/bin/qemu-io", "-f", "raw", w.uri("r"))
	in, err := cmd.StdinPipe()
	w.must(err)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	w.must(cmd.Start())
	say := func(line string) {
		_, err := in.Write([]byte(line + "\n"))
		w.must(err)
	}
	say("write -P 9 0 4M")
	watched := func() bool { return strings.Contains(w.rbd("status", "r"), "watcher=") }
	for !watched() {
		if w.ctx.Err() != nil {
			t.Fatal("nobody watches the image")
		}
	}
	size := func() string { return strings.TrimSpace(w.run("nbdinfo", "--size", w.uri("r"))) }
	for _, mb := range []int{12, 5} {
		w.rbd("resize", "r", "-s", fmt.Sprintf("%dM", mb), "--allow-shrink", "--no-progress")
		if got := size(); got != fmt.Sprint(mb*mib) {
			t.Errorf("resized to %d MiB, a new client sees %s", mb, got)
		}
	}
	say("read 7M 4k")
	say("write 7M 4k")
	say("read -P 9 0 4M")
	say("quit")
	w.must(in.Close()) // it looks at what it has buffered only when there is more
	cmd.Wait()         // 1: a command failed, as it should
	s := out.String()
	if !strings.Contains(s, "read failed: Invalid argument") || !strings.Contains(s, "write failed: No space left on device") || strings.Contains(s, "verification failed") || !strings.Contains(s, "read 4194304/4194304") {
		t.Errorf("after the image has shrunk: %s", s)
	}
	w.idle("r")
}

// TestTLS shows a server with certificates to nbdinfo and nbdcopy, with and
// without one of the client's.
func TestTLS(t *testing.T) {
	w := start(t)
	w.rbd("create", "t", "-s", "8M")
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	issue := func(name string, c *x509.Certificate) tls.Certificate {
		c.Subject = pkix.Name{CommonName: name} // clients choose a certificate by its issuer
		der, err := x509.CreateCertificate(rand.Reader, c, ca, &key.PublicKey, key)
		w.must(err)
		k, err := x509.MarshalPKCS8PrivateKey(key)
		w.must(err)
		cert, k := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k})
		w.must(os.WriteFile(filepath.Join(dir, name+"-cert.pem"), cert, 0o600))
		if name != "ca" {
			w.must(os.WriteFile(filepath.Join(dir, name+"-key.pem"), k, 0o600))
		}
		pair, err := tls.X509KeyPair(cert, k)
		w.must(err)
		return pair
	}
	roots := x509.NewCertPool()
	roots.AddCert(issue("ca", ca).Leaf)
	server := issue("server", &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: ca.NotAfter, DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	_, port, err := net.SplitHostPort(w.serve(&tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert}))
	w.must(err)
	uri := "nbds://localhost:" + port + "/t?tls-certificates=" + dir
	if out, err := w.try("nbdinfo", uri); err == nil {
		t.Errorf("a client without a certificate got %s", out)
	}
	if out, err := w.try("nbdinfo", "nbd://localhost:"+port+"/t"); err == nil {
		t.Errorf("a client without TLS got %s", out)
	}
	issue("client", &x509.Certificate{SerialNumber: big.NewInt(3), NotAfter: ca.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if out := w.run("nbdinfo", uri); !strings.Contains(out, "with TLS") {
		t.Error(out)
	}
	raw, data := filepath.Join(dir, "raw"), make([]byte, 8*mib)
	rand.Read(data)
	w.must(os.WriteFile(raw, data, 0o600))
	w.run("nbdcopy", raw, uri)
	w.wantExport("t", data)
}
