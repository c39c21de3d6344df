package node

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/msgr"
)

// monPeers are a monitor's lines to the others. Each monitor talks on the
// connections that it made and listens on those that others made, so that two of
// them never have to agree on one.
//
// What cannot be sent at once is dropped: the machine sends again what matters,
// when it is told that a line stands.
type monPeers struct {
	h    *monHost
	name string
	msgr *msgr.Messenger

	ctx    context.Context // ends with close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	lines map[string]*monLine // by name, or by address while that is all that is known
}

// monLine is the line to one monitor. Its goroutine lives for as long as
// somebody has something to say to that monitor.
type monLine struct {
	addrs entity.AddrVec
	conn  *msgr.Conn // nil: down
	used  time.Time  // something was to be sent
}

const (
	maxPeerQueue  = 32 << 20         // bytes that wait to be sent to one monitor
	lineIdle      = 30 * time.Second // nobody wants to say anything: the line is given up
	linePing      = time.Second
	lineSilence   = 5 * time.Second // without an answer the line is made anew
	firstRedial   = 50 * time.Millisecond
	longestRedial = time.Second
)

func newMonPeers(h *monHost, name string, m *msgr.Messenger) *monPeers {
	p := &monPeers{h: h, name: name, msgr: m, lines: map[string]*monLine{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// send carries out what the machine wants to tell another monitor.
func (p *monPeers) send(s mon.PeerSend) {
	key := s.To
	if key == "" {
		key = s.Addrs.String()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lines[key]
	if l == nil {
		if p.ctx.Err() != nil || len(s.Addrs) == 0 {
			return
		}
		l = &monLine{}
		p.lines[key] = l
		p.wg.Go(func() { p.keep(key, s.To, l) })
	}
	l.used = time.Now()
	if !l.addrs.Equal(s.Addrs) {
		l.addrs = s.Addrs
		if l.conn != nil {
			l.conn.Close()
			l.conn = nil
		}
	}
	if l.conn == nil {
		return
	}
	if _, queued := l.conn.Queued(); queued > maxPeerQueue {
		return
	}
	l.conn.SendBody(&msg.MonPeer{FSID: p.h.fsid, From: p.name, Text: s.Data}, 0)
}

// keep dials a monitor, and again when the line is lost, for as long as there is
// something to say.
func (p *monPeers) keep(key, name string, l *monLine) {
	pause := firstRedial
	for {
		p.mu.Lock()
		idle := time.Since(l.used) > lineIdle
		addrs := l.addrs
		if idle || p.ctx.Err() != nil {
			delete(p.lines, key)
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		ctx, cancel := context.WithTimeout(p.ctx, lineSilence)
		conn, err := p.msgr.Dial(ctx, entity.Mon, addrs)
		cancel()
		if err == nil {
			pause = firstRedial
			p.hold(name, l, conn, addrs)
			continue
		}
		p.h.log.Debug("cannot reach a monitor", "mon", name, "addrs", addrs, "err", err)
		select {
		case <-p.ctx.Done():
		case <-time.After(pause):
		}
		pause = min(pause*2, longestRedial)
	}
}

// hold uses a connection until it is lost or silent.
func (p *monPeers) hold(name string, l *monLine, conn *msgr.Conn, addrs entity.AddrVec) {
	ended := make(chan struct{})
	conn.SetValue(monLineEnd{sync.OnceFunc(func() { close(ended) })})
	p.mu.Lock()
	if !l.addrs.Equal(addrs) {
		p.mu.Unlock()
		conn.Close()
		return
	}
	l.conn = conn
	p.mu.Unlock()
	p.h.in.post(monInput{ev: mon.Connected{Name: name}})
	tick := time.NewTicker(linePing)
	defer tick.Stop()
	since := time.Now()
	for lost := false; !lost; {
		select {
		case <-ended:
			lost = true
		case <-p.ctx.Done():
			lost = true
		case now := <-tick.C:
			last := conn.LastKeepaliveAck()
			if last.Before(since) {
				last = since
			}
			p.mu.Lock()
			idle := now.Sub(l.used) > lineIdle
			lost = idle || l.conn != conn
			p.mu.Unlock()
			if now.Sub(last) > lineSilence {
				lost = true
			}
			conn.SendKeepalive()
		}
	}
	p.mu.Lock()
	if l.conn == conn {
		l.conn = nil
	}
	p.mu.Unlock()
	conn.Close()
	p.h.in.post(monInput{ev: mon.Disconnected{Name: name}})
}

func (p *monPeers) close() {
	p.cancel()
	p.wg.Wait()
}

// monLineEnd is the value of a connection to another monitor.
type monLineEnd struct{ ended func() }

// fromPeer is the value of a connection that another monitor made.
type fromPeer struct{}

// isMonPeer reports whether the other end has shown that it is a monitor: those
// come with an authorizer that they made themselves, and so without a number of
// a client, which whoever logs in with the monitors' account gets.
func isMonPeer(who *cephx.Identity) bool {
	return who != nil && who.Method == cephx.MethodCephx && who.Name.Type == entity.Mon && who.GlobalID == 0
}

// receivePeer hands a monitor's message to the machine.
func (h *monHost) receivePeer(c *msgr.Conn, m *msgr.Message) {
	defer m.Release()
	body, err := msg.Decode(m.Type, m.Version, m.Compat, m.Front, m.Data)
	b, ok := body.(*msg.MonPeer)
	switch {
	case err != nil || !ok:
		h.log.Warn("bad message of a monitor", "type", m.Type, "addr", c.PeerAddr(), "err", err)
		c.Close()
	case b.FSID != h.fsid:
		h.log.Warn("monitor of another cluster", "addr", c.PeerAddr(), "fsid", b.FSID.String())
		c.Close()
	default:
		h.in.put(monInput{ev: mon.FromPeer{From: b.From, Data: bytes.Clone(b.Text)}})
	}
}

// monConnector is the connecting side of authentication between monitors: each
// makes itself a ticket with the key that they share.
type monConnector struct{ keys *cephx.KeyServer }

func (a monConnector) Connect(_ context.Context, peer entity.Type) (msgr.ClientAuth, error) {
	if peer != entity.Mon {
		return nil, fmt.Errorf("a monitor does not connect to a %v", peer)
	}
	t, err := a.keys.Mint(cephx.Env{}, entity.Mon, entity.AuthName{Type: entity.Mon})
	if err != nil {
		return nil, err
	}
	return &clientAuth{t.Connect(cephx.Env{})}, nil
}

// clientAuth lets a cephx handshake speak to the messenger.
type clientAuth struct{ h cephx.ClientHandshake }

func (a *clientAuth) Request(modes []msgr.Mode) (uint32, []byte, error) {
	ms := make([]uint32, len(modes))
	for i, m := range modes {
		ms[i] = uint32(m)
	}
	return a.h.Request(ms)
}

func (a *clientAuth) More(payload []byte) ([]byte, error) { return a.h.More(payload) }

func (a *clientAuth) Done(globalID uint64, mode msgr.Mode, payload []byte) (*msgr.AuthDone, error) {
	d, err := a.h.Done(globalID, uint32(mode), payload)
	if err != nil {
		return nil, err
	}
	return &msgr.AuthDone{GlobalID: d.GlobalID, Mode: msgr.Mode(d.Mode), SessionKey: d.SessionKey, ConnSecret: d.ConnSecret}, nil
}

func (a *clientAuth) BadMethod(b *msgr.BadMethod) bool {
	return a.h.BadMethod(b.Method, b.Result, b.Methods)
}
