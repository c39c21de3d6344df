package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/msgr"
	"github.com/pulpo-storage/pulpo/osd/pg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// peers are the lines to the other OSDs, on a messenger of their own at the
// OSD's cluster address (Ceph's cluster messenger). To send, an OSD dials; what
// it receives comes on sessions that the others dialled. So each pair has a
// session for each direction, and none has to decide which of two that cross is
// the one to keep.
//
// The sessions are lossless: a message arrives once and in order over lost
// connections, until the map shows the peer down, or up at another address. Then
// what it has not received is dropped: the groups see the same map and begin
// anew.
type peers struct {
	h    *osdHost
	msgr *msgr.Messenger

	mu     sync.Mutex
	lines  map[int32]*peerLine
	upFrom uint32 // since when the map shows us up; 0: it does not
}

// peerLine is the line to one incarnation of an OSD.
type peerLine struct {
	osd    int32
	addrs  entity.AddrVec
	cancel context.CancelFunc
	conn   *msgr.Conn    // nil: being dialled
	queue  []*msg.PGPeer // until then
}

// servePeers makes the messenger and begins to listen. It returns the address
// for the map.
func (h *osdHost) servePeers(s *site, auth msgr.Authenticator) (ln net.Listener, addrs entity.AddrVec, err error) {
	ln, port, err := listen(s.bind(), 0)
	if err != nil {
		return nil, nil, err
	}
	addrs = s.addrs(port, newNonce())
	h.peers = &peers{h: h, lines: map[int32]*peerLine{}}
	h.peers.msgr, err = msgr.New(msgr.Config{
		Name: entity.Name{Type: entity.OSD, Num: int64(h.id)}, Addrs: addrs,
		Policy:  func(entity.Type) msgr.Policy { return msgr.Policy{Required: requiredFeatures} },
		Auth:    auth,
		Handler: &peerHandler{h}, Log: h.log,
	})
	if err != nil {
		ln.Close()
		return nil, nil, err
	}
	return ln, addrs, nil
}

func (p *peers) accept(ln net.Listener) {
	if err := p.msgr.Serve(ln); err != nil && !errors.Is(err, msgr.ErrClosed) && !errors.Is(err, net.ErrClosed) {
		p.h.failed(fmt.Errorf("cluster address: %w", err))
	}
}

// send sends a message to the incarnation of an OSD that the map shows. Nobody
// gets it if the OSD is down.
func (p *peers) send(m pg.PeerSend) {
	maps := p.h.osd.Published()
	p.mu.Lock()
	defer p.mu.Unlock()
	if maps == nil || !maps.Map.IsUp(m.To) {
		m.Body.Payload().Release()
		return
	}
	l := p.lines[m.To]
	if addrs := maps.Map.ClusterAddrs[m.To]; l == nil || !l.addrs.Equal(addrs) {
		if l != nil {
			p.cut(l)
		}
		l = p.line(m.To, addrs)
	}
	if l.conn == nil {
		l.queue = append(l.queue, m.Body)
		return
	}
	l.conn.SendBody(m.Body, 0)
}

// line begins a line. The caller holds mu.
func (p *peers) line(osd int32, addrs entity.AddrVec) *peerLine {
	l := &peerLine{osd: osd, addrs: addrs}
	ctx, cancel := context.WithCancel(p.h.ctx)
	l.cancel = cancel
	p.lines[osd] = l
	p.h.wg.Go(func() { p.dial(ctx, l) })
	return l
}

// cut ends a line. The caller holds mu.
func (p *peers) cut(l *peerLine) {
	l.cancel()
	for _, b := range l.queue {
		b.Payload().Release()
	}
	l.queue = nil
	if l.conn != nil {
		l.conn.Close()
	}
	delete(p.lines, l.osd)
}

// dial connects a line, and sends what was queued meanwhile.
func (p *peers) dial(ctx context.Context, l *peerLine) {
	for {
		attempt, cancel := context.WithTimeout(ctx, dialTimeout)
		conn, err := p.msgr.Dial(attempt, entity.OSD, l.addrs)
		cancel()
		if err == nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.lines[l.osd] != l {
				conn.Close()
				return
			}
			conn.SetValue(l)
			l.conn = conn
			for _, b := range l.queue {
				conn.SendBody(b, 0)
			}
			l.queue = nil
			return
		}
		p.h.refused(l.osd, l.addrs, err)
		p.h.log.Debug("cannot reach an OSD", "osd", l.osd, "addr", l.addrs.String(), "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(redialAfter):
		}
	}
}

// dialTimeout bounds one attempt to reach an OSD.
const dialTimeout = 10 * time.Second

// follow ends the lines to those that a new map does not show. If it has shown
// ourselves down all lines end: perhaps nobody heard us, and a connection that lost
// all its packets for long sends the next one only after as long again, while one
// that is new is there at once.
func (p *peers) follow(m *osdmap.Map) {
	p.mu.Lock()
	defer p.mu.Unlock()
	upFrom := uint32(0)
	if m.IsUp(p.h.id) {
		upFrom = m.Info[p.h.id].UpFrom
	}
	anew := upFrom != p.upFrom
	p.upFrom = upFrom
	for osd, l := range p.lines {
		if anew || !m.IsUp(osd) || !m.ClusterAddrs[osd].Equal(l.addrs) {
			p.cut(l)
		}
	}
}

// lost begins a line anew whose session ended while the map still shows its peer.
func (p *peers) lost(c *msgr.Conn) {
	l, _ := c.Value().(*peerLine)
	p.mu.Lock()
	defer p.mu.Unlock()
	if l != nil && l.conn == c && p.lines[l.osd] == l {
		p.cut(l)
		p.line(l.osd, l.addrs)
	}
}

// close ends all lines, and the messenger.
func (p *peers) close() error {
	p.mu.Lock()
	for _, l := range p.lines {
		p.cut(l)
	}
	p.mu.Unlock()
	return p.msgr.Close()
}

// peerHandler gets what other OSDs send.
type peerHandler struct{ *osdHost }

func (h *peerHandler) Opened(c *msgr.Conn) {
	if !c.Incoming() {
		return
	}
	osd, ok := osdOf(c)
	if !ok {
		h.log.Warn("not an OSD at the cluster address", "peer", c.PeerName().String(), "addr", c.PeerAddr().String())
		c.Close()
		return
	}
	c.SetValue(osd)
}

// osdOf is which OSD a peer has proved to be.
func osdOf(c *msgr.Conn) (int32, bool) {
	who, _ := c.Identity().(*cephx.Identity)
	if who == nil || who.Name.Type != entity.OSD {
		return 0, false
	}
	n, err := strconv.ParseInt(who.Name.ID, 10, 32)
	return int32(n), err == nil && n >= 0
}

func (h *peerHandler) Receive(c *msgr.Conn, m *msgr.Message) {
	osd, ok := c.Value().(int32)
	body, err := msg.Decode(m.Type, m.Version, m.Compat, m.Front, m.Data)
	b, isPeer := body.(*msg.PGPeer)
	if err == nil && (!ok || isPeer && b.From != osd) {
		err = errors.New("in another one's name")
	}
	if err != nil {
		h.log.Warn("bad message of an OSD", "type", m.Type, "peer", c.PeerName().String(), "addr", c.PeerAddr().String(), "err", err)
		m.Release()
		c.Close()
		return
	}
	if !isPeer || !h.shardOf(b.PG.PG).in.put(&pg.FromPeer{Body: b, Message: m}) {
		m.Release()
	}
}

func (h *peerHandler) Closed(c *msgr.Conn, err error) {
	if !c.Incoming() {
		h.peers.lost(c)
	}
}

// RemoteReset: the peer has given the session up, after a long time without a
// connection in which the map did not show us down. What was under way is lost.
func (h *peerHandler) RemoteReset(c *msgr.Conn) {
	h.log.Warn("an OSD has forgotten our session", "addr", c.PeerAddr().String())
}
