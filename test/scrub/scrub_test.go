// Package scrub damages one copy of objects on the disks of a whole cluster, in
// each place where there is something to damage, and looks that it is found,
// reported and healed.
package scrub

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
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

// patience bounds each wait.
const patience = 2 * time.Minute

// lab is a cluster of three OSDs, all of which have the one group of a pool.
type lab struct {
	*pulpotest.Cluster
	t    *testing.T
	ctx  context.Context
	pool *rados.Pool
	pg   object.SPG
	data map[string][]byte
}

func open(t *testing.T) *lab {
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	t.Cleanup(cancel)
	l := &lab{Cluster: pulpotest.Start(t, pulpotest.Options{OSDs: 3}), t: t, ctx: ctx, data: map[string][]byte{}}
	l.command(rados.ToMons(), map[string]any{"prefix": "osd crush rule create-replicated", "name": "spread", "root": "default", "type": "osd"})
	l.command(rados.ToMons(), map[string]any{"prefix": "osd pool create", "pool": "data", "pg_num": 1, "pool_type": "replicated", "rule": "spread", "size": 3})
	l.command(rados.ToMons(), map[string]any{"prefix": "osd pool application enable", "pool": "data", "app": "test"})
	// A copy that is away for a moment is not missed.
	l.command(rados.ToMons(), map[string]any{"prefix": "osd set", "key": "noout"})
	l.pool = l.Pool("data")
	l.pg = object.SPG{PG: object.PG{Pool: l.pool.ID()}, Shard: object.NoShard}
	l.waitState("active+clean")
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 8 {
		name, b := fmt.Sprint("o", i), make([]byte, 50000)
		for k := range b {
			b[k] = byte(r.Uint32())
		}
		l.data[name] = b
		for _, err := range []error{l.pool.WriteFull(ctx, name, b), l.pool.SetXattr(ctx, name, "a", []byte(name)),
			l.pool.OmapSet(ctx, name, map[string][]byte{"k": []byte(name)})} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return l
}

func (l *lab) command(to rados.Target, cmd map[string]any) []byte {
	l.t.Helper()
	cmd["format"] = "json"
	r, err := l.Client.Command(l.ctx, to, cmd, nil)
	if err != nil {
		l.t.Fatalf("%v: %v", cmd, err)
	}
	return r.Data
}

// group is the state of the group, its members, and when it was scrubbed.
func (l *lab) group() (state string, acting []int, scrubbed string) {
	l.t.Helper()
	var out struct {
		Stats []struct {
			PGID     string `json:"pgid"`
			State    string `json:"state"`
			Acting   []int  `json:"acting"`
			Scrubbed string `json:"last_deep_scrub_stamp"`
		} `json:"pg_stats"`
	}
	b := l.command(rados.ToMgr(), map[string]any{"prefix": "pg ls"})
	if err := json.Unmarshal(b, &out); err != nil {
		l.t.Fatalf("%s: %v", b, err)
	}
	for _, g := range out.Stats {
		if g.PGID == l.pg.PG.String() {
			return g.State, g.Acting, g.Scrubbed
		}
	}
	return "", nil, ""
}

func (l *lab) waitState(want string) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		state, acting, _ := l.group()
		if state == want && len(acting) == 3 {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("the group is %s, acting %v; want %s", state, acting, want)
		}
	}
}

// scrub has the group deep scrubbed, and waits until the monitors know.
func (l *lab) scrub() {
	l.t.Helper()
	_, _, before := l.group()
	l.command(rados.ToMgr(), map[string]any{"prefix": "pg deep-scrub", "pgid": l.pg.PG.String()})
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		state, _, at := l.group()
		if at != before && !strings.Contains(state, "scrubbing") {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("the group is %s and was scrubbed at %s", state, at)
		}
	}
}

// complaints are the codes of the health checks, in order.
func (l *lab) complaints() (codes []string) {
	l.t.Helper()
	var out struct {
		Checks map[string]any `json:"checks"`
	}
	if err := json.Unmarshal(l.command(rados.ToMons(), map[string]any{"prefix": "health"}), &out); err != nil {
		l.t.Fatal(err)
	}
	for code := range out.Checks {
		if code != "OSDMAP_FLAGS" {
			codes = append(codes, code)
		}
	}
	slices.Sort(codes)
	return codes
}

// away does something to the disk of an OSD while it does not run.
func (l *lab) away(osd int, do func(dir string)) {
	l.t.Helper()
	name := fmt.Sprint("osd.", osd)
	l.StopDaemon(name)
	do(filepath.Join(l.Dir, name, "store"))
	l.StartDaemon(name)
	l.waitState("active+clean")
}

// flip changes one byte of the blocks that hold some data.
func (l *lab) flip(dir string, data []byte) {
	l.t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "block"), os.O_RDWR, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	// Objects begin with a block, and new ones lie near the beginning.
	buf, found := make([]byte, 1<<20), false
	for at := int64(0); at < 4<<30; at += int64(len(buf)) {
		n, _ := f.ReadAt(buf, at)
		for i := 0; i+64 <= n; i += 4096 {
			if bytes.Equal(buf[i:i+64], data[:64]) {
				found = true
				if _, err := f.WriteAt([]byte{buf[i+7] ^ 1}, at+int64(i)+7); err != nil {
					l.t.Fatal(err)
				}
			}
		}
		if n < len(buf) {
			break
		}
	}
	if !found {
		l.t.Fatal("the data is nowhere on the disk")
	}
}

// change submits a transaction to the store of an OSD that does not run.
func (l *lab) change(dir string, do func(c objstore.Coll, txn *objstore.Txn)) {
	l.t.Helper()
	s, err := diskstore.Open(dir, diskstore.Options{})
	if err != nil {
		l.t.Fatal(err)
	}
	txn := new(objstore.Txn)
	do(objstore.PGColl(l.pg), txn)
	if err := s.Submit(txn, nil); err != nil {
		l.t.Error(err)
	}
	if err := s.Close(); err != nil {
		l.t.Error(err)
	}
}

func (l *lab) id(name string) object.ID { return object.New(l.pg.Pool, "", "", name) }

// What is damaged on a replica is found by a scrub, and healed by a repair.
func TestDamagedReplica(t *testing.T) {
	t.Parallel()
	l := open(t)
	_, acting, _ := l.group()
	l.away(acting[2], func(dir string) {
		l.flip(dir, l.data["o0"])
		l.change(dir, func(c objstore.Coll, txn *objstore.Txn) {
			txn.OmapSet(c, l.id("o1"), []objstore.KV{{Key: "k", Value: []byte("?")}})
			txn.SetAttr(c, l.id("o2"), "_a", []byte("?"))
			txn.SetAttr(c, l.id("o3"), "oi", []byte("?"))
			txn.Truncate(c, l.id("o4"), 4096)
			txn.Remove(c, l.id("o5"))
		})
	})
	l.scrub()
	l.waitState("active+clean+inconsistent")
	if got := l.complaints(); !slices.Equal(got, []string{"OSD_SCRUB_ERRORS", "PG_DAMAGED"}) {
		t.Errorf("health complains of %v", got)
	}
	l.command(rados.ToMgr(), map[string]any{"prefix": "pg repair", "pgid": l.pg.PG.String()})
	l.waitState("active+clean")
	l.scrub()
	l.waitState("active+clean")
	l.intact()
}

// What is damaged on the primary is healed by whoever reads it, or writes into it.
func TestDamagedPrimary(t *testing.T) {
	t.Parallel()
	l := open(t)
	_, acting, _ := l.group()
	l.away(acting[0], func(dir string) {
		l.flip(dir, l.data["o0"])
		l.flip(dir, l.data["o1"])
	})
	if err := l.pool.Write(l.ctx, "o1", 100, []byte("written")); err != nil {
		t.Error(err)
	}
	copy(l.data["o1"][100:], "written")
	l.intact()
	l.waitState("active+clean")
	l.scrub()
	l.waitState("active+clean")
}

// intact checks that clients get what was written, and that nothing is wrong.
func (l *lab) intact() {
	l.t.Helper()
	for name, want := range l.data {
		if got, err := l.pool.ReadFull(l.ctx, name); err != nil || !bytes.Equal(got, want) {
			l.t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if got, err := l.pool.Xattr(l.ctx, name, "a"); err != nil || string(got) != name {
			l.t.Errorf("%s: attribute %q, %v", name, got, err)
		}
		if got, err := l.pool.OmapGet(l.ctx, name, "k"); err != nil || string(got["k"]) != name {
			l.t.Errorf("%s: omap %q, %v", name, got, err)
		}
	}
	if got := l.complaints(); len(got) > 0 {
		l.t.Errorf("health complains of %v", got)
	}
}
