package radoscmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/internal/clusters"
	"github.com/pulpo-storage/pulpo/pulpotest"
	"github.com/pulpo-storage/pulpo/wire"
)

func TestHexdump(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"v", "00000000  76                                                |v|\n00000001\n"},
		{"0123456789abcdef\x00z", "00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n" +
			"00000010  00 7a                                             |.z|\n00000012\n"},
		{strings.Repeat("x", 70), "00000000  78 78 78 78 78 78 78 78  78 78 78 78 78 78 78 78  |xxxxxxxxxxxxxxxx|\n*\n" +
			"00000040  78 78 78 78 78 78                                 |xxxxxx|\n00000046\n"},
	} {
		var b bytes.Buffer
		hexdump(&b, []byte(c.in))
		if b.String() != c.want {
			t.Errorf("%q:\n%s", c.in, b.String())
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[uint64]string{
		0: "0 B", 1023: "1023 B", 1024: "1 KiB", 4608: "4.5 KiB", 23502848: "22 MiB", 305221632: "291 MiB", 21474836480: "20 GiB",
	} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestRunInfo(t *testing.T) {
	t.Parallel()
	// As Ceph's tool wrote it: objects of 16 KiB in operations of 4 KiB.
	golden := []byte{0, 0x40, 0, 0, 0, 0, 0, 0, 0x85, 1, 0, 0, 0xc7, 0x46, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0}
	var r runInfo
	if err := wire.Unmarshal(golden, &r); err != nil {
		t.Fatal(err)
	}
	if r != (runInfo{objectSize: 16384, ops: 389, pid: 18119, opSize: 4096}) {
		t.Fatalf("%+v", r)
	}
	if name, off := r.place("p", 6); name != "p_object1" || off != 8192 {
		t.Fatal(name, off)
	}
	if !bytes.Equal(wire.Marshal(r), golden) {
		t.Fatal("another encoding")
	}
	for _, bad := range [][]byte{nil, golden[:7], make([]byte, 24)} {
		if wire.Unmarshal(bad, &r) == nil {
			t.Errorf("%x is accepted", bad)
		}
	}
}

func FuzzReadSection(f *testing.F) {
	var b bytes.Buffer
	if err := writeSection(&b, sectionAttrs, []byte("content")); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	b.Reset()
	if err := writeSection(&b, sectionPoolEnd, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		typ, content, err := readSection(bytes.NewReader(in))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := writeSection(&b, typ, content); err != nil {
			t.Fatal(err)
		}
		again, c, err := readSection(&b)
		if err != nil || again != typ || !bytes.Equal(c, content) {
			t.Fatalf("%v, %q, %v", again, c, err)
		}
	})
}

func TestTools(t *testing.T) {
	t.Parallel()
	clusters.Each(t, pulpotest.Options{}, testTools)
}

func testTools(t *testing.T, conf string) {
	for _, x := range []struct {
		name string
		run  func(*testing.T, string)
	}{
		{"Objects", testTool},
		{"Bench", testToolBench},
		{"Snapshots", testToolSnapshots},
		{"Watch", testToolWatch},
		{"Call", testToolCall},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			x.run(t, conf)
		})
	}
}

// tool runs the command against a cluster, in a pool of its own.
type tool struct {
	t    *testing.T
	conf string
	pool string
}

func newTool(t *testing.T, conf string) *tool {
	k := &tool{t, conf, fmt.Sprintf("radoscmd-%d", rand.Uint64())}
	k.want("successfully created pool "+k.pool+"\n", "mkpool", k.pool)
	t.Cleanup(func() {
		k.want("successfully deleted pool "+k.pool+"\n", "rmpool", k.pool, k.pool, "--yes-i-really-really-mean-it")
	})
	return k
}

func (k *tool) try(stdin string, args ...string) (string, error) {
	k.t.Helper()
	var out bytes.Buffer
	err := k.command(strings.NewReader(stdin), &out, args...)
	return out.String(), err
}

func (k *tool) command(in io.Reader, out io.Writer, args ...string) error {
	cmd := New()
	cmd.SetOut(out)
	cmd.SetErr(out)
	cmd.SetIn(in)
	cmd.SetArgs(append([]string{"--conf", k.conf, "-p", k.pool, "-N", "space"}, args...))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(k.t.Context()), time.Minute)
	defer cancel()
	return cmd.ExecuteContext(ctx)
}

func (k *tool) want(want string, args ...string) {
	k.t.Helper()
	got, err := k.try("", args...)
	if err != nil || got != want {
		k.t.Fatalf("%q: %q, %v; want %q", args, got, err, want)
	}
}

func (k *tool) wantErr(want string, args ...string) {
	k.t.Helper()
	got, err := k.try("", args...)
	if err == nil || err.Error() != want {
		k.t.Fatalf("%q: %q, error %v; want error %q", args, got, err, want)
	}
}

func testTool(t *testing.T, conf string) {
	k := newTool(t, conf)
	if out, err := k.try("", "lspools"); err != nil || !strings.Contains("\n"+out, "\n"+k.pool+"\n") {
		t.Fatalf("%q, %v", out, err)
	}
	dir := t.TempDir()
	data := bytes.Repeat([]byte("0123456789"), 1_000_000)
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, data, 0o600); err != nil {
		t.Fatal(err)
	}
	k.want("", "put", "o", in)
	k.want("", "get", "o", out)
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	k.want("o\n", "ls")
	k.want("", "truncate", "o", "5")
	k.want("01234", "get", "o", "-")
	if _, err := k.try("tail", "append", "o", "-"); err != nil {
		t.Fatal(err)
	}
	k.want("01234tail", "get", "o", "-")
	if _, err := k.try("XY", "put", "o", "-", "--offset", "3"); err != nil {
		t.Fatal(err)
	}
	k.want("012XYtail", "get", "o", "-")
	k.wantErr("error getting "+k.pool+"/nope: (2) No such file or directory", "get", "nope", out+"2")
	if _, err := os.Stat(out + "2"); err == nil {
		t.Fatal("a file was made for no object")
	}
	k.wantErr("error opening pool nope: (2) No such file or directory", "ls", "-p", "nope")

	k.want("", "setxattr", "o", "color", "blue")
	k.want("blue", "getxattr", "o", "color")
	k.want("color\n", "listxattr", "o")
	k.want("", "setomapval", "o", "key", "v")
	k.want("key\nvalue (1 bytes) :\n00000000  76                                                |v|\n00000001\n\n", "listomapvals", "o")
	k.want("", "setomapheader", "o", "h")
	k.want("", "lock", "get", "o", "l", "--lock-cookie", "c")
	k.want(`{"objname":"o","locks":[{"name":"l"}]}`, "lock", "list", "o")
	k.wantErr("ERROR: failed locking: (16) Device or resource busy", "lock", "get", "o", "l")

	dump := filepath.Join(dir, "dump")
	k.want("", "setxattr", "other", "a", "b")
	k.want("", "export", dump)
	// Locks are attributes, which are exported too.
	k.want("", "rm", "o", "other")
	if got, err := k.try("", "import", dump); err != nil || !strings.Contains(got, "Importing pool\n") {
		t.Fatalf("%q, %v", got, err)
	}
	k.want("012XYtail", "get", "o", "-")
	k.want("blue", "getxattr", "o", "color")
	k.want("b", "getxattr", "other", "a")
	k.want("header (1 bytes) :\n00000000  68                                                |h|\n00000001\n\n", "getomapheader", "o")
	if err := os.WriteFile(dump, data[:1000], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := k.try("", "import", dump); err == nil {
		t.Fatal("garbage is imported")
	}
	k.want("", "rm", "o", "other")
	k.want("", "ls")
}

func testToolBench(t *testing.T, conf string) {
	k := newTool(t, conf)
	out, err := k.try("", "bench", "1", "write", "-b", "4096", "-t", "4", "--no-cleanup", "--max-objects", "50")
	if err != nil || !strings.Contains(out, "Total writes made:      50\n") {
		t.Fatalf("%s%v", out, err)
	}
	out, err = k.try("", "bench", "10", "seq", "-t", "4")
	if err != nil || !strings.Contains(out, "Total reads made:     50\n") {
		t.Fatalf("%s%v", out, err)
	}
	if out, err = k.try("", "bench", "1", "rand", "-t", "4"); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	k.want("Removed 50 objects\n", "cleanup")
	k.want("", "ls")
	if _, err = k.try("", "bench", "1", "seq"); err == nil {
		t.Fatal("nothing to read is no error")
	}
}
