package mon

import (
	"time"

	"go.etcd.io/raft/v3"

	"github.com/pulpo-storage/pulpo/metric"
)

// counters are those of Ceph's monitor that mean the same here, under their
// names. "paxos" counts what raft has agreed on: tools look for commits there.
type counters struct {
	sessions                         *metric.Gauge
	opened, gone, trimmed            *metric.Counter
	elections, called, won, lost     *metric.Counter
	commands, refused                *metric.Counter
	begun, committed, stored         *metric.Counter
	beginBytes, writeKeys, writeSize *metric.Average
	latency                          *metric.Latency
	cluster                          clusterGauges
	proposed                         time.Time // the change on its way
	levels                           time.Time // the levels are of then
}

// clusterGauges are what the cluster has, as this monitor knows it.
type clusterGauges struct {
	mons, quorum, osds, up, in, epoch, bytes, used, available *metric.Gauge
	pools, pgs, activeClean, active, peering                  *metric.Gauge
	objects, degraded, misplaced, unfound, data               *metric.Gauge
}

// levelsEvery bounds how often levels are taken when nothing but the OSDs'
// reports may have changed them; the sums cost something.
const levelsEvery = time.Second

func newCounters(r *metric.Registry) *counters {
	c := &counters{}
	g := metric.NewGroup("mon")
	c.sessions = g.Gauge("num_sessions", "Open sessions", metric.Nick("sess"), metric.Useful)
	c.opened = g.Counter("session_add", "Created sessions", metric.Nick("sadd"), metric.Interesting)
	c.gone = g.Counter("session_rm", "Removed sessions", metric.Nick("srm"), metric.Interesting)
	c.trimmed = g.Counter("session_trim", "Trimmed sessions", metric.Nick("strm"), metric.Useful)
	c.elections = g.Counter("num_elections", "Elections participated in", metric.Nick("ecnt"), metric.Useful)
	c.called = g.Counter("election_call", "Elections started", metric.Nick("estt"), metric.Interesting)
	c.won = g.Counter("election_win", "Elections won", metric.Nick("ewon"), metric.Interesting)
	c.lost = g.Counter("election_lose", "Elections lost", metric.Nick("elst"), metric.Interesting)
	// Ours.
	c.commands = g.Counter("commands", "Commands of clients", metric.Nick("cmd"), metric.Useful)
	c.refused = g.Counter("commands_refused", "Commands refused for want of capabilities", metric.Useful)
	r.Add(g)

	g = metric.NewGroup("paxos")
	c.begun = g.Counter("begin", "Started and handled begins", metric.Useful)
	c.beginBytes = g.Average("begin_bytes", "Data in transaction on begin", metric.Useful, metric.Bytes)
	c.committed = g.Counter("commit", "Commits", metric.Nick("cmt"), metric.Useful)
	c.latency = g.Latency("commit_latency", "Commit latency", metric.Nick("clat"), metric.Useful)
	c.stored = g.Counter("store_state", "Store a shared state on disk", metric.Useful)
	c.writeKeys = g.Average("store_state_keys", "Keys in transaction in stored state", metric.Useful)
	c.writeSize = g.Average("store_state_bytes", "Data in transaction in stored state", metric.Useful, metric.Bytes)
	// What a stock monitor counts of its paxos and raft has no like of, for those who
	// ask by name.
	for _, n := range [][2]string{
		{"start_leader", "Starts in leader role"}, {"start_peon", "Starts in peon role"}, {"restart", "Restarts"}, {"refresh", "Refreshes"},
		{"collect", "Peon collects"}, {"collect_uncommitted", "Uncommitted values in started and handled collects"},
		{"collect_timeout", "Collect timeouts"}, {"accept_timeout", "Accept timeouts"}, {"lease_ack_timeout", "Lease acknowledgement timeouts"},
		{"lease_timeout", "Lease timeouts"}, {"share_state", "Sharings of state"}, {"new_pn", "New proposal number queries"},
	} {
		g.Counter(n[0], n[1], metric.Useful)
	}
	for _, n := range [][2]string{
		{"begin_keys", "Keys in transaction on begin"}, {"commit_keys", "Keys in transaction on commit"}, {"collect_keys", "Keys in transaction on peon collect"},
		{"share_state_keys", "Keys in shared state"},
	} {
		g.Average(n[0], n[1], metric.Useful)
	}
	for _, n := range [][2]string{
		{"commit_bytes", "Data in transaction on commit"}, {"collect_bytes", "Data in transaction on peon collect"}, {"share_state_bytes", "Data in shared state"},
	} {
		g.Average(n[0], n[1], metric.Useful, metric.Bytes)
	}
	for _, n := range [][2]string{
		{"refresh_latency", "Refresh latency"}, {"begin_latency", "Latency of begin operation"}, {"collect_latency", "Peon collect latency"},
		{"store_state_latency", "Storing state latency"}, {"new_pn_latency", "New proposal number getting latency"},
	} {
		g.Latency(n[0], n[1], metric.Useful)
	}
	r.Add(g)

	g = metric.NewGroup("cluster")
	level := func(name, help string, opts ...metric.Option) *metric.Gauge { return g.Gauge(name, help, opts...) }
	c.cluster = clusterGauges{
		mons: level("num_mon", "Monitors"), quorum: level("num_mon_quorum", "Monitors in quorum"),
		osds: level("num_osd", "OSDs"), up: level("num_osd_up", "OSDs that are up"),
		in:        level("num_osd_in", `OSD in state "in" (they are in cluster)`),
		epoch:     level("osd_epoch", "Current epoch of OSD map"),
		bytes:     level("osd_bytes", "Total capacity of cluster", metric.Bytes),
		used:      level("osd_bytes_used", "Used space", metric.Bytes),
		available: level("osd_bytes_avail", "Available space", metric.Bytes),
		pools:     level("num_pool", "Pools"), pgs: level("num_pg", "Placement groups"),
		activeClean: level("num_pg_active_clean", "Placement groups in active+clean state"),
		active:      level("num_pg_active", "Placement groups in active state"),
		peering:     level("num_pg_peering", "Placement groups in peering state"),
		objects:     level("num_object", "Objects"),
		degraded:    level("num_object_degraded", "Degraded (missing replicas) objects"),
		misplaced:   level("num_object_misplaced", "Misplaced (wrong location in the cluster) objects"),
		unfound:     level("num_object_unfound", "Unfound objects"),
		data:        level("num_bytes", "Size of all objects", metric.Bytes),
	}
	r.Add(g)
	return c
}

// wrote counts a batch.
func (c *counters) wrote(batch []Op) {
	size := 0
	for _, op := range batch {
		size += len(op.Key) + len(op.Value)
	}
	c.stored.Inc()
	c.writeKeys.Add(uint64(len(batch)))
	c.writeSize.Add(uint64(size))
}

// election counts that another monitor leads now, or none: then an election is
// on, and this monitor called for it if it is a candidate itself.
func (c *counters) election(s *raft.SoftState, leading bool) {
	switch {
	case s.Lead == raft.None:
		if s.RaftState == raft.StateCandidate || s.RaftState == raft.StatePreCandidate {
			c.called.Inc()
		}
	case leading:
		c.elections.Inc()
		c.won.Inc()
	default:
		c.elections.Inc()
		c.lost.Inc()
	}
}

// takeLevels sets the levels to what they are now.
func (m *Mon) takeLevels() {
	m.counters.levels = m.now
	g := &m.counters.cluster
	g.mons.Set(int64(len(m.parts.mon.Map().Ranks)))
	g.quorum.Set(int64(len(m.Quorum().Names)))
	if om := m.parts.osd.Map(); om != nil {
		var all, up, in int64
		for id := range om.MaxOSD {
			if om.Exists(id) {
				all++
				if om.IsUp(id) {
					up++
				}
				if om.IsIn(id) {
					in++
				}
			}
		}
		g.osds.Set(all)
		g.up.Set(up)
		g.in.Set(in)
		g.epoch.Set(int64(om.Epoch))
	}
	t := m.parts.stats.Totals()
	g.bytes.Set(t.Bytes)
	g.used.Set(t.Used)
	g.available.Set(t.Available)
	g.pools.Set(int64(t.Pools))
	g.pgs.Set(int64(t.PGs))
	g.activeClean.Set(int64(t.ActiveClean))
	g.active.Set(int64(t.Active))
	g.peering.Set(int64(t.Peering))
	g.objects.Set(t.Objects.Objects)
	g.degraded.Set(t.Objects.Degraded)
	g.misplaced.Set(t.Objects.Misplaced)
	g.unfound.Set(t.Objects.Unfound)
	g.data.Set(t.Objects.Bytes)
}
