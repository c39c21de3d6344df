package osdmon

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// Device classes.

func (s *Service) crushClassCommands(t *command.Table) {
	t.Read("osd crush class ls", s.cmdClassLs)
	t.Read("osd crush class ls-osd", s.cmdClassLsOSD)
	t.Read("osd crush get-device-class", s.cmdGetClass)
	t.Write("osd crush class create", s.cmdClassCreate)
	t.Write("osd crush class rm", s.cmdClassRm)
	t.Write("osd crush class rename", s.cmdClassRename)
	t.Write("osd crush set-device-class", s.cmdSetClass)
	t.Write("osd crush rm-device-class", s.cmdRmClass)
}

func (s *Service) cmdClassLs(c *command.Call) command.Reply {
	names := s.cur.Crush.ClassNames
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Array("crush_classes", func() {
			for _, id := range slices.Sorted(maps.Keys(names)) {
				f.Str("class", names[id])
			}
		})
	})
}

func (s *Service) cmdClassLsOSD(c *command.Call) command.Reply {
	osds := s.cur.Crush.DevicesOfClass(c.Str("class"))
	if c.Format == command.Plain {
		return command.Reply{Output: streamed(onLines(osds))}
	}
	return c.Dump(func(f *jsonfmt.Formatter) { dumpInts(f, "osds", "osd", osds) })
}

func (s *Service) cmdGetClass(c *command.Call) command.Reply {
	classes := map[int32]string{}
	for _, text := range c.Strs("ids") {
		osd, why := parseOSD(text)
		if why != "" {
			return command.Fail(errno.EINVAL, "unable to parse osd id:'%s'", text)
		}
		classes[osd] = s.cur.Crush.ClassOf(osd)
	}
	osds := slices.Sorted(maps.Keys(classes))
	if c.Format == command.Plain {
		if len(osds) == 1 {
			return command.Reply{Output: streamed(classes[osds[0]])}
		}
		out := ""
		for _, o := range osds {
			out += fmt.Sprintf("osd.%d %s\n", o, classes[o])
		}
		return command.Reply{Output: streamed(out)}
	}
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Array("osd_device_classes", func() {
			for _, o := range osds {
				f.Object("osd_device_class", func() {
					f.Int("osd", int64(o))
					f.Str("device_class", classes[o])
				})
			}
		})
	})
}

func (s *Service) cmdClassCreate(c *command.Call) command.Reply {
	class := c.Str("class")
	if class == "" {
		return command.Err(errno.EINVAL)
	}
	if _, ok := s.view().Crush.ClassID(class); ok {
		return command.Say("class '%s' already exists", class)
	}
	if err := s.edit(func(n *crush.Map) error { return n.CreateClass(class) }); err != nil {
		return refuse(err)
	}
	id, _ := s.view().Crush.ClassID(class)
	return command.Committed("created class %s with id %d to crush map", class, id)
}

func (s *Service) cmdClassRm(c *command.Call) command.Reply {
	class := c.Str("class")
	if class == "" {
		return command.Err(errno.EINVAL)
	}
	v := s.view()
	id, ok := v.Crush.ClassID(class)
	if !ok {
		return command.Reply{}
	}
	if rules := v.Crush.RulesByClass(class); len(rules) > 0 {
		names := make([]string, len(rules))
		for i, r := range rules {
			names[i] = "'" + v.Crush.RuleNames[int32(r)] + "'"
		}
		return command.Fail(errno.EBUSY, "class '%s' still referenced by crush_rule(s): %s", class, strings.Join(names, ","))
	}
	var users []string
	for _, p := range slices.Sorted(maps.Keys(v.ErasureCodeProfiles)) {
		if v.ErasureCodeProfiles[p]["crush-device-class"] == class {
			users = append(users, p)
		}
	}
	if len(users) > 0 {
		return command.Fail(errno.EBUSY, "class '%s' is still referenced by erasure-code-profile(s): %s", class, strings.Join(users, ","))
	}
	if err := s.edit(func(n *crush.Map) error { return n.RemoveClass(class) }); err != nil {
		return refuse(err)
	}
	return command.Committed("removed class %s with id %d from crush map", class, id)
}

func (s *Service) cmdClassRename(c *command.Call) command.Reply {
	from, to := c.Str("srcname"), c.Str("dstname")
	m := s.view().Crush
	_, haveFrom := m.ClassID(from)
	_, haveTo := m.ClassID(to)
	if !haveFrom && haveTo {
		return command.Say("already renamed to '%s'", to)
	}
	if err := s.edit(func(n *crush.Map) error { return n.RenameClass(from, to) }); err != nil {
		no := errno.Errno(-errno.Code(err))
		return command.Fail(no, "fail to rename '%s' to '%s' : %s", from, to, command.Err(no).Status)
	}
	return command.Committed("rename class '%s' to '%s'", from, to)
}

// classTargets reads the OSDs that the argument ids names; those that do not
// exist are passed over with a word.
func (s *Service) classTargets(c *command.Call, say *strings.Builder) (osds []int32, all bool, failed errno.Errno) {
	ids := c.Strs("ids")
	if anyOSD(ids) {
		return existing(s.view()), true, 0
	}
	for _, text := range ids {
		osd, why := parseOSD(text)
		switch {
		case why != "":
			fmt.Fprintf(say, "%s, unable to parse osd id:\"%s\". ", why, text)
			failed = errno.EINVAL
		case !s.view().Exists(osd):
			fmt.Fprintf(say, "osd.%d does not exist. ", osd)
		default:
			osds = append(osds, osd)
		}
	}
	return osds, false, failed
}

func (s *Service) cmdSetClass(c *command.Call) command.Reply {
	class := c.Str("class")
	if class == "" {
		return command.Err(errno.EINVAL)
	}
	var say strings.Builder
	osds, all, _ := s.classTargets(c, &say)
	n := s.view().Crush.Clone()
	var updated []int32
	for _, o := range osds {
		name := fmt.Sprintf("osd.%d", o)
		n.MaxDevices = max(n.MaxDevices, o+1)
		if n.Names[o] == "" {
			n.Names[o] = name
		}
		if n.ClassOf(o) == class {
			fmt.Fprintf(&say, "%s already set to class %s. ", name, class)
			if !all {
				fmt.Fprintf(&say, "set-device-class item id %d name '%s' device_class '%s': no change. ", o, name, class)
			}
			continue
		}
		if err := n.SetDeviceClass(o, class); err != nil {
			return command.Fail(errno.Errno(-errno.Code(err)), "%s%s", say.String(), words(err))
		}
		updated = append(updated, o)
	}
	s.stageCrush(n)
	return command.Committed("%sset osd(s) %s to class '%s'", say.String(), commas(updated), class)
}

func (s *Service) cmdRmClass(c *command.Call) command.Reply {
	var say strings.Builder
	osds, _, failed := s.classTargets(c, &say)
	if failed != 0 {
		return command.Fail(failed, "%s", say.String())
	}
	n := s.view().Crush.Clone()
	var updated []int32
	for _, o := range osds {
		if n.ClassOf(o) == "" {
			fmt.Fprintf(&say, "osd.%d belongs to no class, ", o)
			continue
		}
		if err := n.RemoveDeviceClass(o); err != nil {
			return command.Fail(errno.Errno(-errno.Code(err)), "%s%s", say.String(), words(err))
		}
		updated = append(updated, o)
	}
	s.stageCrush(n)
	return command.Committed("%sdone removing class of osd(s): %s", say.String(), commas(updated))
}
