package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	daemon "github.com/pulpo-storage/pulpo/admin"
	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/cephx/caps"
	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/msgr"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/memstore"
	"github.com/pulpo-storage/pulpo/osd"
	"github.com/pulpo-storage/pulpo/osd/heartbeat"
	"github.com/pulpo-storage/pulpo/osd/pg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// osdHost runs an OSD's machines as node.osdHost does: a loop for the daemon's
// own, one for each shard, a line to the monitors, and the store, from which the
// replies to writes go straight to the connections.
type osdHost struct {
	w       *World
	id      int32
	name    string          // "osd.1"
	medium  *memstore.Store // between two lives
	disks   int             // that were lost
	lostIn  uint32          // the newest map when the last of them was
	retired bool            // it has a new disk, and is not purged yet

	life    int
	p       *process
	addrs   entity.AddrVec
	cluster entity.AddrVec
	disk    *disk
	options *config.Config
	osd     *osd.OSD
	loop    *loop
	shards  []*osdShard
	peers   map[int32]*peerLine
	beats   *beats
	line    *line

	stopping bool
	wanted   bool // to run
}

type osdShard struct {
	s    *osd.Shard
	h    *osdHost
	loop *loop
}

// osdShards is how many there are: enough for them to race.
const osdShards = 2

func (w *World) makeOSDs() error {
	for i := range w.plan.OSDs {
		h := &osdHost{w: w, id: int32(i), name: fmt.Sprintf("osd.%d", i), medium: memstore.NewStepped()}
		if err := h.format(); err != nil {
			return err
		}
		w.osds = append(w.osds, h)
		h.start()
	}
	return nil
}

// start begins a new life, at an address of its own.
func (h *osdHost) start() {
	h.wanted = true
	if h.p != nil && h.p.alive || h.retired {
		return
	}
	w := h.w
	h.life++
	h.stopping = false
	h.p = w.newProcess(h.name, h.life, h.accept)
	h.addrs = addrOf("v2:10.0.1.%d:6800/%d", h.id+1, h.life)
	h.cluster = addrOf("v2:10.0.1.%d:6801/%d", h.id+1, h.life)
	h.peers = map[int32]*peerLine{}
	h.beats = &beats{h: h, lines: map[beatKey]*peerLine{}}
	for side := range h.beats.addrs {
		h.beats.addrs[side] = addrOf("v2:10.0.1.%d:%d/%d", h.id+1, 6802+side, h.life)
	}
	last := h.disk
	h.disk = &disk{Store: h.medium, w: w, name: h.name, decay: decay{}}
	if last != nil {
		h.disk.slow, h.disk.decay = last.slow, last.decay
	}
	h.options = config.New(entity.AuthName{Type: entity.OSD, ID: strconv.Itoa(int(h.id))}, h.name)
	for _, kv := range w.plan.Options {
		if err := h.options.Set(kv[0], kv[1]); err != nil {
			w.fail("start", "%v", err)
			return
		}
	}
	var err error
	h.osd, err = osd.New(osd.Config{
		ID: h.id, Public: h.addrs, Cluster: h.cluster, HBFront: h.beats.addrs[heartbeat.Front], HBBack: h.beats.addrs[heartbeat.Back],
		Features: msgr.SupportedFeatures, Shards: osdShards, Options: h.options,
		Class: "ssd", Weight: 0x10000, Location: map[string]string{"root": "default", "host": fmt.Sprintf("host%d", h.id)},
		Version: daemon.Version{Number: "16.2.15", Release: "pacific", Type: "stable"},
	}, h.disk, h.p.clock())
	if err != nil {
		w.fail("start", "%v: %v", h.p, err)
		h.p.die(false)
		return
	}
	w.tracef("%v starts at %v", h.p, h.addrs)
	w.net.listen(h.p, h.addrs.String())
	w.net.listen(h.p, h.cluster.String())
	h.loop = h.p.newLoop("osd", h.step, h.osd.Wake)
	h.shards = nil
	for i, s := range h.osd.Shards() {
		sh := &osdShard{s: s, h: h}
		sh.loop = h.p.newLoop(fmt.Sprintf("shard %d", i), sh.step, s.Wake)
		h.shards = append(h.shards, sh)
		sh.loop.kick()
	}
	name := entity.Name{Type: entity.OSD, Num: int64(h.id)}
	h.line = newLine(h.p, name, h.addrs, entity.AuthName{Type: entity.OSD, ID: strconv.Itoa(int(h.id))}, 0,
		func() { h.loop.post(osd.MonConnected{}) }, h.fromMon)
	h.startBeats()
	h.loop.post(osd.Start{})
	w.stats.Restarts++
}

// kill ends the process; with silent the whole host.
func (h *osdHost) kill(silent bool) {
	h.wanted = false
	if h.p == nil || !h.p.alive {
		return
	}
	h.w.tracef("%v dies", h.p)
	h.p.die(silent)
	h.w.dark[h.name] = silent
	h.medium = h.disk.crash()
}

// stop ends the process as an administrator does.
func (h *osdHost) stop() {
	h.wanted = false
	if h.p != nil && h.p.alive && !h.stopping {
		h.stopping = true
		h.loop.post(osd.Stop{})
	}
}

// stopped is the end of a graceful stop: the store is closed with all it was given.
func (h *osdHost) stopped() {
	h.w.tracef("%v stops", h.p)
	h.p.die(false)
	h.disk.off = true
	h.disk.Sync()
	h.medium = h.disk.Store.Crash()
	if h.wanted { // meanwhile somebody has asked for it
		h.start()
	}
}

func (h *osdHost) step(ev any) {
	if ev == nil {
		ev = osd.Tick{}
	}
	h.osd.Step(h.p.clock(), ev.(osd.Event))
	h.carryOut()
}

func (h *osdHost) carryOut() {
	r := h.osd.Ready()
	if r.Fatal != nil {
		h.w.fail("fatal", "%v: %v", h.p, r.Fatal)
		return
	}
	for _, w := range r.Writes {
		err := h.disk.Submit(w.Txn, func(err error) { h.loop.post(osd.Committed{Token: w.Token, Err: err}) })
		if err != nil {
			h.w.fail("fatal", "%v: own records: %v", h.p, err)
			return
		}
	}
	for _, e := range r.ToShards {
		if n, ok := e.Event.(osd.NewMaps); ok {
			h.follow(n.Maps.Map)
		}
		for i, s := range h.shards {
			if e.Shard < 0 || e.Shard == i {
				s.loop.post(e.Event)
			}
		}
	}
	for _, ev := range r.ToHeartbeats {
		h.beats.loop.post(ev)
	}
	if r.WantFull {
		h.line.subscribe("osdmap", 0, false)
	} else if r.Subscribe != 0 {
		h.line.subscribe("osdmap", uint64(r.Subscribe), false)
	}
	for _, b := range r.ToMon {
		h.line.send(b)
	}
	for _, n := range r.Notes {
		h.note(n)
	}
	if r.Stopped {
		h.stopped()
	}
}

func (h *osdHost) note(n pg.Note) {
	if h.w.trace == nil {
		return
	}
	text := n.Text
	if n.Err != nil {
		text += ": " + n.Err.Error()
	}
	h.w.tracef("%v: pg %v %s", h.p, n.PG, text)
}

// fromMon takes what the monitors send of their own accord.
func (h *osdHost) fromMon(b msg.Body) {
	switch b := b.(type) {
	case *msg.Config:
		h.options.SetCentral(b.Options)
		return
	case *msg.OSDMap:
		newest := uint32(0)
		for e := range b.Full {
			newest = max(newest, e)
		}
		for e := range b.Incrementals {
			newest = max(newest, e)
		}
		h.line.got("osdmap", uint64(newest))
	}
	h.loop.post(osd.MonMessage{Body: b})
}

// tell sends a message to the life of an OSD that the map shows. Nobody gets it if
// the OSD is down.
func (h *osdHost) tell(m pg.PeerSend) {
	maps := h.osd.Published()
	if maps == nil || !maps.Map.IsUp(m.To) {
		m.Body.Payload().Release()
		return
	}
	addr := maps.Map.ClusterAddrs[m.To].String()
	l := h.peers[m.To]
	if l != nil && l.addr != addr {
		l.end()
		l = nil
	}
	if l == nil {
		l = &peerLine{p: h.p, addr: addr, who: h.line.who, lossless: true, redial: 200 * time.Millisecond}
		addrs := maps.Map.ClusterAddrs[m.To]
		l.refused = func() { h.refused(m.To, addrs) }
		h.peers[m.To] = l
		l.begin()
	}
	if l.conn == nil {
		l.queue = append(l.queue, m.Body)
		return
	}
	l.conn.send(m.Body, 0)
}

// follow ends the lines to those that a new map does not show.
func (h *osdHost) follow(m *osdmap.Map) {
	for _, o := range slices.Sorted(maps.Keys(h.peers)) {
		if l := h.peers[o]; !m.IsUp(o) || m.ClusterAddrs[o].String() != l.addr {
			l.end()
			delete(h.peers, o)
		}
	}
}

// fromPeer takes a message of another OSD.
func (h *osdHost) fromPeer(f *frame) {
	body, lent := h.receive(f)
	b, ok := body.(*msg.PGPeer)
	if !ok {
		h.w.fail("codec", "%v: %T of another OSD", h.p, body)
		return
	}
	h.shards[osd.ShardOf(b.PG.PG, len(h.shards))].loop.post(&pg.FromPeer{Body: b, Message: lent})
}

// accept takes a client's connection, or another OSD's.
func (h *osdHost) accept(e *end, from hello) {
	if from.target == h.cluster.String() {
		e.receive = h.fromPeer
		return
	}
	for side, a := range h.beats.addrs {
		if from.target == a.String() {
			e.receive = func(f *frame) { h.beats.take(heartbeat.Side(side), e, f) }
			return
		}
	}
	s := &pg.Session{Name: from.name, Addr: from.addrs[0], Features: msgr.SupportedFeatures, Conn: e}
	if s.Name.Type == entity.Client {
		s.Name.Num = int64(from.identity.GlobalID)
	}
	allowed, err := caps.ParseOSD(from.identity.Caps["osd"])
	if err != nil {
		h.w.fail("start", "%v", err)
	}
	s.Caps = allowed
	e.receive = func(f *frame) { h.request(s, f) }
	e.closed = func(error) {
		for _, sh := range h.shards {
			sh.loop.post(pg.SessionClosed{Session: s})
		}
	}
}

// lent are a request's buffers. When the machine is done with them they are made
// unreadable.
type lent struct {
	front []byte
	data  buffer.List
}

func (l *lent) Release() {
	for i := range l.front {
		l.front[i] = 0xdb
	}
	l.data.Release()
	l.data = nil
}

// receive makes the body of a frame, with buffers that are lent to it.
func (h *osdHost) receive(f *frame) (msg.Body, *lent) {
	data := buffer.List(nil)
	if len(f.data) > 0 {
		data = buffer.List{buffer.Copy(f.data)}
	}
	front := slices.Clone(f.front)
	body, err := msg.Decode(f.typ, f.version, f.compat, front, data)
	if err != nil {
		h.w.fail("codec", "%v: %v", h.p, err)
	}
	return body, &lent{front, data}
}

func (h *osdHost) request(s *pg.Session, f *frame) {
	body, lent := h.receive(f)
	switch b := body.(type) {
	case *msg.OSDOp:
		r := &pg.Request{Session: s, TID: f.tid, Op: b, Message: lent, Received: h.p.clock()}
		h.shards[osd.ShardOf(b.PG.PG, len(h.shards))].loop.post(r)
		return
	case *msg.OSDBackoff:
		if b.What == msg.BackoffAckBlock {
			h.shards[osd.ShardOf(b.PG.PG, len(h.shards))].loop.post(osd.ForPG{PG: b.PG, Event: pg.BackoffAck{Session: s, ID: b.ID}})
		}
	}
	lent.Release()
}

// step takes in one event and does all that the shard decides.
func (s *osdShard) step(ev any) {
	if ev == nil {
		ev = pg.Tick{}
	}
	s.s.Run(s.h.p.clock(), ev, s)
	if s.h.w.err == nil {
		s.s.Check()
	}
}

var _ osd.Shell = (*osdShard)(nil)

func (s *osdShard) Submit(txn *objstore.Txn, done func(error)) error {
	return s.h.disk.Submit(txn, done)
}

func (s *osdShard) Send(m pg.Send)         { s.h.send(m) }
func (s *osdShard) Tell(m pg.PeerSend)     { s.h.tell(m) }
func (s *osdShard) Fetch(f pg.Fetch)       { s.Failed(fmt.Errorf("%v fetches, but no client copies", f.PG)) }
func (s *osdShard) Note(n pg.Note)         { s.h.note(n) }
func (s *osdShard) Post(ev osd.ShardEvent) { s.loop.post(ev) }
func (s *osdShard) Report(ev osd.Event)    { s.h.loop.post(ev) }
func (s *osdShard) Failed(err error)       { s.h.w.fail("fatal", "%v: %v", s.h.p, err) }

// send sends a message of a machine's; its buffers go with it.
func (h *osdHost) send(m pg.Send) {
	if e, ok := m.To.Conn.(*end); ok {
		e.send(m.Body, m.TID)
	}
}
