package pg

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/memstore"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/osd/pglog"
	"github.com/pulpo-storage/pulpo/osd/recovery"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// gang is some OSDs with a copy of one group each, a monitor and a client, in one
// goroutine. Messages, maps and commits wait until they are let through, in any
// order but that of one sender to one receiver. OSDs crash and lose what is not
// durable, are marked down by mistake, come back, are moved in and out.
//
// The client appends tokens to objects, each at most once, and reads. What it was
// told of must be there in every later read.
type gang struct {
	t       testing.TB
	r       *rand.Rand
	now     time.Time
	maps    []*osdmap.Map // from first on
	first   uint32
	osds    []*member
	mail    map[[2]int32][]letter
	tid     uint64
	sess    *Session
	open    map[uint64]*ask     // unanswered
	acked   map[string][]string // tokens by object, in the order of their acknowledgements
	conf    *Config
	trace   []string
	said    []string // in the cluster's log, while somebody listens: damage is meant
	listens bool
	deaf    bool // the monitors do not hear who is wanted
	sound   int  // scrubs that found nothing
	done    int
	snaps   object.SnapContext            // of writes
	hears   func(Send)                    // what clients are sent; may be nil
	watch   func()                        // after each event; may be nil
	hold    func(PeerKind) bool           // messages that do not come through; nil: none
	charge  func() interface{ Release() } // what a request holds; nil: nothing
}

type letter struct {
	body   *msg.PGPeer
	upFrom uint32 // of the receiver
}

// member is an OSD.
type member struct {
	id    int32
	env   *Env
	store *memstore.Store
	pg    *PG
	alive bool
	has   uint32 // newest map
	// ruined is why the group could not be loaded, sick a store that is damaged.
	ruined error
	sick   *sickStore
	air    []Write
	// The OSD's places to recover, and its answers.
	places   [2]*recovery.Reserver[object.SPG]
	verdicts []Place
}

// ask is a request of the client.
type ask struct {
	tid    uint64
	object string
	token  string   // that is appended; empty: a read
	must   []string // that a read must show
	epoch  uint32   // of the map it was sent by
	to     int32
	flown  bool // to an OSD that may do it
}

var gangPG = object.SPG{PG: object.PG{Pool: testPool}, Shard: object.NoShard}

func newGang(t testing.TB, seed uint64, osds, size int) *gang {
	g := &gang{t: t, r: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1700000000, 0), mail: map[[2]int32][]letter{},
		open: map[uint64]*ask{}, acked: map[string][]string{}, first: 10}
	g.conf = DefaultConfig()
	g.conf.LogEntries, g.conf.DupsTracked, g.conf.LogTrim, g.conf.ContextCache = 1000, 1000, 10, 4
	g.sess = &Session{Name: entity.Name{Type: entity.Client, Num: 4100}}
	m := testMap(t, func(m *osdmap.Map) {
		for int(m.MaxOSD) < osds {
			m.MaxOSD++
			m.State = append(m.State, osdmap.StateExists|osdmap.StateUp)
			m.Weight = append(m.Weight, osdmap.WeightIn)
			m.Info = append(m.Info, osdmap.Info{})
			m.XInfo = append(m.XInfo, osdmap.XInfo{})
			m.UUID = append(m.UUID, entity.UUID{})
			m.ClientAddrs = append(m.ClientAddrs, nil)
			m.ClusterAddrs = append(m.ClusterAddrs, nil)
			m.HBBackAddrs = append(m.HBBackAddrs, nil)
			m.HBFrontAddrs = append(m.HBFrontAddrs, nil)
		}
		up := []int32{}
		for o := range m.MaxOSD {
			m.Info[o] = osdmap.Info{UpFrom: 5}
			if len(up) < size {
				up = append(up, o)
			}
		}
		p := m.Pools[testPool]
		p.Size, p.MinSize = uint8(size), uint8(size/2+size%2)
		p.Flags |= osdmap.PoolFlagCreating
		m.PGUpmap[gangPG.PG] = up
	})
	g.maps = []*osdmap.Map{m}
	for o := range int32(osds) {
		n := &member{id: o, store: memstore.NewStepped(), alive: true}
		n.env = g.newEnv(n)
		n.emptyPlaces()
		g.osds = append(g.osds, n)
		g.give(n)
	}
	return g
}

func (n *member) emptyPlaces() {
	n.verdicts = nil
	for k := range n.places {
		n.places[k] = recovery.NewReserver[object.SPG](1, 0)
	}
}

// place answers a wish for a place.
func (n *member) place(a PlaceAsk) {
	var list []recovery.Verdict[object.SPG]
	if a.Cancel {
		list = n.places[a.Kind].Cancel(a.PG)
	} else {
		list = n.places[a.Kind].Request(a.PG, a.Priority, true)
	}
	for _, v := range list {
		if v.Item != gangPG {
			continue
		}
		verdict := PlacePreempted
		if v.Granted {
			verdict = PlaceGranted
		}
		n.verdicts = append(n.verdicts, Place{a.Kind, verdict})
	}
}

func (g *gang) newEnv(n *member) *Env {
	var store objstore.Store = n.store
	if n.sick != nil {
		n.sick.Store = n.store
		store = n.sick
	}
	return &Env{Whoami: n.id, Store: store, Config: g.conf, Classes: objclass.Registry{}}
}

func (g *gang) newest() *osdmap.Map { return g.maps[len(g.maps)-1] }

// propose makes the next map.
func (g *gang) propose(change func(m *osdmap.Map)) {
	old := g.newest()
	m, err := osdmap.Decode(old.Encode())
	if err != nil {
		g.t.Fatal(err)
	}
	m.Epoch++
	change(m)
	if m, err = osdmap.Decode(m.Encode()); err != nil {
		g.t.Fatal(err)
	}
	g.maps = append(g.maps, m)
}

func (g *gang) log(format string, args ...any) {
	g.trace = append(g.trace, fmt.Sprintf(format, args...))
	if len(g.trace) > 4000 {
		g.trace = g.trace[1000:]
	}
}

// give gives an OSD its next map.
func (g *gang) give(n *member) {
	if !n.alive || n.has >= g.newest().Epoch {
		return
	}
	n.has = max(n.has+1, g.first)
	m := g.maps[n.has-g.first]
	if m.Epoch > g.first {
		for key := range g.mail {
			if key[0] == n.id && m.IsDown(key[1]) {
				g.mail[key] = nil
			}
		}
	}
	if n.pg != nil {
		g.step(n, MapChange{Map: m})
	}
	if n.pg != nil && n.pg.Shelved() != nil {
		n.pg, n.ruined = nil, n.pg.Shelved()
	}
	if n.pg != nil && n.pg.Gone() {
		n.pg = nil
	}
	if n.pg == nil && n.ruined == nil && m.Pools[testPool].Has(osdmap.PoolFlagCreating) && m.PGToUpActing(gangPG.PG).ActingPrimary == n.id {
		n.pg = Create(n.env, gangPG, g.maps[:m.Epoch-g.first+1], g.now)
		g.carryOut(n)
	}
}

func (g *gang) step(n *member, ev Event) {
	g.now = g.now.Add(time.Millisecond)
	n.pg.Step(g.now, ev)
	n.pg.check()
	g.carryOut(n)
	if g.watch != nil {
		g.watch()
	}
}

func (g *gang) carryOut(n *member) {
	for {
		r := n.env.Ready()
		if r.Fatal != nil {
			g.fail("osd.%d: %v", n.id, r.Fatal)
		}
		for _, s := range r.Sends {
			g.answer(s)
		}
		g.send(n, r.Peers)
		var refused []SubmitFailed
		for _, w := range slices.Clone(r.Writes) {
			if err := n.env.Store.Submit(w.Txn, nil); err != nil && g.listens {
				refused = append(refused, SubmitFailed{Token: w.Token, Err: err})
				continue
			} else if err != nil {
				g.fail("osd.%d: %v", n.id, err)
			}
			g.send(n, w.Peers)
			n.air = append(n.air, w)
		}
		for _, a := range r.Places {
			n.place(a)
		}
		for _, note := range r.Notes {
			g.log("  osd.%d: %s %v", n.id, note.Text, note.Err)
			if note.Level == NoteClusterDebug && strings.Contains(note.Text, " ok") {
				g.sound++
			}
			if g.listens {
				if note.Level >= NoteClusterWarn {
					g.said = append(g.said, note.Text)
				}
			} else if note.Level == NoteCluster {
				g.fail("osd.%d: %s: %v", n.id, note.Text, note.Err)
			}
		}
		if e := r.WantUpThru; e > 0 && g.newest().IsUp(n.id) && g.newest().Info[n.id].UpThru < e {
			g.propose(func(m *osdmap.Map) { m.Info[n.id].UpThru = e })
		}
		for _, w := range slices.Clone(r.WantTemp) {
			at := g.newest().PGToUpActing(gangPG.PG)
			if at.ActingPrimary != n.id || g.deaf {
				continue
			}
			g.log("  pg_temp %v", w.Acting)
			g.propose(func(m *osdmap.Map) {
				delete(m.PGTemp, gangPG.PG)
				if len(w.Acting) > 0 {
					m.PGTemp[gangPG.PG] = w.Acting
				}
			})
		}
		if len(refused) > 0 {
			n.pg.Step(g.now, refused[0]) // there is never more than one at a time
			continue
		}
		if len(n.verdicts) > 0 && n.pg != nil {
			v := n.verdicts[0]
			n.verdicts = n.verdicts[1:]
			n.pg.Step(g.now, v)
			n.pg.check()
			continue
		}
		if m := n.env.NextPeer(); m != nil {
			n.pg.Step(g.now, m)
			continue
		}
		if q := n.env.Next(); q != nil {
			n.pg.Step(g.now, q)
			continue
		}
		return
	}
}

func (g *gang) fail(format string, args ...any) {
	g.t.Helper()
	if len(g.trace) > 200 {
		g.trace = g.trace[len(g.trace)-200:]
	}
	g.t.Fatalf("%s\n%s", strings.Join(g.trace, "\n"), fmt.Sprintf(format, args...))
}

// send puts messages on their way to those whom the sender's map shows up.
func (g *gang) send(n *member, list []PeerSend) {
	m := g.maps[n.has-g.first]
	for _, s := range list {
		if !m.IsUp(s.To) {
			s.Body.Payload().Release()
			continue
		}
		key := [2]int32{n.id, s.To}
		g.mail[key] = append(g.mail[key], letter{s.Body, m.Info[s.To].UpFrom})
	}
}

// deliver lets the oldest message of one OSD to another through.
func (g *gang) deliver(key [2]int32) bool {
	q := g.mail[key]
	n := g.osds[key[1]]
	if len(q) == 0 {
		return false
	}
	l := q[0]
	if g.hold != nil && g.hold(PeerKind(l.body.Kind)) || n.alive && n.has < l.body.Epoch {
		return false // it waits for the map
	}
	g.mail[key] = q[1:]
	if !n.alive || g.maps[n.has-g.first].Info[n.id].UpFrom < l.upFrom {
		return true
	}
	g.log("%d>%d %v e%d", key[0], key[1], PeerKind(l.body.Kind), l.body.Epoch)
	ev := &FromPeer{Body: l.body, Message: ownData{l.body.Data}}
	if n.pg != nil && n.pg.Removing() && PeerKind(l.body.Kind) == PeerLog {
		g.mail[key] = append([]letter{l}, g.mail[key]...)
		return false
	}
	if n.pg == nil || n.pg.Removing() {
		if PeerKind(l.body.Kind) == PeerQuery {
			if n.ruined != nil {
				n.env.Ruined(ev, n.has)
			} else {
				n.env.DoesNotExist(ev, n.has)
			}
		} else if n.pg == nil && pglog.Lasts(g.maps[:n.has-g.first+1], gangPG.PG, l.body.Epoch) {
			if n.pg = Receive(n.env, ev, g.maps[n.has-g.first], g.now, n.ruined); n.pg != nil {
				n.ruined = nil
				g.step(n, ev)
			}
		}
		g.carryOut(n)
		return true
	}
	g.step(n, ev)
	if n.pg.Gone() {
		n.pg = nil
	}
	return true
}

// commit makes the oldest transaction of an OSD durable.
func (g *gang) commit(n *member) bool {
	if len(n.air) == 0 {
		return false
	}
	w := n.air[0]
	n.air = n.air[1:]
	n.store.Step(1)
	for _, s := range w.Replies {
		g.answer(s)
	}
	g.send(n, w.Acks)
	if n.pg != nil {
		g.step(n, Committed{Token: w.Token})
		if n.pg.Gone() {
			n.pg = nil
		}
	}
	return true
}

// crash ends an OSD; what is not durable is lost.
func (g *gang) crash(n *member) {
	g.log("osd.%d crashes", n.id)
	n.alive, n.pg, n.air = false, nil, nil
	n.store = n.store.Crash()
	for key := range g.mail {
		if key[0] == n.id {
			g.mail[key] = nil
		}
	}
	for _, a := range g.open {
		if a.to == n.id {
			a.flown = false
		}
	}
}

// start starts it again; the map shows it up some time.
func (g *gang) start(n *member) {
	g.log("osd.%d starts", n.id)
	n.alive = true
	n.env = g.newEnv(n)
	n.emptyPlaces()
	if _, err := n.store.Stat(objstore.PGColl(gangPG), object.ID{Pool: testPool, Snap: object.NoSnap}); err == nil {
		p, err := Load(n.env, gangPG, g.now)
		if n.ruined = err; err != nil && !g.listens {
			g.fail("osd.%d: %v", n.id, err)
		}
		n.pg = p
	}
	// It has all maps that it had, and those since.
	if g.newest().IsUp(n.id) {
		g.markDown(n.id)
	}
	g.markUp(n.id)
	from := g.first
	if n.pg != nil {
		from = max(n.pg.info.Epoch, g.first)
	}
	upFrom := g.newest().Epoch
	n.has = from - 1
	for n.has < upFrom {
		n.has++
		if n.pg != nil {
			g.step(n, MapChange{Map: g.maps[n.has-g.first], Behind: n.has < upFrom})
		}
	}
	if n.pg != nil && n.pg.Gone() {
		n.pg = nil
	}
}

func (g *gang) markDown(o int32) {
	g.log("osd.%d down e%d", o, g.newest().Epoch+1)
	g.propose(func(m *osdmap.Map) {
		m.State[o] &^= osdmap.StateUp
		if list := m.PGTemp[gangPG.PG]; len(list) > 0 && !slices.ContainsFunc(list, m.IsUp) {
			delete(m.PGTemp, gangPG.PG)
		}
	})
}

func (g *gang) markUp(o int32) {
	g.log("osd.%d up e%d", o, g.newest().Epoch+1)
	g.propose(func(m *osdmap.Map) {
		m.State[o] |= osdmap.StateUp
		m.Info[o].UpFrom = m.Epoch
	})
}

// request sends what is not answered, by the newest map.
func (g *gang) request(a *ask) {
	m := g.newest()
	to := m.PGToUpActing(gangPG.PG).ActingPrimary
	if to < 0 || !g.osds[to].alive || g.osds[to].has < m.Epoch || g.osds[to].pg == nil {
		return
	}
	if a.flown && !g.otherPrimary(a.epoch, to) {
		return // stock clients do not send it again, whoever else acts
	}
	a.flown, a.epoch, a.to = true, m.Epoch, to
	id := object.New(testPool, "", "", a.object)
	op := opRead(0, 0)
	if a.token != "" {
		op = opIn(msg.OpAppend, a.token)
		op.SetExtent(0, uint64(len(a.token)))
	}
	g.log("client asks osd.%d: %d %s %q", to, a.tid, a.object, a.token)
	r := &Request{Session: g.sess, TID: a.tid, Received: g.now, Op: &msg.OSDOp{
		PG: gangPG, Hash: id.Hash, Epoch: m.Epoch, Flags: msg.FlagAck | msg.FlagOnDisk, MTime: g.now, OID: a.object, Ops: []msg.Op{op},
		Locator: object.Locator{Pool: testPool, Hash: -1}, SnapID: object.NoSnap, SnapContext: g.snaps,
	}}
	if g.charge != nil {
		r.Message = g.charge()
	}
	g.step(g.osds[to], r)
}

// otherPrimary reports whether there was another primary since an epoch.
func (g *gang) otherPrimary(since uint32, now int32) bool {
	for _, m := range g.maps[since-g.first:] {
		if m.PGToUpActing(gangPG.PG).ActingPrimary != now {
			return true
		}
	}
	return false
}

// ask makes a request.
func (g *gang) ask(name string, write bool) {
	g.tid++
	a := &ask{tid: g.tid, object: name}
	if write {
		a.token = fmt.Sprintf("<%d>", g.tid)
	} else {
		a.must = slices.Clone(g.acked[name])
	}
	g.open[a.tid] = a
	g.request(a)
}

func (g *gang) answer(s Send) {
	if g.hears != nil {
		g.hears(s)
	}
	switch b := s.Body.(type) {
	case *msg.OSDOpReply:
		a := g.open[s.TID]
		if a == nil {
			return // it was sent twice
		}
		delete(g.open, s.TID)
		g.done++
		g.log("  answer to %d: %d", s.TID, b.Result)
		if a.token != "" {
			if b.Result < 0 {
				g.fail("write %d: %d", a.tid, b.Result)
			}
			g.acked[a.object] = append(g.acked[a.object], a.token)
			return
		}
		content := string(b.Ops[0].Out.Bytes())
		for _, token := range a.must {
			if n := strings.Count(content, token); n != 1 {
				g.fail("read %d of %s shows %q %d times: %q", a.tid, a.object, token, n, content)
			}
		}
	case *msg.OSDBackoff:
		if b.What == msg.BackoffUnblock {
			for _, a := range g.open {
				a.flown = false
			}
		}
	}
}

// fuss does one thing at random.
func (g *gang) fuss(faults bool) {
	n := g.osds[g.r.IntN(len(g.osds))]
	switch k := g.r.IntN(100); {
	case k < 45:
		g.deliver([2]int32{int32(g.r.IntN(len(g.osds))), n.id})
	case k < 65:
		g.commit(n)
	case k < 78:
		g.give(n)
	case k < 92:
		if len(g.open) < 8 {
			g.ask(fmt.Sprintf("o%d", g.r.IntN(4)), g.r.IntN(3) > 0)
		}
		for _, tid := range slices.Sorted(keys(g.open)) {
			if a := g.open[tid]; a != nil {
				g.request(a)
			}
		}
	case k < 95 && n.alive && n.pg != nil:
		g.now = g.now.Add(time.Duration(g.r.IntN(3000)) * time.Millisecond)
		if at := n.pg.Wake(); !at.IsZero() && !g.now.Before(at) {
			g.step(n, Tick{})
		}
	case faults && k == 95 && g.up() > 1:
		if n.alive {
			g.crash(n)
			if g.r.IntN(2) == 0 && g.newest().IsUp(n.id) {
				g.markDown(n.id)
			}
		}
	case faults && k == 96:
		if !n.alive {
			g.start(n)
		} else if g.newest().IsDown(n.id) {
			g.markUp(n.id)
		}
	case faults && k == 97 && g.r.IntN(2) == 0:
		if g.newest().IsUp(n.id) {
			g.markDown(n.id)
		}
	case faults && k == 98 && g.r.IntN(3) == 0:
		g.move()
	}
}

func keys[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (g *gang) up() (n int) {
	for _, o := range g.osds {
		if o.alive {
			n++
		}
	}
	return n
}

// move puts the group on other OSDs.
func (g *gang) move() {
	size := int(g.newest().Pools[testPool].Size)
	to := []int32{}
	for _, o := range g.r.Perm(len(g.osds))[:size] {
		to = append(to, int32(o))
	}
	g.log("moves to %v e%d", to, g.newest().Epoch+1)
	g.propose(func(m *osdmap.Map) { m.PGUpmap[gangPG.PG] = to })
}

// heal lets all OSDs live, and waits until the group is clean and all requests
// are answered.
func (g *gang) heal() {
	g.log("heal")
	for _, n := range g.osds {
		if !n.alive {
			g.start(n)
		} else if g.newest().IsDown(n.id) {
			g.markUp(n.id)
		}
	}
	for round := range 4000 {
		busy := false
		for _, n := range g.osds {
			for n.has < g.newest().Epoch {
				g.give(n)
				busy = true
			}
			for g.commit(n) {
				busy = true
			}
		}
		for from := range g.osds {
			for to := range g.osds {
				for g.deliver([2]int32{int32(from), int32(to)}) {
					busy = true
				}
			}
		}
		for _, tid := range slices.Sorted(keys(g.open)) {
			if a := g.open[tid]; a != nil {
				g.request(a)
			}
		}
		if !busy {
			if p := g.primary(); p != nil && p.clean() && len(g.open) == 0 && g.copies() {
				return
			}
			g.now = g.now.Add(time.Second)
			for _, n := range g.osds {
				if n.pg == nil {
					continue
				}
				g.step(n, Tick{})
				// A map of a chunk takes many.
				for at := n.pg.scrub.next; !at.IsZero() && !g.now.Before(at); at = n.pg.scrub.next {
					g.step(n, Tick{})
				}
			}
			if round > 200 {
				break
			}
		}
	}
	for _, n := range g.osds {
		if n.pg != nil {
			for o, i := range n.pg.missing.All() {
				g.log("osd.%d lacks %v %v", n.id, o, i)
			}
			g.log("osd.%d e%d role %d %v %v waits %v choice %+v missing %d %v", n.id, n.has, n.pg.role, n.pg.peering.state, n.pg.State(),
				n.pg.peering.waiting, n.pg.peering.choice, n.pg.missing.Len(), n.pg.info.String())
			for o, q := range n.pg.peering.peers {
				g.log("   peer %d member %v started %v known %v from %v missing %d %v", o, q.member, q.started, q.known, q.from, q.missing.Len(), q.info.String())
			}
		}
	}
	g.fail("does not heal: %d requests are open, map %d up %v acting %v", len(g.open), g.newest().Epoch, g.newest().PGToUpActing(gangPG.PG).Up,
		g.newest().PGToUpActing(gangPG.PG).Acting)
}

func (g *gang) primary() *PG {
	o := g.newest().PGToUpActing(gangPG.PG).ActingPrimary
	if o < 0 || g.osds[o].pg == nil || !g.osds[o].pg.isPrimary() {
		return nil
	}
	return g.osds[o].pg
}

// copies reports whether no OSD that should not has a copy.
func (g *gang) copies() bool {
	at := g.newest().PGToUpActing(gangPG.PG)
	for _, n := range g.osds {
		if n.pg != nil && !slices.Contains(at.Acting, n.id) {
			return false
		}
	}
	return true
}

// compare checks that all copies are the same, and have what was acknowledged.
func (g *gang) compare() {
	at := g.newest().PGToUpActing(gangPG.PG)
	var want string
	for i, o := range at.Acting {
		n := g.osds[o]
		got := g.content(n)
		if i == 0 {
			want = got
		} else if got != want {
			g.fail("osd.%d has\n%s\nosd.%d\n%s", o, got, at.Acting[0], want)
		}
	}
	for name, tokens := range g.acked {
		l, err := g.osds[at.Acting[0]].store.Read(objstore.PGColl(gangPG), object.New(testPool, "", "", name), 0, 1<<20)
		if err != nil {
			g.fail("%s: %v", name, err)
		}
		for _, token := range tokens {
			if c := strings.Count(string(l.Bytes()), token); c != 1 {
				g.fail("%s has %q %d times: %q", name, token, c, l.Bytes())
			}
		}
		l.Release()
	}
}

func (g *gang) content(n *member) string {
	var b strings.Builder
	ids, _, err := n.store.List(n.pg.coll, object.MinID, 1000)
	if err != nil {
		g.fail("%v", err)
	}
	for _, id := range ids {
		if id == n.pg.meta {
			continue
		}
		l, err := n.store.Read(n.pg.coll, id, 0, 1<<20)
		if err != nil {
			g.fail("%v", err)
		}
		attrs, err := n.store.Attrs(n.pg.coll, id)
		if err != nil {
			g.fail("%v", err)
		}
		fmt.Fprintf(&b, "%v %q %x %x\n", id, l.Bytes(), attrs[attrInfo], attrs[attrSnaps])
		l.Release()
	}
	st := &n.pg.info.Stats // reads are counted where they are done
	fmt.Fprintf(&b, "%v %d objects %d bytes\n", n.pg.info.LastUpdate, st.Objects, st.Bytes)
	return b.String()
}

// With nothing wrong a group of three becomes clean and serves.
func TestGangServes(t *testing.T) {
	t.Parallel()
	g := newGang(t, 1, 3, 3)
	for range 3000 {
		g.fuss(false)
	}
	g.heal()
	g.compare()
	if g.done < 50 {
		t.Fatalf("%d requests done", g.done)
	}
}

// A group for which CRUSH finds fewer OSDs than the pool wants keeps the copies that
// it has, and is at rest with them; when there are places again it goes there.
func TestGangHasTooFewPlaces(t *testing.T) {
	t.Parallel()
	for size := 2; size <= 3; size++ {
		g := newGang(t, 1, size, size)
		for range 1000 {
			g.fuss(false)
		}
		g.heal()
		full := g.newest().PGUpmap[gangPG.PG]
		for few := size - 1; few >= 1; few-- {
			before := g.newest().Epoch
			g.propose(func(m *osdmap.Map) { m.PGUpmap[gangPG.PG] = full[size-few:] })
			g.heal()
			g.compare()
			at, state := g.newest().PGToUpActing(gangPG.PG), g.primary().State()
			if len(at.Acting) != size || state != msg.PGActive|msg.PGClean|msg.PGRemapped {
				t.Errorf("with %d of %d places: acting %v, %v", few, size, at.Acting, state)
			}
			if n := g.newest().Epoch - before; n > 8 {
				t.Errorf("with %d of %d places: %d maps until there was rest", few, size, n)
			}
			if s := g.primary().objectStats(); s.Degraded != 0 || s.Misplaced != s.Objects*int64(size-few) {
				t.Errorf("with %d of %d places: %d of %d objects degraded, %d misplaced", few, size, s.Degraded, s.Objects, s.Misplaced)
			}
		}
		g.propose(func(m *osdmap.Map) { m.PGUpmap[gangPG.PG] = full })
		g.heal()
		if at, state := g.newest().PGToUpActing(gangPG.PG), g.primary().State(); !slices.Equal(at.Acting, full) || state != msg.PGActive|msg.PGClean {
			t.Errorf("with all places again: acting %v, %v", at.Acting, state)
		}
	}
}

// The monitors let OSDs act that have nothing of a clean group (osd pg-temp). They
// ask for those that have it, and keep nothing.
func TestGangPassesByWhoHasNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			g := newGang(t, seed, 5, 2+int(seed%2))
			for range 500 {
				g.fuss(false)
			}
			g.heal()
			g.propose(func(m *osdmap.Map) { m.Pools[testPool].Flags &^= osdmap.PoolFlagCreating })
			for range 10 {
				g.heal()
				g.compare()
				if at := g.newest().PGToUpActing(gangPG.PG); !slices.Equal(at.Up, at.Acting) {
					t.Fatalf("up %v acting %v", at.Up, at.Acting)
				}
				temp := []int32{}
				for _, o := range g.r.Perm(len(g.osds))[:1+g.r.IntN(3)] {
					temp = append(temp, int32(o))
				}
				g.log("pg_temp %v by an operator e%d", temp, g.newest().Epoch+1)
				g.propose(func(m *osdmap.Map) { m.PGTemp[gangPG.PG] = temp })
				if g.r.IntN(2) == 0 {
					g.propose(func(m *osdmap.Map) { delete(m.PGTemp, gangPG.PG) }) // before anybody has done anything
				}
				for range g.r.IntN(60) {
					g.fuss(false)
				}
			}
		})
	}
}

// OSDs crash, come back, are marked down by mistake, and the group is moved about:
// nothing that was acknowledged is lost, no read is stale, nothing is done twice,
// and in the end all copies are the same and no other is left.
func TestGangSurvives(t *testing.T) {
	t.Parallel()
	seeds, from := uint64(60), uint64(0)
	if v := os.Getenv("GANG_SEED"); v != "" {
		fmt.Sscan(v, &from)
		seeds = 1
	} else if v := os.Getenv("GANG_SEEDS"); v != "" {
		fmt.Sscan(v, &seeds)
	}
	for i := range seeds {
		seed := from + i
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			size := 2 + int(seed%2)
			g := newGang(t, seed, size+int(seed/2%3), size)
			for range 4000 {
				g.fuss(true)
			}
			g.heal()
			g.compare()
		})
	}
}
