package recovery

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestReserver(t *testing.T) {
	t.Parallel()
	r := NewReserver[string](1, 0)
	for _, c := range []struct {
		what string
		do   func() []Verdict[string]
		want string
	}{
		{"the first gets the place", func() []Verdict[string] { return r.Request("a", 100, true) }, "[{a true}]"},
		{"the next waits", func() []Verdict[string] { return r.Request("b", 100, true) }, "[]"},
		{"to ask again changes nothing", func() []Verdict[string] { return r.Request("b", 100, true) }, "[]"},
		{"a more urgent one takes the place", func() []Verdict[string] { return r.Request("c", 180, false) }, "[{a false} {c true}]"},
		{"who cannot be preempted is not", func() []Verdict[string] { return r.Request("d", 220, true) }, "[]"},
		{"then the most urgent is next", func() []Verdict[string] { return r.Cancel("c") }, "[{d true}]"},
		{"to raise a priority preempts", func() []Verdict[string] { return r.SetPriority("b", 254) }, "[{d false} {b true}]"},
		{"more places", func() []Verdict[string] { r.Request("e", 50, true); return r.SetLimits(2, 0) }, "[{e true}]"},
		{"fewer take none away", func() []Verdict[string] { return r.SetLimits(1, 0) }, "[]"},
		{"and are not filled again", func() []Verdict[string] { r.Request("f", 60, true); return r.Cancel("e") }, "[]"},
		{"until there is room", func() []Verdict[string] { return r.Cancel("b") }, "[{f true}]"},
		{"below the least priority nobody gets one", func() []Verdict[string] { r.SetLimits(1, 70); r.Cancel("f"); return r.Request("g", 69, true) }, "[]"},
		{"but above", func() []Verdict[string] { return r.Request("h", 70, true) }, "[{h true}]"},
		{"all of a kind go", func() []Verdict[string] { return r.CancelAll(func(s string) bool { return s != "x" }) }, "[]"},
	} {
		if got := fmt.Sprint(c.do()); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
		r.check(2)
	}
	if len(r.Waiting()) != 0 || len(r.Held()) != 0 || r.Holds("h") {
		t.Errorf("left: %+v", r)
	}
}

func TestReserverKeepsItsPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 3).Draw(t, "max")
		r := NewReserver[int](limit, 0)
		holds := map[int]bool{}
		priority := map[int]int{}
		take := func(v []Verdict[int]) {
			for _, x := range v {
				if holds[x.Item] == x.Granted {
					t.Fatalf("%d is told %v twice", x.Item, x.Granted)
				}
				holds[x.Item] = x.Granted
			}
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			item, p := rapid.IntRange(0, 6).Draw(t, "item"), rapid.IntRange(0, 4).Draw(t, "priority")
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0, 1:
				priority[item] = p
				take(r.Request(item, p, true))
			case 2:
				delete(holds, item)
				take(r.Cancel(item))
			case 3:
				priority[item] = p
				take(r.SetPriority(item, p))
			case 4:
				n := rapid.IntRange(0, 3).Draw(t, "max")
				limit = max(limit, n)
				take(r.SetLimits(n, 0))
			}
			r.check(limit)
			// Nobody waits who is more urgent than one that holds.
			for _, w := range r.waiting {
				for _, h := range r.held {
					if w.Priority > h.Priority && len(r.held) <= r.max {
						t.Fatalf("%v waits, %v holds", w, h)
					}
				}
			}
			for _, h := range r.held {
				if !holds[h.Item] || h.Priority != priority[h.Item] {
					t.Fatalf("%v holds and was told %v, priority %d", h, holds[h.Item], priority[h.Item])
				}
			}
		}
	})
}

// The numbers are those that a group of 16.2.15 shows in its query.
func TestPriorities(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		u                  Urgency
		recovery, backfill int
	}{
		{Urgency{Acting: 3, Whole: 3, Size: 3, MinSize: 2}, 180, 100},
		{Urgency{Acting: 3, Whole: 2, Size: 3, MinSize: 2, Degraded: true}, 180, 140},
		{Urgency{Acting: 3, Whole: 1, Size: 3, MinSize: 2, Degraded: true}, 221, 140},
		{Urgency{Acting: 2, Whole: 2, Size: 3, MinSize: 2, Degraded: true}, 180, 141},
		{Urgency{Acting: 1, Whole: 1, Size: 3, MinSize: 2, Degraded: true}, 221, 221},
		{Urgency{Acting: 3, Whole: 3, Size: 3, MinSize: 2, Pool: 5}, 185, 105},
		{Urgency{Acting: 3, Whole: 3, Size: 3, MinSize: 2, Pool: -99}, 170, 90},
		{Urgency{Acting: 1, Whole: 0, Size: 50, MinSize: 45, Degraded: true, Pool: 10}, 253, 253},
		{Urgency{Acting: 3, Whole: 3, Size: 3, MinSize: 2, Forced: true}, 255, 254},
	} {
		if r, b := c.u.Recovery(), c.u.Backfill(); r != c.recovery || b != c.backfill {
			t.Errorf("%+v: recovery %d, backfill %d; want %d, %d", c.u, r, b, c.recovery, c.backfill)
		}
	}
}

func TestCensus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what                        string
		c                           Census
		copies, degraded, misplaced int64
	}{
		{"all well", Census{Objects: 10, Size: 3, Up: []int32{0, 1, 2}, Acting: []int32{0, 1, 2}, Missing: map[int32]int64{0: 0, 1: 0, 2: 0}}, 30, 0, 0},
		{"one is gone", Census{Objects: 10, Size: 3, Up: []int32{0, 1}, Acting: []int32{0, 1}, Missing: map[int32]int64{0: 0, 1: 0}}, 30, 10, 0},
		{"two are gone", Census{Objects: 10, Size: 3, Up: []int32{0}, Acting: []int32{0}, Missing: map[int32]int64{0: 0}}, 30, 20, 0},
		{"one came back and lacks four", Census{Objects: 10, Size: 3, Up: []int32{0, 1, 2}, Acting: []int32{0, 1, 2}, Missing: map[int32]int64{0: 0, 1: 4, 2: 0}}, 30, 4, 0},
		{"that is known by object", Census{Objects: 10, Size: 3, Up: []int32{0, 1, 2}, Acting: []int32{0, 1, 2}, Missing: map[int32]int64{0: 0, 1: 4, 2: 0},
			Recovering: true, Rows: []Located{{Up: 2, Objects: 3}, {Up: 1, Other: 1, Objects: 1}}}, 30, 4, 1},
		{"known by object, too few", Census{Objects: 10, Size: 3, Up: []int32{0, 1}, Acting: []int32{0, 1}, Recovering: true, Rows: []Located{{Up: 1, Objects: 2}}}, 30, 12, 0},
		{"remapped: 2 hands over to 3, which has three", Census{Objects: 10, Size: 3, Up: []int32{0, 1, 3}, Acting: []int32{0, 1, 2}, Missing: map[int32]int64{0: 0, 1: 0, 2: 0, 3: 7}}, 30, 0, 7},
		{"remapped: the old one lacks two itself", Census{Objects: 10, Size: 3, Up: []int32{0, 1, 3}, Acting: []int32{0, 1, 2}, Missing: map[int32]int64{0: 0, 1: 0, 2: 2, 3: 7}}, 30, 2, 5},
		{"all three move", Census{Objects: 10, Size: 3, Up: []int32{3, 4, 5}, Acting: []int32{0, 1, 2}, Missing: map[int32]int64{0: 0, 1: 0, 2: 0, 3: 10, 4: 10, 5: 10}}, 30, 0, 30},
		{"one of two copies goes", Census{Objects: 10, Size: 1, Up: []int32{0}, Acting: []int32{0, 1}, Missing: map[int32]int64{0: 0, 1: 0}}, 20, 0, 0},
		{"two of three copies go", Census{Objects: 10, Size: 1, Up: []int32{0}, Acting: []int32{0, 1, 2}, Missing: map[int32]int64{0: 0, 1: 0, 2: 3}}, 30, 0, 7},
	} {
		if n := c.c.Copies(); n != c.copies {
			t.Errorf("%s: %d copies, want %d", c.what, n, c.copies)
		}
		if d, m := c.c.Count(); d != c.degraded || m != c.misplaced {
			t.Errorf("%s: %d degraded, %d misplaced; want %d, %d", c.what, d, m, c.degraded, c.misplaced)
		}
	}
}

// Whatever is missing, there is no more of it than copies.
func TestCensusIsBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		osds := rapid.Permutation([]int32{0, 1, 2, 3, 4, 5})
		c := Census{Objects: rapid.Int64Range(0, 20).Draw(t, "objects"), Size: rapid.IntRange(1, 4).Draw(t, "size"), Missing: map[int32]int64{}}
		c.Up = osds.Draw(t, "up")[:rapid.IntRange(1, c.Size).Draw(t, "ups")]
		c.Acting = osds.Draw(t, "acting")[:rapid.IntRange(1, c.Size).Draw(t, "actings")]
		for _, osd := range slices.Concat(c.Up, c.Acting) {
			c.Missing[osd] = rapid.Int64Range(0, c.Objects).Draw(t, "missing")
		}
		d, m := c.Count()
		if d < 0 || m < 0 || d+m > c.Objects*int64(len(c.Up)+len(c.Acting)+c.Size) {
			t.Fatalf("%+v: %d degraded, %d misplaced", c, d, m)
		}
	})
}
