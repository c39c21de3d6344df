package msgr

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msgr/frame"
	"github.com/pulpo-storage/pulpo/msgr/session"
)

// Why a session ended, beside network errors and those of the handshake.
var (
	ErrClosed   = errors.New("connection closed")
	ErrReplaced = errors.New("connection replaced by a newer one of the same peer")
	ErrIdle     = errors.New("connection idle for too long")
)

const (
	ackEvery = 32                    // messages received are acknowledged at the latest after so many
	ackDelay = 10 * time.Millisecond // or so long
)

// Conn is a session with a peer. Its methods may be called from any goroutine.
type Conn struct {
	m        *Messenger
	incoming bool
	peer     entity.Type
	policy   Policy
	credit   *credit

	token    chan struct{} // the reading token: full while somebody has it
	finished chan struct{} // closed when Closed has returned
	opened   bool          // Opened was called; the token's

	who          atomic.Pointer[peerInfo]
	value        atomic.Pointer[any]
	keepaliveAck atomic.Int64
	traffic      traffic

	mu       sync.Mutex
	link     *link // nil between links
	state    session.State
	outbox   session.Outbox[*Message]
	queued   int64         // bytes in outbox
	drained  chan struct{} // has a token when queued went down
	ackedSeq uint64
	ackTimer *time.Timer
	ackArmed bool
	closed   bool
	err      error              // why
	cancel   context.CancelFunc // dialled: ends connecting
	lostAt   time.Time          // accepted, lossless: when the last link was lost
}

// peerInfo is what a handshake told of the peer.
type peerInfo struct {
	name     entity.Name
	addrs    entity.AddrVec
	addr     entity.Addr
	features uint64
	done     session.AuthDone
}

func (m *Messenger) newConn(peer entity.Type, incoming bool) *Conn {
	c := &Conn{
		m: m, incoming: incoming, peer: peer, policy: m.policy(peer),
		token: make(chan struct{}, 1), finished: make(chan struct{}), drained: make(chan struct{}, 1),
	}
	c.credit = newCredit(c.policy.MaxInflight, c.policy.Budget)
	return c
}

// Send queues m and keeps m.Data, also when it fails. It never waits for the
// network. m is not changed, and must not be by the caller: it may be sent to
// several peers if each gets its own references of Data. The error is ErrClosed
// once the session is over.
func (c *Conn) Send(m *Message) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		m.Data.Release()
		return ErrClosed
	}
	c.outbox.Push(m)
	c.queued += m.size()
	c.traffic.messagesOut.Add(1)
	if c.link != nil {
		c.link.wake()
	}
	c.mu.Unlock()
	return nil
}

// SendBody sends b as a message.
func (c *Conn) SendBody(b Body, tid uint64) error { return c.Send(Compose(b, tid)) }

// Queued is what was sent and is still held: it is not yet written, or, in a
// lossless session, not acknowledged. Nothing else bounds it: a sender whose
// peer does not ask for each message should look here.
func (c *Conn) Queued() (messages int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outbox.Unsent() + c.outbox.Unacked(), c.queued
}

// awaitQueue waits until little enough is queued. It reports false if stop was
// closed before.
func (c *Conn) awaitQueue(stop <-chan struct{}) bool {
	if !c.policy.Lossy || c.policy.MaxQueued == 0 {
		return true
	}
	for {
		if _, n := c.Queued(); n <= c.policy.MaxQueued {
			return true
		}
		select {
		case <-c.drained:
		case <-stop:
			return false
		}
	}
}

// PeerName is the type that the peer told, and its number: of a daemon that was
// dialled what it told, of a peer that connected its authenticated global id.
func (c *Conn) PeerName() entity.Name { return c.who.Load().name }

// PeerAddrs are the addresses that the peer published.
func (c *Conn) PeerAddrs() entity.AddrVec { return c.who.Load().addrs }

// PeerAddr is the address that stands for the peer; with its nonce it is the
// identity of a client in blocklists and watches.
func (c *Conn) PeerAddr() entity.Addr { return c.who.Load().addr }

// Features are those that both sides have.
func (c *Conn) Features() uint64 { return c.who.Load().features }

// Identity is what the Authenticator made of a peer that connected.
func (c *Conn) Identity() any { return c.who.Load().done.Identity }

// GlobalID is the authenticated one.
func (c *Conn) GlobalID() uint64 { return c.who.Load().done.GlobalID }

// Mode is how the connection is protected.
func (c *Conn) Mode() Mode { return c.who.Load().done.Mode }

// Incoming reports whether the peer opened the session.
func (c *Conn) Incoming() bool { return c.incoming }

// Value is what SetValue left: the handler's own.
func (c *Conn) Value() any {
	if v := c.value.Load(); v != nil {
		return *v
	}
	return nil
}

func (c *Conn) SetValue(v any) { c.value.Store(&v) }

// SendKeepalive asks the peer for a sign of life.
func (c *Conn) SendKeepalive() {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if l != nil {
		now := time.Now()
		c.control(l, controlFrame{frame.TagKeepalive, frame.Stamp{Sec: uint32(now.Unix()), Nsec: uint32(now.Nanosecond())}})
	}
}

// LastKeepaliveAck is when the newest keepalive that the peer answered was
// sent; zero for never.
func (c *Conn) LastKeepaliveAck() time.Time {
	if ns := c.keepaliveAck.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// Close ends the session and drops what is queued. It returns at once; Closed
// follows.
func (c *Conn) Close() { c.end(nil) }

// end ends the session for err.
func (c *Conn) end(err error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.endLocked(err)
	c.mu.Unlock()
}

// endLocked is end with Conn.mu held. Whoever has the reading token finishes
// the Conn; if nobody has, somebody is sent for it.
func (c *Conn) endLocked(err error) {
	c.closed, c.err = true, err
	c.outbox.Clear(c.forget)
	if c.ackTimer != nil {
		c.ackTimer.Stop()
	}
	switch {
	case c.link != nil:
		c.link.shut(ErrClosed)
	case c.cancel == nil:
		c.m.wg.Go(func() {
			c.token <- struct{}{}
			c.finish()
			<-c.token
		})
	}
	if c.cancel != nil {
		c.cancel()
	}
}

// forget drops a message that the outbox gave out.
func (c *Conn) forget(m *Message) {
	c.queued -= m.size()
	m.Data.Release()
}

// finish tells the handler that c has ended, once. The caller has the token.
func (c *Conn) finish() {
	select {
	case <-c.finished:
		return
	default:
	}
	c.m.remove(c)
	if c.opened {
		c.mu.Lock()
		err := c.err
		c.mu.Unlock()
		c.m.log.Info("session closed", "peer", c.PeerName(), "addr", c.PeerAddr(), "err", err)
		c.m.cfg.Handler.Closed(c, err)
	}
	close(c.finished)
}

// attach makes l the link of c; it fails if c has ended.
func (c *Conn) attach(l *link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.link = l
	l.wake() // for what is queued
	return true
}

// detach takes the lost link away and reports whether the session goes on.
func (c *Conn) detach(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link = nil
	c.lostAt = time.Now()
	if !c.closed && c.state.Lossy {
		c.closed, c.err = true, err
		c.outbox.Clear(c.forget)
	}
	return !c.closed
}

// received notes a message and the acknowledgement that came with it. It
// reports false if the message came before.
func (c *Conn) received(l *link, seq, ack uint64) bool {
	c.mu.Lock()
	fresh := c.state.Receive(seq)
	if c.state.Lossy {
		c.mu.Unlock()
		return fresh
	}
	c.outbox.Acked(ack, c.forget)
	switch {
	case c.state.InSeq-c.ackedSeq >= ackEvery:
		l.out.ackDue = true
		l.wake()
	case c.ackArmed:
	case c.ackTimer == nil:
		c.ackArmed = true
		c.ackTimer = time.AfterFunc(ackDelay, c.ack)
	default:
		c.ackArmed = true
		c.ackTimer.Reset(ackDelay)
	}
	c.mu.Unlock()
	return fresh
}

// ack acknowledges what no message has acknowledged meanwhile.
func (c *Conn) ack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ackArmed = false
	if l := c.link; l != nil && c.state.InSeq != c.ackedSeq {
		l.out.ackDue = true
		l.wake()
	}
}

// acked takes an ACK.
func (c *Conn) acked(seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.state.Lossy {
		c.outbox.Acked(seq, c.forget)
	}
}

// control sends a keepalive or the answer to one.
func (c *Conn) control(l *link, f controlFrame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(l.out.control) < maxControl {
		l.out.control = append(l.out.control, f)
		l.wake()
	}
}
