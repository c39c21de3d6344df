package recovery

import (
	"fmt"
	"maps"
	"slices"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
)

// Backfill decides what some OSDs, the targets, need to have what this one has
// (PrimaryLogPG::recover_backfill). It walks through the units of all of them in
// order, and compares. It holds one interval of each, and the units under way.
//
//	                    at every target    at a target
//	up to its last      equal              gets all writes
//	up to at            being made equal   gets all writes, but those units
//	                                       under way are not written to
//	above               unknown            gets the log's entries only
//
// last <= at for each target that has work, or at <= last where one was further
// than the others when it began; last and at never fall.
type Backfill struct {
	max     int // objects of an interval
	local   Interval
	targets map[int32]*target
	order   []int32   // the targets, ascending
	at      object.ID // head of the last unit that was decided (last_backfill_started)
	flying  []*flying // units under way, in order
	passed  int64     // objects here that were decided
}

type target struct {
	last    object.ID // all up to this, a head, is as here (last_backfill)
	told    object.ID // last as Progress has returned it
	scan    Interval
	waiting bool // an interval has been asked for
}

// flying is a unit on its way.
type flying struct {
	head  object.ID
	after object.ID      // Backfill.at before
	open  map[int32]bool // targets that are not done
}

// Unit is what is to be done about a head and its clones.
type Unit struct {
	Head    object.ID
	Here    []Digest // all versions here, in order
	Targets []UnitTarget
}

// UnitTarget is what one target needs of it: Push says which of Here must be
// sent; the others are there already. Remove is what is there and not here, or of
// another version than here and in the way.
type UnitTarget struct {
	OSD    int32
	Push   []bool // by the index in Here
	Remove []object.ID
}

// ScanRequest asks a target for an interval.
type ScanRequest struct {
	OSD  int32
	From object.ID
	Max  int
}

// NewBackfill begins, or goes on, with the last_backfill of each target. max is
// the number of objects in an interval (osd_backfill_scan_max).
func NewBackfill(max int, last map[int32]object.ID) *Backfill {
	b := &Backfill{max: max, targets: map[int32]*target{}, order: slices.Sorted(maps.Keys(last)), at: object.MaxID}
	for osd, l := range last {
		b.targets[osd] = &target{last: l, told: l, scan: Interval{Begin: after(l), End: after(l)}}
		if l.Compare(b.at) < 0 {
			b.at = l
		}
	}
	b.local.Begin, b.local.End = after(b.at), after(b.at)
	return b
}

// exhausted reports whether an interval has nothing left and more may follow.
func (in *Interval) exhausted() bool { return len(in.Objects) == 0 && !in.End.Max }

// Next decides about the next unit that is not the same everywhere. scan reads the
// local interval from a position on. If the intervals of targets must be known
// first, it returns requests for those that were not asked for yet, and perhaps
// none. Nothing at all: either it waits, or all units have been decided.
func (b *Backfill) Next(scan func(from object.ID, max int) (Interval, error)) (*Unit, []ScanRequest, error) {
	for {
		for b.local.exhausted() {
			in, err := scan(b.local.End, b.max)
			if err != nil {
				return nil, nil, err
			}
			b.local = in
		}
		var ask []ScanRequest
		waits := false
		for _, osd := range b.order {
			t := b.targets[osd]
			if !t.scan.exhausted() || t.waiting {
				waits = waits || t.waiting
				continue
			}
			t.waiting, waits = true, true
			ask = append(ask, ScanRequest{osd, t.scan.End, b.max})
		}
		if waits {
			return nil, ask, nil
		}
		head, ok := b.first()
		if !ok {
			b.at = object.MaxID
			return nil, nil, nil
		}
		if u := b.decide(head); len(u.Targets) > 0 {
			return u, nil, nil
		}
	}
}

// first returns the head of the least unit that any copy has.
func (b *Backfill) first() (head object.ID, ok bool) {
	head = object.MaxID
	look := func(in *Interval) {
		if len(in.Objects) > 0 {
			if h := in.Objects[0].ID.Head(); h.Compare(head) < 0 {
				head, ok = h, true
			}
		}
	}
	look(&b.local)
	for _, t := range b.targets {
		look(&t.scan)
	}
	return head, ok
}

// take removes a unit from the front of an interval.
func (in *Interval) take(head object.ID) []Digest {
	if len(in.Objects) == 0 || in.Objects[0].ID.Head() != head {
		return nil
	}
	u := in.unit()
	in.Objects = in.Objects[len(u):]
	return u
}

// decide compares a unit and goes beyond it.
func (b *Backfill) decide(head object.ID) *Unit {
	u := &Unit{Head: head, Here: b.local.take(head)}
	f := &flying{head: head, after: b.at, open: map[int32]bool{}}
	b.at = head
	b.passed += int64(len(u.Here))
	for _, osd := range b.order {
		t := b.targets[osd]
		if head.Compare(t.last) <= 0 {
			continue // it is further than the others
		}
		if w := compare(u.Here, t.scan.take(head)); w != nil {
			w.OSD = osd
			u.Targets = append(u.Targets, *w)
			f.open[osd] = true
		}
	}
	if len(f.open) > 0 {
		b.flying = append(b.flying, f)
	}
	return u
}

// compare says what a target needs; nil: nothing.
func compare(here, there []Digest) *UnitTarget {
	w := &UnitTarget{Push: make([]bool, len(here))}
	work := false
	j := 0
	for i, d := range here {
		for ; j < len(there) && there[j].ID.Compare(d.ID) < 0; j++ {
			w.Remove = append(w.Remove, there[j].ID)
		}
		same := j < len(there) && there[j] == d
		if j < len(there) && there[j].ID == d.ID {
			j++
		}
		w.Push[i] = !same
		work = work || !same
	}
	for ; j < len(there); j++ {
		w.Remove = append(w.Remove, there[j].ID)
	}
	if !work && len(w.Remove) == 0 {
		return nil
	}
	return w
}

// Scanned takes in an interval that a target was asked for. EINVAL: it is not
// what was asked for.
func (b *Backfill) Scanned(osd int32, in Interval) error {
	t := b.targets[osd]
	if t == nil || !t.waiting || in.Begin != t.scan.End {
		return fmt.Errorf("interval of osd.%d from %v is not awaited: %w", osd, in.Begin, errno.EINVAL)
	}
	if err := in.check(); err != nil {
		return fmt.Errorf("osd.%d: %w", osd, err)
	}
	t.scan, t.waiting = in, false
	return nil
}

// Changed notes what an entry of the log did to an object here: it has a new
// version, or is gone.
func (b *Backfill) Changed(id object.ID, v object.Version, gone bool) {
	switch {
	case id.Head().Compare(b.at) <= 0, !b.local.End.Max && id.Compare(b.local.End) >= 0:
		// Decided, or not read yet.
	case gone:
		b.local.drop(id)
	default:
		b.local.set(id, v)
	}
}

// Done notes that a target has all of a unit, durably.
func (b *Backfill) Done(head object.ID, osd int32) {
	for i, f := range b.flying {
		if f.head == head {
			if delete(f.open, osd); len(f.open) == 0 {
				b.flying = slices.Delete(b.flying, i, i+1)
			}
			break
		}
	}
}

// Progress returns what each target is to be told as its last_backfill, of those
// for which it has risen since the last call; object.MaxID: it is complete.
func (b *Backfill) Progress() (rose map[int32]object.ID) {
	for osd, t := range b.targets {
		last := b.at
		for _, f := range b.flying {
			if f.open[osd] {
				last = f.after
				break
			}
		}
		if last.Compare(t.last) > 0 {
			t.last = last
		}
		if t.last != t.told {
			if rose == nil {
				rose = map[int32]object.ID{}
			}
			rose[osd], t.told = t.last, t.last
		}
	}
	return rose
}

// Copying reports whether the unit of an object is being copied: it must not be
// written to.
func (b *Backfill) Copying(id object.ID) bool {
	head := id.Head()
	return slices.ContainsFunc(b.flying, func(f *flying) bool { return f.head == head })
}

// Sends reports whether a target gets writes to an object, and not only their
// entries of the log (should_send_op).
func (b *Backfill) Sends(osd int32, id object.ID) bool {
	t := b.targets[osd]
	head := id.Head()
	return t == nil || head.Compare(b.at) <= 0 || head.Compare(t.last) <= 0
}

// Passed is the number of objects here, clones among them, in the units that were
// decided.
func (b *Backfill) Passed() int64 { return b.passed }

// At is the head of the last unit that was decided.
func (b *Backfill) At() object.ID { return b.at }

// Flying is the number of units under way.
func (b *Backfill) Flying() int { return len(b.flying) }

// Finished reports whether all targets are complete.
func (b *Backfill) Finished() bool { return b.at.Max && len(b.flying) == 0 }

// check panics if an invariant does not hold.
func (b *Backfill) check() {
	last := object.MinID
	for _, f := range b.flying {
		if f.head.Compare(last) <= 0 || f.head.Compare(b.at) > 0 || f.after.Compare(f.head) >= 0 || len(f.open) == 0 {
			panic(fmt.Sprintf("BUG: backfill: unit %v after %v, at %v", f.head, last, b.at))
		}
		last = f.head
	}
	for osd, t := range b.targets {
		if len(t.scan.Objects) > 0 && t.scan.Objects[0].ID.Head().Compare(b.at) <= 0 || t.told.Compare(t.last) > 0 {
			panic(fmt.Sprintf("BUG: backfill: osd.%d has %v, was told %v, at %v", osd, t.scan.Objects, t.told, b.at))
		}
	}
	if len(b.local.Objects) > 0 && b.local.Objects[0].ID.Head().Compare(b.at) <= 0 {
		panic(fmt.Sprintf("BUG: backfill: %v is not decided, at %v", b.local.Objects[0].ID, b.at))
	}
}
