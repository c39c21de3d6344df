package node

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/pulpo-storage/pulpo/msgr"
	"github.com/pulpo-storage/pulpo/osd"
	"github.com/pulpo-storage/pulpo/osd/pg"
)

// osdShard runs one shard of an OSD: the hot path. A connection's reader puts
// requests into the inbox; this loop steps the machine and submits transactions;
// the store's goroutine sends the replies.
type osdShard struct {
	s  *osd.Shard
	h  *osdHost
	in *inbox[osd.ShardEvent]
	// busy is since when the loop has been at one event, in nanoseconds; 0: it
	// waits for one.
	busy atomic.Int64
}

// shardInflight bounds the requests in front of a shard; connections are held
// back above it.
const shardInflight = 1024

func (h *osdHost) newShard(s *osd.Shard) *osdShard {
	return &osdShard{s: s, h: h, in: newInbox[osd.ShardEvent](shardInflight)}
}

// run is the loop; it ends with the host.
func (s *osdShard) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	wake := time.Time{}
	for {
		select {
		case <-s.h.stop:
			return
		case <-s.in.wake:
			for _, ev := range s.in.take() {
				s.step(time.Now(), ev)
			}
		case now := <-timer.C:
			wake = time.Time{}
			s.step(now, pg.Tick{})
		}
		// A timer that is set right already is left alone: this is the hot path.
		if at := s.s.Wake(); !at.Equal(wake) {
			wake = at
			if at.IsZero() {
				timer.Stop()
			} else {
				timer.Reset(time.Until(at))
			}
		}
	}
}

// step takes in one event and does all that the shard decides: the store must
// show it before the next event.
func (s *osdShard) step(now time.Time, ev osd.ShardEvent) {
	s.busy.Store(now.UnixNano())
	defer s.busy.Store(0)
	s.s.Step(now, ev)
	for {
		refused, more := s.carryOut()
		switch {
		case len(refused) > 0:
			for _, f := range refused {
				s.s.Step(now, f)
			}
		case more:
			s.s.Step(now, osd.Resume{})
		default:
			return
		}
	}
}

// hangs reports whether a loop has been at one event for so long that the OSD is
// of no use to anybody (osd_op_thread_timeout).
func (h *osdHost) hangs(now time.Time) bool {
	limit := h.options.Seconds("osd_op_thread_timeout")
	for _, s := range h.shards {
		if since := s.busy.Load(); since != 0 && limit > 0 && now.UnixNano()-since > limit.Nanoseconds() {
			return true
		}
	}
	return false
}

// carryOut does what was decided and returns which transactions the store
// refused, and whether the shard has held back more.
func (s *osdShard) carryOut() (refused []osd.ForPG, more bool) {
	r := s.s.Ready()
	for i := range r.Writes {
		w := &r.Writes[i]
		// The list is the machine's and will be used again.
		id, token, replies, peers, acks := w.PG, w.Token, slices.Clone(w.Replies), w.Peers, w.Acks
		err := s.h.store.Submit(w.Txn, func(err error) {
			if err == nil {
				for _, m := range replies {
					s.h.send(m)
				}
				for _, m := range acks {
					s.h.peers.send(m)
				}
			}
			s.in.post(osd.ForPG{PG: id, Event: pg.Committed{Token: token, Err: err}})
		})
		if err != nil {
			refused = append(refused, osd.ForPG{PG: id, Event: pg.SubmitFailed{Token: token, Err: err}})
		}
		for _, m := range peers {
			if err == nil {
				s.h.peers.send(m)
			} else {
				m.Body.Payload().Release()
			}
		}
	}
	for _, m := range r.Sends {
		s.h.send(m)
	}
	for _, m := range r.Peers {
		s.h.peers.send(m)
	}
	for _, f := range r.Fetches {
		s.h.fetches.begin(s, f)
	}
	for _, n := range r.Notes {
		s.h.note(n)
	}
	for _, a := range r.Answers {
		s.h.in.post(a)
	}
	if r.WantEpoch != 0 {
		s.h.in.post(osd.WantEpoch{Epoch: r.WantEpoch})
	}
	if len(r.Places) > 0 {
		s.h.in.post(osd.Places{Asks: slices.Clone(r.Places)})
	}
	if r.WantUpThru != 0 {
		s.h.in.post(osd.NeedUpThru{Epoch: r.WantUpThru})
	}
	for _, w := range r.WantTemp {
		s.h.in.post(osd.WantTemp{PG: w.PG, OSDs: w.Acting})
	}
	if len(r.Moved) > 0 {
		s.h.in.post(osd.Moved{Groups: r.Moved})
	}
	if r.Fatal != nil {
		s.h.failed(r.Fatal)
	}
	return refused, r.More
}

// receiver is what a session's messages go to: a connection, or the daemon itself.
type receiver interface {
	SendBody(b msgr.Body, tid uint64) error
}

// send sends a message of a machine's. Its buffers go with it, even if the
// connection is gone.
func (h *osdHost) send(m pg.Send) {
	if p, ok := m.To.Conn.(receiver); ok {
		p.SendBody(m.Body, m.TID)
	}
}
