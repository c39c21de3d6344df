package heartbeat

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Config is the machine's settings; [Configuration] reads them from options.
type Config struct {
	Interval   time.Duration // between pings of a peer
	Grace      time.Duration // without an answer
	Again      time.Duration // between reports of a failure that lasts
	MinPeers   int
	Size       int     // of a ping, bytes
	MinHealthy float64 // part of the peers without which we are the sick one
	FastFail   bool    // report who refuses connections
	Reporters  int     // parts of the tree that it takes to report an OSD
	Level      string  // of the tree: "host"
}

// Configuration are the settings by the options.
func Configuration(c *config.Config) Config {
	return Config{
		Interval:   time.Duration(max(c.Int("osd_heartbeat_interval"), 1)) * time.Second,
		Grace:      time.Duration(max(c.Int("osd_heartbeat_grace"), 1)) * time.Second,
		Again:      time.Duration(max(c.Int("osd_mon_report_interval"), 1)) * time.Second,
		MinPeers:   int(c.Int("osd_heartbeat_min_peers")),
		Size:       int(min(max(c.Int("osd_heartbeat_min_size"), 0), 60000)),
		MinHealthy: c.Float("osd_heartbeat_min_healthy_ratio"),
		FastFail:   c.Bool("osd_fast_fail_on_connection_refused"),
		Reporters:  int(c.Int("mon_osd_min_down_reporters")),
		Level:      c.Get("mon_osd_reporter_subtree_level"),
	}
}

// Event is an input of the machine: [Maps], [Groups], [Configure], [Received],
// [Refused], [MonConnected], [Stopped] or [Tick].
type Event any

// Maps is the newest map.
type Maps struct {
	Map *osdmap.Map
	Up  bool // it shows this process as up
	// Waiting: it does not, though the process was; nobody asks to be marked up
	// again before enough peers answer.
	Waiting bool
}

// Groups are the OSDs with which groups that this OSD is the primary of are
// shared.
type Groups struct{ OSDs []int32 }

// Configure replaces the settings.
type Configure struct{ Config Config }

// Received is a ping or an answer. Who has authenticated as another than the ping
// says is not let through by the shell.
type Received struct {
	Side Side
	Ping *msg.OSDPing
	From any // where an answer goes, given back
}

// Refused says that nobody listens at an address of an OSD.
type Refused struct {
	OSD   int32
	Addrs entity.AddrVec // that were tried, of either side or of the other messengers
}

// MonConnected says that there is a connection to a monitor, a new one: it may
// know nothing of what was reported.
type MonConnected struct{}

// Stopped ends the pings: this OSD goes.
type Stopped struct{}

// Tick lets time pass.
type Tick struct{}

// Ready is what the machine decided.
type Ready struct {
	// Pings are to be sent, by connections that are made as needed.
	Pings []Send
	// Answers go back on the connections that the questions came by.
	Answers []Answer
	// Drop are peers whose connections end, before Pings may begin new ones.
	Drop []int32
	// ToMon are reports for the monitors.
	ToMon []msg.Body
	// Newer, if not zero, is the epoch of a map that another OSD has and in which
	// this one is down.
	Newer uint32
	// Behind are OSDs whose map is older than ours: they are sent what they lack.
	Behind []Behind
}

// Behind is where to send maps, as From of what was received there, and after which
// epoch they begin.
type Behind struct {
	To    any
	Epoch uint32
}

// Send is a ping.
type Send struct {
	To    int32
	Side  Side
	Addrs entity.AddrVec
	Body  *msg.OSDPing
}

// Answer is the answer to a ping, or word that its sender is down.
type Answer struct {
	To   any
	Body *msg.OSDPing
}

// Status is what the machine knows, for others to read.
type Status struct {
	Peers   []int32
	Times   []msg.PingTimes // of those that have answered, by peer
	Healthy bool            // enough peers answer: if we seem dead it is not our fault
}

// Machine is the heartbeats of one OSD.
type Machine struct {
	whoami int32
	fsid   entity.UUID
	cfg    Config

	m      *osdmap.Map
	up     bool // this process is, by the map
	active bool // somebody is pinged
	groups []int32
	peers  map[int32]*peer
	died   uint32 // newest epoch of which we were told that we are down
	told   map[int32]told

	nextPing  time.Time
	nextCheck time.Time
	stamp     int64
	jitter    uint32
	stopped   bool

	status atomic.Pointer[Status]
	ready  Ready
	taken  bool
}

// told is the newest epoch that an OSD was sent by us, and when.
type told struct {
	epoch uint32
	at    time.Time
}

// New makes the heartbeats of an OSD. Nobody is pinged before the first map.
func New(whoami int32, fsid entity.UUID, cfg Config) *Machine {
	h := &Machine{whoami: whoami, fsid: fsid, cfg: cfg, peers: map[int32]*peer{}, told: map[int32]told{}, jitter: uint32(whoami)*2654435761 + 1}
	h.status.Store(&Status{Healthy: true})
	return h
}

// Status is the newest. It may be called from any goroutine; it is read only.
func (h *Machine) Status() *Status { return h.status.Load() }

// Ready returns what was decided since the last call.
func (h *Machine) Ready() Ready {
	h.renew()
	h.taken = true
	return h.ready
}

func (h *Machine) renew() {
	if h.taken {
		h.taken, h.ready = false, Ready{}
	}
}

// checkEvery is how often to look for answers that are overdue.
const checkEvery = time.Second

// Wake is when the machine wants a Tick; zero before the first map.
func (h *Machine) Wake() time.Time {
	if h.m == nil || h.stopped {
		return time.Time{}
	}
	if h.nextCheck.Before(h.nextPing) {
		return h.nextCheck
	}
	return h.nextPing
}

// Step takes in one event.
func (h *Machine) Step(now time.Time, in Event) {
	h.renew()
	if h.stopped {
		return
	}
	switch in := in.(type) {
	case Maps:
		h.m, h.up = in.Map, in.Up
		h.active = in.Up || in.Waiting
		h.follow(now)
	case Groups:
		h.groups = in.OSDs
		h.follow(now)
	case Configure:
		h.cfg = in.Config
		h.follow(now)
	case Received:
		h.received(now, in)
	case Refused:
		h.refused(now, in)
	case MonConnected:
		for _, p := range h.sorted() {
			if !p.reported.IsZero() {
				h.report(now, p)
			}
		}
	case Stopped:
		h.stopped = true
		h.ready.Drop = append(h.ready.Drop, slices.Sorted(maps.Keys(h.peers))...)
		clear(h.peers)
	case Tick:
		h.tick(now)
	default:
		panic(fmt.Sprintf("BUG: heartbeat: event %T", in))
	}
}

func (h *Machine) sorted() []*peer {
	list := make([]*peer, 0, len(h.peers))
	for _, o := range slices.Sorted(maps.Keys(h.peers)) {
		list = append(list, h.peers[o])
	}
	return list
}

// follow makes the peers those that the map and the groups call for.
func (h *Machine) follow(now time.Time) {
	if h.m == nil {
		return
	}
	m := h.m
	for _, p := range h.sorted() {
		if !m.IsUp(p.osd) || m.Info[p.osd].UpFrom != p.upFrom {
			h.drop(p)
		}
	}
	maps.DeleteFunc(h.told, func(o int32, _ told) bool { return !m.IsUp(o) })
	have := map[int32]bool{}
	for o := range h.peers {
		have[o] = true
	}
	var want []int32
	if h.active {
		want = choose(m, h.whoami, h.groups, have, &h.cfg)
	}
	for _, p := range h.sorted() {
		if !slices.Contains(want, p.osd) {
			h.withdraw(p)
			h.drop(p)
		}
	}
	for _, o := range want {
		if h.peers[o] != nil {
			continue
		}
		p := &peer{osd: o, upFrom: m.Info[o].UpFrom, addrs: [2]entity.AddrVec{Back: m.HBBackAddrs[o], Front: m.HBFrontAddrs[o]}, public: m.ClientAddrs[o]}
		if len(p.addrs[Back])+len(p.addrs[Front]) == 0 {
			continue // it does not take pings
		}
		h.peers[o] = p
		// At once: the first answer is what shows that it is alive.
		h.ping(now, p)
	}
	if h.nextPing.IsZero() {
		h.schedule(now)
		h.nextCheck = now.Add(checkEvery)
	}
	h.publish(now)
}

func (h *Machine) drop(p *peer) {
	delete(h.peers, p.osd)
	h.ready.Drop = append(h.ready.Drop, p.osd)
}

// schedule sets the next round. OSDs that were started together shall not ping
// together.
func (h *Machine) schedule(now time.Time) {
	h.jitter = h.jitter*1664525 + 1013904223
	half := h.cfg.Interval / 2
	h.nextPing = now.Add(half + half*time.Duration(h.jitter>>16)>>16)
}

func (h *Machine) ping(now time.Time, p *peer) {
	h.stamp = max(h.stamp+1, now.UnixNano())
	p.sent(now, h.stamp, h.cfg.Grace)
	for side, addrs := range p.addrs {
		if len(addrs) > 0 {
			h.ready.Pings = append(h.ready.Pings, Send{p.osd, Side(side), addrs, h.body(msg.PingAsk, h.stamp)})
		}
	}
}

func (h *Machine) body(op msg.PingOp, stamp int64) *msg.OSDPing {
	b := &msg.OSDPing{FSID: h.fsid, From: h.whoami, Op: op, Stamp: stamp, Padding: uint16(h.cfg.Size)}
	if h.m != nil {
		b.Epoch = h.m.Epoch
		if h.up {
			b.UpFrom = h.m.Info[h.whoami].UpFrom
		}
	}
	return b
}

// tick pings all, when it is time, and looks who does not answer.
func (h *Machine) tick(now time.Time) {
	if h.m == nil {
		return
	}
	// If it is us who stood still the answers may be there already, unread.
	if late := now.Sub(h.nextCheck); late > checkEvery {
		for _, p := range h.peers {
			p.allow(late)
		}
	}
	if !now.Before(h.nextPing) {
		for _, p := range h.sorted() {
			if p.failing(now) {
				// By a connection of its own: one that has lost packets for long is
				// silent for as long again, and we are not believed healthy before.
				h.ready.Drop = append(h.ready.Drop, p.osd)
			}
			h.ping(now, p)
		}
		h.schedule(now)
	}
	for _, p := range h.sorted() {
		if p.failing(now) && (p.reported.IsZero() || now.Sub(p.reported) >= h.cfg.Again) {
			h.report(now, p)
		}
	}
	h.nextCheck = now.Add(checkEvery)
	h.publish(now)
}

// report tells the monitors that a peer does not answer. Whoever is down himself
// does not complain of others.
func (h *Machine) report(now time.Time, p *peer) {
	if !h.up {
		return
	}
	p.reported = now
	h.ready.ToMon = append(h.ready.ToMon, &msg.OSDFailure{
		ID: h.whoami, Target: p.osd, Addrs: p.public, Flags: msg.FailureFailed,
		For: uint32(now.Sub(p.failedSince()) / time.Second), Epoch: h.m.Epoch,
	})
}

func (h *Machine) withdraw(p *peer) {
	if p.reported.IsZero() {
		return
	}
	p.reported = time.Time{}
	h.ready.ToMon = append(h.ready.ToMon, &msg.OSDFailure{ID: h.whoami, Target: p.osd, Addrs: p.public, Epoch: h.m.Epoch})
}

// refused reports an OSD at once whose process is gone: it will not come back at
// that address by itself. Also of one that is not pinged: others have found out.
func (h *Machine) refused(now time.Time, in Refused) {
	m := h.m
	if m == nil || !h.cfg.FastFail || in.OSD == h.whoami || !h.up || !m.IsUp(in.OSD) || len(in.Addrs) == 0 {
		return
	}
	for _, list := range [][]entity.AddrVec{m.ClientAddrs, m.ClusterAddrs, m.HBBackAddrs, m.HBFrontAddrs} {
		if !list[in.OSD].Equal(in.Addrs) {
			continue
		}
		if p := h.peers[in.OSD]; p != nil {
			if !p.refused.IsZero() && now.Sub(p.refused) < checkEvery {
				return
			}
			p.refused = now
		}
		h.ready.ToMon = append(h.ready.ToMon, &msg.OSDFailure{
			ID: h.whoami, Target: in.OSD, Addrs: m.ClientAddrs[in.OSD], Flags: msg.FailureFailed | msg.FailureImmediate,
			For: uint32(h.cfg.Grace/time.Second) + 1, Epoch: m.Epoch,
		})
		return
	}
}

func (h *Machine) received(now time.Time, in Received) {
	b := in.Ping
	if b.FSID != h.fsid || b.From == h.whoami {
		return
	}
	h.share(now, in)
	switch b.Op {
	case msg.PingAsk:
		h.ready.Answers = append(h.ready.Answers, Answer{in.From, h.body(msg.PingReply, b.Stamp)})
		if m := h.m; m != nil && m.Epoch > b.Epoch && b.From >= 0 && b.From < m.MaxOSD && !m.IsUp(b.From) &&
			(!m.Exists(b.From) || m.Info[b.From].DownAt > b.Epoch) {
			h.ready.Answers = append(h.ready.Answers, Answer{in.From, h.body(msg.PingDied, b.Stamp)})
		}
	case msg.PingReply:
		p := h.peers[b.From]
		if p != nil && p.answered(now, in.Side, b.Stamp) && !p.failing(now) {
			h.withdraw(p)
		}
	case msg.PingDied:
		if h.m != nil && b.Epoch > h.m.Epoch && b.Epoch > h.died {
			h.died, h.ready.Newer = b.Epoch, b.Epoch
		}
	}
}

// share has maps sent to an OSD that lacks some. It would get them from its monitor;
// but that may be one that nobody reaches, and until the OSD has noticed it keeps
// clients waiting who know newer maps (OSDService::maybe_share_map).
func (h *Machine) share(now time.Time, in Received) {
	b, m := in.Ping, h.m
	if !h.up || b.Epoch == 0 || b.Epoch >= m.Epoch || !m.IsUp(b.From) {
		return
	}
	was := h.told[b.From]
	if was.epoch >= m.Epoch && now.Sub(was.at) < h.cfg.Interval {
		return // under way
	}
	h.told[b.From] = told{m.Epoch, now}
	h.ready.Behind = append(h.ready.Behind, Behind{in.From, b.Epoch})
}

// publish makes what the machine knows readable.
func (h *Machine) publish(now time.Time) {
	st := &Status{Peers: slices.Sorted(maps.Keys(h.peers))}
	healthy := 0
	for _, p := range h.sorted() {
		if p.healthy(now) {
			healthy++
		}
		if !p.updated.IsZero() {
			st.Times = append(st.Times, msg.PingTimes{Peer: p.osd, Updated: p.updated, Back: p.times[Back].span(), Front: p.times[Front].span()})
		}
	}
	st.Healthy = float64(healthy) >= float64(len(h.peers))*h.cfg.MinHealthy
	h.status.Store(st)
}

// check panics if an invariant does not hold.
func (h *Machine) check() {
	for o, p := range h.peers {
		switch {
		case o != p.osd || o == h.whoami:
			panic(fmt.Sprintf("BUG: heartbeat: osd.%d pings osd.%d as osd.%d", h.whoami, p.osd, o))
		case !h.m.IsUp(o) || h.m.Info[o].UpFrom != p.upFrom:
			panic(fmt.Sprintf("BUG: heartbeat: pings osd.%d, which is down or another", o))
		}
		for i, q := range p.pings {
			if q.missing == 0 && i == 0 || i > 0 && (q.stamp <= p.pings[i-1].stamp || q.deadline.Before(p.pings[i-1].deadline)) {
				panic(fmt.Sprintf("BUG: heartbeat: pings of osd.%d: %+v", o, p.pings))
			}
		}
	}
}
