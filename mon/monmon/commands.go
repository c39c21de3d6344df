package monmon

import (
	"fmt"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/monmap"
)

// Commands registers mon ..., quorum_status and what else is about the
// monitors as such.
func (m *Service) Commands(t *command.Table) {
	t.Read("mon dump", m.dump)
	t.Read("mon getmap", m.getmap)
	t.Read("mon stat", m.stat)
	m.featureCommands(t)
	t.Read("quorum_status", m.quorumStatus)
	t.Read("fsid", m.fsid)
	t.Read("time-sync-status", m.timeSync)
	t.Find("time-sync-status").Leader = true
	t.Read("config generate-minimal-conf", m.minimalConf)
	m.memberCommands(t)
	t.Read("mon enable-msgr2", func(*command.Call) command.Reply { return command.Reply{} })
}

// at returns the map of an epoch, the current one for 0.
func (m *Service) at(c *command.Call) (*monmap.Map, []byte, command.Reply, bool) {
	epoch := c.IntOr("epoch", 0)
	if epoch == 0 || epoch == int64(m.m.Epoch) {
		return m.m, m.raw, command.Reply{}, true
	}
	if raw := m.r.Get(mapKey(uint32(epoch))); raw != nil && epoch > 0 && epoch < int64(m.m.Epoch) {
		if old, err := monmap.Decode(raw); err == nil {
			return old, raw, command.Reply{}, true
		}
	}
	return nil, nil, command.Fail(errno.ENOENT, "there is no map for epoch %d", epoch), false
}

func (m *Service) dump(c *command.Call) command.Reply {
	mm, _, bad, ok := m.at(c)
	if !ok {
		return bad
	}
	r := c.Either(mm.Text, func(f *jsonfmt.Formatter) {
		f.Object("monmap", func() {
			mm.Dump(f)
			f.Array("quorum", func() { m.dumpRanks(f) })
		})
	})
	if c.Format != command.Plain {
		r = r.Line()
	}
	r.Status = fmt.Sprintf("dumped monmap epoch %d", mm.Epoch)
	return r
}

func (m *Service) dumpRanks(f *jsonfmt.Formatter) {
	for _, n := range m.host.Quorum().Names {
		rank, _ := m.m.Rank(n)
		f.Int("mon", int64(rank))
	}
}

func (m *Service) getmap(c *command.Call) command.Reply {
	mm, raw, bad, ok := m.at(c)
	if !ok {
		return bad
	}
	return command.Reply{Status: fmt.Sprintf("got monmap epoch %d", mm.Epoch), Output: raw}
}

func (m *Service) stat(c *command.Call) command.Reply {
	q := m.host.Quorum()
	return c.Either(func() string {
		var mons, ranks []string
		for _, n := range m.m.Ranks {
			mons = append(mons, fmt.Sprintf("%s=%v", n, m.m.Mons[n].Addrs))
		}
		for _, n := range q.Names {
			rank, _ := m.m.Rank(n)
			ranks = append(ranks, fmt.Sprint(rank))
		}
		rank, _ := m.m.Rank(q.Leader)
		var removed []string
		for _, r := range m.m.RemovedRanks {
			removed = append(removed, fmt.Sprint(r))
		}
		return fmt.Sprintf("e%d: %d mons at {%s} removed_ranks: {%s}, election epoch %d, leader %d %s, quorum %s %s\n",
			m.m.Epoch, len(m.m.Ranks), strings.Join(mons, ","), strings.Join(removed, ","), q.Epoch, rank, q.Leader,
			strings.Join(ranks, ","), strings.Join(q.Names, ","))
	}, func(f *jsonfmt.Formatter) {
		f.Object("monmap", func() {
			f.Uint("epoch", uint64(m.m.Epoch))
			f.Str("min_mon_release_name", m.m.MinMonRelease.String())
			f.Int("num_mons", int64(len(m.m.Ranks)))
			f.Str("leader", q.Leader)
			f.Array("quorum", func() {
				for _, n := range q.Names {
					rank, _ := m.m.Rank(n)
					f.Object("mon", func() {
						f.Int("rank", int64(rank))
						f.Str("name", n)
					})
				}
			})
		})
	}).LineUnlessPlain(c)
}

func (m *Service) age(q Quorum, now time.Time) int64 { return int64(now.Sub(q.Since) / time.Second) }

func (m *Service) dumpQuorum(f *jsonfmt.Formatter, q Quorum) {
	f.Array("quorum", func() { m.dumpRanks(f) })
	f.Strs("quorum_names", "mon", q.Names)
}

func (m *Service) dumpFeatures(f *jsonfmt.Formatter) {
	f.Object("features", func() {
		f.Str("quorum_con", fmt.Sprint(m.host.Features()))
		f.Strs("quorum_mon", "bit_flag", m.m.Persistent.Names())
	})
}

func (m *Service) quorumStatus(c *command.Call) command.Reply {
	q := m.host.Quorum()
	if c.Format == command.Plain { // as in Ceph: compact when not asked otherwise
		c = c.As(command.JSON)
	}
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("quorum_status", func() {
			f.Uint("election_epoch", q.Epoch)
			m.dumpQuorum(f, q)
			f.Str("quorum_leader_name", q.Leader)
			f.Int("quorum_age", m.age(q, c.Now))
			m.dumpFeatures(f)
			f.Object("monmap", func() { m.m.Dump(f) })
		})
	}).Line()
}

// Status is "mon_status" of this monitor.
func (m *Service) Status(c *command.Call) command.Reply {
	return c.Dump(func(f *jsonfmt.Formatter) { m.DumpStatus(f, c.Now) })
}

// DumpStatus writes that.
func (m *Service) DumpStatus(f *jsonfmt.Formatter, now time.Time) {
	q := m.host.Quorum()
	if m.m == nil {
		f.Object("mon_status", func() {
			f.Str("name", m.host.Name())
			f.Int("rank", -1)
			f.Str("state", "probing")
			f.Uint("election_epoch", q.Epoch)
			f.Array("quorum", func() {})
		})
		return
	}
	rank, _ := m.m.Rank(m.host.Name())
	state := "peon"
	switch q.Leader {
	case m.host.Name():
		state = "leader"
	case "":
		state = "electing"
	}
	f.Object("mon_status", func() {
		f.Str("name", m.host.Name())
		f.Int("rank", int64(rank))
		f.Str("state", state)
		f.Uint("election_epoch", q.Epoch)
		f.Array("quorum", func() { m.dumpRanks(f) })
		f.Int("quorum_age", m.age(q, now))
		f.Object("features", func() {
			f.Str("required_con", "2449958747317026820")
			f.Strs("required_mon", "bit_flag", m.m.Persistent.Names())
			f.Str("quorum_con", fmt.Sprint(m.host.Features()))
			f.Strs("quorum_mon", "bit_flag", m.m.Persistent.Names())
		})
		f.Array("outside_quorum", func() {
			for _, n := range m.without(q.Names) {
				f.Str("mon", n)
			}
		})
		f.Array("extra_probe_peers", func() {})
		f.Array("sync_provider", func() {})
		f.Object("monmap", func() { m.m.Dump(f) })
		f.Object("feature_map", func() {})
		f.Bool("stretch_mode", m.m.StretchMode)
	})
}

func (m *Service) without(names []string) []string {
	var out []string
	for _, n := range m.m.Ranks {
		found := false
		for _, x := range names {
			found = found || x == n
		}
		if !found {
			out = append(out, n)
		}
	}
	return out
}

func (m *Service) fsid(c *command.Call) command.Reply {
	return c.Either(func() string { return m.m.FSID.String() + "\n" }, func(f *jsonfmt.Formatter) {
		f.Object("fsid", func() { f.Stringer("fsid", m.m.FSID) })
	})
}

func (m *Service) minimalConf(*command.Call) command.Reply {
	var hosts []string
	for _, n := range m.m.Ranks {
		hosts = append(hosts, m.m.Mons[n].Addrs.String())
	}
	return command.Text(fmt.Sprintf("# minimal ceph.conf for %v\n[global]\n\tfsid = %v\n\tmon_host = %s\n",
		m.m.FSID, m.m.FSID, strings.Join(hosts, " ")))
}

// StatusServices is the line of "ceph -s".
func (m *Service) StatusServices(now time.Time) []service.Line {
	q := m.host.Quorum()
	out := m.without(q.Names)
	text := fmt.Sprintf("%d daemons, quorum %s (age %s)", len(m.m.Ranks), strings.Join(q.Names, ","), service.Age(now.Sub(q.Since)))
	if len(out) > 0 {
		text += ", out of quorum: " + strings.Join(out, ", ")
	}
	return []service.Line{{Label: "mon", Text: text}}
}

// StatusSections has nothing to add.
func (m *Service) StatusSections(time.Time) []service.Section { return nil }

// StatusDump writes the members of the JSON status.
func (m *Service) StatusDump(f *jsonfmt.Formatter, now time.Time) {
	q := m.host.Quorum()
	f.Uint("election_epoch", q.Epoch)
	m.dumpQuorum(f, q)
	f.Int("quorum_age", m.age(q, now))
	f.Object("monmap", func() {
		f.Uint("epoch", uint64(m.m.Epoch))
		f.Str("min_mon_release_name", m.m.MinMonRelease.String())
		f.Int("num_mons", int64(len(m.m.Ranks)))
	})
}
