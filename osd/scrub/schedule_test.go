package scrub

import (
	"math"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/object"
)

const day = 24 * time.Hour

func TestDue(t *testing.T) {
	t.Parallel()
	o := DefaultOptions()
	last := time.Unix(1700000000, 0)
	seen := map[time.Time]bool{}
	for i := range uint32(100) {
		at, deadline := o.Due(object.SPG{PG: object.PG{Pool: 1, Seed: i}}, last)
		if d := at.Sub(last); d < day || d > day*3/2 || deadline.Sub(last) != 7*day {
			t.Errorf("due after %v, deadline %v", d, deadline.Sub(last))
		}
		seen[at.Truncate(time.Hour)] = true
	}
	if len(seen) < 8 {
		t.Errorf("a hundred groups are due in %d different hours", len(seen))
	}
	// The pool's own intervals go first; the deadline may be the earlier.
	if at, deadline := ptrTo(o.With(100, 50, 0)).Due(testPG, last); at != deadline || at.Sub(last) != 50*time.Second {
		t.Errorf("%v %v", at, deadline)
	}
	o.MaxInterval = 0
	if _, deadline := o.Due(testPG, last); !deadline.IsZero() {
		t.Errorf("deadline %v", deadline)
	}
	if Seconds(math.Inf(1)) != math.MaxInt64 || Seconds(1.5) != 1500*time.Millisecond {
		t.Error("seconds")
	}
}

func ptrTo(o Options) *Options { return &o }

func TestDeep(t *testing.T) {
	t.Parallel()
	o := DefaultOptions()
	deep := 0
	for i := range 1000 {
		last := time.Unix(1700000000, int64(i))
		if o.Deep(testPG, last.Add(day), last, last) {
			deep++
		}
		if !o.Deep(testPG, last.Add(7*day), last, last) {
			t.Fatal("not deep when it is time")
		}
	}
	if deep < 100 || deep > 200 {
		t.Errorf("%d of 1000 are deep by chance, not 150", deep)
	}
}

func TestPermitted(t *testing.T) {
	t.Parallel()
	at := func(hour int) time.Time { return time.Date(2026, 11, 21, hour, 30, 0, 0, time.UTC) } // a Saturday
	for _, c := range []struct {
		beginHour, endHour, beginDay, endDay, hour int
		want                                       bool
	}{
		{0, 0, 0, 0, 12, true}, {9, 17, 0, 0, 12, true}, {9, 17, 0, 0, 17, false}, {9, 17, 0, 0, 8, false}, {22, 6, 0, 0, 23, true},
		{22, 6, 0, 0, 5, true}, {22, 6, 0, 0, 6, false}, {0, 0, 1, 6, 12, false}, {0, 0, 6, 1, 12, true}, {9, 17, 6, 0, 12, true},
	} {
		o := Options{BeginHour: c.beginHour, EndHour: c.endHour, BeginDay: c.beginDay, EndDay: c.endDay, Sleep: 1, ExtendedSleep: 5}
		now := at(c.hour)
		if got := o.Permitted(now, time.Time{}); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
		if !o.Permitted(now, now.Add(-1)) {
			t.Errorf("%+v: not when it is late", c)
		}
		if got := o.Pause(now, false); (got == 1) != c.want {
			t.Errorf("%+v: pause %v", c, got)
		}
		if got := o.Pause(now, true); got != 1 {
			t.Errorf("%+v: pause %v of one that was asked for", c, got)
		}
		o.Busy = true
		if o.Permitted(now, now.Add(1)) {
			t.Errorf("%+v: while the machine is busy", c)
		}
	}
}

func TestChunkSize(t *testing.T) {
	t.Parallel()
	o := DefaultOptions()
	for preempted, want := range []int{25, 12, 6, 3, 3} {
		if got := o.ChunkSize(preempted); got != want {
			t.Errorf("%d after %d", got, preempted)
		}
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	var l Load
	for range 1000 {
		if l.Sample(0.4, 0.4, time.Minute, 2, 0.5) {
			t.Fatal("a low load is too high")
		}
	}
	if !l.Sample(3, 1, time.Minute, 2, 0.5) {
		t.Error("a high load is not")
	}
	for range 3000 {
		l.Sample(4, 4, time.Minute, 2, 0.5)
	}
	if l.Sample(2, 3, time.Minute, 2, 0.5) {
		t.Error("nor one below the day's and sinking")
	}
	if !l.Sample(2, 1, time.Minute, 2, 0.5) {
		t.Error("but one that rises")
	}
}

func TestSlots(t *testing.T) {
	t.Parallel()
	var s Slots
	if s.Take() {
		t.Fatal("there is none")
	}
	s.SetMost(2)
	for range 2 {
		if !s.Take() {
			t.Fatal("not two")
		}
	}
	if s.Take() {
		t.Fatal("more than two")
	}
	s.SetMost(1)
	s.Free()
	if s.Take() {
		t.Fatal("taken, with one out of one in use")
	}
	s.Free()
	if !s.Take() {
		t.Fatal("none left")
	}
}
