package pglog

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

func obj(name string) object.ID { return object.New(1, "", "", name) }

func at(epoch uint32, v uint64) object.Version { return object.Version{Epoch: epoch, Version: v} }

// twin is a copy as simply as it can be said: the version that each object has on
// the disk, and a log of what was done.
type twin struct {
	disk    map[object.ID]object.Version
	log     Log
	info    Info
	missing Missing
}

func newTwin() *twin {
	return &twin{disk: map[object.ID]object.Version{}, info: Info{LastBackfill: object.MaxID}}
}

// do does a change as a primary or a replica does it.
func (c *twin) do(epoch uint32, o object.ID, kind EntryKind) *Entry {
	t := &Entry{Kind: kind, Object: o, Version: at(epoch, c.info.LastUpdate.Version+1), Prior: c.disk[o]}
	c.take(t)
	return t
}

func (c *twin) take(t *Entry) {
	c.log.Append(t)
	c.info.LastUpdate = t.Version
	switch t.Kind {
	case EntryDelete:
		delete(c.disk, t.Object)
	case EntryModify:
		c.disk[t.Object] = t.Version
	}
}

// merge makes the copy like another one, as far as logs can.
func (c *twin) merge(auth *twin, since object.Version) error {
	m, err := Merge(&c.log, &c.info, &c.missing, auth.log.Since(since, &auth.info))
	if err != nil {
		return err
	}
	for _, o := range m.Removed {
		delete(c.disk, o)
	}
	return nil
}

// Two copies have the same past, then each goes on alone; one is made like the
// other. Then both have the same log, and what is on the disk of the one is what
// is on that of the other, but for what is said to be missing: of that it has the
// version that it says.
func TestMergeAgainstTwin(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := newTwin(), newTwin()
		names := []string{"a", "b", "c", "d"}
		change := func(label string, epoch uint32, copies ...*twin) {
			for range rapid.IntRange(0, 8).Draw(t, label) {
				o := obj(rapid.SampledFrom(names).Draw(t, "object"))
				kind := rapid.SampledFrom([]EntryKind{EntryModify, EntryModify, EntryDelete, EntryError}).Draw(t, "kind")
				if _, there := copies[0].disk[o]; kind == EntryDelete && !there {
					kind = EntryModify
				}
				e := copies[0].do(epoch, o, kind)
				for _, c := range copies[1:] {
					c.take(e)
				}
			}
		}
		change("common", 10, a, b)
		common := a.info.LastUpdate
		change("a alone", 12, a)
		change("b alone", 14, b)
		// What the authority is asked for reaches back to what both have, or less far.
		since := object.Version{}
		if rapid.Bool().Draw(t, "short") {
			since = common
		}
		if err := a.merge(b, since); err != nil {
			t.Fatal(err)
		}
		// And once more: nothing changes.
		before := maps.Clone(a.missing.items)
		if err := a.merge(b, since); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(before, a.missing.items) {
			t.Fatalf("missing %v, after another merge %v", before, a.missing.items)
		}
		if a.info.LastUpdate != b.info.LastUpdate {
			t.Fatalf("at %v, the authority at %v", a.info.LastUpdate, b.info.LastUpdate)
		}
		a.log.Check(&a.info)
		a.missing.Check(&a.info)
		versions := func(l *Log) (vs []object.Version) {
			for _, e := range l.Entries {
				vs = append(vs, e.Version)
			}
			return vs
		}
		if got, want := versions(&a.log), versions(&b.log); !slices.Equal(got, want) {
			t.Fatalf("log %v, that of the authority %v", got, want)
		}
		for _, name := range names {
			o := obj(name)
			want, have := b.disk[o], a.disk[o]
			item, missing := a.missing.Get(o)
			switch {
			case missing && (item.Need != want || item.Have != have):
				t.Fatalf("%s: missing %v with %v here; should have %v, has %v", name, item.Need, item.Have, want, have)
			case !missing && have != want:
				t.Fatalf("%s: should have %v, has %v", name, want, have)
			}
		}
	})
}

func TestMergeNeedsToMeet(t *testing.T) {
	t.Parallel()
	a, b := newTwin(), newTwin()
	for range 5 {
		e := b.do(10, obj("o"), EntryModify)
		if len(b.log.Entries) <= 2 {
			a.take(e)
		}
	}
	b.info.LogTail = at(10, 3)
	if err := a.merge(b, object.Version{}); err == nil || a.info.LastUpdate != at(10, 2) {
		t.Fatalf("%v, %v", err, a.info.LastUpdate)
	}
	b.info.LogTail = at(10, 2)
	if err := a.merge(b, object.Version{}); err != nil || a.info.LastUpdate != at(10, 5) {
		t.Fatalf("%v, %v", err, a.info.LastUpdate)
	}
	if i, ok := a.missing.Get(obj("o")); !ok || i != (Item{at(10, 5), at(10, 2)}) {
		t.Fatalf("%+v", i)
	}
}

func info(lu object.Version, tail object.Version, started uint32) *Info {
	return &Info{LastUpdate: lu, LogTail: tail, LastBackfill: object.MaxID, LastEpochStarted: started,
		History: History{EpochCreated: 1, LastEpochStarted: started}}
}

func TestFindBest(t *testing.T) {
	t.Parallel()
	half := info(at(20, 9), object.Version{}, 20)
	half.LastBackfill = object.MinID
	heard := info(at(10, 5), object.Version{}, 10)
	heard.History.LastEpochStarted = 20
	for _, c := range []struct {
		name  string
		infos map[int32]*Info
		me    int32
		want  int32 // -1: none
	}{
		{"only me", map[int32]*Info{0: info(at(1, 1), object.Version{}, 5)}, 0, 0},
		{"who goes further", map[int32]*Info{0: info(at(9, 3), object.Version{}, 9), 1: info(at(9, 4), object.Version{}, 9)}, 0, 1},
		{"the newest start counts more", map[int32]*Info{0: info(at(8, 9), object.Version{}, 8), 1: info(at(9, 3), object.Version{}, 9)}, 0, 1},
		{"the longer log", map[int32]*Info{0: info(at(9, 4), at(9, 2), 9), 1: info(at(9, 4), at(9, 1), 9)}, 0, 1},
		{"else me", map[int32]*Info{0: info(at(9, 4), object.Version{}, 9), 2: info(at(9, 4), object.Version{}, 9)}, 2, 2},
		{"one that is being filled never", map[int32]*Info{0: info(at(10, 1), object.Version{}, 10), 1: half}, 0, 0},
		{"nobody knows of a start that was", map[int32]*Info{0: heard}, 0, -1},
	} {
		got, ok := FindBest(c.infos, c.me)
		if !ok {
			got = -1
		}
		if got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	full, old := info(at(9, 9), at(9, 3), 9), info(at(9, 2), object.Version{}, 9)
	late := info(at(9, 5), object.Version{}, 9)
	none := info(object.Version{}, object.Version{}, 0)
	for _, c := range []struct {
		name       string
		infos      map[int32]*Info
		auth       int32
		up, acting []int32
		want       Choice
	}{
		{"all the same", map[int32]*Info{0: full, 1: full, 2: full}, 0, []int32{1, 0, 2}, []int32{1, 0, 2}, Choice{[]int32{1, 0, 2}, nil}},
		{"one is late, its log goes on", map[int32]*Info{0: full, 1: late}, 0, []int32{1, 0}, []int32{1, 0}, Choice{[]int32{1, 0}, nil}},
		{"one is too old", map[int32]*Info{0: full, 1: old, 2: full}, 0, []int32{1, 0, 2}, []int32{1, 0, 2}, Choice{[]int32{0, 2}, []int32{1}}},
		{"moved: the old ones act", map[int32]*Info{0: full, 1: full, 2: none, 3: none}, 0, []int32{2, 3}, []int32{2, 3}, Choice{[]int32{0, 1}, []int32{2, 3}}},
		{"those that act before strays", map[int32]*Info{0: full, 1: full, 2: none, 3: full}, 3, []int32{2, 0}, []int32{1}, Choice{[]int32{3, 0}, []int32{2}}},
	} {
		got := Choose(c.infos, c.auth, c.up, c.up[0], c.acting, 2)
		if len(c.up) == 3 {
			got = Choose(c.infos, c.auth, c.up, c.up[0], c.acting, 3)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// osds makes a map in which some are up; the others exist.
func osds(n int, up ...int32) *osdmap.Map {
	m := osdmap.New()
	m.Epoch, m.MaxOSD = 50, int32(n)
	for o := range int32(n) {
		s := osdmap.StateExists
		if slices.Contains(up, o) {
			s |= osdmap.StateUp
		}
		m.State = append(m.State, s)
		m.Info = append(m.Info, osdmap.Info{UpFrom: 5, UpThru: 40})
	}
	return m
}

func TestPrior(t *testing.T) {
	t.Parallel()
	past := &PastIntervals{List: []Interval{{First: 10, Last: 19, Acting: []int32{0, 1}, Primary: 0}, {First: 20, Last: 29, Acting: []int32{1, 2}, Primary: 1}}}
	lost := osds(4, 0, 3)
	lost.Info[1].LostAt, lost.Info[2].LostAt = 45, 45
	for _, c := range []struct {
		name    string
		m       *osdmap.Map
		started uint32
		probe   []int32
		blocked []int32
	}{
		{"all are up", osds(4, 0, 1, 2, 3), 10, []int32{0, 1, 2, 3}, nil},
		{"one of each interval is enough", osds(4, 1, 3), 10, []int32{1, 3}, nil},
		{"nobody of the newer interval", osds(4, 0, 3), 10, []int32{0, 3}, []int32{1, 2}},
		{"the interval was before the newest start", osds(4, 0, 3), 30, []int32{3}, nil},
		{"they have been given up", lost, 10, []int32{0, 3}, nil},
	} {
		p := BuildPrior(c.m, []int32{3}, []int32{3}, past, c.started, nil)
		if !slices.Equal(p.Probe, c.probe) || !slices.Equal(p.BlockedBy, c.blocked) || p.Blocked != (c.blocked != nil) {
			t.Errorf("%s: asks %v, blocked by %v", c.name, p.Probe, p.BlockedBy)
		}
		if p.Affected(c.m) {
			t.Errorf("%s: affected by its own map", c.name)
		}
		other := osds(4, 0, 1, 2, 3)
		other.Info[3].UpFrom = 49
		if !p.Affected(other) {
			t.Errorf("%s: not affected by another process of osd.3", c.name)
		}
	}
}

func TestMaybeWentRW(t *testing.T) {
	t.Parallel()
	m := osds(2, 0, 1)
	p := Placement{Mapping: osdmap.Mapping{Acting: []int32{0, 1}, ActingPrimary: 0}, Size: 2, MinSize: 2}
	for _, c := range []struct {
		name  string
		first uint32
		clean uint32
		few   bool
		want  bool
	}{
		{"its primary was alive", 30, 0, false, true},
		{"that is not on record", 41, 0, false, false},
		{"it was clean", 41, 45, false, true},
		{"there were too few", 30, 0, true, false},
	} {
		q := p
		if c.few {
			q.Acting = q.Acting[:1]
		}
		if got := q.MaybeWentRW(c.first, m, &History{LastEpochClean: c.clean}); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// Only the newest interval of the same members stays.
func TestPastIntervals(t *testing.T) {
	t.Parallel()
	var p PastIntervals
	for i := range uint32(100) {
		p.Add(Interval{First: i * 10, Last: i*10 + 9, Acting: []int32{int32(i % 3), 7}, Primary: int32(i % 3)})
	}
	if len(p.List) != 3 || p.List[2].Last != 999 || p.List[0].First != 970 {
		t.Fatalf("%+v", p.List)
	}
	var q PastIntervals
	if err := wire.Unmarshal(wire.Marshal(&p), &q); err != nil || !reflect.DeepEqual(p, q) {
		t.Fatalf("%v: %+v", err, q)
	}
}

// A group's info of before there were copies reads as that of a whole copy.
func TestInfoVersions(t *testing.T) {
	t.Parallel()
	i := info(at(3, 4), at(3, 1), 7)
	i.PG = object.SPG{PG: object.PG{Pool: 1, Seed: 2}, Shard: object.NoShard}
	i.LastComplete, i.LastIntervalStarted, i.History.LastIntervalStarted = at(3, 4), 6, 6
	raw := wire.Marshal(i)
	var got Info
	if err := wire.Unmarshal(raw, &got); err != nil || !reflect.DeepEqual(&got, i) {
		t.Fatalf("%v: %+v, want %+v", err, got, i)
	}
	var e wire.Encoder
	i.LastComplete.Encode(&e)
	i.LastBackfill.Encode(&e)
	old := slices.Clone(raw[:len(raw)-e.Len()-8])
	old[0] = 2
	n := uint32(len(old) - 6)
	old[2], old[3], old[4], old[5] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	got = Info{}
	if err := wire.Unmarshal(old, &got); err != nil || !reflect.DeepEqual(&got, i) {
		t.Fatalf("%v: %+v, want %+v", err, got, i)
	}
}

func FuzzDecode(f *testing.F) {
	m := Missing{}
	m.Add(obj("o"), at(2, 3), at(1, 1))
	f.Add(wire.Marshal(&m), wire.Marshal(info(at(3, 4), at(3, 1), 7)), wire.Marshal(&PastIntervals{List: []Interval{{1, 2, []int32{0, 1}, 0}}}))
	f.Fuzz(func(t *testing.T, missing, inf, past []byte) {
		var m, m2 Missing
		if wire.Unmarshal(missing, &m) == nil {
			if err := wire.Unmarshal(wire.Marshal(&m), &m2); err != nil || fmt.Sprint(m.items) != fmt.Sprint(m2.items) {
				t.Fatalf("missing: %v", err)
			}
		}
		var i, i2 Info
		if wire.Unmarshal(inf, &i) == nil {
			if err := wire.Unmarshal(wire.Marshal(&i), &i2); err != nil {
				t.Fatalf("info: %v", err)
			}
		}
		var p, p2 PastIntervals
		if wire.Unmarshal(past, &p) == nil {
			if err := wire.Unmarshal(wire.Marshal(&p), &p2); err != nil {
				t.Fatalf("past intervals: %v", err)
			}
		}
	})
}
