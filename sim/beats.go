package sim

import (
	"errors"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osd"
	"github.com/pulpo-storage/pulpo/osd/heartbeat"
)

// beats runs an OSD's heartbeats as node.heartbeats does: a loop for the machine,
// a line for each peer and network, on which the newest ping waits for the
// connection.
type beats struct {
	h     *osdHost
	m     *heartbeat.Machine
	loop  *loop
	addrs [2]entity.AddrVec // by side
	lines map[beatKey]*peerLine
}

type beatKey struct {
	osd  int32
	side heartbeat.Side
}

func (h *osdHost) startBeats() {
	b := h.beats
	b.m = h.osd.Heartbeats()
	b.loop = h.p.newLoop("heartbeats", b.step, b.m.Wake)
	for _, a := range b.addrs {
		h.w.net.listen(h.p, a.String())
	}
	b.loop.kick()
}

func (b *beats) step(ev any) {
	if ev == nil {
		ev = heartbeat.Tick{}
	}
	b.m.Step(b.h.p.clock(), ev.(heartbeat.Event))
	r := b.m.Ready()
	for _, o := range r.Drop {
		for side := range b.addrs {
			b.end(beatKey{o, heartbeat.Side(side)})
		}
	}
	for _, p := range r.Pings {
		b.ping(p)
	}
	for _, a := range r.Answers {
		a.To.(*end).send(a.Body, 0)
	}
	if maps := b.h.osd.Published(); maps != nil {
		for _, p := range r.Behind {
			if p.Epoch < maps.Map.Epoch {
				p.To.(*end).send(maps.Since(p.Epoch), 0)
			}
		}
	}
	for _, m := range r.ToMon {
		b.h.line.send(m)
	}
	if r.Newer != 0 {
		b.h.loop.post(osd.WantEpoch{Epoch: r.Newer})
	}
}

func (b *beats) end(k beatKey) {
	if l := b.lines[k]; l != nil {
		l.end()
		delete(b.lines, k)
	}
}

func (b *beats) ping(s heartbeat.Send) {
	k := beatKey{s.To, s.Side}
	if l := b.lines[k]; l != nil && l.addr != s.Addrs.String() {
		b.end(k)
	}
	l := b.lines[k]
	if l == nil {
		l = &peerLine{p: b.h.p, addr: s.Addrs.String(), who: b.h.line.who, redial: 100 * time.Millisecond}
		l.refused = func() { b.h.refused(s.To, s.Addrs) }
		l.receive = func(f *frame) { b.take(s.Side, l.conn, f) }
		b.lines[k] = l
		l.begin()
	}
	if l.conn == nil {
		l.queue = []msg.Body{s.Body}
		return
	}
	l.conn.send(s.Body, 0)
}

// take hands a ping or an answer to the machine.
func (b *beats) take(side heartbeat.Side, from *end, f *frame) {
	body, err := f.decode()
	if maps, ok := body.(*msg.OSDMap); ok && err == nil {
		b.h.fromMon(maps)
		return
	}
	ping, ok := body.(*msg.OSDPing)
	if err != nil || !ok {
		b.h.w.fail("codec", "%v: %T for a ping: %v", b.h.p, body, err)
		return
	}
	b.loop.post(heartbeat.Received{Side: side, Ping: ping, From: from})
}

// refused tells the heartbeats that nobody listens at an address of an OSD.
func (h *osdHost) refused(target int32, addrs entity.AddrVec) {
	h.beats.loop.post(heartbeat.Refused{OSD: target, Addrs: addrs})
}

// isRefused reports whether an error says so.
func isRefused(err error) bool { return errors.Is(err, errno.ECONNREFUSED) }
