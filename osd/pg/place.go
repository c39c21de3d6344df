package pg

import (
	"time"

	"github.com/pulpo-storage/pulpo/object"
)

// Places. How many groups recover at a time is limited for the OSD as a whole, so
// a group asks the OSD for a place before it begins, and the OSD answers with an
// event (osd/recovery.Reserver). The primary of a group needs a place of the
// first kind at its own OSD, then one of the second kind at the OSD of each copy
// that takes part, which that copy's group asks for.

// PlaceKind is what a place is for.
type PlaceKind uint8

const (
	PlaceLocal  PlaceKind = iota // of a group whose primary is here
	PlaceRemote                  // of one that is recovered from another OSD
)

// PlaceAsk is a group's wish for a place.
type PlaceAsk struct {
	PG       object.SPG
	Kind     PlaceKind
	Priority int
	// Backfill: it brings data that the OSD does not have yet, so it is refused
	// where that is almost full.
	Backfill bool
	Cancel   bool // give it back, or wish no more
}

// Place is the OSD's answer to a wish.
type Place struct {
	Kind    PlaceKind
	Verdict PlaceVerdict
}

func (Place) event() {}

// PlaceVerdict is what has become of a wish.
type PlaceVerdict uint8

const (
	PlaceGranted   PlaceVerdict = iota // until it is given back
	PlacePreempted                     // it had one, and somebody more urgent has it now
	PlaceTooFull                       // refused: the OSD has too little room
)

func (v PlaceVerdict) String() string { return [...]string{"granted", "preempted", "too full"}[v] }

// ask wishes for a place, or gives one back.
func (p *PG) ask(a PlaceAsk) {
	a.PG = p.id
	p.out().Places = append(p.out().Places, a)
}

// onPlace takes in the OSD's answer.
func (p *PG) onPlace(_ time.Time, _ Place) {}
