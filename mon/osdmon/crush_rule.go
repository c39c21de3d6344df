package osdmon

import (
	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// Placement rules.

func (s *Service) crushRuleCommands(t *command.Table) {
	t.Read("osd crush rule ls", s.cmdRuleLs)
	t.Read("osd crush rule list", s.cmdRuleLs)
	t.Read("osd crush rule ls-by-class", s.cmdRuleLsByClass)
	t.Read("osd crush rule dump", s.cmdRuleDump)
	t.Write("osd crush rule create-simple", func(c *command.Call) command.Reply {
		return s.createRule(c, c.StrOr("mode", "firstn"), "")
	})
	t.Write("osd crush rule create-replicated", func(c *command.Call) command.Reply {
		return s.createRule(c, "firstn", c.Str("class"))
	})
	t.Write("osd crush rule create-erasure", s.cmdRuleErasure)
	t.Write("osd crush rule rm", s.cmdRuleRm)
	t.Write("osd crush rule rename", s.cmdRuleRename)
}

func (s *Service) showNames(c *command.Call, list, elem string, names []string) command.Reply {
	plain := func() string {
		out := ""
		for _, n := range names {
			out += n + "\n"
		}
		return out
	}
	return c.Either(plain, func(f *jsonfmt.Formatter) { f.Strs(list, elem, names) })
}

func (s *Service) cmdRuleLs(c *command.Call) command.Reply {
	m := s.cur.Crush
	var names []string
	for id, r := range m.Rules {
		if r != nil {
			names = append(names, m.RuleNames[int32(id)])
		}
	}
	return s.showNames(c, "rules", "name", names)
}

func (s *Service) cmdRuleLsByClass(c *command.Call) command.Reply {
	m, class := s.cur.Crush, c.Str("class")
	if class == "" {
		return command.Fail(errno.EINVAL, "no class specified")
	}
	if _, ok := m.ClassID(class); !ok {
		return command.Fail(errno.ENOENT, "failed to get rules by class '%s'", class)
	}
	var names []string
	for _, id := range m.RulesByClass(class) {
		names = append(names, m.RuleNames[int32(id)])
	}
	return s.showNames(c, "rules", "name", names)
}

func (s *Service) cmdRuleDump(c *command.Call) command.Reply {
	m := s.cur.Crush
	if c.Str("name") == "" {
		return withNewline(c.Dump(func(f *jsonfmt.Formatter) { f.Array("rules", func() { m.DumpRules(f) }) }))
	}
	id, ok := m.RuleID(c.Str("name"))
	if !ok {
		return command.Fail(errno.ENOENT, "unknown crush rule '%s'", c.Str("name"))
	}
	return withNewline(c.Dump(func(f *jsonfmt.Formatter) { m.DumpRule(f, id) }))
}

func (s *Service) createRule(c *command.Call, mode, class string) command.Reply {
	name := c.Str("name")
	if _, ok := s.view().Crush.RuleID(name); ok {
		return command.Say("rule %s already exists", name)
	}
	err := s.edit(func(n *crush.Map) error {
		_, err := n.AddSimpleRule(name, c.Str("root"), c.Str("type"), class, mode, crush.RuleReplicated)
		return err
	})
	if err != nil {
		return refuse(err)
	}
	return command.Reply{Commit: true}
}

func (s *Service) cmdRuleErasure(c *command.Call) command.Reply {
	name := c.Str("name")
	v := s.view()
	profile := c.Str("profile")
	if profile == "" {
		profile = "default"
	}
	if _, ok := v.Crush.RuleID(name); ok {
		return command.Say("rule %s already exists", name)
	}
	kv, ok := v.ErasureCodeProfiles[profile]
	if !ok {
		return command.Fail(errno.EINVAL, "cannot determine the erasure code plugin because there is no 'plugin' entry in the erasure_code_profile {}")
	}
	shape, err := profileShape(kv)
	if err != nil {
		return refuse(err)
	}
	var id int
	err = s.edit(func(n *crush.Map) (err error) {
		root, domain := kv["crush-root"], kv["crush-failure-domain"]
		if root == "" {
			root = "default"
		}
		if domain == "" {
			domain = "host"
		}
		if id, err = n.AddSimpleRule(name, root, domain, kv["crush-device-class"], "indep", crush.RuleErasure); err != nil {
			return err
		}
		r := n.Rule(id)
		r.MinSize, r.MaxSize = 3, uint8(shape.k+shape.m)
		return nil
	})
	if err != nil {
		return refuse(err)
	}
	return command.Committed("created rule %s at %d", name, id)
}

func (s *Service) cmdRuleRm(c *command.Call) command.Reply {
	v, name := s.view(), c.Str("name")
	id, ok := v.Crush.RuleID(name)
	if !ok {
		return command.Say("rule %s does not exist", name)
	}
	if v.CrushRuleInUse(id) {
		return command.Fail(errno.EBUSY, "crush ruleset %s %d is in use", name, id)
	}
	if err := s.edit(func(n *crush.Map) error { return n.RemoveRule(id) }); err != nil {
		return refuse(err)
	}
	return command.Reply{Commit: true}
}

func (s *Service) cmdRuleRename(c *command.Call) command.Reply {
	from, to := c.Str("srcname"), c.Str("dstname")
	if from == "" || to == "" {
		return command.Fail(errno.EINVAL, "must specify both source rule name and destination rule name")
	}
	if from == to {
		return command.Say("destination rule name is equal to source rule name")
	}
	m := s.view().Crush
	_, haveFrom := m.RuleID(from)
	_, haveTo := m.RuleID(to)
	if !haveFrom && haveTo {
		return command.Say("already renamed to '%s'", to)
	}
	if err := s.edit(func(n *crush.Map) error { return n.RenameRule(from, to) }); err != nil {
		return refuse(err)
	}
	return command.Reply{Commit: true}
}
