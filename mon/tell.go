package mon

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/cephx/caps"
	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// commands registers what the core itself answers.
func (m *Mon) commands(t *command.Table) {
	m.inventoryCommands(t)
	m.perfCommands(t)
	m.quorumCommands(t)
	t.Read("version", func(c *command.Call) command.Reply { return m.version(c) })
	t.Read("report", m.report)
	t.Find("report").Leader = true

	t.Tell("version", "r", "show mon daemon version", func(c *command.Call) command.Reply { return m.tellVersion(c) })
	t.Tell("mon_status", "r", "report status of monitors", m.parts.mon.Status)
	t.Tell("sessions", "r", "list existing sessions", m.listSessions)
	t.Tell("config show", "r", "dump current config settings", m.configShow)
	t.Tell("config get", "r", "config get <field>: get the config value", m.configGet)
	t.Tell("config set", "rw", "config set <field> <val> [<val> ...]: set a config variable", m.configSet)
	t.Tell("config diff", "r", "dump diff of current config and default config", m.configDiff)
	t.Tell("quorum_status", "r", "report status of monitor quorum", func(c *command.Call) command.Reply {
		return t.Find("quorum_status").Run(c)
	})
	t.Tell("help", "r", "list available commands", func(*command.Call) command.Reply {
		return command.Reply{Output: t.Help()}
	})
	t.Tell("get_command_descriptions", "r", "list available commands", func(*command.Call) command.Reply {
		return command.Reply{Output: t.DescribeTell()}
	})
}

// tell answers a command to this monitor itself ("ceph tell mon.a"), which
// needs all permissions, as in Ceph.
func (m *Mon) tell(r *request) {
	if !r.s.CapableOf("mon", r.call.Prefix, caps.Args(r.call.Args()), "rwx") {
		m.counters.refused.Inc()
		m.audit(r, ":  access denied")
		m.reply(r, command.Fail(errno.EACCES, "insufficient caps"))
		return
	}
	m.audit(r, ": dispatch")
	m.reply(r, m.admin(r.call))
}

// Admin answers a command on the admin socket; there is nobody to refuse there.
func (m *Mon) Admin(cmd string) command.Reply {
	if !strings.HasPrefix(strings.TrimSpace(cmd), "{") {
		b, err := json.Marshal(map[string]string{"prefix": strings.TrimSpace(cmd)})
		if err != nil {
			return command.Err(errno.EINVAL)
		}
		cmd = string(b)
	}
	c, err := command.Parse([]string{cmd})
	if err != nil {
		return command.Fail(errno.EINVAL, "%v", err)
	}
	c.Now = m.now
	return m.admin(c)
}

func (m *Mon) admin(c *command.Call) command.Reply {
	e := m.table.FindTell(c.Prefix)
	if !m.parts.ready() && c.Prefix != "mon_status" {
		return command.Fail(errno.EAGAIN, "mon.%s has no state yet: it joins the cluster", m.cfg.Name)
	}
	if e == nil {
		return command.Fail(errno.EINVAL, "unrecognized command '%s'", c.Prefix)
	}
	return e.Run(c)
}

func (m *Mon) version(c *command.Call) command.Reply {
	return c.Either(func() string { return m.cfg.Version + "\n" }, func(f *jsonfmt.Formatter) {
		f.Object("version", func() { f.Str("version", m.cfg.Version) })
	})
}

func (m *Mon) tellVersion(c *command.Call) command.Reply {
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("version", func() {
			f.Str("version", ShortVersion(m.cfg.Version))
			f.Str("release", "pacific")
			f.Str("release_type", "stable")
		})
	})
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

func (m *Mon) configShow(c *command.Call) command.Reply {
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("config_show", func() {
			f.Str("name", "mon."+m.cfg.Name)
			f.Str("cluster", "ceph")
			for _, o := range config.Options() {
				f.Str(o.Name, m.Option(o.Name))
			}
		})
	})
}

func (m *Mon) configGet(c *command.Call) command.Reply {
	name := config.Name(c.StrOr("var", c.Str("key")))
	if config.Find(name) == nil {
		return command.Fail(errno.ENOENT, "error getting '%s': (2) No such file or directory", name)
	}
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("config_get", func() { f.Str(name, m.Option(name)) })
	})
}

// configSet changes an option of this monitor until it ends.
func (m *Mon) configSet(c *command.Call) command.Reply {
	name := config.Name(c.StrOr("var", c.Str("key")))
	o := config.Find(name)
	if o == nil {
		return command.Fail(errno.ENOENT, "error setting '%s': (2) No such file or directory", name)
	}
	v, err := o.Parse(strings.Join(c.Strs("val"), " "))
	if err != nil {
		return command.Fail(errno.EINVAL, "error setting '%s' to '%s': %v", name, strings.Join(c.Strs("val"), " "), err)
	}
	own := maps.Clone(m.cfg.Options)
	if own == nil {
		own = map[string]string{}
	}
	own[name] = v
	m.cfg.Options = own
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("config_set", func() { f.Str("success", name+" = '"+v+"' ") })
	})
}

func (m *Mon) configDiff(c *command.Call) command.Reply {
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("config_diff", func() {
			f.Object("diff", func() {
				for _, o := range config.Options() {
					if v, def := m.Option(o.Name), o.DefaultFor(true); v != def {
						f.Object(o.Name, func() {
							f.Str("default", def)
							if own, ok := m.cfg.Options[o.Name]; ok {
								f.Str("file", own)
							} else {
								f.Str("mon", v)
							}
							f.Str("final", v)
						})
					}
				}
			})
		})
	})
}

// report gathers what a bug report wants to have.
func (m *Mon) report(c *command.Call) command.Reply {
	out := c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("report", func() {
			f.Stringer("cluster_fingerprint", m.FSID())
			f.Str("version", ShortVersion(m.cfg.Version))
			f.Str("commit", "")
			f.Str("timestamp", jsonfmt.Time(c.Now))
			f.Str("tag", strings.Join(c.Strs("tags"), " "))
			m.parts.health.Dump(f, c.Now)
			oldest, newest := m.parts.mon.Versions("monmap")
			f.Uint("monmap_first_committed", oldest)
			f.Uint("monmap_last_committed", newest)
			f.Object("monmap", func() { m.parts.mon.Map().Dump(f) })
			f.Array("quorum", func() {
				for _, n := range m.Quorum().Names {
					rank, _ := m.parts.mon.Map().Rank(n)
					f.Int("", int64(rank))
				}
			})
			oldest, newest = m.parts.osd.Versions("osdmap")
			f.Uint("osdmap_first_committed", oldest)
			f.Uint("osdmap_last_committed", newest)
			if om := m.parts.osd.Map(); om != nil {
				f.Object("osdmap", func() { om.Dump(f) })
			}
			f.Array("osd_metadata", func() {
				for _, d := range m.parts.daemons(entity.OSD) {
					f.Object("osd", func() { dumpDaemon(f, d) })
				}
			})
		})
	})
	out.Status = "report " + crcText(out.Output)
	return out
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
