package session

// Outbox orders and numbers the messages of one direction. The message after
// seq is the next to be sent. In a lossless session messages that were sent
// stay, in front of those that were not, until they are acknowledged:
//
//	items:  [ sent, to be acknowledged | not sent yet ]
//	number:   seq-sent+1 ... seq         seq+1 ...
//
// Each item has one reference to its buffers, which is the outbox's until Next
// (lossy) or an acknowledgement gives it out.
type Outbox[M any] struct {
	items []M
	head  int // items before it are gone
	sent  int
	seq   uint64
	keep  bool
}

// Keep makes it the outbox of a lossless session.
func (o *Outbox[M]) Keep(lossless bool) { o.keep = lossless }

// Push adds a message.
func (o *Outbox[M]) Push(m M) { o.items = append(o.items, m) }

// Unsent is the number of messages that wait to be sent.
func (o *Outbox[M]) Unsent() int { return len(o.items) - o.head - o.sent }

// Unacked is the number of messages sent and kept.
func (o *Outbox[M]) Unacked() int { return o.sent }

// Next takes the next message to be sent. If kept is true it stays the
// outbox's: the caller must take a reference of its own.
func (o *Outbox[M]) Next() (m M, seq uint64, kept, ok bool) {
	if o.Unsent() == 0 {
		return m, 0, false, false
	}
	o.seq++
	if !o.keep {
		return o.pop(), o.seq, false, true
	}
	m = o.items[o.head+o.sent]
	o.sent++
	return m, o.seq, true, true
}

func (o *Outbox[M]) pop() M {
	m := o.items[o.head]
	var zero M
	o.items[o.head] = zero
	o.head++
	switch {
	case o.head == len(o.items) && cap(o.items) > 1024:
		o.items, o.head = nil, 0
	case o.head == len(o.items):
		o.items, o.head = o.items[:0], 0
	case o.head >= 64 && o.head > len(o.items)/2:
		n := copy(o.items, o.items[o.head:])
		clear(o.items[n:])
		o.items, o.head = o.items[:n], 0
	}
	return m
}

// Acked gives out the messages up to seq. A peer cannot acknowledge what was
// not sent.
func (o *Outbox[M]) Acked(seq uint64, drop func(M)) {
	for o.sent > 0 && o.seq-uint64(o.sent)+1 <= seq {
		o.sent--
		drop(o.pop())
	}
}

// CanReplay reports whether the session can go on with a peer that has received
// up to seq: all messages behind it are still here.
func (o *Outbox[M]) CanReplay(seq uint64) bool {
	return seq <= o.seq && seq >= o.seq-uint64(o.sent)
}

// Replay makes the messages behind seq the next to be sent again, under their
// old numbers, and gives out those up to seq.
func (o *Outbox[M]) Replay(seq uint64, drop func(M)) {
	o.Acked(seq, drop)
	o.seq -= uint64(o.sent)
	o.sent = 0
}

// Restart begins to number again, for a new session: what was not acknowledged
// is sent to it as well.
func (o *Outbox[M]) Restart() {
	o.seq, o.sent = 0, 0
}

// Clear gives out all messages and begins to number again.
func (o *Outbox[M]) Clear(drop func(M)) {
	for o.head < len(o.items) {
		drop(o.pop())
	}
	o.items, o.head = nil, 0
	o.Restart()
}
