package osd

import (
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/pg"
)

// Shell is what a shard acts through: what runs a daemon and what simulates one
// have this in common, so that the order in which things happen is the same.
type Shell interface {
	// Submit is that of [objstore.Store]; done may be called from elsewhere.
	Submit(txn *objstore.Txn, done func(error)) error
	// Send and Tell send to a session and to another OSD; the buffers go with it.
	Send(pg.Send)
	Tell(pg.PeerSend)
	Fetch(pg.Fetch)
	Note(pg.Note)
	// Post gives an event to this shard, Report one to the OSD's own machine.
	Post(ShardEvent)
	Report(Event)
	Failed(error)
}

// Run takes in one event and has all carried out that the shard decides: the store
// must show it before the next event.
func (s *Shard) Run(now time.Time, ev ShardEvent, to Shell) {
	s.Step(now, ev)
	for {
		refused, more := s.carryOut(to)
		switch {
		case len(refused) > 0:
			for _, f := range refused {
				s.Step(now, f)
			}
		case more:
			s.Step(now, Resume{})
		default:
			return
		}
	}
}

// carryOut has done what was decided and returns which transactions the store
// refused, and whether the shard has held back more.
func (s *Shard) carryOut(to Shell) (refused []ForPG, more bool) {
	r := s.Ready()
	for i := range r.Writes {
		w := &r.Writes[i]
		// The list is the machine's and will be used again.
		id, token, replies, peers, acks := w.PG, w.Token, slices.Clone(w.Replies), w.Peers, w.Acks
		err := to.Submit(w.Txn, func(err error) {
			if err == nil {
				for _, m := range replies {
					to.Send(m)
				}
				for _, m := range acks {
					to.Tell(m)
				}
			}
			to.Post(ForPG{PG: id, Event: pg.Committed{Token: token, Err: err}})
		})
		if err != nil {
			refused = append(refused, ForPG{PG: id, Event: pg.SubmitFailed{Token: token, Err: err}})
		}
		for _, m := range peers {
			if err == nil {
				to.Tell(m)
			} else {
				m.Body.Payload().Release()
			}
		}
	}
	for _, m := range r.Sends {
		to.Send(m)
	}
	for _, m := range r.Peers {
		to.Tell(m)
	}
	for _, f := range r.Fetches {
		to.Fetch(f)
	}
	for _, n := range r.Notes {
		to.Note(n)
	}
	for _, a := range r.Answers {
		to.Report(a)
	}
	if r.WantEpoch != 0 {
		to.Report(WantEpoch{Epoch: r.WantEpoch})
	}
	if len(r.Places) > 0 {
		to.Report(Places{Asks: slices.Clone(r.Places)})
	}
	if r.WantUpThru != 0 {
		to.Report(NeedUpThru{Epoch: r.WantUpThru})
	}
	for _, w := range r.WantTemp {
		to.Report(WantTemp{PG: w.PG, OSDs: w.Acting})
	}
	if len(r.Moved) > 0 {
		to.Report(Moved{Groups: slices.Clone(r.Moved)})
	}
	if r.Fatal != nil {
		to.Failed(r.Fatal)
	}
	return refused, r.More
}
