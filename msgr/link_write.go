package msgr

import (
	"net"
	"sync"
	"syscall"
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
	writing bool           // somebody writes
	handed  bool           // and it is the writer
	gone    bool           // the writer has ended
	control []controlFrame // to go out before messages
	ackDue  bool

	// Owned by whoever has set writing.
	now   outgoingNow
	tx    frame.Writer
	batch *frame.Batch // nil between writes
	rest  [][]byte     // what of it is not written
	enc   wire.Encoder
	try   tryWrite

	kick chan struct{} // hands over to the writer
}

// outgoingNow is what was taken from the queues and goes into the next batch.
type outgoingNow struct {
	control  []controlFrame
	ack      bool
	ackSeq   uint64
	messages []numbered
}

type controlFrame struct {
	tag   frame.Tag
	stamp frame.Stamp
}

type numbered struct {
	m   *Message
	seq uint64
}

func (o *outgoing) init(nc net.Conn, tx frame.Writer) {
	o.tx = tx
	o.kick = make(chan struct{}, 1)
	o.try.init(nc)
}

// take moves what is to be sent next from the queues of c to o.now and reports
// whether there is anything. The caller holds Conn.mu and has set writing.
func (o *outgoing) take(c *Conn) bool {
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
	now.ack = o.ackDue && len(now.messages) == 0 // else it goes with them
	o.ackDue = false
	if now.ack || len(now.messages) > 0 {
		c.ackedSeq = now.ackSeq
	}
	return now.ack || len(now.messages) > 0 || len(now.control) > 0
}

// encode makes a batch of o.now.
func (o *outgoing) encode() {
	now := &o.now
	o.batch = batches.Get().(*frame.Batch)
	for _, f := range now.control {
		o.enc.Reset()
		f.stamp.Encode(&o.enc)
		o.tx.Control(o.batch, f.tag, o.enc.Bytes())
	}
	if now.ack {
		o.enc.Reset()
		o.enc.U64(now.ackSeq)
		o.tx.Control(o.batch, frame.TagAck, o.enc.Bytes())
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
		o.tx.Message(o.batch, &h, m.Front, m.Middle, m.Data)
	}
	clear(now.messages)
	now.messages = now.messages[:0]
	o.rest = o.batch.Slices(o.rest[:0])
}

// done gives the batch back.
func (o *outgoing) done() {
	if o.batch != nil {
		o.batch.Reset()
		batches.Put(o.batch)
		o.batch = nil
	}
	clear(o.rest)
	o.rest = o.rest[:0]
}

// push sends what is queued as far as that needs no waiting, and leaves the
// rest to the writer. It is entered with Conn.mu held and leaves without.
func (l *link) push() {
	o, c := &l.out, l.c
	if o.writing || o.gone {
		c.mu.Unlock()
		return
	}
	o.writing = true
	if o.try.possible() {
		if !o.take(c) {
			o.writing = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		o.encode()
		if b, ok := o.batch.Contiguous(); ok {
			n := o.try.write(b)
			l.wrote(n)
			o.rest[0] = b[n:]
			if n == len(b) {
				o.done()
			}
		}
		c.mu.Lock()
		if o.batch == nil && c.outbox.Unsent() == 0 && len(o.control) == 0 && !o.ackDue {
			o.writing = false
			c.mu.Unlock()
			return
		}
		if o.gone { // nobody to leave it to
			c.mu.Unlock()
			o.done()
			return
		}
	}
	o.handed = true
	c.mu.Unlock()
	o.kick <- struct{}{}
}

// writer writes what it is handed until the link ends.
func (l *link) writer() {
	o, c := &l.out, l.c
	for open := true; open; {
		select {
		case <-o.kick:
			if err := l.drain(); err != nil {
				l.shut(err)
				open = false
			}
		case <-l.stop:
			open = false
		}
	}
	c.mu.Lock()
	o.gone = true
	mine := o.handed
	c.mu.Unlock()
	if mine {
		o.done()
	}
}

// drain writes until nothing is queued.
func (l *link) drain() error {
	o, c := &l.out, l.c
	for {
		if len(o.rest) > 0 {
			bufs := net.Buffers(o.rest)
			n, err := bufs.WriteTo(l.nc)
			l.wrote(int(n))
			if err != nil {
				return err
			}
		}
		o.done()
		c.mu.Lock()
		if !o.take(c) {
			o.writing, o.handed = false, false
			c.mu.Unlock()
			return nil
		}
		c.mu.Unlock()
		o.encode()
	}
}

func (l *link) wrote(n int) {
	if n > 0 {
		l.c.traffic.bytesOut.Add(uint64(n))
		l.active.Store(time.Now().UnixNano())
	}
}

// tryWrite writes to a socket without waiting.
type tryWrite struct {
	raw syscall.RawConn // nil: not a socket
	buf []byte
	n   int
	f   func(fd uintptr) bool // made once: no garbage per write
}

func (t *tryWrite) init(nc net.Conn) {
	s, ok := nc.(syscall.Conn)
	if !ok {
		return
	}
	if t.raw, _ = s.SyscallConn(); t.raw != nil {
		t.f = func(fd uintptr) bool {
			t.n, _ = syscall.Write(int(fd), t.buf)
			return true // do not wait until it is writable
		}
	}
}

func (t *tryWrite) possible() bool { return t.raw != nil }

// write writes what fits into the socket's buffer and returns how much that
// is. An error shows at the next, waiting write.
func (t *tryWrite) write(b []byte) int {
	t.buf, t.n = b, 0
	_ = t.raw.Write(t.f)
	t.buf = nil
	return max(t.n, 0)
}
