package msgr

import (
	"net"
	"sync"
	"time"

	"github.com/pulpo-storage/pulpo/msgr/frame"
	"github.com/pulpo-storage/pulpo/wire"
)

const (
	batchBytes      = 512 << 10 // what is taken from the queue for one write
	maxControl      = 64        // keepalives waiting; who sends more does not read the answers
	defaultPriority = 127
)

// batches serve all links: an idle one holds no memory for writing.
var batches = sync.Pool{New: func() any { return new(frame.Batch) }}

// outgoing is the writing side of a link.
type outgoing struct {
	// Guarded by Conn.mu.
	idle    bool           // the writer waits to be kicked
	control []controlFrame // to go out before messages
	ackDue  bool

	kick chan struct{}

	// The writer's.
	tx  frame.Writer
	now struct { // what was taken from the queues, for the next batch
		control  []controlFrame
		ack      bool
		ackSeq   uint64
		messages []numbered
	}
}

type controlFrame struct {
	tag   frame.Tag
	stamp frame.Stamp
}

type numbered struct {
	m   *Message
	seq uint64
}

// wake gets the writer going. The caller holds Conn.mu.
//
// Senders do not write themselves, not even when nobody else does: measured
// with BenchmarkRoundTrip4K that gains nothing with one message at a time, and
// costs 35% of the throughput with 16, as messages no longer share writes.
func (l *link) wake() {
	if l.out.idle {
		l.out.idle = false
		l.out.kick <- struct{}{}
	}
}

// writer sends what is queued until the link ends.
func (l *link) writer() {
	for {
		select {
		case <-l.out.kick:
			if err := l.drain(); err != nil {
				l.shut(err)
				return
			}
		case <-l.stop:
			return
		}
	}
}

// drain sends until nothing is queued.
func (l *link) drain() error {
	batch := batches.Get().(*frame.Batch)
	defer func() {
		batch.Reset()
		batches.Put(batch)
	}()
	for l.take() {
		l.out.encode(batch)
		n, err := l.send(batch)
		l.c.traffic.bytesOut.Add(uint64(n))
		if err != nil {
			return err
		}
		l.active.Store(time.Now().UnixNano())
		batch.Reset()
	}
	return nil
}

func (l *link) send(batch *frame.Batch) (int64, error) {
	if b, ok := batch.Contiguous(); ok {
		n, err := l.nc.Write(b)
		return int64(n), err
	}
	bufs := net.Buffers(batch.Slices(nil))
	return bufs.WriteTo(l.nc)
}

// take moves what is to be sent next from the queues to now. It reports false,
// and the writer is idle, if there is nothing.
func (l *link) take() bool {
	o, c := &l.out, l.c
	c.mu.Lock()
	defer c.mu.Unlock()
	now := &o.now
	now.control, o.control = o.control, now.control[:0]
	now.ackSeq = c.state.InSeq
	for size := 0; size < batchBytes; {
		m, seq, kept, ok := c.outbox.Next()
		if !ok {
			break
		}
		if kept {
			m.Data.Retain() // an acknowledgement may come at any time
		} else {
			c.queued -= m.size()
		}
		size += int(m.size()) + 128
		now.messages = append(now.messages, numbered{m, seq})
	}
	if c.policy.MaxQueued > 0 {
		select {
		case c.drained <- struct{}{}:
		default:
		}
	}
	now.ack = o.ackDue && len(now.messages) == 0 // else it goes with them
	o.ackDue = false
	if now.ack || len(now.messages) > 0 {
		c.ackedSeq = now.ackSeq
	}
	o.idle = !now.ack && len(now.messages) == 0 && len(now.control) == 0
	return !o.idle
}

// encode appends what was taken to batch.
func (o *outgoing) encode(batch *frame.Batch) {
	now := &o.now
	var e wire.Encoder
	for _, f := range now.control {
		e.Reset()
		f.stamp.Encode(&e)
		o.tx.Control(batch, f.tag, e.Bytes())
	}
	if now.ack {
		e.Reset()
		e.U64(now.ackSeq)
		o.tx.Control(batch, frame.TagAck, e.Bytes())
	}
	for _, n := range now.messages {
		m := n.m
		h := frame.Header{
			Seq: n.seq, TID: m.TID, Type: m.Type, Priority: m.Priority, Version: m.Version,
			DataOff: m.DataOff, AckSeq: now.ackSeq, Compat: m.Compat,
		}
		if h.Priority == 0 {
			h.Priority = defaultPriority
		}
		o.tx.Message(batch, &h, m.Front, m.Middle, m.Data)
	}
	clear(now.messages)
	now.messages = now.messages[:0]
}
