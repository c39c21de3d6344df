package node

import (
	"sync/atomic"
	"time"

	"github.com/pulpo-storage/pulpo/msgr"
	"github.com/pulpo-storage/pulpo/objstore"
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

// step takes in one event and does all that the shard decides.
func (s *osdShard) step(now time.Time, ev osd.ShardEvent) {
	s.busy.Store(now.UnixNano())
	defer s.busy.Store(0)
	s.s.Run(now, ev, s)
}

var _ osd.Shell = (*osdShard)(nil)

func (s *osdShard) Submit(txn *objstore.Txn, done func(error)) error {
	return s.h.store.Submit(txn, done)
}

func (s *osdShard) Send(m pg.Send)         { s.h.send(m) }
func (s *osdShard) Tell(m pg.PeerSend)     { s.h.peers.send(m) }
func (s *osdShard) Fetch(f pg.Fetch)       { s.h.fetches.begin(s, f) }
func (s *osdShard) Note(n pg.Note)         { s.h.note(n) }
func (s *osdShard) Post(ev osd.ShardEvent) { s.in.post(ev) }
func (s *osdShard) Report(ev osd.Event)    { s.h.in.post(ev) }
func (s *osdShard) Failed(err error)       { s.h.failed(err) }

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
