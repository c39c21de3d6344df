// Package recovery loses OSDs of a whole cluster and looks at their disks
// afterwards: all copies of each object must be the same, to the last byte.
package recovery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore"
	"github.com/pulpo-storage/pulpo/pulpotest"
	"github.com/pulpo-storage/pulpo/rados"
)

// patience bounds each wait; recovery takes a second or two on a quiet machine.
const patience = 3 * time.Minute

// ward is a cluster under care.
type ward struct {
	*pulpotest.Cluster
	t    *testing.T
	ctx  context.Context
	pool *rados.Pool
	pgs  int
	r    *rand.Rand
}

func admit(t *testing.T, osds int) *ward { return admitPool(t, osds, 8, 3) }

// admitPool makes a cluster with a pool of so many groups and copies.
func admitPool(t *testing.T, osds, pgs, copies int) *ward {
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	t.Cleanup(cancel)
	w := &ward{Cluster: pulpotest.Start(t, pulpotest.Options{OSDs: osds}), t: t, ctx: ctx, pgs: pgs, r: rand.New(rand.NewPCG(1, 2))}
	w.mon(map[string]any{"prefix": "osd crush rule create-replicated", "name": "spread", "root": "default", "type": "osd"})
	w.mon(map[string]any{"prefix": "osd pool create", "pool": "data", "pg_num": pgs, "pool_type": "replicated", "rule": "spread", "size": copies})
	w.pool = w.Pool("data")
	w.waitFor("clean", func(g group) bool { return g.State == "active+clean" && len(g.Acting) == copies })
	return w
}

func (w *ward) mon(cmd map[string]any) []byte {
	w.t.Helper()
	cmd["format"] = "json"
	r, err := w.Client.Command(w.ctx, rados.ToMons(), cmd, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Data
}

// group is what "pg dump" says of a placement group.
type group struct {
	PGID   string `json:"pgid"`
	State  string `json:"state"`
	Up     []int  `json:"up"`
	Acting []int  `json:"acting"`
}

// groups are those of the pool.
func (w *ward) groups() (list []group) {
	w.t.Helper()
	r, err := w.Client.Command(w.ctx, rados.ToMgr(), map[string]any{"prefix": "pg dump", "dumpcontents": []string{"pgs_brief"}, "format": "json"}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	var all struct {
		Stats []group `json:"pg_stats"`
	}
	if err := json.Unmarshal(r.Data, &all); err != nil {
		if err := json.Unmarshal(r.Data, &all.Stats); err != nil {
			w.t.Fatalf("%s: %v", r.Data, err)
		}
	}
	for _, g := range all.Stats {
		if strings.HasPrefix(g.PGID, fmt.Sprint(w.pool.ID(), ".")) {
			list = append(list, g)
		}
	}
	return list
}

// waitFor waits until all groups of the pool are as they should be.
func (w *ward) waitFor(what string, ok func(g group) bool) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		list := w.groups()
		if len(list) == w.pgs && !slices.ContainsFunc(list, func(g group) bool { return !ok(g) }) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("not all groups are %s: %v", what, list)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (w *ward) waitClean() {
	w.t.Helper()
	w.waitFor("clean, with three copies", func(g group) bool { return g.State == "active+clean" && len(g.Acting) == 3 })
}

// change writes to objects in all ways that make them differ.
func (w *ward) change(n int) {
	w.t.Helper()
	for range n {
		name := fmt.Sprintf("o%d", w.r.IntN(60))
		data := bytes.Repeat([]byte{byte(w.r.IntN(256))}, 1+w.r.IntN(100000))
		var err error
		switch w.r.IntN(7) {
		case 0, 1:
			err = w.pool.WriteFull(w.ctx, name, data)
		case 2, 3:
			err = w.pool.Write(w.ctx, name, uint64(w.r.IntN(10<<20)), data)
		case 4:
			err = w.pool.SetXattr(w.ctx, name, "a", data[:min(len(data), 500)])
		case 5:
			err = w.pool.OmapSet(w.ctx, name, map[string][]byte{fmt.Sprint(w.r.IntN(100)): data[:min(len(data), 2000)]})
		case 6:
			if err = w.pool.Remove(w.ctx, name); errors.Is(err, rados.ErrNotFound) {
				err = nil
			}
		}
		if err != nil {
			w.t.Fatalf("%s: %v", name, err)
		}
	}
}

func (w *ward) snapshot(name string) {
	w.t.Helper()
	if err := w.pool.CreateSnap(w.ctx, name); err != nil {
		w.t.Fatal(err)
	}
}

// describe lists the objects of a group on a disk, with all that they are.
func describe(t *testing.T, s *diskstore.Store, c objstore.Coll) []string {
	t.Helper()
	ids, next, err := s.List(c, object.MinID, 1<<20)
	if err != nil || !next.Max {
		t.Fatalf("%v: %v", c, err)
	}
	var list []string
	for _, id := range ids {
		if id.Name == "" {
			continue // the group's own
		}
		var b strings.Builder
		st, err := s.Stat(c, id)
		if err != nil {
			t.Fatal(err)
		}
		l, err := s.Read(c, id, 0, st.Size)
		if err != nil {
			t.Fatal(err)
		}
		attrs, err := s.Attrs(c, id)
		if err != nil {
			t.Fatal(err)
		}
		header, err := s.OmapHeader(c, id)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%v %d %x header %x", id, st.Size, l.Bytes(), header)
		l.Release()
		for _, name := range slices.Sorted(maps.Keys(attrs)) {
			fmt.Fprintf(&b, " %s=%x", name, attrs[name])
		}
		err = s.OmapScan(c, id, "", func(k string, v []byte) bool {
			fmt.Fprintf(&b, " %s:%x", k, v)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b.String())
	}
	return list
}

// compare stops the cluster and compares the copies on the disks. No OSD has a
// copy that should not.
func (w *ward) compare(osds int) {
	w.t.Helper()
	groups, pool := w.groups(), w.pool.ID()
	w.Stop()
	var stores []*diskstore.Store
	for o := range osds {
		s, err := diskstore.Open(filepath.Join(w.Dir, fmt.Sprintf("osd.%d", o), "store"), diskstore.Options{})
		if err != nil {
			w.t.Fatal(err)
		}
		defer s.Close()
		stores = append(stores, s)
		colls, err := s.Collections()
		if err != nil {
			w.t.Fatal(err)
		}
		for _, c := range colls {
			i := slices.IndexFunc(groups, func(g group) bool { return g.PGID == c.PG.PG.String() })
			if c.PG.Pool == pool && (i < 0 || !slices.Contains(groups[i].Acting, o)) {
				w.t.Errorf("osd.%d still has a copy of %v", o, c)
			}
		}
	}
	objects := 0
	for _, g := range groups {
		pg, err := object.ParsePG(g.PGID)
		if err != nil {
			w.t.Fatal(err)
		}
		c := objstore.PGColl(object.SPG{PG: pg, Shard: object.NoShard})
		want := describe(w.t, stores[g.Acting[0]], c)
		objects += len(want)
		for _, o := range g.Acting[1:] {
			got := describe(w.t, stores[o], c)
			if len(got) != len(want) {
				w.t.Errorf("%s: osd.%d has %d objects, osd.%d %d", g.PGID, o, len(got), g.Acting[0], len(want))
				continue
			}
			for i := range want {
				if got[i] != want[i] {
					w.t.Errorf("%s: osd.%d has %.200q, osd.%d %.200q", g.PGID, o, got[i], g.Acting[0], want[i])
				}
			}
		}
	}
	if objects < 50 {
		w.t.Errorf("only %d objects", objects)
	}
}

// An OSD dies, misses writes and comes back; another one is drained. Then all
// copies are equal, and the drained OSD has none.
func TestCopiesAreEqualAfterLosses(t *testing.T) {
	t.Parallel()
	const osds = 4
	w := admit(t, osds)
	w.change(200)
	w.snapshot("one")
	w.change(60)
	w.Kill("osd.1")
	w.waitFor("without osd.1", func(g group) bool {
		return !slices.Contains(g.Acting, 1) && strings.HasPrefix(g.State, "active")
	})
	w.snapshot("two")
	w.change(150)
	w.StartDaemon("osd.1")
	w.change(50)
	w.waitClean()
	w.mon(map[string]any{"prefix": "osd out", "ids": []string{"2"}})
	w.change(80)
	w.waitFor("clean, without osd.2", func(g group) bool {
		return g.State == "active+clean" && len(g.Acting) == 3 && !slices.Contains(g.Acting, 2)
	})
	w.compare(osds)
}
