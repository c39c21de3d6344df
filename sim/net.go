package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/wire"
)

// network carries connections. A connection's bytes come in order; those of
// different connections overtake each other. A link is one direction between two
// hosts. While it is cut nothing arrives; what was sent waits, as TCP sends it
// again, and goes on when the link is whole, unless an end has given up by then,
// which lossy sessions do after some seconds, as msgr's do when their keepalives
// are not answered. Sessions between OSDs are lossless: they begin again where
// they were, so for them a cut or a reset only takes time.
type network struct {
	w         *World
	links     map[[2]string]*link
	listeners map[string]*process // by address
	host      map[string]string   // of an address, also after its process's end
	lastConn  uint64
}

// link is one direction between two hosts.
type link struct {
	from, to string
	cut      bool
	extra    time.Duration // a slow link
	rng      *rand.Rand
	stalled  []*end // have packets waiting, to arrive here
}

// hello is what the acceptor of a connection learns of who made it.
type hello struct {
	name     entity.Name
	addrs    entity.AddrVec
	identity *cephx.Identity
	target   string // address that was dialled
}

// end is a process's end of a connection.
type end struct {
	p        *process
	peer     *end
	id       uint64 // of the connection
	open     bool
	lossless bool
	patience time.Duration // for signs of life; 0: the usual
	last     moment        // when the newest packet to this end arrives
	in       []packet      // held up by a cut, in order
	sent     int           // packets to this end
	came     int           // of them, those that arrived
	most     int           // of them, those that will, once the sender has closed a lossless session

	receive func(f *frame)
	closed  func(err error) // the peer has closed, or is not there any more
}

// frame is a message on the wire.
type frame struct {
	typ, version, compat uint16
	tid                  uint64
	front, data          []byte
}

// packet is a frame, or the end of a connection.
type packet struct {
	n   int // in the order of sending
	f   *frame
	fin bool
}

var (
	errReset   = errors.New("connection reset")
	errTimeout = errors.New("keepalive not answered")
)

func newNetwork(w *World) *network {
	return &network{w: w, links: map[[2]string]*link{}, listeners: map[string]*process{}, host: map[string]string{}}
}

func (n *network) link(from, to string) *link {
	k := [2]string{from, to}
	l := n.links[k]
	if l == nil {
		l = &link{from: from, to: to, rng: n.w.stream("link " + from + " " + to)}
		n.links[k] = l
	}
	return l
}

// delay is how long the next packet takes: mostly little, sometimes much.
func (l *link) delay() time.Duration {
	d := 50*time.Microsecond + time.Duration(l.rng.Int64N(int64(150*time.Microsecond)))
	if l.rng.IntN(100) == 0 {
		d += time.Duration(l.rng.Int64N(int64(20 * time.Millisecond)))
	}
	return d + l.extra
}

// patience is how long an end waits for signs of life, at most.
const patience = 20 * time.Second

// listen takes connections to an address.
func (n *network) listen(p *process, addr string) {
	n.listeners[addr] = p
	n.host[addr] = p.name
	p.addrs = append(p.addrs, addr)
}

// dial connects to an address. done hears of it, unless p has ended by then: the
// handshake is some round trips, in which both sides may see that it failed.
func (n *network) dial(p *process, addr string, from hello, lossless bool, done func(e *end, err error)) {
	host := n.host[addr]
	from.target = addr
	there, back := n.link(p.name, host), n.link(host, p.name)
	p.after(there.delay(), func() {
		if there.cut || back.cut || n.w.dark[host] {
			p.after(n.w.upTo("dials", patience/4), func() { done(nil, errTimeout) })
			return
		}
		q := n.listeners[addr]
		if q == nil {
			p.after(back.delay(), func() { done(nil, errno.ECONNREFUSED) })
			return
		}
		n.w.after(back.delay()+there.delay(), func() {
			if !p.alive || !q.alive {
				p.after(back.delay(), func() { done(nil, errReset) })
				return
			}
			n.lastConn++
			a := &end{p: p, id: n.lastConn, open: true, lossless: lossless}
			b := &end{p: q, id: n.lastConn, open: true, lossless: lossless, peer: a}
			a.peer = b
			p.ends, q.ends = append(p.ends, a), append(q.ends, b)
			n.w.tracef("%v connects to %v (%d)", p, q, a.id)
			done(a, nil)
			if b.open {
				q.accept(b, from)
			}
		})
	})
}

// send sends a message. It is encoded here and decoded at the other end, so that
// the two share nothing. The body's payload is released.
func (e *end) send(b msg.Body, tid uint64) {
	version, compat := b.Versions()
	var enc wire.Encoder
	b.EncodeFront(&enc)
	data := b.Payload()
	f := &frame{typ: b.MsgType(), version: version, compat: compat, tid: tid, front: slices.Clone(enc.Bytes()), data: slices.Concat(parts(data)...)}
	data.Release()
	if !e.open {
		return
	}
	e.p.w.sent(e, b, tid)
	e.put(packet{f: f})
}

func parts(l buffer.List) [][]byte {
	out := make([][]byte, len(l))
	for i, r := range l {
		out[i] = r.Bytes()
	}
	return out
}

// put sends a packet to the peer, behind those that were sent before.
func (e *end) put(k packet) {
	to, w := e.peer, e.p.w
	to.sent++
	k.n = to.sent
	to.last = max(to.last+1, w.now+moment(w.net.link(e.p.name, to.p.name).delay()))
	w.at(to.last, func() { to.arrive(k) })
}

// arrive is when a packet comes to its destination's host.
func (e *end) arrive(k packet) {
	l := e.p.w.net.link(e.peer.p.name, e.p.name)
	if l.cut || len(e.in) > 0 {
		if len(e.in) == 0 {
			l.stalled = append(l.stalled, e)
		}
		e.in = append(e.in, k)
		return
	}
	e.take(k)
}

func (e *end) take(k packet) {
	w := e.p.w
	e.came = k.n
	switch {
	case e.lossless && e.most > 0 && k.n > e.most && !k.fin:
		// It was in the sender's hands still when the session was given up.
	case !e.open:
		// Nobody is there: a host that is up says so.
		if !k.fin && e.peer.open && !e.lossless && !w.dark[e.p.name] {
			w.after(w.net.link(e.p.name, e.peer.p.name).delay(), func() { e.peer.fail(errReset) })
		}
	case k.fin:
		e.fail(errReset)
	default:
		e.receive(k.f)
	}
}

// close ends the connection from this end, whose owner knows. The peer hears of
// it behind what was sent before.
func (e *end) close() {
	if !e.open {
		return
	}
	e.shut()
	if to := e.peer; e.lossless && to.sent > to.came {
		to.most = to.came + 1 + int(e.p.w.upTo("unsent", time.Duration(to.sent-to.came)))
	}
	e.put(packet{fin: true})
}

// fail ends this end of the connection and tells its owner.
func (e *end) fail(err error) {
	if !e.open {
		return
	}
	e.shut()
	e.p.w.tracef("%v: connection %d to %v: %v", e.p, e.id, e.peer.p, err)
	if e.closed != nil {
		e.closed(err)
	}
	e.put(packet{fin: true})
}

func (e *end) shut() {
	e.open = false
	if i := slices.Index(e.p.ends, e); i >= 0 {
		e.p.ends = slices.Delete(e.p.ends, i, i+1)
	}
}

// abandon is the end of the process.
func (e *end) abandon(silent bool) {
	if !e.open {
		return
	}
	e.open = false
	if e.lossless {
		return // the peer goes on trying until a map tells it
	}
	if !silent {
		e.put(packet{fin: true})
		return
	}
	e.peer.loseHeart(func() bool { return true })
}

// loseHeart has an end fail after some time without signs of life, if that still
// holds then.
func (e *end) loseHeart(still func() bool) {
	w := e.p.w
	d := e.patience
	if d == 0 {
		d = patience
	}
	e.p.after(d/4+w.upTo("patience", d*3/4), func() {
		if e.open && still() {
			e.fail(errTimeout)
		}
	})
}

// cut makes a link carry nothing.
func (n *network) cut(from, to string) {
	l := n.link(from, to)
	if l.cut {
		return
	}
	l.cut = true
	// Data that is not acknowledged ends a connection as surely as
	// acknowledgements that do not come.
	for _, p := range n.w.processes() {
		for _, e := range slices.Clone(p.ends) {
			a, b := e.p.name, e.peer.p.name
			if e.lossless || !(a == from && b == to || a == to && b == from) {
				continue
			}
			e.loseHeart(func() bool { return l.cut })
		}
	}
}

// heal makes a link whole; what waited comes now.
func (n *network) heal(from, to string) {
	l := n.link(from, to)
	l.cut = false
	stalled := l.stalled
	l.stalled = nil
	for _, e := range stalled {
		n.w.after(l.delay(), func() { e.flush(l) })
	}
}

func (e *end) flush(l *link) {
	for len(e.in) > 0 {
		if l.cut {
			l.stalled = append(l.stalled, e)
			return
		}
		k := e.in[0]
		e.in = e.in[1:]
		e.take(k)
	}
}

// reset breaks the connections between two hosts, with all that is on its way.
// Lossless ones begin again; theirs is only late.
func (n *network) reset(a, b string) {
	for _, p := range n.w.processes() {
		for _, e := range slices.Clone(p.ends) {
			if !(e.p.name == a && e.peer.p.name == b) || !e.open {
				continue
			}
			if e.lossless {
				e.last = max(e.last, n.w.now+moment(n.w.upTo("reconnect", time.Second)))
				e.peer.last = max(e.peer.last, e.last)
				continue
			}
			peer := e.peer
			e.fail(errReset)
			peer.fail(errReset)
		}
	}
}

// decode makes the body of a frame, with bytes of its own.
func (f *frame) decode() (msg.Body, error) {
	b, err := msg.Decode(f.typ, f.version, f.compat, f.front, buffer.ListOf(f.data))
	if err != nil {
		return nil, fmt.Errorf("what was sent does not decode: %w", err)
	}
	return b, nil
}
