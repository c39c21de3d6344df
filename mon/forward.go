package mon

import (
	"maps"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/msg"
)

// Requests that only the leader can serve are forwarded with the identity of who
// asks, and the answer finds its way back (Monitor::forward_request_leader).
//
// On the peon a request stays in out until its answer is there. It is sent again
// when another monitor leads, and when the line to the leader stands again. The
// leader keeps answers until the peon has said that it has them (low), so one
// leader serves a request once however often it comes. Two leaders may both
// serve it; commands can bear that, as Ceph's must too.
//
// On the leader a session with a peon's client is a session like others (a
// proxy), but with via set: what is sent there goes to the peon.
type forwarding struct {
	last  uint64
	low   uint64              // no request below is in out
	out   map[uint64]*request // of this monitor's sessions, by tid
	known map[uint64]bool     // sessions of which the leader was told

	peons map[string]*peon
	// proxies are numbered from here, where no shell comes.
	lastProxy uint64
}

// peon is another monitor's life as the leader knows it.
type peon struct {
	boot    uint64
	proxies map[uint64]*session  // by the number of the session there
	running map[uint64]bool      // being served
	answers map[uint64]*answered // not known to have arrived
}

const firstProxy = 1 << 63

func newForwarding() forwarding {
	return forwarding{out: map[uint64]*request{}, known: map[uint64]bool{}, peons: map[string]*peon{}, lastProxy: firstProxy}
}

// forwardWaiting sends what waits to the leader, if that is another monitor.
func (m *Mon) forwardWaiting() {
	if m.leading || m.leader == 0 || len(m.waiting) == 0 {
		return
	}
	queue := m.waiting
	m.waiting = nil
	for _, r := range queue {
		if m.sessions[r.s.ID] != r.s {
			continue
		}
		m.fwd.last++
		r.fwd = m.fwd.last
		m.fwd.out[r.fwd] = r
		m.sendForward(r)
	}
}

func (m *Mon) sendForward(r *request) {
	s := r.s
	r.sent = m.now
	s.known = true
	m.fwd.known[s.ID] = true
	for m.fwd.low < r.fwd && m.fwd.out[m.fwd.low] == nil {
		m.fwd.low++
	}
	f := &forward{tid: r.fwd, low: m.fwd.low, mtid: r.tid, body: carry(r.body), from: who{
		session: s.ID, name: s.Name, auth: s.Auth, addrs: s.Addrs, globalID: s.GlobalID, features: s.Features,
		host: s.Host, opened: s.Opened,
	}}
	if s.id != nil {
		f.from.caps = s.id.Caps
	}
	m.tellLeader(f)
}

// forwardAgain is when a forwarded request without an answer is sent once more,
// for what a full queue has dropped: the lines themselves tell of their losses.
const forwardAgain = 2 * time.Second

func (m *Mon) tickForwards() {
	if m.leading || m.leader == 0 {
		return
	}
	for _, tid := range slices.Sorted(maps.Keys(m.fwd.out)) {
		if r := m.fwd.out[tid]; m.now.Sub(r.sent) >= forwardAgain {
			m.sendForward(r)
		}
	}
}

// reroute begins the requests under way anew: another monitor leads, or this
// one.
func (m *Mon) reroute() {
	tids := slices.Sorted(maps.Keys(m.fwd.out))
	if !m.leading {
		for _, tid := range tids {
			m.sendForward(m.fwd.out[tid])
		}
		return
	}
	var own []*request
	for _, tid := range tids {
		r := m.fwd.out[tid]
		r.fwd = 0
		own = append(own, r)
	}
	clear(m.fwd.out)
	m.waiting = append(own, m.waiting...)
}

// answered takes what became of a forwarded request.
func (m *Mon) answeredBy(a *answered) {
	session, tid := a.session, uint64(0)
	if a.tid != 0 {
		r := m.fwd.out[a.tid]
		if r == nil {
			return // answered before
		}
		delete(m.fwd.out, a.tid)
		session, tid = r.s.ID, r.tid
	}
	s := m.sessions[session]
	if s == nil || s.via != "" {
		return
	}
	if a.body.typ != 0 {
		b, err := a.body.decoded()
		if err != nil {
			m.log.Warn("answer of the leader does not decode", "err", err)
			return
		}
		m.send(session, b, tid)
	}
	if a.close {
		m.closeSession(s)
	}
}

// forwarded serves a peon's request.
func (m *Mon) forwarded(from string, boot uint64, f *forward) {
	if !m.leading {
		return // the peon will hear who does
	}
	p := m.peon(from, boot)
	maps.DeleteFunc(p.answers, func(tid uint64, _ *answered) bool { return tid < f.low })
	if a := p.answers[f.tid]; a != nil {
		m.tellPeer(from, a)
		return
	}
	if p.running[f.tid] {
		return
	}
	p.running[f.tid] = true
	r := &request{s: m.proxy(from, p, f.from), tid: f.mtid, fwd: f.tid, since: m.now}
	var err error
	if r.body, err = f.body.decoded(); err != nil {
		m.log.Warn("forwarded request does not decode", "mon", from, "err", err)
		m.respond(r, nil)
		return
	}
	m.receive(r)
}

// peon returns what is known of a life of another monitor. A new life has no
// sessions yet.
func (m *Mon) peon(name string, boot uint64) *peon {
	p := m.fwd.peons[name]
	if p == nil || p.boot != boot {
		m.dropProxies(name)
		p = &peon{boot: boot, proxies: map[uint64]*session{}, running: map[uint64]bool{}, answers: map[uint64]*answered{}}
		m.fwd.peons[name] = p
	}
	return p
}

// proxy returns the session that stands for one at a peon.
func (m *Mon) proxy(via string, p *peon, w who) *session {
	if s := p.proxies[w.session]; s != nil {
		s.Host = w.host
		return s
	}
	m.fwd.lastProxy++
	s := m.newSession(SessionOpened{
		ID: m.fwd.lastProxy, Name: w.name, Addrs: w.addrs, Features: w.features,
		Identity: &cephx.Identity{Name: w.auth, GlobalID: w.globalID, Method: cephx.MethodCephx, Caps: w.caps},
	})
	s.Host, s.Opened, s.via, s.there = w.host, w.opened, via, w.session
	p.proxies[w.session] = s
	m.sessions[s.ID] = s
	return s
}

// proxiesOf ends the proxies of sessions that a peon does not have any more.
func (m *Mon) proxiesOf(from string, boot uint64, have []uint64) {
	p := m.fwd.peons[from]
	if p == nil || p.boot != boot {
		return
	}
	for _, there := range slices.Sorted(maps.Keys(p.proxies)) {
		if !slices.Contains(have, there) {
			m.proxyGone(from, boot, there)
		}
	}
}

// proxyGone ends a proxy: the session at the peon has ended.
func (m *Mon) proxyGone(from string, boot, there uint64) {
	if p := m.fwd.peons[from]; p != nil && p.boot == boot {
		if s := p.proxies[there]; s != nil {
			delete(p.proxies, there)
			m.closed(s.ID)
		}
	}
}

// dropProxies ends the sessions of a monitor that is gone or began anew; with ""
// those of all.
func (m *Mon) dropProxies(name string) {
	for _, n := range slices.Sorted(maps.Keys(m.fwd.peons)) {
		if name != "" && n != name {
			continue
		}
		p := m.fwd.peons[n]
		for _, there := range slices.Sorted(maps.Keys(p.proxies)) {
			m.closed(p.proxies[there].ID)
		}
		delete(m.fwd.peons, n)
	}
}

// respond ends a request, with an answer or without one.
func (m *Mon) respond(r *request, b msg.Body) {
	m.done(r)
	s := r.s
	if s.via == "" {
		if b != nil {
			m.send(s.ID, b, r.tid)
		}
		return
	}
	p := m.fwd.peons[s.via]
	if p == nil || p.proxies[s.there] != s {
		return // it lives no more
	}
	a := &answered{tid: r.fwd, session: s.there, body: carry(b)}
	delete(p.running, r.fwd)
	p.answers[r.fwd] = a
	m.tellPeer(s.via, a)
}

// closeSession asks for the end of a session.
func (m *Mon) closeSession(s *session) {
	switch {
	case s.via != "":
		m.tellPeer(s.via, &answered{session: s.there, close: true})
	case !s.closing && !s.local:
		s.closing = true
		m.counters.trimmed.Inc()
		m.out.Closes = append(m.out.Closes, s.ID)
	}
}

// tellLeader sends to the leader, if there is one and it is another monitor.
func (m *Mon) tellLeader(b peerBody) {
	if name := m.raftName(m.leader); name != "" && !m.leading {
		m.tellPeer(name, b)
	}
}

// tellPeer sends to a monitor of the map.
func (m *Mon) tellPeer(name string, b peerBody) {
	m.tellAt(name, m.peerAddrs(name), b)
}
