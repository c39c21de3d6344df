package osdmon

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// The CRUSH map as a whole: replaced, shown, its tunables.

func (s *Service) crushCommands(t *command.Table) {
	t.Write("osd setcrushmap", s.cmdSetCrushMap)
	t.Read("osd crush dump", func(c *command.Call) command.Reply {
		return withNewline(c.Dump(func(f *jsonfmt.Formatter) { f.Object("crush_map", func() { s.cur.Crush.Dump(f) }) }))
	})
	t.Read("osd crush show-tunables", func(c *command.Call) command.Reply {
		return withNewline(c.Dump(func(f *jsonfmt.Formatter) {
			f.Object("crush_map_tunables", func() { s.cur.Crush.DumpTunables(f) })
		}))
	})
	t.Read("osd crush get-tunable", s.cmdGetTunable)
	t.Write("osd crush set-tunable", s.cmdSetTunable)
	t.Write("osd crush tunables", s.cmdTunables)
	t.Write("osd crush set-all-straw-buckets-to-straw2", s.cmdStraw2)
}

// checkCrush refuses a CRUSH map that breaks what the cluster counts on.
func (s *Service) checkCrush(n *crush.Map) (command.Reply, bool) {
	v := s.view()
	for _, id := range poolIDs(v) {
		p := v.Pools[id]
		switch r := n.Rule(int(p.CrushRule)); {
		case r == nil:
			return command.Fail(errno.EINVAL, "pool %d references crush_rule %d but it is not present", id, p.CrushRule), false
		case n.FindRule(int(p.CrushRule), uint8(p.Type), p.Size) < 0:
			if r.Type != uint8(p.Type) {
				return command.Fail(errno.EINVAL, "pool %d type does not match type of crush rule %d", id, p.CrushRule), false
			}
			return command.Fail(errno.EINVAL, "pool %d size %d is outside of the range of crush rule %d", id, p.Size, p.CrushRule), false
		}
	}
	after := *v
	after.Crush = n
	if need := after.MinCompatClient(); v.RequireMinCompatClient > 0 && need > v.RequireMinCompatClient {
		return command.Fail(errno.EINVAL, "new crush map requires client version %v but require_min_compat_client is %v", need, v.RequireMinCompatClient), false
	}
	return command.Reply{}, true
}

func (s *Service) cmdSetCrushMap(c *command.Call) command.Reply {
	n, err := crush.Decode(c.Input)
	if err != nil {
		return command.Fail(errno.EINVAL, "Failed to parse crushmap: %v", err)
	}
	v := s.view()
	if c.Has("prior_version") {
		prior := c.Int("prior_version")
		if prior == int64(v.CrushVersion)-1 && bytes.Equal(v.Crush.Encode(), n.Encode()) {
			return command.Say("%d", v.CrushVersion) // a repetition
		}
		if prior != int64(v.CrushVersion) {
			return command.Fail(errno.EPERM, "prior_version %d != crush version %d", prior, v.CrushVersion)
		}
	}
	if r, ok := s.checkCrush(n); !ok {
		return r
	}
	s.stageCrush(n)
	return command.Committed("%d", s.view().CrushVersion)
}

func (s *Service) cmdGetTunable(c *command.Call) command.Reply {
	if c.Str("tunable") != "straw_calc_version" {
		return command.Err(errno.EINVAL)
	}
	v := int64(s.cur.Crush.StrawCalcVersion)
	return c.Either(func() string { return fmt.Sprintf("%d\n", v) }, func(f *jsonfmt.Formatter) {
		f.Object("tunable", func() { f.Int("straw_calc_version", v) })
	})
}

func (s *Service) cmdSetTunable(c *command.Call) command.Reply {
	value := c.IntOr("value", -1)
	if c.Str("tunable") != "straw_calc_version" {
		return command.Fail(errno.EINVAL, "unrecognized tunable '%s'", c.Str("tunable"))
	}
	if value != 0 && value != 1 {
		return command.Fail(errno.EINVAL, "value must be 0 or 1; got %d", value)
	}
	n := s.view().Crush.Clone()
	n.StrawCalcVersion = uint8(value)
	s.stageCrush(n)
	return command.Committed("adjusted tunable straw_calc_version to %d", value)
}

func (s *Service) cmdTunables(c *command.Call) command.Reply {
	n := s.view().Crush.Clone()
	if err := n.SetTunablesProfile(c.Str("profile")); err != nil {
		return refuse(err)
	}
	if r, ok := s.checkCrush(n); !ok {
		return r
	}
	s.stageCrush(n)
	return command.Committed("adjusted tunables profile to %s", c.Str("profile"))
}

func (s *Service) cmdStraw2(*command.Call) command.Reply {
	n := s.view().Crush.Clone()
	for _, b := range n.Buckets {
		if b != nil && b.Alg == crush.Straw {
			b.Alg, b.Straws = crush.Straw2, nil
		}
	}
	if r, ok := s.checkCrush(n); !ok {
		return r
	}
	s.stageCrush(n)
	return command.Reply{Commit: true}
}

// location reads arguments such as root=default host=a.
func location(args []string) (crush.Loc, command.Reply, bool) {
	loc := crush.Loc{}
	for _, a := range args {
		typ, name, ok := strings.Cut(a, "=")
		if !ok || name == "" {
			return nil, command.Fail(errno.EINVAL, "(22) Invalid argument"), false
		}
		loc[typ] = name
	}
	return loc, command.Reply{}, true
}

// locText prints a location as Ceph does: {host=a,root=default}.
func locText(loc crush.Loc) string {
	parts := make([]string, 0, len(loc))
	for _, t := range slices.Sorted(maps.Keys(loc)) {
		parts = append(parts, t+"="+loc[t])
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// ruleRoots returns the buckets that a rule takes.
func ruleRoots(c *crush.Map, rule int) []int32 {
	r := c.Rule(rule)
	if r == nil {
		return nil
	}
	var out []int32
	for _, st := range r.Steps {
		if st.Op == crush.OpTake {
			out = append(out, st.Arg1)
		}
	}
	return out
}
