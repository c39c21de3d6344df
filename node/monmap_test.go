package node

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/monmap"
)

// A directory keeps the monitor maps that say more than it knows, each newer than
// the one before, and its ceph.conf follows.
func TestMonMapIsKept(t *testing.T) {
	t.Parallel()
	dir, err := OpenDir(filepath.Join(t.TempDir(), "d"))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	fsid := entity.UUID{1}
	id := &Identity{Format: dirFormat, FSID: fsid.String(), Listen: "10.0.0.1", Public: "10.0.0.1", Ready: true,
		Mons: []MonEntry{{Name: "a", Port: 3300, Mgr: "a", Made: true}}}
	if err := dir.SetIdentity(id); err != nil {
		t.Fatal(err)
	}
	process := func() *site { return &site{dir: dir, id: id, fsid: fsid, log: discard} }
	monMap := func(fsid entity.UUID, epoch uint32, hosts ...string) *monmap.Map {
		m := &monmap.Map{FSID: fsid, Epoch: epoch, Mons: map[string]*monmap.Mon{}, MinMonRelease: entity.Pacific}
		for i, h := range hosts {
			a, err := entity.ParseAddr("v2:"+h+":3300/0", entity.AddrMsgr2)
			if err != nil {
				t.Fatal(err)
			}
			name := string(rune('a' + i))
			m.Mons[name] = &monmap.Mon{Name: name, Addrs: entity.AddrVec{a}}
			m.Ranks = append(m.Ranks, name)
		}
		return m
	}
	s := process()
	for _, x := range []struct {
		what  string
		s     *site
		heard *monmap.Map
		epoch uint32 // kept; 0: none
		hosts string
	}{
		{"nothing new", s, monMap(fsid, 1, "10.0.0.1"), 0, ""},
		{"another cluster's", s, monMap(entity.UUID{2}, 9, "10.0.0.1", "10.0.0.9"), 0, ""},
		{"a monitor more", s, monMap(fsid, 2, "10.0.0.1", "10.0.0.2"), 2, "[v2:10.0.0.1:3300],[v2:10.0.0.2:3300]"},
		{"of another process, older", process(), monMap(fsid, 1, "10.0.0.1"), 2, "[v2:10.0.0.1:3300],[v2:10.0.0.2:3300]"},
		{"of another process, newer", process(), monMap(fsid, 4, "10.0.0.1", "10.0.0.3"), 4, "[v2:10.0.0.1:3300],[v2:10.0.0.3:3300]"},
		{"late", s, monMap(fsid, 3, "10.0.0.1", "10.0.0.2", "10.0.0.3"), 4, "[v2:10.0.0.1:3300],[v2:10.0.0.3:3300]"},
		{"a monitor less", s, monMap(fsid, 5, "10.0.0.1"), 5, "[v2:10.0.0.1:3300]"},
	} {
		x.s.heard(x.heard)
		m, err := dir.readMonMap(id.FSID)
		if err != nil || (m == nil) != (x.epoch == 0) || m != nil && m.Epoch != x.epoch {
			t.Errorf("%s: kept %v, %v; want epoch %d", x.what, m, err, x.epoch)
		}
		if m == nil {
			continue
		}
		conf, err := os.ReadFile(dir.Join("ceph.conf"))
		if err != nil || !bytes.Contains(conf, []byte("mon host = "+x.hosts+"\n")) {
			t.Errorf("%s: %v\n%s", x.what, err, conf)
		}
	}
	if _, err := dir.readMonMap(entity.UUID{3}.String()); err == nil {
		t.Error("the map of another cluster is taken")
	}
}
