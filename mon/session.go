package mon

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/cephx/caps"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
)

// session is a Session with what only the core needs.
type session struct {
	service.Session
	id      *cephx.Identity
	subs    map[string]msg.Sub
	local   bool
	closing bool // the shell was asked to end it
	known   bool // to the leader

	via   string // of a proxy: the monitor that has the session, and
	there uint64 // its number there
}

func (m *Mon) opened(o SessionOpened) {
	s := m.newSession(o)
	s.local = o.Local
	m.sessions[o.ID] = s
	m.counters.opened.Inc()
	m.counters.sessions.Set(int64(len(m.sessions)))
	m.log.Debug("session opened", "session", o.ID, "name", o.Name.String(), "entity", s.Auth.String(), "mgr", o.Mgr)
	switch q := m.quorum.outSince; {
	case o.Mgr && !m.leading:
		m.closeSession(s) // a standby
	case m.rn == nil, m.member.leaving, !q.IsZero() && m.now.Sub(q) > m.seconds("mon_lease", 5*time.Second):
		m.closeSession(s) // others may have a quorum
	}
}

// closeManager ends the sessions with the manager that this process plays no
// more.
func (m *Mon) closeManager() {
	for _, id := range slices.Sorted(maps.Keys(m.sessions)) {
		if s := m.sessions[id]; s.Mgr {
			m.closeSession(s)
		}
	}
}

func (m *Mon) newSession(o SessionOpened) *session {
	s := &session{
		Session: service.Session{
			ID: o.ID, Name: o.Name, Addrs: o.Addrs, Features: o.Features, Mgr: o.Mgr, Opened: m.now,
		},
		id:   o.Identity,
		subs: map[string]msg.Sub{},
	}
	if id := o.Identity; id != nil {
		s.Auth, s.GlobalID = id.Name, id.GlobalID
		// A text that does not parse allows nothing.
		var err error
		if o.Mgr {
			s.MgrCaps, err = caps.ParseMgr(id.Caps["mgr"])
		} else if s.Caps, err = caps.ParseMon(id.Caps["mon"], id.Name.String()); id.Caps["mon"] == "" {
			err = nil // an account without business here
		}
		if err != nil {
			m.log.Warn("capability does not parse", "entity", id.Name.String(), "err", err)
		}
	}
	return s
}

func (m *Mon) closed(id uint64) {
	s := m.sessions[id]
	if s == nil {
		return
	}
	delete(m.sessions, id)
	m.counters.gone.Inc()
	m.counters.sessions.Set(int64(len(m.sessions)))
	if s.known {
		m.tellLeader(&sessionGone{s.ID})
		maps.DeleteFunc(m.fwd.out, func(_ uint64, r *request) bool { return r.s == s })
		delete(m.fwd.known, s.ID)
	}
	for _, c := range m.parts.closers {
		c.SessionClosed(&s.Session)
	}
}

// receive handles a message: at once, or when this monitor's state is known to be
// the newest, or when changes may be staged, which only the leader can.
func (m *Mon) receive(r *request) {
	switch b := r.body.(type) {
	case *msg.MonGetMap, *msg.MonSubscribe, *msg.MonGetVersion:
		m.read(r)
	case *msg.Auth:
		m.reauth(r.s, b, r.tid)
	case *msg.MonCommand, *msg.MgrCommand, *msg.Command:
		m.command(r)
	case *msg.MgrClose:
		if r.s.Mgr {
			m.respond(r, b)
		}
	case *msg.Ping:
		if !r.s.Mgr && m.parts.ready() {
			m.send(r.s.ID, &msg.Ping{Text: m.pong()}, r.tid)
		}
	case *msg.MgrOpen, *msg.MgrReport:
	default:
		m.queue(r)
	}
}

// serve answers what is read from this monitor's state.
func (m *Mon) serve(r *request) {
	switch b := r.body.(type) {
	case *msg.MonGetMap:
		m.respond(r, m.parts.mon.Message())
	case *msg.MonSubscribe:
		m.subscribe(r.s, b)
	case *msg.MonGetVersion:
		if p := m.parts.publisher(b.What); p != nil {
			oldest, newest := p.Versions(b.What)
			m.respond(r, &msg.MonGetVersionReply{Handle: b.Handle, Version: newest, Oldest: oldest})
		}
	default:
		if r.entry.Leader && !m.leading {
			m.queue(r) // it led when the request came
			return
		}
		m.run(r)
	}
}

// queue keeps a request until changes may be staged, or until there is a leader
// that it can be forwarded to.
func (m *Mon) queue(r *request) {
	if !m.overfull(r) {
		m.waiting = append(m.waiting, r)
	}
}

// overfull ends the session of a request for which there is no room.
func (m *Mon) overfull(r *request) bool {
	if len(m.waiting)+len(m.fwd.out)+len(m.reads.next)+len(m.reads.asked) < maxWaiting {
		return false
	}
	m.log.Warn("too many requests wait for the quorum", "session", r.s.ID, "entity", r.s.Auth.String())
	m.closeSession(r.s)
	return true
}

// reauth renews tickets on a running session.
func (m *Mon) reauth(s *session, b *msg.Auth, tid uint64) {
	if s.id == nil {
		return
	}
	reply := &msg.AuthReply{Protocol: cephx.ProtocolCephx, GlobalID: s.GlobalID}
	payload, err := m.cfg.Keys.MAuth(cephx.At(m.now, m.cfg.Rand), s.id, b.Request)
	if err != nil {
		m.log.Warn("renewal refused", "entity", s.Auth.String(), "err", err)
		reply.Result = errno.Code(err)
	}
	reply.Reply = payload
	m.send(s.ID, reply, tid)
}

// topicPerm is what a subscription needs: service and permission.
func topicPerm(topic string) (svc, perm string) {
	switch {
	case topic == "osdmap":
		return "osd", "r"
	case strings.HasPrefix(topic, "kv:"):
		return "config-key", "r"
	}
	return "", ""
}

func (m *Mon) subscribe(s *session, b *msg.MonSubscribe) {
	if b.Host != "" {
		s.Host = b.Host
	}
	if s.Mgr {
		return
	}
	for _, topic := range slices.Sorted(maps.Keys(b.What)) {
		p := m.parts.publisher(topic)
		if p == nil {
			continue // as in Ceph
		}
		if svc, perm := topicPerm(topic); svc != "" && !s.Capable(svc, perm) {
			m.log.Info("subscription refused", "entity", s.Auth.String(), "topic", topic)
			continue
		}
		s.subs[topic] = b.What[topic]
		m.publishTo(s, topic, p)
	}
}

// publishTo sends what a session waits for, if it is there.
func (m *Mon) publishTo(s *session, topic string, p service.Publisher) {
	sub := s.subs[topic]
	bodies, next := p.Publish(&s.Session, topic, sub.Start)
	for _, b := range bodies {
		m.send(s.ID, b, 0)
	}
	switch {
	case len(bodies) > 0 && sub.OneTime:
		delete(s.subs, topic)
	default:
		sub.Start = next
		s.subs[topic] = sub
	}
}

// publish tells subscribers what the last commits changed.
func (m *Mon) publish() {
	if len(m.changed) == 0 {
		return
	}
	news := map[service.Publisher]bool{}
	for name := range m.changed {
		for _, p := range m.parts.news(name) {
			news[p] = true
		}
	}
	clear(m.changed)
	for _, id := range slices.Sorted(maps.Keys(m.sessions)) {
		s := m.sessions[id]
		for _, topic := range slices.Sorted(maps.Keys(s.subs)) {
			if p := m.parts.publisher(topic); p != nil && news[p] {
				m.publishTo(s, topic, p)
			}
		}
	}
}

// peerName is how the audit log names a peer: Ceph's clients have no number
// there.
func peerName(n entity.Name) string {
	if n.Type == entity.Client {
		n.Num = -1
	}
	return n.String()
}

// peerAddrs renders addresses for the audit log: those of clients without a type.
func peerAddrs(v entity.AddrVec) string {
	if len(v) == 1 && v[0].Type == entity.AddrAny {
		return v[0].Legacy()
	}
	return v.String()
}
