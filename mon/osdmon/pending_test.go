package osdmon

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

type call struct {
	prefix string
	args   map[string]any
}

// calls are commands of all families, in an order in which many meet what
// others before them did.
var calls = []call{
	{"osd pool create", map[string]any{"pool": "p", "pg_num": 8}},
	{"osd pool create", map[string]any{"pool": "q", "pg_num": 4, "size": 2}},
	{"osd pool rename", map[string]any{"srcpool": "p", "destpool": "r"}},
	{"osd pool rm", map[string]any{"pool": "r", "pool2": "r", "yes_i_really_really_mean_it": true}},
	{"osd pool set", map[string]any{"pool": "q", "var": "size", "val": "3"}},
	{"osd pool set", map[string]any{"pool": "q", "var": "compression_mode", "val": "force"}},
	{"osd pool set-quota", map[string]any{"pool": "q", "field": "max_bytes", "val": "1G"}},
	{"osd pool application enable", map[string]any{"pool": "q", "app": "rbd"}},
	{"osd pool application set", map[string]any{"pool": "q", "app": "rbd", "key": "k", "value": "v"}},
	{"osd pool mksnap", map[string]any{"pool": "q", "snap": "s"}},
	{"osd pool rmsnap", map[string]any{"pool": "q", "snap": "s"}},
	{"osd out", map[string]any{"ids": []string{"0", "1"}}},
	{"osd in", map[string]any{"ids": []string{"0"}}},
	{"osd down", map[string]any{"ids": []string{"2"}}},
	{"osd reweight", map[string]any{"id": 2, "weight": 0.5}},
	{"osd primary-affinity", map[string]any{"id": 2, "weight": 0.25}},
	{"osd lost", map[string]any{"id": 2, "yes_i_really_mean_it": true}},
	{"osd destroy-actual", map[string]any{"id": 2, "yes_i_really_mean_it": true}},
	{"osd new", map[string]any{"uuid": "11111111-2222-3333-4444-555555555555"}},
	{"osd new", map[string]any{"uuid": "11111111-2222-3333-4444-666666666666", "id": 2}},
	{"osd purge-new", map[string]any{"id": 4, "yes_i_really_mean_it": true}},
	{"osd purge-actual", map[string]any{"id": 2, "yes_i_really_mean_it": true}},
	{"osd rm", map[string]any{"ids": []string{"3"}}},
	{"osd setmaxosd", map[string]any{"newmax": 9}},
	{"osd set", map[string]any{"key": "noout"}},
	{"osd set", map[string]any{"key": "pause"}},
	{"osd unset", map[string]any{"key": "noout"}},
	{"osd set-group", map[string]any{"flags": "noup,noin", "who": []string{"osd.1", "h", "ssd"}}},
	{"osd unset-group", map[string]any{"flags": "noin", "who": []string{"osd.1", "h"}}},
	{"osd set-full-ratio", map[string]any{"ratio": 0.9}},
	{"osd blocklist", map[string]any{"blocklistop": "add", "addr": "1.2.3.4:0/5"}},
	{"osd blocklist", map[string]any{"blocklistop": "rm", "addr": "1.2.3.4:0/5"}},
	{"osd blocklist", map[string]any{"blocklistop": "add", "addr": "1.2.3.4:0/6"}},
	{"osd blocklist clear", nil},
	{"osd pg-temp", map[string]any{"pgid": "2.1", "id": []any{int64(1), int64(0)}}},
	{"osd pg-upmap", map[string]any{"pgid": "2.2", "id": []any{int64(0), int64(1)}}},
	{"osd pg-upmap-items", map[string]any{"pgid": "2.3", "id": []any{int64(0), int64(3)}}},
	{"osd rm-pg-upmap", map[string]any{"pgid": "2.2"}},
	{"osd crush add-bucket", map[string]any{"name": "k", "type": "rack"}},
	{"osd crush move", map[string]any{"name": "k", "args": []string{"root=default"}}},
	{"osd crush move", map[string]any{"name": "h", "args": []string{"rack=k"}}},
	{"osd crush reweight", map[string]any{"name": "osd.0", "weight": 0.75}},
	{"osd crush rule create-replicated", map[string]any{"name": "u", "root": "default", "type": "osd", "class": "ssd"}},
	{"osd pool set", map[string]any{"pool": "q", "var": "crush_rule", "val": "u"}},
	{"osd crush rm-device-class", map[string]any{"ids": []string{"1"}}},
	{"osd crush set-device-class", map[string]any{"class": "hdd", "ids": []string{"1"}}},
	{"osd crush weight-set create-compat", nil},
	{"osd crush weight-set reweight-compat", map[string]any{"item": "osd.1", "weight": []any{0.125}}},
	{"osd crush rename-bucket", map[string]any{"srcname": "k", "dstname": "kk"}},
	{"osd crush rm", map[string]any{"name": "osd.0"}},
	{"osd erasure-code-profile set", map[string]any{"name": "e", "profile": []string{"k=3", "m=2"}}},
	{"osd erasure-code-profile rm", map[string]any{"name": "e"}},
	{"pg repeer", map[string]any{"pgid": "2.0"}},
}

func (c *cluster) give(k call) command.Reply {
	e := c.Find(k.prefix)
	cmd := command.New(k.prefix, k.args)
	cmd.Now = c.Clock
	return e.Run(cmd)
}

func fourOSDs(t testing.TB) *cluster {
	c := newCluster(t)
	for o := range int32(4) {
		c.start(o)
	}
	c.Run("osd down", "ids", []string{"3"})
	return c
}

// Many commands in one proposal come to the same as one after the other.
func TestOneProposalOrMany(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		var picked []call
		for i := range calls {
			if rapid.IntRange(0, 3).Draw(r, "take") > 0 {
				picked = append(picked, calls[i])
			}
		}
		if rapid.Bool().Draw(r, "backwards") {
			slices.Reverse(picked)
		}
		one, many := fourOSDs(t), fourOSDs(t)
		base := one.Map().Epoch
		// A crash of the leader's memory in between must not matter either: a
		// second monitor applies the same changes without having made them.
		for i, k := range picked {
			if k.prefix == "osd new" {
				one.Commit() // the number of an OSD is free once its removal is committed
			}
			a, b := one.give(k), many.give(k)
			if a.Errno != b.Errno || a.Status != b.Status && !epochInWords(k.prefix) {
				r.Fatalf("%d %s %v: %v %q in one proposal, %v %q alone", i, k.prefix, k.args, a.Errno, a.Status, b.Errno, b.Status)
			}
			many.Commit()
		}
		one.Commit()
		got, want := normal(one.Map(), base), normal(many.Map(), base)
		if got != want {
			r.Fatalf("one proposal:\n%s\none by one:\n%s", got, want)
		}
	})
}

// epochInWords: their words name an epoch or a version, of which there are
// fewer in one proposal.
func epochInWords(prefix string) bool { return prefix == "osd lost" }

// normal describes a map without what depends on how many epochs led to it.
func normal(m *osdmap.Map, base uint32) string {
	c := *m
	c.Epoch, c.CrushVersion = base, 0
	c.Pools = map[int64]*osdmap.Pool{}
	for id, p := range m.Pools {
		q := p.Clone()
		q.LastChange, q.SnapEpoch = base, base
		c.Pools[id] = q
	}
	c.Info = slices.Clone(m.Info)
	for i := range c.Info {
		c.Info[i].DownAt, c.Info[i].LostAt = min(c.Info[i].DownAt, base), min(c.Info[i].LostAt, base)
	}
	c.XInfo = slices.Clone(m.XInfo)
	c.NewRemovedSnaps, c.NewPurgedSnaps = nil, nil
	// Exceptions that one of the maps does not allow are gone from the next.
	c.PGTemp, c.PrimaryTemp, c.PGUpmap, c.PGUpmapItems = nil, nil, nil, nil
	return c.Text() + fmt.Sprint(c.XInfo, c.CrushNodeFlags, c.DeviceClassFlags, c.RemovedSnapsQueue, c.ErasureCodeProfiles) + c.Crush.Decompile()
}

// Two monitors that apply the same changes have the same bytes, whether they
// made them or not, and so has one that leads twice from the same start.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	run := func() (full []byte, changes [][]byte) {
		c := fourOSDs(t)
		for _, k := range calls {
			c.give(k)
			if b := c.Propose(c.Clock); b != nil {
				changes = append(changes, b)
				c.Host.Apply(c.Service, b)
			}
		}
		return c.full, changes
	}
	a, changes := run()
	b, _ := run()
	if !bytes.Equal(a, b) {
		t.Error("two runs end in different maps")
	}
	follower := fourOSDs(t)
	for _, ch := range changes {
		follower.Host.Apply(follower.Service, ch)
	}
	if !bytes.Equal(a, follower.full) {
		t.Error("a follower ends in another map")
	}
	follower.Reload(follower.Service)
	if !bytes.Equal(a, follower.full) {
		t.Error("another map after a restart")
	}
}

func FuzzChange(f *testing.F) {
	c := newCluster(f)
	c.give(calls[0])
	f.Add(c.Propose(c.Clock))
	f.Add(wire.Marshal(change{Inc: []byte("x"), Meta: map[int32]map[string]string{1: {"a": "b"}}, OldMeta: []int32{2}, First: 3}))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := *c.Service
		s.proposed, s.meta, s.snaps, s.life = nil, map[int32]map[string]string{}, map[int64]osdmap.SnapSet{}, newLife()
		if err := s.Apply(b, nopWriter{}); err != nil && s.cur != c.cur {
			t.Error("a change that was refused changed the map")
		}
	})
}

// nopWriter forgets.
type nopWriter struct{}

func (nopWriter) Get(string) []byte  { return nil }
func (nopWriter) Put(string, []byte) {}
func (nopWriter) Delete(string)      {}
func (nopWriter) Scan(_, _ string) iter.Seq2[string, []byte] {
	return func(func(string, []byte) bool) {}
}
