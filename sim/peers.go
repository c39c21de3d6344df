package sim

import (
	"time"

	"github.com/pulpo-storage/pulpo/msg"
)

// peerLine is a daemon's line to another one of its kind, on which it sends; what
// the other has to say, but for answers to pings, comes on a connection that the
// other makes. It is made anew when it is lost, until its owner ends it.
type peerLine struct {
	p        *process
	addr     string
	who      hello
	lossless bool
	patience time.Duration // of a lossy one, for signs of life
	redial   time.Duration
	// Each may be nil. refused: nobody listens at the address.
	up, down, refused func()
	receive           func(f *frame)

	conn  *end // nil: being made
	queue []msg.Body
	over  bool
}

// begin makes the connection, and makes it again.
func (l *peerLine) begin() {
	l.p.w.net.dial(l.p, l.addr, l.who, l.lossless, func(e *end, err error) {
		switch {
		case l.over && e != nil:
			e.close()
			return
		case l.over:
			return
		case err != nil:
			if l.refused != nil && isRefused(err) {
				l.refused()
			}
			l.p.after(l.redial+l.p.w.upTo("redial", l.redial), func() {
				if !l.over {
					l.begin()
				}
			})
			return
		}
		e.patience = l.patience
		e.receive = func(f *frame) {
			if l.receive != nil && l.conn == e {
				l.receive(f)
			}
		}
		e.closed = func(error) {
			l.conn = nil
			if l.over {
				return
			}
			if l.down != nil {
				l.down()
			}
			l.begin()
		}
		l.conn = e
		if l.up != nil {
			l.up()
		}
		for _, b := range l.queue {
			e.send(b, 0)
		}
		l.queue = nil
	})
}

// end gives the line up, with what has not arrived.
func (l *peerLine) end() {
	l.over = true
	for _, b := range l.queue {
		b.Payload().Release()
	}
	l.queue = nil
	if l.conn != nil {
		l.conn.close()
		l.conn = nil
	}
}
