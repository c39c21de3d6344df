package osdmap

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
)

func TestBlocklisted(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	addr := func(typ entity.AddrType, ip string, port uint16, nonce uint32) entity.Addr {
		return entity.Addr{Type: typ, Nonce: nonce, AP: netip.AddrPortFrom(netip.MustParseAddr(ip), port)}
	}
	m := New()
	m.Blocklist[addr(entity.AddrAny, "10.0.0.1", 0, 42)] = now.Add(time.Minute)
	m.Blocklist[addr(entity.AddrAny, "10.0.0.2", 0, 0)] = now.Add(time.Minute)
	m.RangeBlocklist[addr(entity.AddrAny, "10.1.0.0", 0, 16)] = now.Add(time.Minute)
	for _, c := range []struct {
		a    entity.Addr
		at   time.Duration
		want bool
	}{
		{addr(entity.AddrMsgr2, "10.0.0.1", 0, 42), 0, true},
		{addr(entity.AddrLegacy, "10.0.0.1", 0, 42), 0, true},
		{addr(entity.AddrAny, "10.0.0.1", 0, 42), time.Hour, false},
		{addr(entity.AddrAny, "10.0.0.1", 0, 43), 0, false},
		{addr(entity.AddrMsgr2, "10.0.0.2", 5, 6), 0, true}, // the whole host
		{addr(entity.AddrMsgr2, "10.1.200.3", 5, 6), 0, true},
		{addr(entity.AddrMsgr2, "10.2.200.3", 5, 6), 0, false},
		{addr(entity.AddrMsgr2, "2001:db8::1", 5, 6), 0, false},
		{entity.Addr{}, 0, false},
	} {
		if got := m.Blocklisted(c.a, now.Add(c.at)); got != c.want {
			t.Errorf("%v after %v: %v", c.a, c.at, got)
		}
	}
}

func TestApplyErrors(t *testing.T) {
	t.Parallel()
	m, err := Decode(files()["osdmap-e99.bin"])
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*Incremental){
		"epoch":        func(i *Incremental) { i.Epoch++ },
		"fsid":         func(i *Incremental) { i.FSID[0]++ },
		"osd":          func(i *Incremental) { i.NewWeight[m.MaxOSD] = 1 },
		"negative osd": func(i *Incremental) { i.NewState[-1] = StateUp },
		"max osd":      func(i *Incremental) { i.NewMaxOSD = 1 << 30 },
		"crush":        func(i *Incremental) { i.Crush = []byte{1} },
		"full map":     func(i *Incremental) { i.FullMap = files()["osdmap-e99.bin"] },
		"purged":       func(i *Incremental) { i.NewPurgedSnaps[77] = NewSnapSet(1) },
	} {
		inc := NewIncremental(m.FSID, 100)
		change(inc)
		if n, err := m.Apply(inc); err == nil {
			t.Errorf("%s: applied, e%d", what, n.Epoch)
		}
	}
}

// TestStates: what happens to an OSD's entry as it comes, goes and is removed.
func TestStates(t *testing.T) {
	t.Parallel()
	m, err := Decode(files()["osdmap-base.bin"])
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1e9, 0).UTC()
	step := func(change func(*Incremental)) {
		t.Helper()
		inc := NewIncremental(m.FSID, m.Epoch+1)
		inc.Modified = at
		change(inc)
		if m, err = m.Apply(inc); err != nil {
			t.Fatal(err)
		}
	}
	if !m.IsUp(1) || !m.IsIn(1) || m.Info[1].DownAt != 0 {
		t.Fatal("osd.1 is not up and in")
	}
	step(func(i *Incremental) { i.NewState[1] = 0 }) // zero stands for up
	if m.IsUp(1) || m.Info[1].DownAt != m.Epoch || !m.XInfo[1].DownStamp.Equal(at) {
		t.Errorf("down: %v %+v", m.State[1], m.Info[1])
	}
	step(func(i *Incremental) { i.NewWeight[1] = WeightOut; i.NewState[1] = StateAutoOut })
	if m.IsIn(1) || m.State[1]&StateAutoOut == 0 {
		t.Errorf("out: %v", m.State[1])
	}
	step(func(i *Incremental) { i.NewWeight[1] = WeightIn })
	if !m.IsIn(1) || m.State[1]&StateAutoOut != 0 {
		t.Errorf("in: %v", m.State[1])
	}
	step(func(i *Incremental) { i.NewUpClient[1] = entity.AddrVec{{Type: entity.AddrMsgr2}} })
	if !m.IsUp(1) || m.Info[1].UpFrom != m.Epoch || len(m.HBBackAddrs[1]) != 0 {
		t.Errorf("up: %v %+v", m.State[1], m.Info[1])
	}
	step(func(i *Incremental) { i.NewState[1] = StateExists | StateUp })
	if m.Exists(1) || m.State[1] != 0 || m.Info[1] != (Info{}) || !m.UUID[1].IsZero() || m.ClientAddrs[1] != nil {
		t.Errorf("removed: %v %+v", m.State[1], m.Info[1])
	}
	step(func(i *Incremental) { i.NewMaxOSD = 7 })
	if m.MaxOSD != 7 || len(m.Weight) != 7 || m.Exists(6) {
		t.Errorf("max_osd: %d", m.MaxOSD)
	}
	if total, up, in := m.NumOSDs(); total != 2 || up != 2 || in != 2 {
		t.Errorf("%d osds, %d up, %d in", total, up, in)
	}
	if _, err := Decode(m.Encode()); err != nil {
		t.Error(err)
	}
}

func TestObjectToPG(t *testing.T) {
	t.Parallel()
	m, err := Decode(files()["osdmap-base.bin"])
	if err != nil {
		t.Fatal(err)
	}
	id, _, ok := m.PoolByName("rbd")
	if !ok {
		t.Fatal("no pool rbd")
	}
	get := func(l object.Locator, name string) object.PG {
		l.Pool = id
		pg, err := m.ObjectToPG(l, name)
		if err != nil {
			t.Fatal(err)
		}
		return pg
	}
	plain := get(object.Locator{Hash: -1}, "a")
	if plain.Seed != object.HashString("a") {
		t.Errorf("%v", plain)
	}
	if pg := get(object.Locator{Key: "a", Hash: -1}, "other"); pg != plain {
		t.Errorf("by key: %v", pg)
	}
	if pg := get(object.Locator{Namespace: "n", Hash: -1}, "a"); pg.Seed != object.HashString("n\x1fa") {
		t.Errorf("in a namespace: %v", pg)
	}
	if pg := get(object.Locator{Hash: 5}, "a"); pg.Seed != 5 {
		t.Errorf("by hash: %v", pg)
	}
	if _, err := m.ObjectToPG(object.Locator{Pool: 99, Hash: -1}, "a"); !errors.Is(err, errno.ENOENT) {
		t.Error(err)
	}
	if v := m.PGToUpActing(object.PG{Pool: 99}); v.UpPrimary != -1 || v.ActingPrimary != -1 || v.Up != nil {
		t.Errorf("%+v", v)
	}
}

// TestConcurrentMappings: the cache gives everybody the same answers.
func TestConcurrentMappings(t *testing.T) {
	t.Parallel()
	m, err := Decode(files()["osdmap-tool60.bin"])
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for id, p := range m.Pools {
				for s := range p.PGNum {
					pg := object.PG{Pool: id, Seed: s}
					if got, want := m.PGToUpActing(pg), m.mapPG(p, pg); !slices.Equal(got.Up, want.Up) || got.ActingPrimary != want.ActingPrimary {
						t.Errorf("%v: %+v, want %+v", pg, got, want)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestSnapSet(t *testing.T) {
	t.Parallel()
	s := NewSnapSet(5, 1, 2, 9, 3)
	if s.String() != "[1~3,5~1,9~1]" || s.Size() != 5 || !s.Contains(3) || s.Contains(4) || s.Contains(10) || s.Contains(0) {
		t.Errorf("%v", s)
	}
	if u := s.Union(SnapSet{{4, 1}, {20, 5}}); u.String() != "[1~5,9~1,14~5]" {
		t.Errorf("union %v", u)
	}
	if d := s.Subtract(SnapSet{{2, 1}, {5, 10}}); d.String() != "[1~1,3~1]" {
		t.Errorf("difference %v", d)
	}
	if d := s.Intersect(SnapSet{{2, 1}, {5, 10}, {99, 1}}); d.String() != "[2~1,5~1,9~1]" {
		t.Errorf("intersection %v", d)
	}
	for n, want := range []string{"[]", "[1~1]", "[1~2]", "[1~3]", "[1~3,5~1]", "[1~3,5~1,9~1]", "[1~3,5~1,9~1]"} {
		if d := s.First(uint64(n)); d.String() != want {
			t.Errorf("first %d: %v, want %s", n, d, want)
		}
	}
	if s.String() != "[1~3,5~1,9~1]" {
		t.Error("the set changed")
	}
	if d := s.Subtract(s); len(d) != 0 {
		t.Errorf("%v", d)
	}
}
