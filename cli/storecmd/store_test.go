package storecmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/disk"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore"
)

func run(args ...string) (string, error) {
	c := New()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&bytes.Buffer{})
	c.SetArgs(args)
	err := c.Execute()
	return out.String(), err
}

func TestFsckAndDump(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	opt := diskstore.Options{Size: 64 << 20, JournalSize: 1 << 20}
	if err := diskstore.Create(dir, opt); err != nil {
		t.Fatal(err)
	}
	s, err := diskstore.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("findme--"), 1024)
	var tx objstore.Txn
	tx.Write(objstore.MetaColl, object.New(1, "", "", "name"), 4096, buffer.ListOf(content))
	tx.SetAttr(objstore.MetaColl, object.New(1, "", "", "name"), "_", []byte("info"))
	if err := s.Submit(&tx, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := run("fsck", dir); !errors.Is(err, disk.ErrLocked) {
		t.Fatalf("fsck of a store in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	out, err := run("fsck", "--deep", dir)
	if err != nil || !strings.Contains(out, "1 objects, 2 blocks (0 shared, 2 verified)") {
		t.Fatalf("%s%v", out, err)
	}
	out, err = run("dump", "--objects", dir)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err != nil || len(lines) != 3 {
		t.Fatalf("%s%v", out, err)
	}
	var o struct {
		Object  string
		Size    uint64
		Attrs   map[string]int
		Extents []struct{ Off, Len, At uint64 }
	}
	if err := json.Unmarshal([]byte(lines[2]), &o); err != nil || o.Size != 4096+8192 || o.Attrs["_"] != 4 || len(o.Extents) != 1 || o.Extents[0].Len != 8192 {
		t.Fatalf("%s: %+v, %v", lines[2], o, err)
	}

	// A flipped bit where dump says the data is.
	f, err := os.OpenFile(filepath.Join(dir, "block"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 8)
	if _, err := f.ReadAt(b, int64(o.Extents[0].At)+4096); err != nil || string(b) != "findme--" {
		t.Fatalf("%q, %v", b, err)
	}
	b[3] ^= 4
	if _, err := f.WriteAt(b, int64(o.Extents[0].At)+4096); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if out, err := run("fsck", dir); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	out, err = run("fsck", "--deep", "--json", dir)
	var r diskstore.Report
	if e := json.Unmarshal([]byte(out), &r); e != nil || !errors.Is(err, ErrFindings) || len(r.Findings) != 1 || r.Findings[0].Kind != diskstore.BadData {
		t.Fatalf("%s%v", out, err)
	}

	// What is no store is said to be none.
	if _, err := run("fsck", t.TempDir()); err == nil || !strings.Contains(err.Error(), "there is no store") {
		t.Fatal(err)
	}
}
