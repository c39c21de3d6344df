package pg

import (
	"time"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/recovery"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// Places. How many groups recover at a time is limited for the OSD as a whole, so
// a group asks the OSD for a place before it begins, and the OSD answers with an
// event (osd/recovery.Reserver). The primary of a group needs a place of the
// first kind at its own OSD, then one of the second kind at the OSD of each copy
// that takes part, which that copy's group asks for. It asks one after the other,
// in the order of their numbers, so that groups do not wait for each other in a
// circle. Who loses a place gives all of them back and begins again.

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

// placeBody is what a primary wants of another copy's OSD, or that one's answer
// (MRecoveryReserve, MBackfillReserve).
type placeBody struct {
	Priority int32
	Backfill bool
	Cancel   bool
	Answer   bool // then Verdict is it
	Verdict  PlaceVerdict
}

func (b *placeBody) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.S32(b.Priority)
	e.Bool(b.Backfill)
	e.Bool(b.Cancel)
	e.Bool(b.Answer)
	e.U8(uint8(b.Verdict))
	e.End(m)
}

func (b *placeBody) Decode(d *wire.Decoder) {
	env := d.Begin("pg_place", 1)
	b.Priority = d.S32()
	b.Backfill = d.Bool()
	b.Cancel = d.Bool()
	b.Answer = d.Bool()
	if b.Verdict = PlaceVerdict(d.U8()); b.Verdict > PlaceTooFull && d.Err() == nil {
		d.Failf("verdict %d", b.Verdict)
	}
	d.End(env)
}

// ask wishes for a place, or gives one back.
func (p *PG) ask(a PlaceAsk) {
	a.PG = p.id
	p.out().Places = append(p.out().Places, a)
}

// priority is that of what the group has to do.
func (p *PG) priority(fills bool) int {
	degraded, _ := p.census()
	u := recovery.Urgency{Acting: len(p.mapping.Acting), Size: int(p.pool.Size), MinSize: int(p.pool.MinSize), Degraded: degraded > 0,
		Forced: p.recovery.forced[fills], Pool: int(p.pool.Opts.Int(osdmap.OptRecoveryPriority, 0))}
	if p.missing.Len() == 0 {
		u.Whole++
	}
	for _, q := range p.peering.peers {
		if (q.known || q.member) && q.missing.Len() == 0 && !q.info.Incomplete() {
			u.Whole++
		}
	}
	if fills {
		return u.Backfill()
	}
	return u.Recovery()
}

// plan sees to it that the stage is that of what is to be done.
func (p *PG) plan(_ time.Time) {
	r := &p.recovery
	some, fills := p.work()
	if !some && p.recovered() {
		clear(r.forced) // a wish is for this time
	}
	if r.stage != stageIdle && (!some || fills != r.fills) {
		if len(r.units) > 0 || !some && len(r.moves) > 0 {
			return // first what is under way
		}
		p.dropPlaces(true)
		r.stage, r.fill = stageIdle, nil
	}
	if some && r.stage == stageIdle {
		r.stage, r.fills = stageLocal, fills
		p.ask(PlaceAsk{Kind: PlaceLocal, Priority: p.priority(fills), Backfill: fills})
		p.changed = true
	}
}

// helpers are the others who must have a place, in order: all members, or those
// that are being filled.
func (p *PG) helpers() []int32 {
	if p.recovery.fills {
		return p.unfilled()
	}
	return p.members()
}

// askNext asks the next of them for a place, or begins if all have one.
func (p *PG) askNext(now time.Time) {
	r := &p.recovery
	for _, o := range p.helpers() {
		if !r.places[o] {
			r.stage, r.asked = stageRemote, o
			p.tell(o, PeerPlace, &placeBody{Priority: int32(p.priority(r.fills)), Backfill: r.fills})
			return
		}
	}
	r.stage = stageGoing
	if r.fills {
		p.beginFill()
	}
	p.recoverMore(now)
}

// onPlace takes in the OSD's answer.
func (p *PG) onPlace(now time.Time, in Place) {
	if in.Kind == PlaceRemote {
		if !p.guest {
			p.ask(PlaceAsk{Kind: PlaceRemote, Cancel: true}) // of an interval before
			return
		}
		p.guest = in.Verdict == PlaceGranted
		p.tell(p.mapping.ActingPrimary, PeerPlace, &placeBody{Answer: true, Verdict: in.Verdict})
		return
	}
	r := &p.recovery
	switch {
	case r.stage == stageIdle || r.stage == stageTooFull:
		p.ask(PlaceAsk{Kind: PlaceLocal, Cancel: true})
	case in.Verdict == PlaceGranted && r.stage == stageLocal:
		p.askNext(now)
	case in.Verdict == PlacePreempted:
		p.beginAgain(now)
	}
	p.announce(now)
}

// onPlaceBody takes in what a primary or a helper says.
func (p *PG) onPlaceBody(now time.Time, from int32, b *placeBody) {
	r := &p.recovery
	if !b.Answer {
		if !p.isPrimary() && from == p.mapping.ActingPrimary {
			p.guest = !b.Cancel
			p.ask(PlaceAsk{Kind: PlaceRemote, Priority: int(b.Priority), Backfill: b.Backfill, Cancel: b.Cancel})
		}
		return
	}
	switch {
	case b.Verdict == PlaceGranted && r.stage == stageRemote && r.asked == from:
		if r.places == nil {
			r.places = map[int32]bool{}
		}
		r.places[from] = true
		p.askNext(now)
	case b.Verdict == PlacePreempted && (r.places[from] || r.stage == stageRemote && r.asked == from):
		delete(r.places, from)
		p.beginAgain(now)
	case b.Verdict == PlaceTooFull && r.stage == stageRemote && r.asked == from:
		p.tooFullToRecover(now)
	}
	p.announce(now)
}

// tooFullToRecover tries again after a while.
func (p *PG) tooFullToRecover(now time.Time) {
	r := &p.recovery
	for _, m := range r.moves {
		p.endMove(m)
	}
	p.dropPlaces(true)
	r.stage, r.fill, r.units = stageTooFull, nil, nil
	p.recovery.next = now.Add(p.env.Config.RecoveryRetry)
	p.wakeBy(p.recovery.next)
	p.changed = true
}

// beginAgain gives all places back and asks anew. What is under way goes on.
func (p *PG) beginAgain(now time.Time) {
	p.dropPlaces(true)
	p.recovery.stage = stageIdle
	p.recoverMore(now)
}

// dropPlaces gives all places back. In a new interval the others need not be told.
func (p *PG) dropPlaces(tell bool) {
	r := &p.recovery
	if p.guest {
		p.guest = false
		p.ask(PlaceAsk{Kind: PlaceRemote, Cancel: true})
	}
	if r.stage == stageIdle || r.stage == stageTooFull {
		return
	}
	p.ask(PlaceAsk{Kind: PlaceLocal, Cancel: true})
	if !tell {
		r.places = nil
		return
	}
	if r.stage == stageRemote {
		p.tell(r.asked, PeerPlace, &placeBody{Cancel: true})
	}
	for _, o := range sortedOSDs(r.places) {
		p.tell(o, PeerPlace, &placeBody{Cancel: true})
	}
	r.places = nil
}

// Force lets a group go before others, or as all: what the logs say is missing, or
// what is to be filled (force-recovery, force-backfill and their opposites).
type Force struct{ Backfill, Cancel bool }

func (Force) event() {}

func (p *PG) force(now time.Time, in Force) {
	r := &p.recovery
	if !p.isPrimary() || r.forced[in.Backfill] != in.Cancel {
		return // it is so already, or not for this OSD to say
	}
	if r.forced == nil {
		r.forced = map[bool]bool{}
	}
	r.forced[in.Backfill] = !in.Cancel
	if r.fills == in.Backfill && (r.stage == stageLocal || r.stage == stageRemote || r.stage == stageGoing) {
		// To ask again changes the priority.
		p.ask(PlaceAsk{Kind: PlaceLocal, Priority: p.priority(in.Backfill), Backfill: in.Backfill})
		to := sortedOSDs(r.places)
		if r.stage == stageRemote {
			to = append(to, r.asked)
		}
		for _, o := range to {
			p.tell(o, PeerPlace, &placeBody{Priority: int32(p.priority(in.Backfill)), Backfill: in.Backfill})
		}
	}
	p.changed = true
	p.announce(now)
}
