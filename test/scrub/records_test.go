package scrub

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore"
	"github.com/pulpo-storage/pulpo/osd/pglog"
	"github.com/pulpo-storage/pulpo/rados"
)

// Records that a store keeps of a group, each damaged in one copy: a byte on disk,
// which a checksum tells, or the record itself, which then means nothing. The copy
// is given up and filled anew from the others, whatever was damaged in it.
//
// Places in one list are damaged together, in one copy: what is done about each is
// the same, and it is done once.
var recordCases = []struct {
	name   string
	who    int // member of the group
	damage func(l *lab, dir string)
	scrub  bool // else it is found when the OSD starts
	soak   bool // only with PULPO_SOAK_ROUNDS
}{
	{"bytes of onodes and omaps of a replica", 1, func(l *lab, dir string) {
		l.flipTable(dir, "xattr of r060")
		l.flipTable(dir, "omap value of r060")
		l.flipTable(dir, "omap key of r090")
	}, true, false},
	{"a byte of an onode of the primary", 0, func(l *lab, dir string) { l.flipTable(dir, "xattr of r060") }, true, true},
	{"a byte of the log of the primary", 0, func(l *lab, dir string) { l.flipTable(dir, "r060", true) }, false, true},
	{"an entry of the log of the primary", 0, func(l *lab, dir string) { l.spoil(dir, pglog.KeyPrefix) }, false, false},
	{"the info of a replica", 2, func(l *lab, dir string) { l.spoil(dir, "info") }, false, true},
}

func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	damagedRecords(t)
}

// TestDamagedRecordsSoak damages all of them, in processes.
func TestDamagedRecordsSoak(t *testing.T) {
	t.Parallel()
	if !binary.Soaking() {
		t.Skip("PULPO_SOAK_ROUNDS is not set")
	}
	damagedRecords(t)
}

func damagedRecords(t *testing.T) {
	l := open(t, false)
	for i := range 120 {
		name := fmt.Sprintf("r%03d", i)
		var op rados.WriteOp
		op.WriteFull([]byte("data of " + name))
		op.SetXattr("a", pad("xattr of "+name))
		op.OmapSet(map[string][]byte{"omap key of " + name: pad("omap value of " + name)})
		if err := l.pool.Mutate(l.ctx, name, &op); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range recordCases {
		if c.soak && !binary.Soaking() {
			continue
		}
		osd := l.members()[c.who]
		name := fmt.Sprint("osd.", osd)
		dir := filepath.Join(l.Dir, name, "store")
		l.stop(osd)
		c.damage(l, dir)
		l.StartDaemon(name)
		if c.scrub {
			l.waitState("active+clean")
			l.command(rados.ToMgr(), map[string]any{"prefix": "pg deep-scrub", "pgid": l.pg.PG.String()})
		}
		l.waitLog(fmt.Sprintf("osd.%d drops its damaged copy", osd))
		l.waitState("active+clean")
		l.readRecords()
		// What was left behind goes when the OSD starts again.
		l.stop(osd)
		r, err := diskstore.Check(dir, diskstore.Options{}, true)
		if err != nil || len(r.Findings) > 0 {
			t.Fatalf("%s: store of %s: %+v, %v", c.name, name, r, err)
		}
		l.StartDaemon(name)
		l.waitState("active+clean")
		if t.Failed() {
			t.Fatalf("after %s", c.name)
		}
	}
	l.scrub()
	l.waitState("active+clean")
	l.intact()
}

func pad(s string) []byte { return append([]byte(s), bytes.Repeat([]byte{'.'}, 400)...) }

// readRecords checks that clients get what was written.
func (l *lab) readRecords() {
	l.t.Helper()
	for i := range 120 {
		name := fmt.Sprintf("r%03d", i)
		data, err := l.pool.ReadFull(l.ctx, name)
		attr, err2 := l.pool.Xattr(l.ctx, name, "a")
		omap, err3 := l.pool.OmapGet(l.ctx, name, "omap key of "+name)
		if err != nil || err2 != nil || err3 != nil || string(data) != "data of "+name || !bytes.Equal(attr, pad("xattr of "+name)) ||
			!bytes.Equal(omap["omap key of "+name], pad("omap value of "+name)) {
			l.t.Errorf("%s: %q %v, %q %v, %q %v", name, data, err, attr, err2, omap, err3)
		}
	}
}

// flipTable changes a byte of each table that holds some bytes, where they are last,
// or first: the log of the group comes before what its objects have.
func (l *lab) flipTable(dir, what string, first ...bool) {
	l.t.Helper()
	tables, err := filepath.Glob(filepath.Join(dir, "meta", "*.sst"))
	if err != nil {
		l.t.Fatal(err)
	}
	found := false
	for _, name := range tables {
		b, err := os.ReadFile(name)
		if err != nil {
			l.t.Fatal(err)
		}
		at := bytes.LastIndex(b, []byte(what))
		if len(first) > 0 {
			at = bytes.Index(b, []byte(what))
		}
		if at >= 0 {
			b[at] ^= 1
			if err := os.WriteFile(name, b, 0o644); err != nil {
				l.t.Fatal(err)
			}
			found = true
		}
	}
	if !found {
		l.t.Fatalf("%q is in no table", what)
	}
}

// spoil makes the first record of the group itself with a prefix mean nothing, by
// one byte.
func (l *lab) spoil(dir, prefix string) {
	l.t.Helper()
	l.change(dir, func(s objstore.Store, c objstore.Coll, txn *objstore.Txn) {
		key, value := "", []byte(nil)
		err := s.OmapScan(c, l.meta(), prefix, func(k string, v []byte) bool { key, value = k, bytes.Clone(v); return false })
		if err != nil || !strings.HasPrefix(key, prefix) {
			l.t.Fatalf("key %q, %v", key, err)
		}
		txn.OmapSet(c, l.meta(), []objstore.KV{{Key: key, Value: flipped(value, needs)}})
	})
}

// meta is the group's own object.
func (l *lab) meta() object.ID {
	return object.ID{Pool: l.pg.Pool, Hash: l.pg.Seed, Snap: object.NoSnap}
}

// needs is the byte of a record that says which version of a decoder it needs.
const needs = 1

// flipped changes a bit of one byte; at counts from the end if it is negative.
func flipped(b []byte, at int) []byte {
	if at < 0 {
		at += len(b)
	}
	b = bytes.Clone(b)
	b[at] ^= 0x80
	return b
}

// waitLog waits until the cluster's log says something.
func (l *lab) waitLog(text string) {
	l.t.Helper()
	l.wait(fmt.Sprintf("somebody says %q", text), func() (string, bool) {
		b := l.command(rados.ToMons(), map[string]any{"prefix": "log last", "num": 200})
		return string(b), bytes.Contains(b, []byte(text))
	})
}
