package mon

import (
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/metric"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/monmon"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/wire"
)

// Config is what a monitor is started with. Name, Rand and Keys are required.
type Config struct {
	Name string    // "a"
	FSID msg.FSID  // of the cluster; zero: whatever the store has
	Rand io.Reader // of keys and nonces
	// Seeds are addresses of monitors of the cluster: one with an empty store
	// joins them.
	Seeds []entity.AddrVec
	// Keys is what handshakes look accounts up in; the machine keeps it up to
	// date.
	Keys *cephx.KeyServer
	// Manager is the manager that this process plays; with an empty name there
	// is none.
	Manager Manager
	// Options are this daemon's own settings (ceph.conf); they come before the
	// central configuration.
	Options  map[string]string
	Metadata map[string]string // "mon metadata"
	// Addrs are this monitor's published addresses; if the map has others, it
	// is changed. Who joins must have some.
	Addrs    entity.AddrVec
	Features uint64 // of the messenger; 0: those of the stock release
	Version  string // "ceph version 16.2.15 (...) pacific (stable)"
	Log      *slog.Logger
	// ReopenLog goes on with a new file for the log; may be nil.
	ReopenLog func() error
	// Metrics is where the monitor adds its counters, and what "perf dump"
	// shows; nil: one of its own.
	Metrics *metric.Registry
}

// Mon is one monitor.
type Mon struct {
	cfg Config
	log *slog.Logger
	st  *store
	now time.Time
	err error

	rlog     *raftLog
	rn       *raft.RawNode // nil while this monitor is no member yet
	writing  *raft.Ready   // given out, not yet persisted
	boot     uint64        // of this life, for other monitors
	id       uint64        // in the raft group
	leader   uint64
	leading  bool
	caughtUp bool // an entry of our own term is applied, and so all before it
	term     uint64
	since    time.Time // the quorum stands
	nextRaft time.Time // next tick of raft

	parts   *parts
	table   *command.Table
	conf    *config.Config // of this monitor
	mgrConf *config.Config // of the manager that it plays
	// What they answer about themselves.
	asMonitor, asManager *self
	ops                  opHistory
	sessions             map[uint64]*session
	counters             *counters

	waiting  []*request // for the next time changes may be staged
	staged   []*request // answered once the entry on its way is committed
	proposal uint64     // number of that entry; 0: none
	numbers  uint64
	changed  map[string]bool // services with news for subscribers
	wantIDs  []uint64
	ids      idSupply

	member    membership
	quorum    quorum
	reads     reads
	fwd       forwarding
	transfers transfers
	disk      monmon.Space

	out Ready
}

const (
	// A leader that is silent for 10 to 20 ticks is replaced. A tick is not
	// counted while this monitor itself does not get to run, see Step.
	raftTick       = 100 * time.Millisecond
	electionTicks  = 10
	heartbeatTicks = 2
	maxWaiting     = 10000 // requests; above, the session that sends more is closed
)

// New starts a monitor from its storage, where Bootstrap made a cluster.
func New(cfg Config, db Storage, now time.Time) (*Mon, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Version == "" {
		cfg.Version = DefaultVersion
	}
	if cfg.Metrics == nil {
		cfg.Metrics = new(metric.Registry)
	}
	m := &Mon{
		cfg: cfg, log: cfg.Log, st: newStore(db), now: now, counters: newCounters(cfg.Metrics),
		table: command.NewTable(), sessions: map[uint64]*session{}, changed: map[string]bool{},
	}
	if err := m.makeConfig(); err != nil {
		return nil, err
	}
	m.numbers = uint64(now.UnixNano()) // so that an earlier life's entries are not taken for ours
	m.boot = m.numbers
	m.fwd, m.transfers = newForwarding(), newTransfers()
	m.quorum = quorum{peers: map[string]*peer{}, outSince: now}
	m.rlog = &raftLog{MemoryStorage: raft.NewMemoryStorage(), s: m.st}
	m.parts = newParts(m)
	m.parts.commands(m.table)
	m.commands(m.table)
	m.asMonitor, m.asManager = m.monitorSelf(), m.managerSelf()
	if err := m.openMember(); err != nil {
		return nil, err
	}
	if m.member.joining {
		return m, m.load()
	}
	if err := m.rlog.open(); err != nil {
		return nil, err
	}
	if hs, _, err := m.rlog.InitialState(); err == nil {
		m.term = hs.GetTerm()
	}
	if err := m.load(); err != nil {
		return nil, err
	}
	if have := m.parts.mon.FSID(); !cfg.FSID.IsZero() && !have.IsZero() && have != cfg.FSID {
		return nil, fmt.Errorf("mon: the store is of cluster %v, not %v", have, cfg.FSID)
	}
	return m, m.startRaft()
}

// alone reports whether there is nobody else in the group.
func (m *Mon) alone() bool {
	c := m.rlog.done.Conf
	return len(c.GetVoters()) == 1 && len(c.GetLearners()) == 0
}

func (m *Mon) load() error {
	for _, s := range m.parts.services {
		if err := s.Load(m.Reader(s.Name())); err != nil {
			return fmt.Errorf("mon: load %s: %w", s.Name(), err)
		}
	}
	m.parts.loaded()
	return m.st.err
}

// Step folds one input into the state.
func (m *Mon) Step(now time.Time, in Event) {
	if now.After(m.now) {
		m.now = now
	}
	if m.err != nil {
		return
	}
	switch in := in.(type) {
	case SessionOpened:
		m.opened(in)
	case SessionClosed:
		m.closed(in.ID)
	case Received:
		if s := m.sessions[in.ID]; s != nil {
			m.receive(&request{s: s, body: in.Body, tid: in.TID, since: m.now})
		}
	case FromPeer:
		m.fromPeer(in.From, in.Data)
	case Connected:
		m.connected(in.Name)
	case Disconnected:
		m.disconnected(in.Name)
	case DiskSpace:
		m.disk = monmon.Space(in)
		if m.rn != nil && m.parts.ready() && !m.alone() && m.parts.mon.Critical(m.disk) && !m.member.full {
			m.member.full = true
			m.Log(msg.LogError, "", "mon.%s has %d%% avail: it stops", m.cfg.Name, m.disk.Percent())
			m.log.Error("reached critical levels of available space on local monitor storage", "available", m.disk.Available, "total", m.disk.Total)
			if m.leading {
				m.handOver()
			}
		}
	case HandOver:
		if m.leading {
			m.handOver()
		}
	case Persisted:
		m.persisted()
	case WantGlobalID:
		m.wantIDs = append(m.wantIDs, in.Token)
	case Tick:
	}
	m.tickJoin()
	if m.rn == nil {
		return
	}
	if !m.now.Before(m.nextRaft) {
		// One tick at most: what others said while this monitor did not run is
		// still in front of it, and must not be taken for silence.
		switch {
		case m.leading && m.alone():
		case m.quorum.hurry > 0:
			m.hurryUp()
		default:
			m.rn.Tick()
		}
		m.nextRaft = m.nextTick()
		m.tickTransfers()
		m.tickForwards()
		m.expire()
	}
	m.tickQuorum()
	switch {
	case m.leading: // another one shall lead first
	case m.member.leaving && !m.dismissed():
		m.leave()
	case m.member.leaving:
		m.err = fmt.Errorf("mon.%s is not in the monitor map: %w", m.cfg.Name, ErrRemoved)
	case m.member.full:
		m.err = fmt.Errorf("mon.%s: %w", m.cfg.Name, ErrDiskFull)
	}
}

// nextTick is when raft's clock goes on. Each voter has its own part of a tick,
// so that two of them that lost their leader at the same time do not stand for
// election at the same time, and take each other's votes away.
func (m *Mon) nextTick() time.Time {
	voters := m.rlog.done.Conf.GetVoters()
	rank := 0
	for _, id := range voters {
		if id < m.id {
			rank++
		}
	}
	phase := raftTick * time.Duration(rank) / time.Duration(max(len(voters), 1))
	t := m.now.Truncate(raftTick).Add(phase)
	if !t.After(m.now) {
		t = t.Add(raftTick)
	}
	return t
}

// Wake returns when the next Tick is wanted.
func (m *Mon) Wake() time.Time {
	var wake time.Time
	earlier := func(t time.Time) {
		if !t.IsZero() && (wake.IsZero() || t.Before(wake)) {
			wake = t
		}
	}
	switch {
	case m.member.joining:
		earlier(m.member.next)
	case m.rn != nil && (!m.alone() || !m.leading || len(m.parts.mon.RaftIDs()) > 1):
		earlier(m.nextRaft)
	}
	if m.leading && m.proposal == 0 {
		for _, t := range m.parts.tickers {
			earlier(t.Wake())
		}
	}
	return wake
}

// MayHandOver reports whether it makes sense to tell this monitor to hand over
// before it stops.
func (m *Mon) MayHandOver() bool { return m.leading && len(m.rlog.done.Conf.GetVoters()) > 1 }

// Ready returns what the steps decided.
func (m *Mon) Ready() Ready {
	if m.err == nil {
		m.stage()
		m.drainRaft()
		m.forwardWaiting()
		m.askReads()
		m.sendLog()
		committed := len(m.changed) > 0
		m.publish()
		m.grantIDs()
		if m.parts.ready() && (committed || m.now.Sub(m.counters.levels) >= levelsEvery) {
			m.takeLevels()
		}
	}
	if m.err == nil && m.st.err != nil {
		m.err = fmt.Errorf("mon: storage: %w", m.st.err)
	}
	if m.err != nil {
		return Ready{Err: m.err}
	}
	r := m.out
	m.out = Ready{}
	return r
}

func (m *Mon) persisted() {
	if m.writing == nil {
		return
	}
	m.st.persisted()
	rd := *m.writing
	m.writing = nil
	m.rn.Advance(rd)
}

// writable reports whether changes may be staged.
func (m *Mon) writable() bool { return m.leading && m.caughtUp && m.proposal == 0 && m.parts.ready() }

// stage runs what waits, lets time pass for the services, and proposes what
// they have pending.
func (m *Mon) stage() {
	if !m.writable() {
		return
	}
	m.answerJoins()
	m.tickMembers()
	queue := m.waiting
	m.waiting = nil
	for _, r := range queue {
		if m.sessions[r.s.ID] != r.s {
			continue // gone
		}
		m.run(r)
	}
	m.stageJoins()
	m.stageReports()
	for _, t := range m.parts.tickers {
		if w := t.Wake(); !w.IsZero() && !m.now.Before(w) {
			t.Tick(m.now)
		}
	}
	var n entry
	urgent := len(m.staged) > 0
	for _, s := range m.parts.services {
		if s == service.Service(m.parts.log) {
			continue
		}
		if data := s.Propose(m.now); data != nil {
			n.Changes = append(n.Changes, change{s.Name(), data})
		}
	}
	// Lines for the cluster log can wait for company, or for a change that is
	// written anyway.
	if len(n.Changes) > 0 || urgent || m.parts.log.Due(m.now) {
		if data := m.parts.log.Propose(m.now); data != nil {
			n.Changes = append(n.Changes, change{m.parts.log.Name(), data})
		}
	}
	if len(n.Changes) == 0 {
		// Nothing to commit: what was to be answered after it is answered now.
		m.answerStaged()
		return
	}
	m.numbers++
	n.Leader, n.Number = m.id, m.numbers
	data := wire.Marshal(n)
	if err := m.rn.Propose(data); err != nil {
		m.abandon()
		return
	}
	m.proposal = n.Number
	m.counters.begun.Inc()
	m.counters.beginBytes.Add(uint64(len(data)))
	m.counters.proposed = m.now
}

// abandon gives up what is pending or on its way: this monitor leads no more,
// or cannot propose. Requests begin anew.
func (m *Mon) abandon() {
	for _, s := range m.parts.services {
		s.Drop()
	}
	m.waiting = append(m.staged, m.waiting...)
	m.staged, m.proposal = nil, 0
	if !m.leading {
		// Peons ask whoever leads now.
		m.waiting = slices.DeleteFunc(m.waiting, func(r *request) bool { return r.s.via != "" })
		m.dropProxies("")
	}
	for _, r := range m.waiting {
		r.answer = nil
	}
}

// drainRaft moves what raft has ready into m.out: one Ready at a time, since
// the next one may be asked for only once this one is written.
func (m *Mon) drainRaft() {
	if m.rn == nil {
		return
	}
	for m.writing == nil && m.err == nil && m.rn.HasReady() {
		rd := m.rn.Ready()
		m.role(&rd)
		m.readStates(rd.ReadStates)
		if rd.Snapshot != nil && !raft.IsEmptySnap(rd.Snapshot) {
			if err := m.rlog.install(rd.Snapshot); err != nil {
				m.err = err
				return
			}
			if err := m.load(); err != nil {
				m.err = err
				return
			}
			for name := range m.parts.byName {
				m.changed[name] = true
			}
		}
		m.rlog.append(rd.Entries)
		if rd.HardState != nil && !raft.IsEmptyHardState(rd.HardState) {
			m.rlog.setHardState(rd.HardState)
		}
		for _, e := range rd.CommittedEntries {
			if err := m.commit(e); err != nil {
				m.err = fmt.Errorf("mon: apply entry %d: %w", e.GetIndex(), err)
				return
			}
		}
		if n := len(rd.CommittedEntries); n > 0 {
			last := rd.CommittedEntries[n-1]
			m.rlog.applied(last.GetIndex(), last.GetTerm())
		}
		for _, msg := range rd.Messages {
			m.sendRaft(msg.GetTo(), marshal(msg), msg.GetType() == raftpb.MsgSnap)
		}
		if len(m.st.batch) == 0 {
			m.rn.Advance(rd)
			// Having become the leader, or having committed, may let more in.
			m.stage()
			continue
		}
		m.out.Batch = m.st.take()
		m.counters.wrote(m.out.Batch)
		// A snapshot counts as log: the leader will take it for granted.
		m.out.Sync = rd.MustSync || rd.Snapshot != nil && !raft.IsEmptySnap(rd.Snapshot)
		m.writing = &rd
	}
}

// role follows who leads.
func (m *Mon) role(rd *raft.Ready) {
	if rd.HardState != nil {
		m.term = max(m.term, rd.HardState.GetTerm())
	}
	if rd.SoftState == nil {
		return
	}
	leading := rd.SoftState.RaftState == raft.StateLeader
	news := m.leader != rd.SoftState.Lead
	m.leader = rd.SoftState.Lead
	if news {
		m.since = m.now
		m.counters.election(rd.SoftState, leading)
		switch {
		case m.leader == raft.None:
			m.quorum.outSince = m.now
		default:
			m.quorum.outSince, m.quorum.hurry = time.Time{}, 0
			m.quorum.names = nil
		}
		m.log.Info("quorum", "mon", m.cfg.Name, "leader", m.raftName(m.leader), "term", m.term)
	}
	if leading != m.leading {
		m.leading, m.caughtUp = leading, false
		m.member.changed, m.quorum.nextPing = time.Time{}, m.now
		clear(m.member.joins)
		if !leading {
			m.abandon()
			m.closeManager()
		}
	}
	if news && m.leader != raft.None {
		m.reroute()
		m.tellOSDs()
	}
}

// commit applies a committed entry. The first one of its own term, which a
// leader begins with, tells it that it has all that earlier leaders committed:
// only now may it build on the state.
func (m *Mon) commit(e *raftpb.Entry) error {
	if err := m.applyEntry(e); err != nil {
		return err
	}
	if m.leading && !m.caughtUp && e.GetTerm() == m.term {
		m.caughtUp = true
		m.Log(msg.LogInfo, "", "mon.%s is new leader, mons %s in quorum (ranks %s)", m.cfg.Name, strings.Join(m.Quorum().Names, ","), m.ranks())
		m.parts.lead(m.now)
	}
	return nil
}

func (m *Mon) applyEntry(e *raftpb.Entry) error {
	switch e.GetType() {
	case raftpb.EntryConfChange:
		m.member.changed = time.Time{}
		var cc raftpb.ConfChange
		if err := proto.Unmarshal(e.GetData(), &cc); err != nil {
			return err
		}
		m.rlog.done.Conf = m.rn.ApplyConfChange(&cc)
		return nil
	case raftpb.EntryConfChangeV2:
		var cc raftpb.ConfChangeV2
		if err := proto.Unmarshal(e.GetData(), &cc); err != nil {
			return err
		}
		m.rlog.done.Conf = m.rn.ApplyConfChange(&cc)
		return nil
	}
	if len(e.GetData()) == 0 {
		return nil // of a new leader
	}
	var n entry
	if err := wire.Unmarshal(e.GetData(), &n); err != nil {
		return err
	}
	if err := m.apply(n); err != nil {
		return err
	}
	m.counters.committed.Inc()
	if n.Leader == m.id && n.Number == m.proposal && m.proposal != 0 {
		m.proposal = 0
		m.counters.latency.Add(m.now.Sub(m.counters.proposed))
		m.answerStaged()
	}
	return nil
}

func (m *Mon) apply(n entry) error {
	for _, c := range n.Changes {
		s := m.parts.byName[c.Service]
		if s == nil {
			return fmt.Errorf("no service %q", c.Service)
		}
		if err := s.Apply(c.Data, m.writer(c.Service)); err != nil {
			return fmt.Errorf("%s: %w", c.Service, err)
		}
		m.changed[c.Service] = true
	}
	if m.rn != nil && m.parts.mon.RaftID(m.cfg.Name) != m.id {
		m.member.leaving = true
	}
	return nil
}

// answerStaged sends the replies that waited for the commit.
func (m *Mon) answerStaged() {
	staged := m.staged
	m.staged = nil
	for _, r := range staged {
		if m.sessions[r.s.ID] == r.s && r.answer != nil {
			m.respond(r, r.answer)
		}
	}
}

// The machine as services see it.

var _ service.Host = (*Mon)(nil)

func (m *Mon) Name() string { return m.cfg.Name }
func (m *Mon) FSID() msg.FSID {
	if id := m.parts.mon.FSID(); !id.IsZero() {
		return id
	}
	return m.cfg.FSID
}
func (m *Mon) Now() time.Time  { return m.now }
func (m *Mon) Rand() io.Reader { return m.cfg.Rand }
func (m *Mon) Leader() bool    { return m.leading }

func (m *Mon) Reader(name string) service.Reader { return m.writer(name) }

func (m *Mon) writer(name string) part { return part{m.st, statePrefix + name + "/"} }

func (m *Mon) Send(s *service.Session, b msg.Body) { m.send(s.ID, b, 0) }

func (m *Mon) send(id uint64, b msg.Body, tid uint64) {
	if s := m.sessions[id]; s != nil && s.via != "" {
		m.tellPeer(s.via, &answered{session: s.there, body: carry(b)})
		return
	}
	m.out.Sends = append(m.out.Sends, Send{id, b, tid})
}

func (m *Mon) Sessions() iter.Seq[*service.Session] {
	return func(yield func(*service.Session) bool) {
		for _, id := range slices.Sorted(maps.Keys(m.sessions)) {
			if s := m.sessions[id]; s != nil && !yield(&s.Session) {
				return
			}
		}
	}
}

func (m *Mon) Log(level msg.LogLevel, channel, format string, args ...any) {
	m.parts.log.Add(level, channel, fmt.Sprintf(format, args...))
}

func (m *Mon) Option(name string) string { return m.conf.Get(name) }

// makeConfig begins with the settings that this daemon was started with.
func (m *Mon) makeConfig() error {
	host := m.cfg.Metadata["hostname"]
	m.conf = config.New(entity.AuthName{Type: entity.Mon, ID: m.cfg.Name}, host)
	m.mgrConf = config.New(entity.AuthName{Type: entity.Mgr, ID: m.cfg.Manager.Name}, host)
	for _, c := range []*config.Config{m.conf, m.mgrConf} {
		if err := c.LoadSettings(m.cfg.Options); err != nil {
			return fmt.Errorf("mon: option %w", err)
		}
	}
	return nil
}

// configured takes over the settings that the cluster has for this daemon.
func (m *Mon) configured() {
	m.conf.SetCentral(m.parts.config.For(entity.AuthName{Type: entity.Mon, ID: m.cfg.Name}))
	m.mgrConf.SetCentral(m.parts.config.For(entity.AuthName{Type: entity.Mgr, ID: m.cfg.Manager.Name}))
}

// check panics if an invariant does not hold; tests call it after each step.
func (m *Mon) check() {
	if m.proposal == 0 && m.leading && len(m.staged) > 0 && m.err == nil {
		for _, r := range m.staged {
			if r.answer == nil {
				panic("BUG: a staged request has no answer")
			}
		}
	}
	if m.writing == nil && len(m.st.batch) > 0 && m.rn != nil && !m.rn.HasReady() && m.rlog.done.Index == 0 && m.member.raftID == 0 {
		panic("BUG: writes without an entry")
	}
	if (!m.leading || !m.caughtUp) && m.proposal != 0 {
		panic("BUG: a proposal of a monitor that does not lead")
	}
	if m.leading && len(m.fwd.out) > 0 && m.rn.BasicStatus().RaftState == raft.StateLeader {
		panic("BUG: a leader waits for the answers of another one")
	}
	if !m.leading && len(m.fwd.peons) > 0 {
		panic("BUG: sessions of peons at a monitor that does not lead")
	}
	if m.member.joining && m.rn != nil {
		panic("BUG: a member that joins")
	}
	for _, r := range m.fwd.out {
		if r.s.via != "" {
			panic("BUG: a peon's request is forwarded to another one")
		}
	}
}
