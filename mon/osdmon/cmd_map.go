package osdmon

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Commands that show the map, of now or of an earlier epoch.

func (s *Service) mapCommands(t *command.Table) {
	t.Read("osd stat", s.cmdStat)
	t.Read("osd getmaxosd", s.cmdGetMaxOSD)
	t.Read("osd utilization", s.cmdUtilization)
	t.Read("osd map", s.cmdObjectMap)
	t.Read("pg map", s.cmdPGMap)
	t.Read("osd lspools", s.cmdLsPools)
	for prefix, h := range map[string]func(*command.Call, *osdmap.Map) command.Reply{
		"osd dump": s.cmdDump, "osd ls": s.cmdLs, "osd info": s.cmdInfo, "osd tree": s.cmdTree, "osd tree-from": s.cmdTree,
		"osd getmap": s.cmdGetMap, "osd getcrushmap": s.cmdGetCrushMap, "osd ls-tree": s.cmdLsTree,
	} {
		t.Read(prefix, func(c *command.Call) command.Reply { return s.atEpoch(c, h) })
	}
	t.Write("osd setmaxosd", s.cmdSetMaxOSD)
}

// atEpoch runs a command on the map of the epoch that the caller asks for.
func (s *Service) atEpoch(c *command.Call, h func(*command.Call, *osdmap.Map) command.Reply) command.Reply {
	if !c.Has("epoch") {
		return h(c, s.cur)
	}
	epoch := c.Int("epoch")
	if epoch < 0 || epoch > math.MaxUint32 {
		return command.Fail(errno.ENOENT, "there is no map for epoch %d", epoch)
	}
	m, err := s.mapAt(uint32(epoch))
	if errno.Code(err) == -int32(errno.ENOENT) {
		return command.Fail(errno.ENOENT, "there is no map for epoch %d", epoch)
	} else if err != nil {
		return refuse(err)
	}
	return h(c, m)
}

func (s *Service) cmdDump(c *command.Call, m *osdmap.Map) command.Reply {
	return stream(c, m.Text, func(f *jsonfmt.Formatter) { f.Object("osdmap", func() { m.Dump(f) }) })
}

func existing(m *osdmap.Map) []int32 {
	var out []int32
	for o := range m.MaxOSD {
		if m.Exists(o) {
			out = append(out, o)
		}
	}
	return out
}

// onLines prints one id a line.
func onLines(osds []int32) string { return strings.ReplaceAll(commas(osds), ",", "\n") }

func (s *Service) cmdLs(c *command.Call, m *osdmap.Map) command.Reply {
	osds := existing(m)
	return stream(c, func() string { return onLines(osds) }, func(f *jsonfmt.Formatter) { dumpInts(f, "osds", "osd", osds) })
}

func (s *Service) cmdInfo(c *command.Call, m *osdmap.Map) command.Reply {
	osds := existing(m)
	one := c.Has("id")
	if one {
		id := int32(c.Int("id"))
		if !m.Exists(id) {
			return command.Fail(errno.EINVAL, "osd.%d does not exist", c.Int("id"))
		}
		osds = []int32{id}
	}
	plain := func() string {
		var b strings.Builder
		for _, o := range osds {
			b.WriteString(m.OSDText(o) + "\n")
		}
		return b.String()
	}
	return stream(c, plain, func(f *jsonfmt.Formatter) {
		if !one {
			f.OpenArray("osds")
			defer f.Close()
		}
		for _, o := range osds {
			f.Object("osd_info", func() { m.DumpOSD(f, o) })
		}
	})
}

func (s *Service) cmdTree(c *command.Call, m *osdmap.Map) command.Reply {
	root := ""
	if c.Prefix == "osd tree-from" {
		root = c.Str("bucket")
		id, ok := s.cur.Crush.ItemID(root)
		if !ok {
			return command.Fail(errno.ENOENT, "bucket '%s' does not exist", root)
		}
		if id >= 0 {
			return command.Fail(errno.EINVAL, "\"%s\" is not a bucket", root)
		}
	}
	filter, err := treeFilter(c.Strs("states"))
	if err != "" {
		return command.Fail(errno.EINVAL, "%s", err)
	}
	tree := m.Tree(root, filter)
	return stream(c, tree.Text, func(f *jsonfmt.Formatter) { f.Object("tree", func() { tree.Dump(f) }) })
}

func treeFilter(states []string) (f osdmap.TreeFilter, err string) {
	for _, st := range states {
		switch st {
		case "up":
			f.Up = true
		case "down":
			f.Down = true
		case "in":
			f.In = true
		case "out":
			f.Out = true
		case "destroyed":
			f.Destroyed = true
		default:
			return f, fmt.Sprintf("unrecognized state '%s'", st)
		}
	}
	if f.In && f.Out {
		return f, "cannot specify both 'in' and 'out'"
	}
	if f.Up && f.Down || f.Up && f.Destroyed || f.Down && f.Destroyed {
		return f, "can specify only one of 'up', 'down' and 'destroyed'"
	}
	return f, ""
}

func (s *Service) cmdGetMap(_ *command.Call, m *osdmap.Map) command.Reply {
	full, err := s.fullMap(m.Epoch)
	if err != nil {
		return refuse(err)
	}
	return command.Reply{Output: full, Status: fmt.Sprintf("got osdmap epoch %d", m.Epoch)}
}

func (s *Service) cmdGetCrushMap(_ *command.Call, m *osdmap.Map) command.Reply {
	return command.Reply{Output: m.Crush.Encode(), Status: fmt.Sprint(m.CrushVersion)}
}

func (s *Service) cmdLsTree(c *command.Call, m *osdmap.Map) command.Reply {
	id, ok := m.Crush.ItemID(c.Str("name"))
	if !ok {
		return command.Fail(errno.ENOENT, "\"%s\" does not exist", c.Str("name"))
	}
	osds := m.Crush.Leaves(id)
	slices.Sort(osds)
	osds = slices.DeleteFunc(slices.Compact(osds), func(o int32) bool { return !s.cur.Exists(o) })
	return stream(c, func() string { return onLines(osds) }, func(f *jsonfmt.Formatter) { dumpInts(f, "osds", "osd", osds) })
}

func (s *Service) cmdStat(c *command.Call) command.Reply {
	if c.Format == command.Plain {
		return command.Reply{Output: streamed(s.summary(c.Now, "", true))}
	}
	return c.Dump(func(f *jsonfmt.Formatter) { f.Object("osdmap", func() { s.dumpSummary(f) }) })
}

func (s *Service) cmdGetMaxOSD(c *command.Call) command.Reply {
	if c.Format == command.Plain {
		return command.Reply{Output: streamed(fmt.Sprintf("max_osd = %d in epoch %d", s.cur.MaxOSD, s.cur.Epoch))}
	}
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("getmaxosd", func() {
			f.Uint("epoch", uint64(s.cur.Epoch))
			f.Int("max_osd", int64(s.cur.MaxOSD))
		})
	})
}

func (s *Service) cmdSetMaxOSD(c *command.Call) command.Reply {
	n := c.Int("newmax")
	limit := s.intOption("mon_max_osd", 10000)
	if !c.Has("newmax") || n < 0 {
		return command.Fail(errno.EINVAL, "unable to parse 'newmax' value '%s'", c.Str("newmax"))
	}
	if n > limit {
		return command.Fail(errno.ERANGE, "cannot set max_osd to %d which is > conf.mon_max_osd (%d)", n, limit)
	}
	v := s.view()
	for o := int32(n); o < v.MaxOSD; o++ {
		if v.Exists(o) {
			return command.Fail(errno.EBUSY, "cannot shrink max_osd to %d because osd.%d (and possibly others) still in use", n, o)
		}
	}
	s.stage().NewMaxOSD = int32(n)
	return command.Committed("set new max_osd = %d", n)
}

// cmdUtilization shows how evenly the groups are spread.
func (s *Service) cmdUtilization(c *command.Call) command.Reply {
	spread, ok := SpreadOf(s.cur, nil, nil)
	if !ok {
		return command.Reply{}
	}
	return c.Either(spread.Text, spread.Dump)
}

func (s *Service) cmdObjectMap(c *command.Call) command.Reply {
	m := s.cur
	name, ns := c.Str("object"), c.Str("nspace")
	pool, p, ok := m.PoolByName(c.Str("pool"))
	if !ok {
		return command.Fail(errno.ENOENT, "pool %s does not exist", c.Str("pool"))
	}
	raw := object.PG{Pool: pool, Seed: p.Hash(ns, "", name)}
	pg := p.RawToActual(raw)
	at := m.PGToUpActing(pg)
	if ns != "" {
		name = ns + "/" + name
	}
	if c.Format == command.Plain {
		return command.Reply{Output: streamed(fmt.Sprintf("osdmap e%d pool '%s' (%d) object '%s' -> pg %v (%v) -> up (%s, p%d) acting (%s, p%d)",
			m.Epoch, c.Str("pool"), pool, name, raw, pg, osdList(at.Up), at.UpPrimary, osdList(at.Acting), at.ActingPrimary))}
	}
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("osd_map", func() {
			f.Uint("epoch", uint64(m.Epoch))
			f.Str("pool", c.Str("pool"))
			f.Int("pool_id", pool)
			f.Str("objname", name)
			f.Stringer("raw_pgid", raw)
			f.Stringer("pgid", pg)
			dumpInts(f, "up", "osd", at.Up)
			f.Int("up_primary", int64(at.UpPrimary))
			dumpInts(f, "acting", "osd", at.Acting)
			f.Int("acting_primary", int64(at.ActingPrimary))
		})
	})
}

func (s *Service) cmdPGMap(c *command.Call) command.Reply {
	m := s.cur
	pg, err := c.PG("pgid")
	if err != nil {
		return command.Fail(errno.EINVAL, "invalid pgid '%s'", c.Str("pgid"))
	}
	if m.Pools[pg.Pool] == nil {
		return command.Fail(errno.ENOENT, "pg '%v' does not exist", pg)
	}
	actual := m.Pools[pg.Pool].RawToActual(pg)
	at := m.PGToUpActing(pg)
	if c.Format == command.Plain {
		return command.Reply{Output: streamed(fmt.Sprintf("osdmap e%d pg %v (%v) -> up %s acting %s",
			m.Epoch, pg, actual, osdList(at.Up), osdList(at.Acting)))}
	}
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("pg_map", func() {
			f.Uint("epoch", uint64(m.Epoch))
			f.Stringer("raw_pgid", pg)
			f.Stringer("pgid", actual)
			dumpInts(f, "up", "up_osd", at.Up)
			dumpInts(f, "acting", "acting_osd", at.Acting)
		})
	})
}

func (s *Service) cmdLsPools(c *command.Call) command.Reply {
	m := s.cur
	plain := func() string {
		var b strings.Builder
		for _, id := range poolIDs(m) {
			fmt.Fprintf(&b, "%d %s\n", id, m.PoolNames[id])
		}
		return b.String()
	}
	return stream(c, plain, func(f *jsonfmt.Formatter) {
		f.Array("pools", func() {
			for _, id := range poolIDs(m) {
				f.Object("pool", func() {
					f.Int("poolnum", id)
					f.Str("poolname", m.PoolNames[id])
				})
			}
		})
	})
}
