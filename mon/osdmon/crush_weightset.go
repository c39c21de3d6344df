package osdmon

import (
	"maps"
	"slices"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// Weight sets: other weights for draws, of one pool or, "compat", of all.

func (s *Service) weightSetCommands(t *command.Table) {
	t.Read("osd crush weight-set ls", s.cmdWeightSetLs)
	t.Read("osd crush weight-set dump", func(c *command.Call) command.Reply {
		return c.Dump(func(f *jsonfmt.Formatter) { f.Object("choose_args", func() { s.cur.Crush.DumpChooseArgs(f) }) })
	})
	t.Write("osd crush weight-set create", s.cmdWeightSetCreate)
	t.Write("osd crush weight-set create-compat", s.cmdWeightSetCreate)
	t.Write("osd crush weight-set rm", s.cmdWeightSetRm)
	t.Write("osd crush weight-set rm-compat", s.cmdWeightSetRm)
	t.Write("osd crush weight-set reweight", s.cmdWeightSetReweight)
	t.Write("osd crush weight-set reweight-compat", s.cmdWeightSetReweight)
}

func (s *Service) cmdWeightSetLs(c *command.Call) command.Reply {
	var names []string
	for _, key := range slices.Sorted(maps.Keys(s.cur.Crush.ChooseArgs)) {
		switch {
		case key == crush.DefaultChooseArgs:
			names = append(names, "(compat)")
		case key >= 0:
			names = append(names, s.cur.PoolNames[key])
		}
	}
	return s.showNames(c, "rules", "name", names)
}

// weightSetKey returns the key of the set that a command is about.
func (s *Service) weightSetKey(c *command.Call) (int64, command.Reply, bool) {
	switch c.Prefix {
	case "osd crush weight-set create-compat", "osd crush weight-set rm-compat", "osd crush weight-set reweight-compat":
		return crush.DefaultChooseArgs, command.Reply{}, true
	}
	id, _, ok := s.view().PoolByName(c.Str("pool"))
	if !ok {
		return 0, command.Fail(errno.ENOENT, "pool '%s' not found", c.Str("pool")), false
	}
	return id, command.Reply{}, true
}

func (s *Service) cmdWeightSetCreate(c *command.Call) command.Reply {
	v := s.view()
	for _, b := range v.Crush.Buckets {
		if b != nil && b.Alg != crush.Straw2 {
			return command.Fail(errno.EPERM, "crush map contains one or more bucket(s) that are not straw2")
		}
	}
	compat := c.Prefix == "osd crush weight-set create-compat"
	if r := v.RequireMinCompatClient; !compat && r > 0 && r < entity.Luminous {
		return command.Fail(errno.EPERM, "require_min_compat_client %v < luminous, which is required for per-pool weight-sets. "+
			"Try 'ceph osd set-require-min-compat-client luminous' before using the new interface", r)
	}
	key, r, ok := s.weightSetKey(c)
	if !ok {
		return r
	}
	positions := 1
	if !compat {
		switch mode := c.Str("mode"); mode {
		case "flat":
		case "positional":
			positions = int(v.Pools[key].Size)
		default:
			return command.Fail(errno.EINVAL, "unrecognized weight-set mode '%s'", mode)
		}
	}
	n := v.Crush.Clone()
	if !n.CreateWeightSet(key, positions) {
		if compat {
			return command.Say("compat weight-set already created")
		}
		return command.Say("weight-set for pool '%s' already created", v.PoolNames[key])
	}
	s.stageCrush(n)
	return command.Reply{Commit: true}
}

func (s *Service) cmdWeightSetRm(c *command.Call) command.Reply {
	key, r, ok := s.weightSetKey(c)
	if !ok {
		return r
	}
	n := s.view().Crush.Clone()
	n.RemoveWeightSet(key)
	s.stageCrush(n)
	return command.Reply{Commit: true}
}

func (s *Service) cmdWeightSetReweight(c *command.Call) command.Reply {
	key, r, ok := s.weightSetKey(c)
	if !ok {
		return r
	}
	m := s.view().Crush
	args, have := m.ChooseArgs[key]
	if !have {
		if key == crush.DefaultChooseArgs {
			return command.Fail(errno.ENOENT, "no backward-compatible weight-set")
		}
		return command.Fail(errno.ENOENT, "no weight-set for pool '%s'", c.Str("pool"))
	}
	var weights []uint32
	for _, f := range c.Floats("weight") {
		w, err := crush.WeightOf(f)
		if err != nil {
			return refuse(err)
		}
		weights = append(weights, w)
	}
	if n := setPositions(args); key != crush.DefaultChooseArgs && len(weights) != n {
		return command.Fail(errno.EINVAL, "must specify exact %d weight values", n)
	}
	item, ok := m.ItemID(c.Str("item"))
	if !ok {
		return command.Fail(errno.ENOENT, "item '%s' does not exist", c.Str("item"))
	}
	if err := s.edit(func(n *crush.Map) error { return n.ReweightSet(key, item, weights) }); err != nil {
		return refuse(err)
	}
	return command.Reply{Commit: true}
}

func setPositions(args []crush.ChooseArg) int {
	for i := range args {
		if n := len(args[i].WeightSet); n > 0 {
			return n
		}
	}
	return 1
}
