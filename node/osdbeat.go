package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/msgr"
	"github.com/pulpo-storage/pulpo/osd"
	"github.com/pulpo-storage/pulpo/osd/heartbeat"
)

// heartbeats runs an OSD's heartbeats: a loop for the machine, and two messengers
// of their own, at addresses of their own, for the pings over the front and the
// back network.
type heartbeats struct {
	h     *osdHost
	m     *heartbeat.Machine
	in    *inbox[heartbeat.Event]
	sides [2]*beatSide

	mu    sync.Mutex
	lines map[beatKey]*beatLine
}

type beatKey struct {
	osd  int32
	side heartbeat.Side
}

// beatLine is the connection by which one peer is pinged over one network.
type beatLine struct {
	beatKey
	addrs entity.AddrVec

	// Of heartbeats.mu.
	conn *msgr.Conn
	next *msg.OSDPing // to be sent once there is a connection
	gone bool         // not wanted any more
}

// beatSide is one of the messengers, and what happens on its connections.
type beatSide struct {
	*heartbeats
	side  heartbeat.Side
	msgr  *msgr.Messenger
	ln    net.Listener
	addrs entity.AddrVec
}

// beatInflight bounds the pings in front of the loop.
const beatInflight = 1024

// newHeartbeats listens. Pings are answered once run is called.
func (h *osdHost) newHeartbeats(d *site, nonce uint32, auth msgr.Authenticator) (*heartbeats, error) {
	b := &heartbeats{h: h, in: newInbox[heartbeat.Event](beatInflight), lines: map[beatKey]*beatLine{}}
	for i := range b.sides {
		ln, port, err := listen(d.bind(), 0)
		if err != nil {
			return nil, errors.Join(err, b.close())
		}
		s := &beatSide{heartbeats: b, side: heartbeat.Side(i), ln: ln, addrs: d.addrs(port, nonce)}
		s.msgr, err = msgr.New(msgr.Config{
			Name: entity.Name{Type: entity.OSD, Num: int64(h.id)}, Addrs: s.addrs,
			Policy: func(entity.Type) msgr.Policy {
				return msgr.Policy{Lossy: true, Stateless: true, Required: requiredFeatures, MaxInflight: 1 << 20}
			},
			Auth: auth, Handler: s, Log: h.log,
		})
		if err != nil {
			ln.Close()
			return nil, errors.Join(err, b.close())
		}
		b.sides[i] = s
	}
	return b, nil
}

// addrs are where pings over one network go.
func (b *heartbeats) addrs(side heartbeat.Side) entity.AddrVec { return b.sides[side].addrs }

// start begins to ping and to answer.
func (b *heartbeats) start(m *heartbeat.Machine) {
	b.m = m
	b.h.wg.Go(b.run)
	for _, s := range b.sides {
		b.h.wg.Go(func() {
			if err := s.msgr.Serve(s.ln); err != nil && !errors.Is(err, msgr.ErrClosed) && !errors.Is(err, net.ErrClosed) {
				b.h.failed(fmt.Errorf("osd.%d: heartbeats: %w", b.h.id, err))
			}
		})
	}
}

func (b *heartbeats) close() error {
	var errs []error
	b.in.close()
	for _, s := range b.sides {
		if s != nil {
			errs = append(errs, s.msgr.Close())
			s.ln.Close() // if it never served
		}
	}
	return errors.Join(errs...)
}

// run is the machine's loop.
func (b *heartbeats) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-b.h.stop:
			return
		case <-b.in.wake:
			for _, ev := range b.in.take() {
				b.m.Step(time.Now(), ev)
				b.carryOut()
			}
		case now := <-timer.C:
			b.m.Step(now, heartbeat.Tick{})
			b.carryOut()
		}
		if at := b.m.Wake(); at.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(at))
		}
	}
}

func (b *heartbeats) carryOut() {
	r := b.m.Ready()
	for _, o := range r.Drop {
		b.drop(o)
	}
	for _, p := range r.Pings {
		b.ping(p)
	}
	for _, a := range r.Answers {
		if c := a.To.(*msgr.Conn); !crowded(c) {
			c.SendBody(a.Body, 0)
		}
	}
	if maps := b.h.osd.Published(); maps != nil {
		for _, p := range r.Behind {
			if c := p.To.(*msgr.Conn); p.Epoch < maps.Map.Epoch && !crowded(c) {
				c.SendBody(maps.Since(p.Epoch), 0)
			}
		}
	}
	for _, m := range r.ToMon {
		if err := b.h.mons.Send(m); err != nil {
			b.h.log.Debug("no session with a monitor", "msg", fmt.Sprintf("%T", m), "err", err)
		}
	}
	if r.Newer != 0 {
		b.h.in.post(osd.WantEpoch{Epoch: r.Newer})
	}
}

// crowded reports whether a connection has so much to send that nothing gets
// through: one ping more would be of no use.
func crowded(c *msgr.Conn) bool {
	n, _ := c.Queued()
	return n > 32
}

func (b *heartbeats) ping(p heartbeat.Send) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := beatKey{p.To, p.Side}
	l := b.lines[key]
	if l != nil && !l.addrs.Equal(p.Addrs) {
		b.end(l)
		l = nil
	}
	if l == nil {
		l = &beatLine{beatKey: key, addrs: p.Addrs}
		b.lines[key] = l
		b.h.wg.Go(func() { b.dial(l) })
	}
	switch {
	case l.conn == nil:
		l.next = p.Body
	case crowded(l.conn):
	default:
		if err := l.conn.SendBody(p.Body, 0); err != nil {
			// It ended before the line had it.
			l.conn, l.next = nil, p.Body
			b.h.wg.Go(func() { b.dial(l) })
		}
	}
}

// end closes a line; the caller holds mu.
func (b *heartbeats) end(l *beatLine) {
	l.gone = true
	if b.lines[l.beatKey] == l {
		delete(b.lines, l.beatKey)
	}
	if l.conn != nil {
		l.conn.Close()
	}
}

func (b *heartbeats) drop(target int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for side := range b.sides {
		if l := b.lines[beatKey{target, heartbeat.Side(side)}]; l != nil {
			b.end(l)
		}
	}
}

// The distance of attempts to connect: a process that has just died may still be
// leaving, and then it is not yet known that nobody listens.
const (
	firstBeatDial = 50 * time.Millisecond
	lastBeatDial  = 2 * time.Second
)

// dial connects a line, for as long as it is wanted.
func (b *heartbeats) dial(l *beatLine) {
	for pause := firstBeatDial; ; pause = min(2*pause, lastBeatDial) {
		ctx, cancel := context.WithTimeout(b.h.ctx, 10*time.Second)
		conn, err := b.sides[l.side].msgr.Dial(ctx, entity.OSD, l.addrs)
		cancel()
		b.mu.Lock()
		gone := l.gone
		switch {
		case err == nil && gone:
			conn.Close()
		case err == nil:
			l.conn = conn
			conn.SetValue(l)
			if l.next != nil {
				conn.SendBody(l.next, 0)
				l.next = nil
			}
		}
		b.mu.Unlock()
		if err == nil || gone {
			return
		}
		b.h.refused(l.osd, l.addrs, err)
		select {
		case <-b.h.stop:
			return
		case <-time.After(pause):
		}
	}
}

// refused tells the heartbeats if an error says that nobody listens at the address
// of an OSD: its process is gone.
func (h *osdHost) refused(target int32, addrs entity.AddrVec, err error) {
	if errors.Is(err, syscall.ECONNREFUSED) {
		h.beats.in.post(heartbeat.Refused{OSD: target, Addrs: addrs})
	}
}

// The handler of a messenger.

func (s *beatSide) Opened(c *msgr.Conn) {
	if !c.Incoming() {
		return
	}
	id, ok := osdOf(c)
	if !ok {
		c.Close()
		return
	}
	c.SetValue(id)
}

func (s *beatSide) Receive(c *msgr.Conn, m *msgr.Message) {
	if m.Type == msg.TypeOSDMap {
		// Maps are the same from whoever has them.
		s.h.fromMon(c, m, nil)
		m.Release()
		return
	}
	body, err := msg.Decode(m.Type, m.Version, m.Compat, m.Front, m.Data)
	m.Release() // a ping keeps nothing of it
	ping, ok := body.(*msg.OSDPing)
	if err != nil || !ok {
		s.h.log.Debug("not a ping", "type", m.Type, "peer", c.PeerName().String(), "err", err)
		return
	}
	switch who := c.Value().(type) {
	case *beatLine: // its answers
		ok = ping.From == who.osd && ping.Op != msg.PingAsk
	case int32:
		// An OSD that hangs is as good as dead, and shall be taken for it.
		ok = ping.From == who && ping.Op == msg.PingAsk && !s.h.hangs(time.Now())
	default:
		ok = false // a line that dial has not finished with
	}
	if ok {
		s.in.put(heartbeat.Received{Side: s.side, Ping: ping, From: c})
	}
}

func (s *beatSide) Closed(c *msgr.Conn, _ error) {
	l, ok := c.Value().(*beatLine)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.conn != c || l.gone {
		return
	}
	// Whether its process is gone shows when nobody listens any more.
	l.conn = nil
	s.h.wg.Go(func() { s.dial(l) })
}

func (s *beatSide) RemoteReset(c *msgr.Conn) { c.Close() }
