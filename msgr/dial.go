package msgr

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msgr/session"
)

const (
	firstBackoff = 200 * time.Millisecond // ms_initial_backoff
	lastBackoff  = 15 * time.Second       // ms_max_backoff
)

// Dial opens a session with the peer that listens at the msgr2 address of
// addrs, which must be of the given type and publish that address, nonce
// included. The session is established on return. A lossy one ends with its
// connection (Closed); a lossless one is resumed until Close. Two calls make
// two sessions. ctx bounds the call only.
func (m *Messenger) Dial(ctx context.Context, peer entity.Type, addrs entity.AddrVec) (*Conn, error) {
	target, ok := addrs.Msgr2()
	if !ok {
		return nil, fmt.Errorf("dial %v at %v: no msgr2 address", peer, addrs)
	}
	c := m.newConn(peer, false)
	c.who.Store(&peerInfo{name: entity.Name{Type: peer, Num: -1}, addrs: addrs, addr: target})
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	up := make(chan error, 1)
	if !m.enter(c) {
		cancel()
		return nil, ErrClosed
	}
	m.wg.Go(func() { c.run(run, target, up) })
	select {
	case err := <-up:
		if err != nil {
			return nil, fmt.Errorf("dial %v at %v: %w", peer, target, err)
		}
		return c, nil
	case <-ctx.Done():
		select {
		case err := <-up: // an answer already there wins
			if err == nil {
				return c, nil
			}
		default:
		}
		c.Close()
		return nil, fmt.Errorf("dial %v at %v: %w", peer, target, ctx.Err())
	}
}

// run connects and serves one link after the other, holding the reading token
// all the time. It reports on up how the first attempt went.
func (c *Conn) run(ctx context.Context, target entity.Addr, up chan<- error) {
	c.token <- struct{}{}
	defer func() {
		c.cancel()
		c.end(ErrClosed)
		c.finish()
		<-c.token
	}()
	var pause time.Duration
	for {
		l, reset, err := c.connect(ctx, target)
		if err != nil && !c.opened {
			up <- err
			return
		}
		if err != nil {
			c.m.log.Info("reconnect failed", "addr", target, "err", err, "pause", pause)
		} else {
			pause = 0
			if !c.opened {
				c.opened = true
				c.m.log.Info("session opened", "peer", c.PeerName(), "addr", target, "mode", c.Mode(), "lossy", c.state.Lossy)
				up <- nil
				c.m.cfg.Handler.Opened(c)
			} else if reset {
				c.m.log.Info("peer has forgotten the session", "peer", c.PeerName(), "addr", target)
				c.m.cfg.Handler.RemoteReset(c)
			}
			err = l.serve()
			if !c.detach(err) {
				return
			}
			c.m.log.Info("connection lost", "peer", c.PeerName(), "addr", target, "err", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(max(2*pause, firstBackoff), lastBackoff)
	}
}

// connect makes one connection and opens or resumes the session. reset: the
// peer had forgotten it.
func (c *Conn) connect(ctx context.Context, target entity.Addr) (l *link, reset bool, err error) {
	m := c.m
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Handshake)
	defer cancel()
	auth, err := m.cfg.Auth.Connect(ctx, c.peer)
	if err != nil {
		return nil, false, err
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", target.AP.String())
	if err != nil {
		return nil, false, err
	}
	m.dialled.Add(1)
	unhook := context.AfterFunc(ctx, func() { nc.Close() })

	c.mu.Lock()
	state := c.state
	c.mu.Unlock()
	h := session.NewConnector(session.ConnectConfig{
		Name: m.cfg.Name, Addrs: m.ownAddrs(nc), Seen: target, Peer: c.peer, Target: target,
		Features: m.cfg.Features, Terms: m.terms(c.peer), Auth: auth, GlobalSeq: m.globalSeq, Cookie: cookie,
	}, &state)
	in := source{r: nc, buf: make([]byte, handshakeBuffer)}
	outcome, err := greet(nc, &in, h)
	if !unhook() && err == nil {
		err = ctx.Err() // nc is closed, or about to be
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = state // after a failure as well: its counters have gone on
	if err == nil && c.closed {
		err = ErrClosed
	}
	if err == nil {
		err = c.adopt(h, outcome)
	}
	if err != nil {
		nc.Close()
		return nil, false, err
	}
	c.link = newLink(c, nc, in, &h.Handshake)
	c.link.wake() // for what is queued
	return c.link, h.WasReset, nil
}

// adopt takes over what a handshake has led to. The caller holds Conn.mu.
func (c *Conn) adopt(h *session.Connector, outcome session.Outcome) error {
	info := *c.who.Load()
	info.done = *h.Done
	if outcome == session.Resumed {
		if !c.outbox.CanReplay(h.PeerSeq) {
			err := fmt.Errorf("%w: peer claims to have had %d messages", session.ErrProtocol, h.PeerSeq)
			c.endLocked(err)
			return err
		}
		c.outbox.Replay(h.PeerSeq, c.forget)
	} else {
		info.name.Num = h.Ident.ID
		info.addrs = h.Ident.Addrs
		info.features = h.Features()
		if h.Full {
			c.outbox.Clear(c.forget)
		}
		c.outbox.Restart()
		c.outbox.Keep(!c.state.Lossy)
	}
	c.ackedSeq = c.state.InSeq
	c.who.Store(&info)
	return nil
}

// greet does the handshake.
func greet(nc net.Conn, in *source, h *session.Connector) (outcome session.Outcome, err error) {
	for outcome == session.Pending {
		if out := h.Out(); len(out) > 0 {
			if _, err := nc.Write(out); err != nil {
				return outcome, err
			}
		}
		if err := in.fill(h.Need()); err != nil {
			return outcome, err
		}
		if outcome, err = h.Filled(); err != nil {
			return outcome, err
		}
	}
	return outcome, nil
}

// ownAddrs are what this party calls itself on a connection. A client makes up
// an address with its nonce at its first connection and keeps it, whichever
// interface later ones use: it is known by it to all servers, which shut it out
// by it (the blocklist).
func (m *Messenger) ownAddrs(nc net.Conn) entity.AddrVec {
	v := m.addrs.Load()
	if len(*v) == 0 {
		local := seen(nc.LocalAddr())
		m.addrs.CompareAndSwap(v, &entity.AddrVec{{
			Type: entity.AddrAny, Nonce: m.nonce, AP: netip.AddrPortFrom(local.AP.Addr(), 0),
		}})
		v = m.addrs.Load()
	}
	return *v
}
