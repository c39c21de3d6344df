package mon

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon/monmon"
	"github.com/pulpo-storage/pulpo/monmap"
	"github.com/pulpo-storage/pulpo/msg"
)

// quorum is what a monitor knows of the others besides what raft does. The
// leader pings all of them each second: it learns whether they are there, what
// their clocks show and what they have to tell of themselves, and they learn who
// is in quorum.
type quorum struct {
	peers    map[string]*peer
	seq      uint64
	nextPing time.Time
	outSince time.Time // there is no leader; zero: there is
	hurry    int       // ticks in which this monitor stands for election

	// Of the leader, or as it told.
	names []string
	since time.Time
}

// peer is another monitor.
type peer struct {
	heard   time.Time // anything
	boot    uint64
	report  report
	told    bool          // the report is in the maps
	ponged  time.Time     // the report is of then; zero: none yet
	skew    time.Duration // of its clock; what the round trip may explain is not counted
	latency time.Duration
}

const (
	hurryTicks = 5
	pingEvery  = time.Second
	// silence is after how long without a word a monitor is out of quorum.
	silence = 2500 * time.Millisecond
)

// tellAt sends to a monitor at addresses that need not be in the map.
func (m *Mon) tellAt(name string, addrs entity.AddrVec, b peerBody) {
	m.out.Peers = append(m.out.Peers, PeerSend{To: name, Addrs: addrs, Data: encodePeer(m.boot, b)})
}

// peerAddrs are a monitor's addresses.
func (m *Mon) peerAddrs(name string) entity.AddrVec {
	for _, mm := range []*monmap.Map{m.parts.mon.Map(), m.member.monmap} {
		if mm != nil && mm.Mons[name] != nil {
			return mm.Mons[name].Addrs
		}
	}
	return nil
}

// fromPeer takes a message of another monitor.
func (m *Mon) fromPeer(from string, raw []byte) {
	boot, b, err := decodePeer(raw)
	if err != nil {
		m.log.Warn("message of another monitor does not decode", "mon", from, "err", err)
		return
	}
	if j, ok := b.(*join); ok {
		m.joining(j, raw)
		return
	}
	if w, ok := b.(*welcome); ok {
		m.welcomed(w)
		return
	}
	if m.rn == nil {
		return
	}
	p := m.quorum.peers[from]
	if p == nil {
		if m.parts.mon.RaftID(from) == 0 {
			if m.member.ids[from] == 0 {
				return // not one of us
			}
		}
		p = &peer{}
		m.quorum.peers[from] = p
	}
	p.heard = m.now
	if p.boot != boot {
		p.boot = boot
		if m.fwd.peons[from] != nil {
			m.dropProxies(from)
		}
	}
	switch b := b.(type) {
	case *raftBytes:
		m.stepRaft(b.data)
	case *chunk:
		m.takeChunk(from, b)
	case *got:
		m.gotChunk(from, b)
	case *forward:
		m.forwarded(from, boot, b)
	case *answered:
		m.answeredBy(b)
	case *sessionGone:
		m.proxyGone(from, boot, b.session)
	case *sessionList:
		m.proxiesOf(from, boot, b.sessions)
	case *ping:
		m.pinged(from, b)
	case *pong:
		m.pongedBy(p, b)
	case *wantIDs:
		if first, last, ok := m.parts.auth.TakeGlobalIDs(peonIDs); ok && m.leading && m.caughtUp {
			m.tellPeer(from, &idRange{first, last})
		}
	case *idRange:
		m.ids.left = *b
	case *logLines:
		if m.leading {
			m.parts.log.Took(b.lines)
		}
	}
}

func (m *Mon) stepRaft(data []byte) {
	msg := new(raftpb.Message)
	if err := proto.Unmarshal(data, msg); err != nil {
		m.log.Warn("raft message does not decode", "err", err)
		return
	}
	if msg.GetTo() != m.id || m.member.exiled {
		return // for the store that this monitor had before
	}
	if err := m.rn.Step(msg); err != nil {
		m.log.Debug("raft message refused", "err", err)
	}
}

// tickQuorum does what is due on the leader.
func (m *Mon) tickQuorum() {
	if !m.leading || !m.parts.ready() || m.now.Before(m.quorum.nextPing) {
		return
	}
	m.quorum.nextPing = m.now.Add(pingEvery)
	m.refreshQuorum()
	m.quorum.seq++
	for _, name := range m.others() {
		m.tellPeer(name, &ping{seq: m.quorum.seq, term: m.term, time: m.now, names: m.quorum.names, since: m.quorum.since})
	}
	for _, name := range slices.Sorted(maps.Keys(m.fwd.peons)) {
		if other := m.quorum.peers[name]; other == nil || m.now.Sub(other.heard) > 4*silence || other.boot != m.fwd.peons[name].boot {
			m.dropProxies(name)
		}
	}
}

// stageReports puts into the maps what the others told of themselves.
func (m *Mon) stageReports() {
	var standbys []Manager
	for _, n := range m.others() {
		p := m.quorum.peers[n]
		if p == nil || p.ponged.IsZero() || m.now.Sub(p.ponged) > 4*silence {
			continue
		}
		standbys = append(standbys, p.report.mgr)
		if p.told {
			continue
		}
		p.told = true
		m.parts.mon.Describe(n, p.report.metadata)
		m.parts.mon.Moved(n, p.report.addrs, m.now)
	}
	m.parts.mgr.Standbys(standbys)
}

// others are the other monitors of the map by rank.
func (m *Mon) others() []string {
	return slices.DeleteFunc(slices.Clone(m.parts.mon.Map().Ranks), func(n string) bool { return n == m.cfg.Name })
}

// refreshQuorum counts who votes and was heard of lately.
func (m *Mon) refreshQuorum() {
	names := []string{}
	for _, n := range m.parts.mon.Map().Ranks {
		p := m.quorum.peers[n]
		voter := slices.Contains(m.rlog.done.Conf.GetVoters(), m.parts.mon.RaftID(n))
		if n == m.cfg.Name || voter && p != nil && m.now.Sub(p.heard) < silence {
			names = append(names, n)
		}
	}
	switch {
	case m.quorum.names == nil:
		m.quorum.names, m.quorum.since = names, m.since
	case !slices.Equal(names, m.quorum.names):
		m.quorum.names, m.quorum.since = names, m.now
	}
}

// pinged takes the leader's word.
func (m *Mon) pinged(from string, b *ping) {
	if from == m.raftName(m.leader) && b.term == m.term && !m.leading {
		m.quorum.names, m.quorum.since = b.names, b.since
	}
	m.tellPeer(from, &pong{seq: b.seq, sent: b.time, time: m.now, self: m.self()})
}

// report is what this monitor tells of itself.
func (m *Mon) self() report {
	r := report{addrs: m.Addrs(), metadata: m.metadata(), mgr: m.cfg.Manager, total: m.disk.Total, avail: m.disk.Available}
	r.mgr.Metadata = m.versioned(m.cfg.Manager.Metadata)
	if len(m.cfg.Addrs) > 0 {
		r.addrs = m.cfg.Addrs
	}
	return r
}

// pongedBy measures the clock of another monitor. Its time was read somewhere
// between the ping and now, so only what lies outside counts as skew.
func (m *Mon) pongedBy(p *peer, b *pong) {
	if !m.leading || b.seq > m.quorum.seq {
		return
	}
	p.told = p.told && reflect.DeepEqual(p.report, b.self)
	rtt := max(m.now.Sub(b.sent), 0)
	p.report, p.ponged, p.latency = b.self, m.now, rtt
	p.skew = 0
	switch {
	case b.time.Before(b.sent):
		p.skew = b.time.Sub(b.sent)
	case b.time.After(m.now):
		p.skew = b.time.Sub(m.now)
	}
}

// inQuorum reports whether this monitor follows a leader or is one.
func (m *Mon) inQuorum() bool { return m.rn != nil && m.leader != 0 && m.parts.ready() }

// Quorum is who agrees now.
func (m *Mon) Quorum() monmon.Quorum {
	q := monmon.Quorum{Leader: m.raftName(m.leader), Epoch: 2 * m.term, Since: m.since}
	switch {
	case q.Leader == "":
		q.Epoch++ // odd: an election goes on, as in Ceph
		return q
	case m.rn != nil && m.alone():
		q.Epoch-- // one monitor elects itself without a round
	}
	if m.leading {
		m.refreshQuorum()
	}
	q.Names = m.quorum.names
	if len(q.Names) == 0 && m.parts.ready() {
		q.Names = []string{q.Leader} // before the leader's first ping
	}
	if m.quorum.since.After(q.Since) {
		q.Since = m.quorum.since
	}
	return q
}

// Clocks are the other monitors' clocks as the leader has measured them.
func (m *Mon) Clocks() map[string]monmon.Clock {
	out := map[string]monmon.Clock{}
	for n, p := range m.quorum.peers {
		if m.leading && !p.ponged.IsZero() && slices.Contains(m.quorum.names, n) {
			out[n] = monmon.Clock{Skew: p.skew, Latency: p.latency}
		}
	}
	return out
}

// Space is what the monitors in quorum have on their disks, as far as they told.
func (m *Mon) Space() map[string]monmon.Space {
	out := map[string]monmon.Space{}
	for n, p := range m.quorum.peers {
		if !p.ponged.IsZero() && p.report.total > 0 && slices.Contains(m.quorum.names, n) {
			out[n] = monmon.Space{Total: p.report.total, Available: p.report.avail}
		}
	}
	if m.disk.Total > 0 {
		out[m.cfg.Name] = m.disk
	}
	return out
}

// connected: the line to a monitor stands anew, so what was sent may be lost.
func (m *Mon) connected(name string) {
	if m.rn != nil && name != "" && name == m.raftName(m.leader) && !m.leading {
		m.tellLeader(&sessionList{slices.Sorted(maps.Keys(m.fwd.known))})
		m.reroute()
	}
}

// disconnected: what is sent to that monitor is lost. If it leads, its process is
// most likely dead, and this monitor does not wait for its silence.
func (m *Mon) disconnected(name string) {
	if m.rn != nil && !m.leading && name != "" && name == m.raftName(m.leader) {
		m.quorum.hurry = hurryTicks
	}
	if id := m.parts.mon.RaftID(name); m.rn != nil && id != 0 && m.leading {
		m.rn.ReportUnreachable(id)
		m.snapshotLost(name)
	}
}

// hurryUp stands for election before the leader's silence has lasted as long as
// it may. It does no harm if the leader lives: the others have heard of it and
// refuse (PreVote), and its next heartbeat ends this.
func (m *Mon) hurryUp() {
	m.quorum.hurry--
	if err := m.rn.ForgetLeader(); err != nil {
		m.log.Debug("leader is not forgotten", "err", err)
	}
	if err := m.rn.Campaign(); err != nil {
		m.log.Debug("no election", "err", err)
	}
}

// expire sends clients elsewhere while there is no quorum: whoever asked for
// something and waits longer than a lease, and after two everybody.
func (m *Mon) expire() {
	if m.inQuorum() || m.quorum.outSince.IsZero() {
		return
	}
	lease := m.seconds("mon_lease", 5*time.Second)
	if m.now.Sub(m.quorum.outSince) > 2*lease {
		for _, id := range slices.Sorted(maps.Keys(m.sessions)) {
			m.closeSession(m.sessions[id])
		}
		return
	}
	all := slices.Concat(m.waiting, m.reads.next, m.reads.asked)
	for _, tid := range slices.Sorted(maps.Keys(m.fwd.out)) {
		all = append(all, m.fwd.out[tid])
	}
	for _, r := range all {
		if s := m.sessions[r.s.ID]; s == r.s && m.now.Sub(r.since) > lease {
			m.closeSession(s)
		}
	}
}

// sendLog hands this monitor's lines for the cluster log to the leader.
func (m *Mon) sendLog() {
	if !m.inQuorum() {
		return
	}
	switch lines := m.parts.log.TakeOwn(); {
	case len(lines) == 0:
	case m.leading:
		m.parts.log.Took(lines)
	default:
		m.tellLeader(&logLines{lines})
	}
}

// tellOSDs asks the OSDs with a session here for full reports: the new leader
// knows nothing of placement groups.
func (m *Mon) tellOSDs() {
	for _, id := range slices.Sorted(maps.Keys(m.sessions)) {
		if s := m.sessions[id]; s.via == "" && s.Name.Type == entity.OSD {
			m.send(id, &msg.ReportAll{}, 0)
		}
	}
}
