package osdmon

import (
	"errors"
	"fmt"
	"math"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// Buckets and devices in the CRUSH tree.

func (s *Service) crushTreeCommands(t *command.Table) {
	t.Read("osd crush tree", s.cmdCrushTree)
	t.Read("osd crush ls", s.cmdCrushLs)
	t.Write("osd crush add-bucket", s.cmdAddBucket)
	t.Write("osd crush rename-bucket", s.cmdRenameBucket)
	t.Write("osd crush swap-bucket", s.cmdSwapBucket)
	t.Write("osd crush set", s.cmdCrushSet)
	t.Write("osd crush add", s.cmdCrushPlace)
	t.Write("osd crush create-or-move", s.cmdCreateOrMove)
	t.Write("osd crush move", s.cmdCrushMove)
	t.Write("osd crush link", s.cmdCrushLink)
	t.Write("osd crush rm", s.cmdCrushRm)
	t.Write("osd crush remove", s.cmdCrushRm)
	t.Write("osd crush unlink", s.cmdCrushRm)
	t.Write("osd crush reweight", s.cmdCrushReweight)
	t.Write("osd crush reweight-subtree", s.cmdReweightSubtree)
	t.Write("osd crush reweight-all", s.cmdReweightAll)
}

func (s *Service) treeView() *crush.TreeView {
	return &crush.TreeView{Map: s.cur.Crush, PoolName: func(id int64) (string, bool) {
		n, ok := s.cur.PoolNames[id]
		return n, ok
	}}
}

func (s *Service) cmdCrushTree(c *command.Call) command.Reply {
	t := s.treeView()
	t.Shadows = c.Str("shadow") == "--show-shadow" || c.Bool("show_shadow")
	return c.Either(t.Text, func(f *jsonfmt.Formatter) { f.Object("crush_tree", func() { t.Dump(f) }) })
}

func (s *Service) cmdCrushLs(c *command.Call) command.Reply {
	if c.Str("node") == "" {
		return command.Fail(errno.EINVAL, "no node specified")
	}
	m := s.cur.Crush
	id, ok := m.ItemID(c.Str("node"))
	if !ok {
		return command.Fail(errno.ENOENT, "node '%s' does not exist", c.Str("node"))
	}
	items := []int32{id}
	if b := m.Bucket(id); b != nil {
		items = b.Items
	}
	plain := func() string {
		out := ""
		for _, i := range items {
			out += m.ItemName(i) + "\n"
		}
		return out
	}
	return c.Either(plain, func(f *jsonfmt.Formatter) {
		f.Array("items", func() {
			for _, i := range items {
				f.Str("item", m.ItemName(i))
			}
		})
	})
}

// edit runs change on a copy of the CRUSH map and stages the result.
func (s *Service) edit(change func(n *crush.Map) error) error {
	n := s.view().Crush.Clone()
	if err := change(n); err != nil {
		return err
	}
	s.stageCrush(n)
	return nil
}

// plainErr refuses with the words of the error's number alone, as commands do
// whose inner reasons go to the log.
func plainErr(err error) command.Reply { return command.Err(err) }

func (s *Service) cmdAddBucket(c *command.Call) command.Reply {
	name, typ := c.Str("name"), c.Str("type")
	loc, _, _ := location(c.Strs("args")) // as in Ceph, what is no place does not count
	m := s.view().Crush
	if _, taken := m.ItemID(name); taken {
		return command.Say("bucket '%s' already exists", name)
	}
	switch id, ok := m.TypeID(typ); {
	case !ok:
		return command.Fail(errno.EINVAL, "type '%s' does not exist", typ)
	case id == 0:
		return command.Fail(errno.EINVAL, "type '%s' is for devices, not buckets", typ)
	case !crush.ValidName(name):
		return command.Fail(errno.EINVAL, "error setting bucket name to '%s'", name)
	}
	err := s.edit(func(n *crush.Map) error {
		id, err := n.AddBucket(name, typ)
		if err != nil || len(loc) == 0 {
			return err
		}
		return n.MoveBucket(id, loc)
	})
	switch {
	case err != nil && len(loc) > 0:
		return command.Fail(errno.Errno(-errno.Code(err)), "error moving bucket '%s' to location %s", name, locText(loc))
	case err != nil:
		return command.Fail(errno.Errno(-errno.Code(err)), "add_bucket error: '%s'", command.Err(err).Status)
	case len(loc) > 0:
		return command.Committed("added bucket %s type %s to location %s", name, typ, locText(loc))
	}
	return command.Committed("added bucket %s type %s to crush map", name, typ)
}

func (s *Service) cmdRenameBucket(c *command.Call) command.Reply {
	from, to := c.Str("srcname"), c.Str("dstname")
	err := s.edit(func(n *crush.Map) error { return n.RenameBucket(from, to) })
	switch {
	case errors.Is(err, errno.EALREADY):
		return command.Say("%s", words(err)) // a repetition
	case err != nil:
		return refuse(err)
	}
	return command.Committed("renamed bucket %s into %s", from, to)
}

func (s *Service) cmdSwapBucket(c *command.Call) command.Reply {
	src, dst := c.Str("source"), c.Str("dest")
	m := s.view().Crush
	sid, ok := m.ItemID(src)
	if !ok {
		return command.Fail(errno.ENOENT, "source item %s does not exist", src)
	}
	did, ok := m.ItemID(dst)
	if !ok {
		return command.Fail(errno.ENOENT, "dest item %s does not exist", dst)
	}
	if !c.Bool("yes_i_really_mean_it") {
		if _, held := m.Parent(sid); held {
			return command.Fail(errno.EPERM, "source item %s is not an orphan bucket; pass --yes-i-really-mean-it to proceed anyway", src)
		}
		if a, b := m.Bucket(sid), m.Bucket(did); a != nil && b != nil && a.Alg != b.Alg {
			return command.Fail(errno.EPERM, "source bucket alg %v != dest bucket alg %v; pass --yes-i-really-mean-it to proceed anyway", a.Alg, b.Alg)
		}
	}
	if err := s.edit(func(n *crush.Map) error { return n.SwapBuckets(sid, did) }); err != nil {
		return command.Fail(errno.Errno(-errno.Code(err)), "failed to swap bucket contents: %s", command.Err(err).Status)
	}
	return command.Committed("swapped bucket of %s to %s", src, dst)
}

// cmdCrushSet is two commands: without an OSD it replaces the map.
func (s *Service) cmdCrushSet(c *command.Call) command.Reply {
	if !c.Has("id") {
		return s.cmdSetCrushMap(c)
	}
	return s.cmdCrushPlace(c)
}

// weightArg reads the argument weight.
func weightArg(c *command.Call) (w uint32, shown string, r command.Reply, ok bool) {
	f := c.FloatOr("weight", math.NaN())
	w, err := crush.WeightOf(f)
	if err != nil {
		return 0, "", command.Fail(errno.EINVAL, "unable to parse weight value '%s'", jsonfmt.Short(f)), false
	}
	return w, jsonfmt.Short(f), command.Reply{}, true
}

// cmdCrushPlace is "osd crush set" and "osd crush add": a device with a weight
// at a place.
func (s *Service) cmdCrushPlace(c *command.Call) command.Reply {
	v := s.view()
	id := int32(c.IntOr("id", -1))
	name := fmt.Sprintf("osd.%d", id)
	if !v.Exists(id) {
		return command.Fail(errno.ENOENT, "%s does not exist. Create it before updating the crush map", name)
	}
	w, shown, r, ok := weightArg(c)
	if !ok {
		return r
	}
	loc, r, ok := location(c.Strs("args"))
	if !ok {
		return r
	}
	what := fmt.Sprintf("item id %d name '%s' weight %s at location %s", id, name, shown, locText(loc))
	set := c.Prefix == "osd crush set"
	if set && v.Crush.Names[id] == "" {
		return command.Fail(errno.ENOENT, "unable to set %s: does not exist", what)
	}
	action := "add"
	if _, there := v.Crush.IsAt(id, loc); set || there {
		action = "set"
	}
	n := v.Crush.Clone()
	changed, err := true, error(nil)
	if action == "set" {
		changed, err = n.Update(id, w, name, loc)
	} else {
		err = n.Insert(id, w, name, loc, s.updateSets())
	}
	if err != nil {
		return plainErr(err)
	}
	if !changed {
		return command.Say("%s %s: no change", action, what)
	}
	s.stageCrush(n)
	return command.Committed("%s %s to crush map", action, what)
}

func (s *Service) cmdCreateOrMove(c *command.Call) command.Reply {
	v := s.view()
	id := int32(c.IntOr("id", -1))
	name := fmt.Sprintf("osd.%d", id)
	if !v.Exists(id) {
		return command.Fail(errno.ENOENT, "%s does not exist.  create it before updating the crush map", name)
	}
	w, shown, r, ok := weightArg(c)
	if !ok {
		return r
	}
	loc, r, ok := location(c.Strs("args"))
	if !ok {
		return r
	}
	n := v.Crush.Clone()
	changed, err := n.CreateOrMove(id, w, name, loc, s.updateSets())
	if err != nil {
		return plainErr(err)
	}
	where := fmt.Sprintf("item name '%s' weight %s at location %s to crush map", name, shown, locText(loc))
	if !changed {
		return command.Say("create-or-move updated %s", where)
	}
	s.stageCrush(n)
	return command.Committed("create-or-move updating %s", where)
}

// itemAndPlace reads which item is to go where, and how to say that. There is
// nothing left to do, but to reply, if the item is not there or there already.
func (s *Service) itemAndPlace(c *command.Call) (id int32, loc crush.Loc, where string, r command.Reply, ok bool) {
	m := s.view().Crush
	name := c.Str("name")
	if id, ok = m.ItemID(name); !ok {
		r = command.Fail(errno.ENOENT, "item %s does not exist", name)
		return
	}
	if loc, r, ok = location(c.Strs("args")); !ok {
		return
	}
	where = fmt.Sprintf("item id %d name '%s' to location %s", id, name, locText(loc))
	if _, there := m.IsAt(id, loc); there {
		r, ok = command.Say("no need to move %s in crush map", where), false
	}
	return
}

func (s *Service) cmdCrushMove(c *command.Call) command.Reply {
	id, loc, where, r, ok := s.itemAndPlace(c)
	if !ok {
		return r
	}
	err := s.edit(func(n *crush.Map) error {
		if id < 0 {
			return n.MoveBucket(id, loc)
		}
		_, err := n.CreateOrMove(id, 0, c.Str("name"), loc, s.updateSets())
		return err
	})
	if err != nil {
		return plainErr(err)
	}
	return command.Committed("moved %s in crush map", where)
}

func (s *Service) cmdCrushLink(c *command.Call) command.Reply {
	id, loc, where, r, ok := s.itemAndPlace(c)
	if !ok {
		return r
	}
	if err := s.edit(func(n *crush.Map) error { return n.LinkBucket(id, loc) }); err != nil {
		return command.Fail(errno.Errno(-errno.Code(err)), "cannot link %s", where)
	}
	return command.Committed("linked %s in crush map", where)
}

func (s *Service) cmdCrushRm(c *command.Call) command.Reply {
	m := s.view().Crush
	name, unlink := c.Str("name"), c.Prefix == "osd crush unlink"
	id, ok := m.ItemID(name)
	if !ok {
		return command.Say("device '%s' does not appear in the crush map", name)
	}
	under := c.Has("ancestor")
	ancestor := int32(0)
	if under {
		if ancestor, ok = m.ItemID(c.Str("ancestor")); !ok {
			return command.Fail(errno.ENOENT, "ancestor item '%s' does not appear in the crush map", c.Str("ancestor"))
		}
	}
	err := s.edit(func(n *crush.Map) error {
		if under && ancestor < 0 {
			return n.RemoveUnder(id, ancestor, unlink)
		}
		return n.Remove(id, unlink)
	})
	switch {
	case errors.Is(err, errno.ENOENT):
		return command.Say("item %d does not appear in that position", id)
	case err != nil:
		return plainErr(err)
	}
	if !unlink && s.view().CrushNodeFlags[id] != 0 {
		s.stage().NewCrushNodeFlags[id] = 0
	}
	return command.Committed("removed item id %d name '%s' from crush map", id, name)
}

func (s *Service) cmdCrushReweight(c *command.Call) command.Reply {
	name := c.Str("name")
	id, ok := s.view().Crush.ItemID(name)
	if !ok {
		return command.Fail(errno.ENOENT, "device '%s' does not appear in the crush map", name)
	}
	if id < 0 {
		return command.Fail(errno.EINVAL, "device '%s' is not a leaf in the crush map", name)
	}
	w, shown, r, ok := weightArg(c)
	if !ok {
		return r
	}
	if err := s.edit(func(n *crush.Map) error { _, err := n.Reweight(id, w, s.updateSets()); return err }); err != nil {
		return plainErr(err)
	}
	return command.Committed("reweighted item id %d name '%s' to %s in crush map", id, name, shown)
}

func (s *Service) cmdReweightSubtree(c *command.Call) command.Reply {
	name := c.Str("name")
	id, ok := s.view().Crush.ItemID(name)
	if !ok {
		return command.Fail(errno.ENOENT, "device '%s' does not appear in the crush map", name)
	}
	if id >= 0 {
		return command.Fail(errno.EINVAL, "device '%s' is not a subtree in the crush map", name)
	}
	w, shown, r, ok := weightArg(c)
	if !ok {
		return r
	}
	if err := s.edit(func(n *crush.Map) error { _, err := n.ReweightSubtree(id, w, s.updateSets()); return err }); err != nil {
		return plainErr(err)
	}
	return command.Committed("reweighted subtree id %d name '%s' to %s in crush map", id, name, shown)
}

func (s *Service) cmdReweightAll(*command.Call) command.Reply {
	if err := s.edit(func(n *crush.Map) error { return n.ReweightAll() }); err != nil {
		return plainErr(err)
	}
	return command.Committed("reweighted crush hierarchy")
}
