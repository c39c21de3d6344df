package msgr

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msgr/session"
)

// Serve accepts connections from l until Close, when it returns nil. It closes
// l. Addresses must have been set that name what l listens on: a peer that
// means to reach another address is turned away.
func (m *Messenger) Serve(l net.Listener) error {
	defer l.Close()
	if !m.track(l) {
		return ErrClosed
	}
	defer m.untrack(l)
	var pause time.Duration
	for {
		nc, err := l.Accept()
		if err != nil {
			var ne net.Error
			if m.ctx.Err() != nil {
				return nil
			}
			if !errors.As(err, &ne) || errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept: %w", err)
			}
			// Out of file descriptors, mostly: others will be closed.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			m.log.Warn("accept failed", "err", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-m.ctx.Done():
			}
			continue
		}
		pause = 0
		m.accepted.Add(1)
		if !m.spawn(func() { m.serve(nc) }) {
			nc.Close()
		}
	}
}

// serve does all that there is to do for an accepted connection.
func (m *Messenger) serve(nc net.Conn) {
	c, l, err := m.handshake(nc)
	if err != nil {
		nc.Close()
		m.refused.Add(1)
		return
	}
	if c.attach(l) {
		if !c.opened {
			c.opened = true
			m.log.Info("session opened", "peer", c.PeerName(), "addr", c.PeerAddr(), "mode", c.Mode(), "lossy", c.state.Lossy)
			m.cfg.Handler.Opened(c)
		}
		err = l.serve()
	} else {
		nc.Close()
	}
	if !c.detach(err) {
		c.finish()
	}
	<-c.token
}

// handshake brings an accepted connection up to its session. The Conn comes
// with its reading token.
func (m *Messenger) handshake(nc net.Conn) (*Conn, *link, error) {
	p := m.pending.add(nc, m.cfg.MaxUnauthenticated)
	defer m.pending.remove(p)
	if err := nc.SetDeadline(time.Now().Add(m.cfg.Handshake)); err != nil {
		return nil, nil, err
	}
	from := seen(nc.RemoteAddr())
	a := session.NewAcceptor(session.AcceptConfig{
		Name: m.cfg.Name, Addrs: m.Addrs(), Seen: from, Features: m.cfg.Features, Terms: m.terms,
		Auth: func(peer entity.Type) session.ServerAuth { return m.cfg.Auth.Accept(peer, from) },
	})
	in := source{r: nc, buf: make([]byte, handshakeBuffer)}
	c, err := m.converse(nc, &in, a)
	switch {
	case err == nil:
		nc.SetDeadline(time.Time{})
		return c, newLink(c, nc, in, &a.Handshake), nil
	case a.Peer == 0: // not even HELLO: anybody can have us log that
		m.log.Debug("stranger turned away", "from", from, "err", err)
	default:
		if a.Refused != nil { // and then it went away
			err = a.Refused
		}
		m.log.Info("connection refused", "peer", a.Peer, "from", from, "err", err)
	}
	return nil, nil, err
}

// converse does the talking of a handshake.
func (m *Messenger) converse(nc net.Conn, in *source, a *session.Acceptor) (c *Conn, err error) {
	for {
		if out := a.Out(); len(out) > 0 {
			if _, err := nc.Write(out); err != nil {
				if c != nil {
					m.abandon(c)
				}
				return nil, err
			}
		}
		if c != nil {
			return c, nil
		}
		if err := in.fill(a.Need()); err != nil {
			return nil, err
		}
		ask, err := a.Filled()
		if err != nil {
			return nil, err
		}
		switch ask {
		case session.AskOpen:
			c, err = m.open(a)
		case session.AskResume:
			c = m.resume(a)
		}
		if err != nil {
			return nil, err
		}
	}
}

// open makes the session that a CLIENT_IDENT asks for, in place of older ones.
func (m *Messenger) open(a *session.Acceptor) (*Conn, error) {
	c := m.newConn(a.Peer, true)
	c.token <- struct{}{}
	c.who.Store(incomingInfo(a))
	c.state = session.State{Lossy: a.Lossy(), ClientCookie: a.Ident.Cookie, PeerGlobalSeq: a.Ident.GlobalSeq}
	if !c.state.Lossy {
		c.state.ServerCookie = cookie()
		c.outbox.Keep(true)
	}
	replaced, err := m.admit(c, a)
	if err != nil {
		return nil, err
	}
	for _, old := range replaced {
		<-old.finished // so that the handler hears of the end before the beginning
	}
	a.Open(m.globalSeq(0), c.state.ServerCookie)
	return c, nil
}

// admit enters c among the incoming sessions and ends those it replaces.
func (m *Messenger) admit(c *Conn, a *session.Acceptor) (replaced []*Conn, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	m.conns[c] = struct{}{}
	if c.policy.Stateless && c.state.Lossy {
		return nil, nil
	}
	key := c.PeerAddr()
	for _, old := range m.incoming[key] {
		old.mu.Lock()
		meeting := old.state.Meet(&a.Ident, old.link != nil)
		if meeting == session.Replaced {
			if !old.closed {
				old.endLocked(ErrReplaced)
			}
			replaced = append(replaced, old)
		}
		old.mu.Unlock()
		if meeting == session.Stale {
			delete(m.conns, c)
			return nil, fmt.Errorf("%w: late connection of %v", ErrReplaced, key)
		}
	}
	m.incoming[key] = append(m.incoming[key], c)
	return replaced, nil
}

// abandon gives up a Conn whose handshake did not end: a new one is forgotten,
// a resumed one waits for its peer again. The caller has the token.
func (m *Messenger) abandon(c *Conn) {
	if !c.opened {
		c.end(ErrClosed)
		c.finish()
	}
	<-c.token
}

// resume finds the session that a SESSION_RECONNECT asks for and takes it from
// its old link. Without one it answers itself and returns nil.
func (m *Messenger) resume(a *session.Acceptor) *Conn {
	r := &a.Reconnect
	if len(r.Addrs) == 0 {
		a.Reset()
		return nil
	}
	var c *Conn
	m.mu.Lock()
	for _, old := range m.incoming[identity(r.Addrs)] {
		if old.state.ClientCookie == r.ClientCookie { // never changes
			c = old
		}
	}
	m.mu.Unlock()
	// The cookies are secrets of the session, but its identity is what was
	// authenticated.
	if c == nil || c.GlobalID() != a.Done.GlobalID || !c.judge(a) {
		if c == nil || c.GlobalID() != a.Done.GlobalID {
			a.Reset()
		}
		return nil
	}
	c.token <- struct{}{}
	if !c.judge(a) { // another connection may have been faster
		<-c.token
		return nil
	}
	c.mu.Lock()
	c.state.Resume(r)
	c.outbox.Replay(r.MsgSeq, c.forget)
	inSeq := c.state.InSeq
	c.ackedSeq = inSeq
	c.mu.Unlock()
	info := *c.who.Load()
	info.done = *a.Done
	c.who.Store(&info)
	a.Resume(inSeq)
	m.log.Info("session resumed", "peer", c.PeerName(), "addr", c.PeerAddr(), "peer_has", r.MsgSeq, "have", inSeq)
	return c
}

// judge decides about a SESSION_RECONNECT. If it is accepted, an older link is
// cut off; else the answer is given.
func (c *Conn) judge(a *session.Acceptor) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	verdict, at := c.state.Judge(&a.Reconnect)
	if c.closed || verdict == session.Accept && !c.outbox.CanReplay(a.Reconnect.MsgSeq) {
		verdict = session.Reset
	}
	switch verdict {
	case session.Accept:
		if c.link != nil {
			c.link.shut(ErrReplaced)
		}
		return true
	case session.Retry:
		a.Retry(at)
	case session.RetryGlobal:
		a.RetryGlobal(at)
	default:
		a.Reset()
	}
	return false
}

func incomingInfo(a *session.Acceptor) *peerInfo {
	id := int64(a.Done.GlobalID)
	if id == 0 {
		id = a.Ident.GlobalID
	}
	return &peerInfo{
		name:     entity.Name{Type: a.Peer, Num: id},
		addrs:    a.Ident.Addrs,
		addr:     identity(a.Ident.Addrs),
		features: a.Features(),
		done:     *a.Done,
	}
}

// identity is the address that stands for a party, of a list that is not
// empty.
func identity(v entity.AddrVec) entity.Addr {
	if a, ok := v.Msgr2(); ok {
		return a
	}
	return v[0]
}

// seen is the address of a socket as it goes into HELLO.
func seen(a net.Addr) entity.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return entity.Addr{Type: entity.AddrMsgr2, AP: netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())}
	}
	return entity.Addr{Type: entity.AddrMsgr2}
}
