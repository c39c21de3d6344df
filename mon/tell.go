package mon

import (
	"errors"
	"maps"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/admin"
	"github.com/pulpo-storage/pulpo/cephx/caps"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/msg"
)

// commands registers what the core itself answers.
func (m *Mon) commands(t *command.Table) {
	m.inventoryCommands(t)
	t.Read("version", func(c *command.Call) command.Reply { return m.version(c) })
	t.Read("report", m.report)
	t.Find("report").Leader = true
}

func (m *Mon) version(c *command.Call) command.Reply {
	return c.Either(func() string { return m.cfg.Version + "\n" }, func(f *jsonfmt.Formatter) {
		f.Object("version", func() { f.Str("version", m.cfg.Version) })
	})
}

// pong is how the cluster and this monitor are, for "ceph ping".
func (m *Mon) pong() string {
	c := command.New("ping", nil)
	c.Now = m.now
	return c.Render(func(f *jsonfmt.Formatter) {
		f.Object("pong", func() {
			m.parts.health.Dump(f, m.now)
			m.parts.mon.DumpStatus(f, m.now)
		})
	})
}

// self is what a daemon answers about itself: this monitor, and the manager that
// it plays. It comes by "ceph tell" and through the admin socket.
type self struct {
	daemon   admin.Daemon
	commands admin.Table[command.Handler]
}

func (m *Mon) newSelf(d admin.Daemon) *self {
	s := &self{daemon: d}
	s.daemon.Version = admin.ParseVersion(m.cfg.Version)
	s.daemon.ReopenLog = m.cfg.ReopenLog
	s.daemon.Perf = func(f *jsonfmt.Formatter, command, group, counter string) {
		m.takeLevels()
		m.cfg.Metrics.Command(f, command, group, counter)
	}
	admin.Each(s.common)
	s.commands.Add("help", "list available commands", func(c *command.Call) command.Reply { return c.Dump(s.commands.Help) })
	s.commands.Add("get_command_descriptions", "list available commands", func(c *command.Call) command.Reply { return c.Dump(s.commands.Describe) })
	return s
}

// common adds a command that all daemons have.
func (s *self) common(sig, help string, do admin.Handler) {
	s.commands.Add(sig, help, func(c *command.Call) command.Reply {
		args := admin.Args(maps.Clone(c.Args()))
		args["prefix"] = c.Prefix
		r := do(&s.daemon, args)
		out := r.Output
		if r.Body != nil {
			out = []byte(c.Render(r.Body))
		}
		return command.Reply{Errno: r.Errno, Status: r.Status, Output: out}
	})
}

// monitorSelf is what this monitor answers about itself.
func (m *Mon) monitorSelf() *self {
	s := m.newSelf(admin.Daemon{Config: m.conf})
	add := s.commands.Add
	s.common(admin.HeapSig("dump|start_profiler|stop_profiler|release|stats"), admin.HeapHelp, admin.Heap)
	s.common("smart name=devid,type=CephString,req=false", "Query health metrics for underlying device", admin.Smart)
	add("mon_status", "report status of monitors", m.parts.mon.Status)
	add("sessions", "list existing sessions", m.listSessions)
	m.quorumCommands(add)
	add("ops", "show the ops currently in flight", m.opsInFlight)
	add("dump_historic_ops", "show recent ops", m.historicOps)
	add("dump_historic_slow_ops", "show recent slow ops", m.historicOps)
	active := func(*command.Call) command.Reply {
		return command.Text("mon already active; ignoring bootstrap hint\n")
	}
	add("add_bootstrap_peer_hint name=addr,type=CephIPAddr", "add peer address as potential bootstrap peer for cluster bringup", active)
	add("add_bootstrap_peer_hintv name=addrv,type=CephString", "add peer address vector as potential bootstrap peer for cluster bringup", active)
	return s
}

// managerSelf is what the manager that this monitor plays answers about itself.
func (m *Mon) managerSelf() *self {
	s := m.newSelf(admin.Daemon{Config: m.mgrConf})
	s.commands.Add("mgr_status", "Dump mgr status", func(c *command.Call) command.Reply {
		return c.Dump(func(f *jsonfmt.Formatter) {
			f.Object("mgr_status", func() {
				f.Uint("mgrmap_epoch", uint64(m.parts.mgr.Map().Epoch))
				f.Bool("initialized", m.parts.mgr.Map().Available)
			})
		})
	})
	s.commands.Add("dump_osd_network name=value,type=CephInt,req=false", "Dump osd heartbeat network ping times", m.parts.stats.DumpNetwork)
	return s
}

// told reports whether a command is for the daemon itself, and for which.
func (m *Mon) told(s *session, b msg.Body) *self {
	if _, ok := b.(*msg.Command); !ok {
		return nil
	}
	if s.Mgr {
		return m.asManager
	}
	return m.asMonitor
}

// tell answers a command to the daemon itself, which needs all permissions, as in
// Ceph.
func (m *Mon) tell(r *request, to *self) {
	prefix, args, allowed := r.call.Prefix, caps.Args(r.call.Args()), false
	if r.s.Mgr {
		allowed = r.s.MgrCaps != nil && r.s.MgrCaps.Allows("mgr", "", prefix, nil, caps.ParsePerm("rwx"), r.s.Addr())
	} else {
		allowed = r.s.CapableOf("mon", prefix, args, "rwx")
	}
	if !allowed {
		m.counters.refused.Inc()
		m.audit(r, ":  access denied")
		m.reply(r, command.Fail(errno.EACCES, "insufficient caps"))
		return
	}
	m.audit(r, ": dispatch")
	m.reply(r, m.answer(to, strings.Join(r.cmd, ""), r.call))
}

// answer carries out a command of a table, if it is one and has the right
// arguments.
func (m *Mon) answer(to *self, text string, c *command.Call) command.Reply {
	args, err := admin.Parse(text)
	var do command.Handler
	if err == nil {
		do, err = to.commands.Find(args)
	}
	var refused *admin.Refusal
	switch {
	case errors.As(err, &refused):
		return command.Fail(refused.Errno, "%s", refused.Words)
	case !m.parts.ready() && c.Prefix != "mon_status":
		return command.Fail(errno.EAGAIN, "mon.%s has no state yet: it joins the cluster", m.cfg.Name)
	}
	return do(c)
}

func (m *Mon) listSessions(c *command.Call) command.Reply {
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Array("sessions", func() {
			for s := range m.Sessions() {
				if m.sessions[s.ID].via != "" {
					continue
				}
				f.Object("session", func() {
					f.Str("name", s.Name.String())
					f.Str("entity_name", s.Auth.String())
					f.AddrVec("addrs", s.Addrs)
					f.Str("socket_addr", s.Addrs.String())
					f.Str("con_type", s.Name.Type.String())
					f.Uint("con_features", s.Features)
					f.Bool("open", true)
					f.Object("caps", func() { f.Str("text", m.sessions[s.ID].id.Caps["mon"]) })
					f.Bool("authenticated", true)
					f.Uint("global_id", s.GlobalID)
					f.Str("global_id_status", "new_ok")
					f.Str("remote_host", s.Host)
				})
			}
		})
	})
}

// ranks are the numbers of the monitors that agree.
func (m *Mon) ranks() string {
	var out []string
	for _, n := range m.Quorum().Names {
		rank, _ := m.parts.mon.Map().Rank(n)
		out = append(out, strconv.Itoa(rank))
	}
	return strings.Join(out, ",")
}

// Rank is this monitor's number.
func (m *Mon) Rank() int64 {
	if !m.parts.ready() {
		return -1
	}
	rank, _ := m.parts.mon.Map().Rank(m.cfg.Name)
	return int64(rank)
}

// Addrs are this monitor's addresses in the map.
func (m *Mon) Addrs() entity.AddrVec {
	if !m.parts.ready() {
		return m.cfg.Addrs
	}
	if mon := m.parts.mon.Map().Mons[m.cfg.Name]; mon != nil {
		return mon.Addrs
	}
	return nil
}

// Features are what this monitor's messenger supports.
func (m *Mon) Features() uint64 {
	if m.cfg.Features != 0 {
		return m.cfg.Features
	}
	return 0x3f01cfbdfffdffff
}
