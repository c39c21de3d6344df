package msgr

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pulpo-storage/pulpo/msgr/frame"
	"github.com/pulpo-storage/pulpo/msgr/session"
)

// link is one TCP connection of a Conn, after its handshake.
type link struct {
	c    *Conn
	nc   net.Conn
	stop chan struct{} // closed by shut

	active atomic.Int64 // when something last came or went

	// The reader's.
	in      source
	rx      *frame.Reader
	charged int64 // to the credit, for a message that is on its way

	out outgoing

	once sync.Once
	err  error // of shut; read it after stop is closed
}

func newLink(c *Conn, nc net.Conn, in source, h *session.Handshake) *link {
	l := &link{c: c, nc: nc, in: in, rx: h.Rx, stop: make(chan struct{})}
	l.in.resize(readBuffer)
	l.out = outgoing{tx: h.Tx, kick: make(chan struct{}, 1), idle: true}
	l.active.Store(time.Now().UnixNano())
	return l
}

// shut closes the connection; the reader finds out and ends the link. Only the
// first err counts.
func (l *link) shut(err error) {
	l.once.Do(func() {
		l.err = err
		close(l.stop)
		l.nc.Close()
	})
}

// serve runs the link until it ends and says why. The caller holds the reading
// token.
func (l *link) serve() error {
	var writer sync.WaitGroup
	writer.Go(l.writer)
	err := l.read()
	l.shut(err)
	writer.Wait()
	l.rx.Drop()
	l.discharge()
	return l.err
}

// discharge gives back what a message that has not come took.
func (l *link) discharge() {
	l.c.credit.give(l.charged)
	l.charged = 0
}

// read takes frames until the connection fails.
func (l *link) read() error {
	for {
		if err := l.in.fill(l.rx.Need()); err != nil {
			return err
		}
		ev, err := l.rx.Filled()
		if err != nil {
			return err
		}
		if ev == frame.Announced {
			if !l.c.awaitQueue(l.stop) || !l.c.credit.take(l.rx.Size(), l.stop) {
				return ErrClosed
			}
			l.charged = l.rx.Size()
			ev = l.rx.Accept()
		}
		switch ev {
		case frame.Message:
			l.message()
		case frame.Aborted:
			l.discharge()
			l.rx.Next()
		case frame.Control:
			if err := l.control(l.rx.Tag(), l.rx.Payload()); err != nil {
				return err
			}
			l.rx.Next()
		}
	}
}

func (l *link) message() {
	now := time.Now()
	l.active.Store(now.UnixNano())
	h := l.rx.Header()
	l.c.traffic.messagesIn.Add(1)
	l.c.traffic.bytesIn.Add(uint64(l.rx.Size()))
	m := &Message{
		Type: h.Type, Version: h.Version, Compat: h.Compat, Priority: h.Priority, TID: h.TID, DataOff: h.DataOff,
		Seq: h.Seq, Received: now, credit: l.c.credit, cost: l.rx.Size(), stop: l.stop,
	}
	l.charged = 0 // it is the message's now
	parts := l.rx.Take(m.data[:0])
	m.Front, m.Middle, m.frame, m.Data = parts.Front, parts.Middle, parts.Body, parts.Data
	ack := h.AckSeq
	l.rx.Next()
	if !l.c.received(l, m.Seq, ack) {
		l.c.m.log.Debug("dropped a message received before", "peer", l.c.PeerAddr(), "seq", m.Seq)
		m.Release()
		return
	}
	l.c.m.cfg.Handler.Receive(l.c, m)
}

func (l *link) control(tag frame.Tag, payload []byte) error {
	l.active.Store(time.Now().UnixNano())
	switch tag {
	case frame.TagKeepalive:
		var s frame.Stamp
		if err := frame.Decode(tag, payload, &s); err != nil {
			return err
		}
		l.c.control(l, controlFrame{frame.TagKeepaliveAck, s})
		return nil
	case frame.TagKeepaliveAck:
		var s frame.Stamp
		if err := frame.Decode(tag, payload, &s); err != nil {
			return err
		}
		l.c.keepaliveAck.Store(time.Unix(int64(s.Sec), int64(s.Nsec)).UnixNano())
		return nil
	case frame.TagAck:
		var n frame.Number
		if err := frame.Decode(tag, payload, &n); err != nil {
			return err
		}
		l.c.acked(uint64(n))
		return nil
	}
	return fmt.Errorf("%w: %v in a session", session.ErrProtocol, tag)
}
