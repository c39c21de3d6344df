package mon

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/monmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// Who is in the raft group follows from the monitor map: the map is changed
// first, by "mon add", "mon rm" or a monitor that joins, and the leader then
// moves the group one step at a time until it is what the map says.
//
//	in the map, not in the group      added as a learner: it gets the state, but
//	                                  nobody waits for it
//	a learner that has caught up      made a voter
//	in the group, not in the map      removed, once it has seen that it will be
//	the leader itself, not in the map  hands over to another one first
//
// A monitor's number in the group stands for one store. Who comes with an empty
// store under a name that is taken gets a new number, and the old one is removed:
// what the lost store had promised must not be counted on, and must not be
// promised differently by a store that knows nothing of it.

// ErrRemoved is why a monitor stops that is in the monitor map no more.
var ErrRemoved = errors.New("this monitor was removed")

// ErrDiskFull is why a monitor stops whose disk has no room left, before writes
// fail: one of several, since the others can go on without it. One that is alone
// goes on, and warns.
var ErrDiskFull = errors.New("mon: too little space is left on the disk of the monitor's store")

// keyMember holds what a monitor was told when it joined.
const keyMember = "raft/member"

// membership is what a monitor knows of itself.
type membership struct {
	welcome // zero: it was there when the cluster began
	monmap  *monmap.Map
	joining bool
	leaving bool      // it is not in the map any more
	full    bool      // its disk is
	exiled  bool      // it was told to stay out of the quorum
	next    time.Time // of the next join message
	seed    int

	// Of the leader.
	joins   map[string]*join // not yet answered
	changed time.Time        // a change of the group is on its way since; zero: none
	gone    map[uint64]time.Time
}

const (
	joinEvery = 500 * time.Millisecond
	// A change of the group that is not applied in this time was dropped.
	confPatience = 5 * time.Second
	// A monitor that is removed gets so much time to learn of it.
	goodbye = 2 * time.Second
	// A learner is made a voter when it lacks no more entries than this.
	caughtUpWithin = 64
)

// openMember reads what the monitor was told when it joined, or begins to join.
func (m *Mon) openMember() error {
	m.member.joins, m.member.gone = map[string]*join{}, map[uint64]time.Time{}
	if raw := m.st.get(keyMember); raw != nil && m.st.get(keyForce) == nil {
		d := wire.NewDecoder(raw)
		m.member.welcome.decode(d)
		if err := d.Finish(); err != nil {
			return fmt.Errorf("mon: membership: %w", err)
		}
		return m.member.readMap()
	}
	return m.openEmpty()
}

func (b *membership) readMap() (err error) {
	b.monmap, err = monmap.Decode(b.raw)
	return err
}

// raftName is the name of a number in the group, "" if it has none.
func (m *Mon) raftName(id uint64) string {
	name, _ := m.raftPeer(id)
	return name
}

// raftPeer says who has a number in the group and where: by the map, or by what
// is remembered of former members, or by what this monitor was told when it
// joined.
func (m *Mon) raftPeer(id uint64) (name string, at entity.AddrVec) {
	if name = m.parts.mon.RaftName(id); name != "" {
		return name, m.peerAddrs(name)
	}
	if f, ok := m.parts.mon.Former(id); ok && m.parts.mon.RaftID(f.Name) == 0 {
		return f.Name, f.Addrs // else its store is lost
	}
	for n, i := range m.member.ids {
		if i == id && !m.parts.ready() {
			return n, m.peerAddrs(n)
		}
	}
	return "", nil
}

// InGroup reports whether a number is in the raft group.
func (m *Mon) InGroup(id uint64) bool {
	c := m.rlog.done.Conf
	return slices.Contains(c.GetVoters(), id) || slices.Contains(c.GetLearners(), id)
}

// tickJoin asks to be let in, one monitor after the other.
func (m *Mon) tickJoin() {
	if !m.member.joining || m.now.Before(m.member.next) {
		return
	}
	m.member.next = m.now.Add(joinEvery)
	to := m.cfg.Seeds[m.member.seed%len(m.cfg.Seeds)]
	m.member.seed++
	m.tellAt("", to, &join{m.cfg.Name, m.cfg.Addrs, m.member.instance})
}

// joining notes that a monitor wants to be let in; raw is its message, for who
// leads.
func (m *Mon) joining(j *join, raw []byte) {
	switch {
	case !m.inQuorum() || j.name == m.cfg.Name:
	case !m.leading:
		if to := m.raftName(m.leader); to != "" {
			m.out.Peers = append(m.out.Peers, PeerSend{To: to, Addrs: m.peerAddrs(to), Data: raw})
		}
	case len(m.member.joins) < 64:
		m.member.joins[j.name] = j
	}
}

// stageJoins puts monitors that join into the map.
func (m *Mon) stageJoins() {
	for _, name := range slices.Sorted(maps.Keys(m.member.joins)) {
		j := m.member.joins[name]
		p := m.quorum.peers[name]
		if p != nil && m.parts.mon.Instance(name) != j.instance && slices.Contains(m.quorum.names, name) && m.now.Sub(p.heard) < silence {
			m.log.Warn("a monitor wants to join under the name of one that is there", "mon", name, "addrs", j.addrs)
			delete(m.member.joins, name)
			continue
		}
		if err := m.parts.mon.Join(name, j.addrs, j.instance, m.now); err != nil {
			m.log.Warn("a monitor may not join", "mon", name, "addrs", j.addrs, "err", err)
			delete(m.member.joins, name)
		}
	}
}

// answerJoins tells the monitors that are in the map now.
func (m *Mon) answerJoins() {
	for _, name := range slices.Sorted(maps.Keys(m.member.joins)) {
		j := m.member.joins[name]
		if id := m.parts.mon.RaftID(name); id != 0 && m.parts.mon.Instance(name) == j.instance {
			m.tellAt(name, j.addrs, &welcome{instance: j.instance, raftID: id, raw: m.parts.mon.Map().Encode(), ids: m.parts.mon.RaftIDs()})
			delete(m.member.joins, name)
		}
	}
}

// welcomed begins the life of a member. Its first batch makes the number last:
// nothing was promised under it before.
func (m *Mon) welcomed(w *welcome) {
	if !m.member.joining || w.instance != m.member.instance || w.raftID == 0 {
		return
	}
	m.member.welcome = *w
	if err := m.member.readMap(); err != nil {
		m.log.Warn("welcome does not decode", "err", err)
		return
	}
	m.member.joining = false
	var e wire.Encoder
	w.Encode(&e)
	m.st.del(keySeeds)
	m.st.put(keyFormat, []byte(format))
	m.st.put(keyMember, e.Bytes())
	m.rlog.done.Conf = new(raftpb.ConfState)
	m.st.put(keyApplied, wire.Marshal(m.rlog.done))
	m.log.Info("joins the monitors", "mon", m.cfg.Name, "number", w.raftID)
	m.err = m.startRaft()
}

// tickMembers moves the raft group one step towards the map.
func (m *Mon) tickMembers() {
	if !m.writable() || !m.member.changed.IsZero() && m.now.Sub(m.member.changed) < confPatience {
		return
	}
	want := m.parts.mon.RaftIDs()
	conf := m.rlog.done.Conf
	voters, learners := conf.GetVoters(), conf.GetLearners()
	if want[m.cfg.Name] != m.id || m.parts.mon.Disallowed(m.cfg.Name) {
		m.handOver()
	}
	if want[m.cfg.Name] != m.id {
		return
	}
	for _, name := range m.parts.mon.Map().Ranks {
		id := want[name]
		switch {
		case id == 0 || slices.Contains(voters, id):
		case !slices.Contains(learners, id):
			m.changeGroup(raftpb.ConfChangeAddLearnerNode, id, name)
			return
		case m.hasCaughtUp(name, id):
			m.changeGroup(raftpb.ConfChangeAddNode, id, name)
			return
		}
	}
	for _, id := range slices.Concat(voters, learners) {
		if m.parts.mon.RaftName(id) != "" {
			continue
		}
		if m.member.gone[id].IsZero() {
			m.member.gone[id] = m.now
		}
		pr := m.rn.Status().Progress[id]
		if !pr.RecentActive || m.now.Sub(m.member.gone[id]) > goodbye {
			delete(m.member.gone, id)
			m.changeGroup(raftpb.ConfChangeRemoveNode, id, "")
			return
		}
	}
}

func (m *Mon) hasCaughtUp(name string, id uint64) bool {
	p := m.quorum.peers[name]
	st := m.rn.Status()
	pr, ok := st.Progress[id]
	return ok && p != nil && m.now.Sub(p.heard) < silence && pr.Match > 0 && pr.Match+caughtUpWithin >= st.HardState.GetCommit()
}

func (m *Mon) changeGroup(typ raftpb.ConfChangeType, id uint64, name string) {
	m.log.Info("monitors' group changes", "change", typ.String(), "number", id, "mon", name)
	cc := &raftpb.ConfChange{Type: typ.Enum(), NodeId: new(id)}
	if err := m.rn.ProposeConfChange(cc); err != nil {
		m.log.Warn("monitors' group does not change", "err", err)
		return
	}
	m.member.changed = m.now
}

// handOver asks the voter that is most up to date to lead.
func (m *Mon) handOver() {
	var best uint64
	st := m.rn.Status()
	for _, id := range m.rlog.done.Conf.GetVoters() {
		name := m.parts.mon.RaftName(id)
		p := m.quorum.peers[name]
		if id == m.id || name == "" || m.parts.mon.Disallowed(name) || p == nil || m.now.Sub(p.heard) >= silence {
			continue
		}
		if best == 0 || st.Progress[id].Match > st.Progress[best].Match {
			best = id
		}
	}
	if best != 0 {
		m.member.changed = m.now
		m.rn.TransferLeader(best)
	}
}

// leave ends the sessions of a monitor that is in the map no more. It serves
// nobody from now on, but its vote may be needed for its own removal from the
// group.
func (m *Mon) leave() {
	for _, id := range slices.Sorted(maps.Keys(m.sessions)) {
		m.closeSession(m.sessions[id])
	}
}

// dismissed reports whether the group does not need a monitor that leaves: it is
// out, or nobody talks to it, which is how the others treat one that is out.
func (m *Mon) dismissed() bool {
	silent := m.leader == raft.None && m.now.Sub(m.quorum.outSince) > silence
	return silent || !m.InGroup(m.id)
}

// startRaft begins to take part in the group.
func (m *Mon) startRaft() error {
	m.id = m.member.raftID
	if m.id == 0 {
		m.id = m.parts.mon.RaftID(m.cfg.Name)
	}
	if m.id == 0 || m.parts.ready() && m.parts.mon.RaftID(m.cfg.Name) != m.id {
		return fmt.Errorf("mon.%s is not in the monitor map: %w", m.cfg.Name, ErrRemoved)
	}
	var err error
	m.rn, err = raft.NewRawNode(&raft.Config{
		ID:                        m.id,
		ElectionTick:              electionTicks,
		HeartbeatTick:             heartbeatTicks,
		Storage:                   m.rlog,
		Applied:                   m.rlog.done.Index,
		MaxSizePerMsg:             1 << 20,
		MaxInflightMsgs:           256,
		CheckQuorum:               true,
		PreVote:                   true,
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
		Logger:                    raftLogger{m.log},
	})
	if err != nil {
		return fmt.Errorf("mon: %w", err)
	}
	if m.alone() {
		// Nobody to wait for.
		m.counters.called.Inc()
		if err := m.rn.Campaign(); err != nil {
			return fmt.Errorf("mon: %w", err)
		}
	}
	m.nextRaft = m.nextTick()
	return nil
}
