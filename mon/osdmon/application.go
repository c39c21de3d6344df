package osdmon

import (
	"maps"
	"slices"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// What pools are used for: applications with keys and values of their own.

// Limits of Ceph.
const (
	maxApplications    = 4
	maxApplicationKeys = 64
	maxApplicationText = 128
)

func (s *Service) applicationCommands(t *command.Table) {
	t.Read("osd pool application get", s.cmdAppGet)
	t.Write("osd pool application enable", s.withPool(s.cmdAppEnable))
	t.Write("osd pool application disable", s.withPool(s.cmdAppDisable))
	t.Write("osd pool application set", s.withPool(s.cmdAppSet))
	t.Write("osd pool application rm", s.withPool(s.cmdAppRm))
}

// withPool reads the argument pool.
func (s *Service) withPool(h func(c *command.Call, id int64, p *osdmap.Pool) command.Reply) command.Handler {
	return func(c *command.Call) command.Reply {
		id, p, ok := s.view().PoolByName(c.Str("pool"))
		if !ok {
			return command.Fail(errno.ENOENT, "unrecognized pool '%s'", c.Str("pool"))
		}
		if c.Str("key") == "all" {
			return command.Fail(errno.EINVAL, "key cannot be 'all'")
		}
		if c.Str("value") == "all" {
			return command.Fail(errno.EINVAL, "value cannot be 'all'")
		}
		return h(c, id, p)
	}
}

func dumpStrings(f *jsonfmt.Formatter, m map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		f.Str(k, m[k])
	}
}

func (s *Service) cmdAppGet(c *command.Call) command.Reply {
	m := s.cur
	dump := func(f *jsonfmt.Formatter, name string, p *osdmap.Pool) {
		f.Object(name, func() {
			for _, app := range slices.Sorted(maps.Keys(p.Applications)) {
				f.Object(app, func() { dumpStrings(f, p.Applications[app]) })
			}
		})
	}
	name, app, key := c.Str("pool"), c.Str("app"), c.Str("key")
	if name == "" {
		return c.Dump(func(f *jsonfmt.Formatter) {
			f.Object("pools", func() {
				for _, id := range poolIDs(m) {
					dump(f, m.PoolNames[id], m.Pools[id])
				}
			})
		})
	}
	_, p, ok := m.PoolByName(name)
	if !ok {
		return command.Fail(errno.ENOENT, "unrecognized pool '%s'", name)
	}
	if app == "" {
		return c.Dump(func(f *jsonfmt.Formatter) { dump(f, name, p) })
	}
	kv, ok := p.Applications[app]
	if !ok {
		return command.Fail(errno.ENOENT, "pool '%s' has no application '%s'", name, app)
	}
	if key == "" {
		return c.Dump(func(f *jsonfmt.Formatter) { f.Object(app, func() { dumpStrings(f, kv) }) })
	}
	v, ok := kv[key]
	if !ok {
		return command.Fail(errno.ENOENT, "application '%s' on pool '%s' does not have key '%s'", app, name, key)
	}
	return command.Text(v + "\n")
}

func (s *Service) cmdAppEnable(c *command.Call, id int64, p *osdmap.Pool) command.Reply {
	name, app := c.Str("pool"), c.Str("app")
	_, have := p.Applications[app]
	switch {
	case app == "":
		return command.Fail(errno.EINVAL, "application name must be provided")
	case p.TierOf >= 0:
		return command.Fail(errno.EINVAL, "application must be enabled on base tier")
	case !have && len(p.Applications) > 0 && !c.Bool("yes_i_really_mean_it"):
		return command.Fail(errno.EPERM, "Are you SURE? Pool '%s' already has an enabled application; pass --yes-i-really-mean-it to proceed anyway", name)
	case !have && len(p.Applications) >= maxApplications:
		return command.Fail(errno.EINVAL, "too many enabled applications on pool '%s'; max %d", name, maxApplications)
	case len(app) > maxApplicationText:
		return command.Fail(errno.EINVAL, "application name '%s' too long; max length %d", app, maxApplicationText)
	}
	e := s.editPool(id)
	if !have {
		e.Applications[app] = map[string]string{}
	}
	return command.Committed("enabled application '%s' on pool '%s'", app, name)
}

func (s *Service) cmdAppDisable(c *command.Call, id int64, p *osdmap.Pool) command.Reply {
	name, app := c.Str("pool"), c.Str("app")
	if !c.Bool("yes_i_really_mean_it") {
		return command.Fail(errno.EPERM, "Are you SURE? Disabling an application within a pool might result in loss of application functionality; pass --yes-i-really-mean-it to proceed anyway")
	}
	if _, ok := p.Applications[app]; !ok {
		return command.Say("application '%s' is not enabled on pool '%s'", app, name)
	}
	delete(s.editPool(id).Applications, app)
	return command.Committed("disable application '%s' on pool '%s'", app, name)
}

func (s *Service) cmdAppSet(c *command.Call, id int64, p *osdmap.Pool) command.Reply {
	name, app, key, value := c.Str("pool"), c.Str("app"), c.Str("key"), c.Str("value")
	kv, ok := p.Applications[app]
	_, have := kv[key]
	switch {
	case p.TierOf >= 0:
		return command.Fail(errno.EINVAL, "application metadata must be set on base tier")
	case !ok:
		return command.Fail(errno.ENOENT, "application '%s' is not enabled on pool '%s'", app, name)
	case key == "":
		return command.Fail(errno.EINVAL, "key must be provided")
	case !have && len(kv) >= maxApplicationKeys:
		return command.Fail(errno.EINVAL, "too many keys set for application '%s' on pool '%s'; max %d", app, name, maxApplicationKeys)
	case len(key) > maxApplicationText:
		return command.Fail(errno.EINVAL, "key '%s' too long; max length %d", app, maxApplicationText)
	case len(value) > maxApplicationText:
		return command.Fail(errno.EINVAL, "value '%s' too long; max length %d", value, maxApplicationText)
	}
	s.editPool(id).Applications[app][key] = value
	return command.Committed("set application '%s' key '%s' to '%s' on pool '%s'", app, key, value, name)
}

func (s *Service) cmdAppRm(c *command.Call, id int64, p *osdmap.Pool) command.Reply {
	name, app, key := c.Str("pool"), c.Str("app"), c.Str("key")
	kv, ok := p.Applications[app]
	if !ok {
		return command.Fail(errno.ENOENT, "application '%s' is not enabled on pool '%s'", app, name)
	}
	if _, ok := kv[key]; !ok {
		return command.Say("application '%s' on pool '%s' does not have key '%s'", app, name, key)
	}
	delete(s.editPool(id).Applications[app], key)
	return command.Committed("removed application '%s' key '%s' on pool '%s'", app, key, name)
}
