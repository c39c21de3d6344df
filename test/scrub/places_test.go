package scrub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/internal/peer"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/pglog"
	"github.com/pulpo-storage/pulpo/rados"
)

// place is where a byte of one copy is damaged, and what the stock tool then says
// of the object: of the copy, or of all.
type place struct {
	object string
	damage func(l *lab, s objstore.Store, c objstore.Coll, txn *objstore.Txn, id object.ID)
	copy   string
	all    string
}

var places = []place{
	{"o0", nil, "read_error", ""}, // its data, on the device
	{"o1", func(l *lab, s objstore.Store, c objstore.Coll, txn *objstore.Txn, id object.ID) {
		v, err := s.OmapGet(c, id, []string{"k"})
		l.must(err)
		txn.OmapSet(c, id, []objstore.KV{{Key: "k", Value: flipped(v["k"], 0)}})
	}, "", "omap_digest_mismatch"},
	{"o2", flipAttr("_a", 0), "", "attr_value_mismatch"},
	{"o3", flipAttr("oi", needs), "info_corrupted", ""},
	{"o4", flipAttr("oi", -8), "", "object_info_inconsistency"}, // in its hints
	{"o5", flipAttr("ss", needs), "snapset_corrupted", ""},
	{"o6", flipAttr("ss", 7), "", "snapset_inconsistency"}, // in its sequence
	{"o7", func(_ *lab, _ objstore.Store, c objstore.Coll, txn *objstore.Txn, id object.ID) { txn.Remove(c, id) }, "missing", ""},
}

func flipAttr(name string, at int) func(*lab, objstore.Store, objstore.Coll, *objstore.Txn, object.ID) {
	return func(l *lab, s objstore.Store, c objstore.Coll, txn *objstore.Txn, id object.ID) {
		v, err := s.Attr(c, id, name)
		l.must(err)
		txn.SetAttr(c, id, name, flipped(v, at))
	}
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// Of a cluster of processes one copy is damaged in each place, on the disk of an
// OSD that does not run: the stock tool shows what a scrub finds, and a repair heals
// it; what cannot be read when the OSD starts is filled anew.
func TestPlaces(t *testing.T) {
	t.Parallel()
	peer.Require(t, "rados")
	l := open(t, true)
	snap, err := l.pool.CreateSelfManagedSnap(l.ctx)
	l.must(err)
	then := map[string][]byte{}
	for _, name := range []string{"o5", "o6"} {
		then[name] = bytes.Clone(l.data[name])
		l.must(l.pool.SnapContext(snap, []uint64{snap}).Write(l.ctx, name, 5, []byte("later")))
		copy(l.data[name][5:], "later")
	}
	acting := l.members()

	// A clone that no head knows. Nobody but an operator can say what it is.
	l.away(acting[2], func(dir string) {
		l.change(dir, func(_ objstore.Store, c objstore.Coll, txn *objstore.Txn) {
			txn.Clone(c, l.id("o6"), l.id("o6").At(0x77))
		})
	})
	l.scrub()
	l.waitState("active+clean+inconsistent")
	if got, want := l.inconsistent("list-inconsistent-snapset"), []string{"o6@119 [headless] []", "o6@head [extra_clones] [119]"}; !slices.Equal(got, want) {
		t.Errorf("rados shows the sets of clones %q, want %q", got, want)
	}

	l.away(acting[2], func(dir string) {
		l.flip(dir, l.data["o0"])
		l.change(dir, func(s objstore.Store, c objstore.Coll, txn *objstore.Txn) {
			txn.Remove(c, l.id("o6").At(0x77))
			for _, p := range places {
				if p.damage != nil {
					p.damage(l, s, c, txn, l.id(p.object))
				}
			}
		})
	})
	l.scrub()
	l.waitState("active+clean+inconsistent")
	var want []string
	for _, p := range places {
		line := fmt.Sprintf("%s [%s]", p.object, p.all)
		if p.copy != "" {
			line += fmt.Sprintf(" [osd.%d %s]", acting[2], p.copy)
		}
		want = append(want, line)
	}
	if got := l.inconsistent("list-inconsistent-obj"); !slices.Equal(got, want) {
		t.Errorf("rados shows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	l.waitComplaints("OSD_SCRUB_ERRORS", "PG_DAMAGED")
	health := string(l.plain(map[string]any{"prefix": "health", "detail": "detail"}))
	for _, line := range []string{
		" scrub errors\n", "PG_DAMAGED: Possible data damage: 1 pg inconsistent\n",
		fmt.Sprintf("    pg %v is active+clean+inconsistent, acting [%d,%d,%d]", l.pg.PG, acting[0], acting[1], acting[2]),
	} {
		if !strings.Contains(health, line) {
			t.Errorf("no %q in\n%s", line, health)
		}
	}
	l.command(rados.ToMgr(), map[string]any{"prefix": "pg repair", "pgid": l.pg.PG.String()})
	l.waitState("active+clean")
	if got := l.inconsistent("list-inconsistent-obj"); len(got) > 0 {
		t.Errorf("after a repair rados shows %q", got)
	}

	// A byte of the index of clones of one, of the log of another, of what the third
	// knows of the group; and of data that is read from there.
	l.away(acting[2], func(dir string) {
		l.change(dir, func(s objstore.Store, c objstore.Coll, txn *objstore.Txn) {
			key := ""
			l.must(s.OmapScan(c, l.meta(), "s", func(k string, _ []byte) bool { key = k; return false }))
			txn.OmapRm(c, l.meta(), []string{key})
			txn.OmapSet(c, l.meta(), []objstore.KV{{Key: string(flipped([]byte(key), 3))}})
		})
	})
	l.scrub()
	l.waitLog(fmt.Sprintf("osd.%d found snap mapper error on pg %v", acting[2], l.pg))
	for i, prefix := range []string{"info", pglog.KeyPrefix} {
		l.away(acting[i], func(dir string) { l.spoil(dir, prefix) })
		l.waitLog(fmt.Sprintf("osd.%d drops its damaged copy", acting[i]))
		l.waitState("active+clean")
	}
	l.away(acting[0], func(dir string) { l.flip(dir, l.data["o0"]) })
	l.intact()
	for name, want := range then {
		if got, err := l.pool.AtSnap(snap).ReadFull(l.ctx, name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s at the snapshot: %d bytes, %v", name, len(got), err)
		}
	}
	l.waitState("active+clean")
	l.scrub()
	l.waitState("active+clean")
	l.intact()
}

// plain is the answer of the monitors in words.
func (l *lab) plain(cmd map[string]any) []byte {
	l.t.Helper()
	r, err := l.Client.Command(l.ctx, rados.ToMons(), cmd, nil)
	l.must(err)
	return r.Data
}

// inconsistent is what a command of the stock rados shows, an object a line: of an
// object the errors of all copies and those of single ones, of a head or a clone
// its errors and the clones that are too many.
func (l *lab) inconsistent(command string) (lines []string) {
	l.t.Helper()
	cmd := exec.CommandContext(l.ctx, "rados", command, l.pg.PG.String(), "--format=json-pretty")
	cmd.Env = peer.Env(filepath.Join(l.Dir, "ceph.conf"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		l.t.Fatalf("rados %s: %v\n%s%s", command, err, b, &stderr)
	}
	var out struct {
		Inconsistents []struct {
			Object struct{ Name string }
			Name   string
			Snap   any
			Errors []string
			Extra  []int `json:"extra clones"`
			Shards []struct {
				OSD    int
				Errors []string
			}
		}
	}
	if err := json.Unmarshal(b, &out); err != nil {
		l.t.Fatalf("%v in\n%s", err, b)
	}
	for _, o := range out.Inconsistents {
		all := strings.Join(o.Errors, " ")
		if o.Name != "" {
			lines = append(lines, fmt.Sprintf("%s@%v [%s] %v", o.Name, o.Snap, all, o.Extra))
			continue
		}
		line := fmt.Sprintf("%s [%s]", o.Object.Name, all)
		for _, s := range o.Shards {
			if len(s.Errors) > 0 {
				line += fmt.Sprintf(" [osd.%d %s]", s.OSD, strings.Join(s.Errors, " "))
			}
		}
		lines = append(lines, line)
	}
	return lines
}
