package sim

import (
	"fmt"
	"io"
	"time"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/msgr"
)

// fsid is that of all clusters here.
var fsid = msg.FSID{0x50, 0x75, 0x6c, 0x70, 0x6f, 0x20, 0x73, 0x69, 0x6d}

// monitor runs a monitor's machine as node.monHost does: one loop, which waits
// for each write.
type monitor struct {
	w    *World
	name string // "mon.a"
	id   string // "a"
	addr entity.AddrVec
	db   *monDisk
	lots io.Reader // raft's

	life int
	p    *process
	m    *mon.Mon
	loop *loop
	slow time.Duration // of the disk

	sessions map[uint64]*end
	lastID   uint64
	logins   map[uint64]login // that wait for a global id, by token
	lines    map[string]*peerLine
}

type login struct {
	e    *end
	from hello
}

func addrOf(format string, args ...any) entity.AddrVec {
	v, err := entity.ParseAddrVec(fmt.Sprintf(format, args...))
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return v
}

// makeMonitors founds a cluster.
func (w *World) makeMonitors() error {
	g := mon.Genesis{Genesis: service.Genesis{FSID: fsid, Created: birth, Rand: w.bytes("genesis")}}
	for i := range w.plan.Mons {
		id := string(rune('a' + i))
		m := &monitor{
			w: w, name: "mon." + id, id: id, addr: addrOf("v2:10.0.0.%d:3300/0", i+1), db: newMonDisk(), lots: w.bytes("raft " + id),
		}
		w.mons = append(w.mons, m)
		g.Mons = append(g.Mons, mon.Member{Name: id, Addrs: m.addr})
	}
	ops, err := mon.Bootstrap(g)
	if err != nil {
		return err
	}
	for _, m := range w.mons {
		m.db.write(ops, true)
		m.start()
	}
	return nil
}

func (m *monitor) start() {
	if m.p != nil && m.p.alive {
		return
	}
	m.life++
	m.p = m.w.newProcess(m.name, m.life, m.accept)
	m.sessions, m.logins = map[uint64]*end{}, map[uint64]login{}
	m.lines = map[string]*peerLine{}
	drawing(m.lots, func() {
		var err error
		m.m, err = mon.New(mon.Config{
			Name: m.id, FSID: fsid, Addrs: m.addr, Rand: m.w.bytes(m.p.String()), Keys: cephx.NewKeyServer(cephx.TTLs{}, nil), Options: m.w.plan.options(),
			Metadata: map[string]string{"hostname": m.name},
			Manager:  mon.Manager{Name: m.id, Addrs: addrOf("v2:%v:6800/1", m.addr[0].AP.Addr()), Features: msgr.SupportedFeatures},
		}, m.db, m.p.clock())
		if err != nil {
			m.w.fail("start", "%v: %v", m.p, err)
		}
	})
	if m.m == nil {
		m.p.die(false)
		return
	}
	m.w.tracef("%v starts", m.p)
	m.w.net.listen(m.p, m.addr.String())
	m.loop = m.p.newLoop(m.name, m.step, m.m.Wake)
	m.loop.kick()
}

// kill ends the process. What it was writing may have been written.
func (m *monitor) kill(silent bool) {
	if m.p == nil || !m.p.alive {
		return
	}
	m.w.tracef("%v dies", m.p)
	m.p.die(silent)
	m.w.dark[m.name] = silent
	m.db.crash(int(m.w.upTo("crash "+m.name, time.Duration(len(m.db.undo)+1))))
}

func (m *monitor) step(ev any) {
	if ev == nil {
		ev = mon.Tick{}
	}
	drawing(m.lots, func() { m.m.Step(m.p.clock(), ev.(mon.Event)) })
	m.carryOut()
}

// carryOut does what the machine decided, up to the next write.
func (m *monitor) carryOut() {
	for {
		var r mon.Ready
		drawing(m.lots, func() { r = m.m.Ready() })
		switch {
		case r.Err != nil:
			m.w.fail("fatal", "%v: %v", m.p, r.Err)
			return
		case r.Empty():
			m.m.Check()
			return
		case r.Batch == nil:
			m.deliver(r)
			continue
		}
		// A crash from here on may keep it or not.
		m.db.write(r.Batch, false)
		delay := 5 * time.Microsecond
		if r.Sync {
			delay = 100*time.Microsecond + m.w.upTo("disk "+m.name, time.Millisecond) + m.slow
		}
		m.loop.hold()
		m.p.after(delay, func() {
			if r.Sync {
				m.db.undo = nil
			}
			m.deliver(r)
			drawing(m.lots, func() { m.m.Step(m.p.clock(), mon.Persisted{}) })
			m.loop.release()
			m.carryOut()
		})
		return
	}
}

// deliver does what comes after the write.
func (m *monitor) deliver(r mon.Ready) {
	for _, s := range r.Peers {
		m.tell(s)
	}
	for _, s := range r.Sends {
		if e := m.sessions[s.Session]; e != nil {
			e.send(s.Body, s.TID)
		}
	}
	for _, g := range r.GlobalIDs {
		l, ok := m.logins[g.Token]
		delete(m.logins, g.Token)
		if ok && l.e.open {
			l.from.identity.GlobalID = g.ID
			m.open(l.e, l.from)
		}
	}
	for _, id := range r.Closes {
		if e := m.sessions[id]; e != nil {
			m.leave(id)
			e.close()
		}
	}
}

// tell sends a message to another monitor, or drops it if there is no line: the
// machine sends again what matters.
func (m *monitor) tell(s mon.PeerSend) {
	key := s.To
	if key == "" {
		key = s.Addrs.String()
	}
	l := m.lines[key]
	if l != nil && l.addr != s.Addrs.String() {
		l.end()
		l = nil
	}
	if l == nil {
		l = &peerLine{
			p: m.p, addr: s.Addrs.String(), who: hello{name: entity.Name{Type: entity.Mon}, addrs: m.addr}, patience: monPatience, redial: 50 * time.Millisecond,
			up:   func() { m.loop.post(mon.Connected{Name: s.To}) },
			down: func() { m.loop.post(mon.Disconnected{Name: s.To}) },
		}
		m.lines[key] = l
		l.begin()
	}
	if l.conn != nil {
		l.conn.send(&msg.MonPeer{FSID: fsid, From: m.id, Text: s.Data}, 0)
	}
}

// monPatience is how soon a monitor makes a line anew that is silent.
const monPatience = 5 * time.Second

func (m *monitor) fromPeer(f *frame) {
	b, err := f.decode()
	p, ok := b.(*msg.MonPeer)
	if err != nil || !ok {
		m.w.fail("codec", "%v: %T: %v", m.p, b, err)
		return
	}
	m.loop.post(mon.FromPeer{From: p.From, Data: p.Text})
}

// accept begins the login of a session: who has no global id yet gets one first.
func (m *monitor) accept(e *end, from hello) {
	if from.name.Type == entity.Mon {
		e.receive, e.patience = m.fromPeer, monPatience
		return
	}
	id := *from.identity
	from.identity = &id
	e.receive = func(*frame) {} // nothing comes before the login
	if id.GlobalID != 0 {
		m.open(e, from)
		return
	}
	m.lastID++
	m.logins[m.lastID] = login{e, from}
	m.loop.post(mon.WantGlobalID{Token: m.lastID})
}

func (m *monitor) open(e *end, from hello) {
	m.lastID++
	id := m.lastID
	m.sessions[id] = e
	name := from.name
	if name.Type == entity.Client {
		name.Num = int64(from.identity.GlobalID)
	}
	e.send(&msg.AuthReply{Protocol: cephx.ProtocolCephx, GlobalID: from.identity.GlobalID}, 0)
	m.loop.post(mon.SessionOpened{ID: id, Name: name, Addrs: from.addrs, Features: msgr.SupportedFeatures, Identity: from.identity})
	e.receive = func(f *frame) {
		b, err := f.decode()
		if err != nil {
			m.w.fail("codec", "%v: %v", m.p, err)
			return
		}
		m.loop.post(mon.Received{ID: id, Body: b, TID: f.tid})
	}
	e.closed = func(error) { m.leave(id) }
}

func (m *monitor) leave(id uint64) {
	delete(m.sessions, id)
	m.loop.post(mon.SessionClosed{ID: id})
}
