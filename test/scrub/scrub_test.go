// Package scrub damages one copy of objects on the disks of a whole cluster, in
// each place where there is something to damage, and looks that it is found,
// reported and healed.
package scrub

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/internal/binary"
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

// start starts the cluster with an empty pool; its daemons are processes of their
// own if that is wanted, or if there is time.
func start(t *testing.T, processes bool) *lab {
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	t.Cleanup(cancel)
	l := &lab{Cluster: pulpotest.Start(t, pulpotest.Options{OSDs: 3, Processes: processes || binary.Soaking()}), t: t, ctx: ctx, data: map[string][]byte{}}
	l.command(rados.ToMons(), map[string]any{"prefix": "osd crush rule create-replicated", "name": "spread", "root": "default", "type": "osd"})
	// A copy that is away for a moment is not missed.
	l.command(rados.ToMons(), map[string]any{"prefix": "osd set", "key": "noout"})
	l.make("data")
	l.waitState("active+clean")
	return l
}

// make makes a pool of one group, and has the lab look at that.
func (l *lab) make(pool string) {
	l.t.Helper()
	l.command(rados.ToMons(), map[string]any{"prefix": "osd pool create", "pool": pool, "pg_num": 1, "pool_type": "replicated", "rule": "spread", "size": 3})
	l.command(rados.ToMons(), map[string]any{"prefix": "osd pool application enable", "pool": pool, "app": "test"})
	l.pool = l.Pool(pool)
	l.pg = object.SPG{PG: object.PG{Pool: l.pool.ID()}, Shard: object.NoShard}
}

func open(t *testing.T, processes bool) *lab {
	l := start(t, processes)
	ctx := l.ctx
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

// group is the state of the group, its members, and when it was scrubbed, as its
// primary says; without one there are no members.
func (l *lab) group() (state string, acting []int, scrubbed string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.ctx, 2*time.Second)
	defer cancel()
	id := l.pg.PG.String()
	r, err := l.Client.Command(ctx, rados.ToPG(id), map[string]any{"prefix": "query", "pgid": id, "format": "json"}, nil)
	if err != nil {
		return err.Error(), nil, ""
	}
	var out struct {
		State  string
		Acting []int
		Info   struct {
			Stats struct {
				Scrubbed string `json:"last_deep_scrub_stamp"`
			}
		}
	}
	if err := json.Unmarshal(r.Data, &out); err != nil {
		l.t.Fatalf("%s: %v", r.Data, err)
	}
	return out.State, out.Acting, out.Info.Stats.Scrubbed
}

// members are the members of the group, which are three in the end.
func (l *lab) members() []int {
	l.t.Helper()
	var acting []int
	l.wait("the group has three members", func() (state string, ok bool) {
		state, acting, _ = l.group()
		return state, len(acting) == 3
	})
	return acting
}

// wait waits for what becomes true.
func (l *lab) wait(what string, ok func() (now string, ok bool)) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		now, done := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%s: not within %v, %s", what, patience, now)
		}
	}
}

// waitState waits until the group is in one of some states, with all three members.
func (l *lab) waitState(want ...string) {
	l.t.Helper()
	l.wait("the group is "+strings.Join(want, " or "), func() (string, bool) {
		state, acting, _ := l.group()
		return fmt.Sprintf("it is %s, acting %v", state, acting), slices.Contains(want, state) && len(acting) == 3
	})
}

// scrub has the group deep scrubbed to the end.
func (l *lab) scrub() {
	l.t.Helper()
	var before string
	l.wait("the primary answers", func() (state string, ok bool) {
		state, _, before = l.group()
		return state, before != ""
	})
	l.command(rados.ToMgr(), map[string]any{"prefix": "pg deep-scrub", "pgid": l.pg.PG.String()})
	l.wait("the scrub ends", func() (string, bool) {
		state, _, at := l.group()
		return fmt.Sprintf("the group is %s and was scrubbed at %s", state, at), at != "" && at != before && !strings.Contains(state, "scrubbing")
	})
}

// waitComplaints waits until these are the codes of the health checks.
func (l *lab) waitComplaints(want ...string) {
	l.t.Helper()
	l.wait(fmt.Sprintf("health complains of %v", want), func() (string, bool) {
		var out struct {
			Checks map[string]any `json:"checks"`
		}
		if err := json.Unmarshal(l.command(rados.ToMons(), map[string]any{"prefix": "health"}), &out); err != nil {
			l.t.Fatal(err)
		}
		delete(out.Checks, "OSDMAP_FLAGS")
		codes := slices.Sorted(maps.Keys(out.Checks))
		return fmt.Sprintf("but of %v", codes), slices.Equal(codes, want)
	})
}

// stop stops an OSD and waits until the group goes on without it.
func (l *lab) stop(osd int) {
	l.t.Helper()
	l.StopDaemon(fmt.Sprint("osd.", osd))
	l.without(osd)
}

func (l *lab) without(osd int) {
	l.t.Helper()
	l.wait(fmt.Sprintf("the group goes on without osd.%d", osd), func() (string, bool) {
		state, acting, _ := l.group()
		return fmt.Sprintf("it is %s, acting %v", state, acting), strings.HasPrefix(state, "active") && !slices.Contains(acting, osd)
	})
}

// away does something to the disk of an OSD while it does not run.
func (l *lab) away(osd int, do func(dir string)) {
	l.t.Helper()
	name := fmt.Sprint("osd.", osd)
	l.stop(osd)
	do(filepath.Join(l.Dir, name, "store"))
	l.StartDaemon(name)
	l.waitState("active+clean", "active+clean+inconsistent")
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
func (l *lab) change(dir string, do func(s objstore.Store, c objstore.Coll, txn *objstore.Txn)) {
	l.t.Helper()
	s, err := diskstore.Open(dir, diskstore.Options{})
	if err != nil {
		l.t.Fatal(err)
	}
	txn := new(objstore.Txn)
	do(s, objstore.PGColl(l.pg), txn)
	if err := s.Submit(txn, nil); err != nil {
		l.t.Error(err)
	}
	if err := s.Close(); err != nil {
		l.t.Error(err)
	}
}

func (l *lab) id(name string) object.ID { return object.New(l.pg.Pool, "", "", name) }

// What is damaged on the primary is healed by whoever reads it, or writes into it.
func TestDamagedPrimary(t *testing.T) {
	t.Parallel()
	l := open(t, false)
	acting := l.members()
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
	l.waitComplaints()
}
