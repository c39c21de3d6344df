package sim

import (
	"maps"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
)

// line is a party's line to the monitors, as monclient's: a session with one of
// them, another one when it is lost, and what was asked for is asked again.
type line struct {
	p     *process
	who   hello
	subs  map[string]msg.Sub
	calls map[uint64]*call
	// opened is told of each new session, receive of what no call waits for.
	opened  func()
	receive func(b msg.Body)

	conn    *end // the session
	try     int  // number of the attempt
	lastTID uint64
}

// call is a question that waits for its answer.
type call struct {
	body func() msg.Body // makes it, for each attempt
	done func(b msg.Body)
}

// newLine begins to look for a monitor. The identity's global id may be zero.
func newLine(p *process, name entity.Name, addrs entity.AddrVec, auth entity.AuthName, globalID uint64, opened func(), receive func(msg.Body)) *line {
	all := map[string]string{"mon": "allow *", "osd": "allow *", "mgr": "allow *"}
	l := &line{
		p: p, subs: map[string]msg.Sub{}, calls: map[uint64]*call{}, opened: opened, receive: receive,
		who: hello{name: name, addrs: addrs, identity: &cephx.Identity{Name: auth, GlobalID: globalID, Method: cephx.MethodCephx, Caps: all}},
	}
	l.hunt()
	return l
}

// huntTimeout is how long a monitor may take to let us in.
const huntTimeout = 3 * time.Second

// hunt tries a monitor.
func (l *line) hunt() {
	w := l.p.w
	l.try++
	try := l.try
	again := func() {
		if l.try == try {
			l.try++
			l.p.after(50*time.Millisecond+w.upTo("hunt", time.Second), l.hunt)
		}
	}
	m := w.mons[int(w.upTo("monitor", time.Duration(len(w.mons))))]
	w.net.dial(l.p, m.addr.String(), l.who, false, func(e *end, err error) {
		if err != nil {
			again()
			return
		}
		e.closed = func(error) { again() }
		e.receive = func(f *frame) {
			b, err := f.decode()
			reply, ok := b.(*msg.AuthReply)
			if err != nil || !ok {
				w.fail("codec", "%v: %T before the login: %v", l.p, b, err)
				return
			}
			if l.try != try {
				e.close()
				return
			}
			l.open(e, reply.GlobalID)
		}
		l.p.after(huntTimeout, func() {
			if l.conn != e && e.open {
				e.close()
				again()
			}
		})
	})
}

func (l *line) open(e *end, globalID uint64) {
	w := l.p.w
	l.conn, l.who.identity.GlobalID = e, globalID
	for _, c := range w.checks {
		if c.loggedIn != nil {
			c.loggedIn(l.p, globalID)
		}
	}
	e.closed = func(error) {
		l.conn = nil
		l.p.after(w.upTo("hunt", time.Second), l.hunt)
	}
	e.receive = func(f *frame) {
		b, err := f.decode()
		if err != nil {
			w.fail("codec", "%v: %v", l.p, err)
			return
		}
		if c := l.calls[f.tid]; c != nil && f.tid != 0 {
			delete(l.calls, f.tid)
			c.done(b)
			return
		}
		l.receive(b)
	}
	if len(l.subs) > 0 {
		e.send(&msg.MonSubscribe{What: maps.Clone(l.subs), Host: l.p.name}, 0)
	}
	for _, tid := range slices.Sorted(maps.Keys(l.calls)) {
		e.send(l.calls[tid].body(), tid)
	}
	l.opened()
}

// send sends a message if there is a session.
func (l *line) send(b msg.Body) {
	if l.conn != nil {
		l.conn.send(b, 0)
	}
}

// call asks until there is an answer.
func (l *line) call(body func() msg.Body, done func(b msg.Body)) {
	l.lastTID++
	l.calls[l.lastTID] = &call{body, done}
	if l.conn != nil {
		l.conn.send(body(), l.lastTID)
	}
}

// subscribe is monclient's: the last word counts.
func (l *line) subscribe(what string, start uint64, onetime bool) {
	want := msg.Sub{Start: start, OneTime: onetime}
	if s, ok := l.subs[what]; ok && s == want {
		return
	}
	l.subs[what] = want
	l.send(&msg.MonSubscribe{What: map[string]msg.Sub{what: want}, Host: l.p.name})
}

// got tells which version has arrived.
func (l *line) got(what string, version uint64) {
	s, ok := l.subs[what]
	switch {
	case !ok || version < s.Start:
	case s.OneTime:
		delete(l.subs, what)
	default:
		s.Start = version + 1
		l.subs[what] = s
	}
}
