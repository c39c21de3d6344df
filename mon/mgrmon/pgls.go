package mgrmon

import (
	"fmt"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
)

func (s *Service) listCommands(t *command.Table) {
	t.Read("pg ls", func(c *command.Call) command.Reply {
		return s.list(c, filter{pool: c.IntOr("pool", -1), osd: -1})
	})
	t.Read("pg ls-by-pool", func(c *command.Call) command.Reply {
		id, _, ok := s.pgmap().m.PoolByName(c.Str("poolstr"))
		if !ok {
			return s.refuse(c, errno.ENOENT, "pool %s does not exist", c.Str("poolstr"))
		}
		return s.list(c, filter{pool: id, osd: -1})
	})
	byOSD := func(primary bool) command.Handler {
		return func(c *command.Call) command.Reply {
			return s.list(c, filter{pool: c.IntOr("pool", -1), osd: c.IntOr("osd", -1), primary: primary})
		}
	}
	t.Read("pg ls-by-osd", byOSD(false))
	t.Read("pg ls-by-primary", byOSD(true))
}

// filter selects groups; -1: any.
type filter struct {
	pool    int64
	osd     int64
	primary bool // the OSD must be their primary
	states  msg.PGState
	all     bool // whatever their state
}

func (f *filter) selects(g *msg.PGStat) bool {
	switch {
	case f.pool >= 0 && g.PG.Pool != f.pool:
		return false
	case f.osd >= 0 && f.primary && int64(g.ActingPrimary) != f.osd:
		return false
	case f.osd >= 0 && !slices.ContainsFunc(g.Acting, func(o int32) bool { return int64(o) == f.osd }):
		return false
	}
	return f.all || g.State&f.states != 0 || f.states == 0 && unknown(g)
}

// parseState is the inverse of a single state's String.
func parseState(name string) (msg.PGState, bool) {
	if name == msg.PGState(0).String() {
		return 0, true
	}
	for bit := msg.PGState(1); bit <= msg.PGWait; bit <<= 1 {
		if bit.String() == name && name != msg.PGState(0).String() {
			return bit, true
		}
	}
	return 0, false
}

func (s *Service) list(c *command.Call, f filter) command.Reply {
	p := s.pgmap()
	if f.pool >= 0 && p.m.Pools[f.pool] == nil {
		return s.refuse(c, errno.ENOENT, "pool %d does not exist", f.pool)
	}
	if f.osd >= 0 && (f.osd >= int64(p.m.MaxOSD) || !p.m.IsUp(int32(f.osd))) {
		return s.refuse(c, errno.EAGAIN, "osd %d is not up", f.osd)
	}
	names := c.Strs("states")
	f.all = len(names) == 0
	for _, name := range slices.Backward(names) {
		if name == "all" {
			f.all = true
			break
		}
		bit, ok := parseState(name)
		if !ok {
			return s.refuse(c, errno.EINVAL, "'%s' is not a valid pg state, available choices: %v", name, msg.PGState(0xffffffff))
		}
		f.states |= bit
	}
	var found []*msg.PGStat
	for g := range p.groups() {
		if g = p.placed(g); f.selects(g) {
			found = append(found, g)
		}
	}
	return s.answerWhole(c, func() string {
		if len(found) == 0 {
			return ""
		}
		return listText(found, c.Now) + omapNote
	}, func(f *jsonfmt.Formatter) {
		if len(found) == 0 {
			return
		}
		f.Array("pg_stats", func() {
			for _, g := range found {
				p.dumpGroup(f, g)
			}
		})
	})
}

func listText(groups []*msg.PGStat, now time.Time) string {
	var t jsonfmt.Table
	heads(&t, "PG", "OBJECTS", "DEGRADED", "MISPLACED", "UNFOUND", "BYTES", "OMAP_BYTES*", "OMAP_KEYS*", "LOG", "STATE", "SINCE",
		"VERSION", "REPORTED", "UP", "ACTING", "SCRUB_STAMP", "DEEP_SCRUB_STAMP")
	for _, g := range groups {
		o := &g.Objects
		t.Row(g.PG.String(), fmt.Sprint(o.Objects), fmt.Sprint(o.Degraded), fmt.Sprint(o.Misplaced), fmt.Sprint(o.Unfound),
			fmt.Sprint(o.Bytes), fmt.Sprint(o.OmapBytes), fmt.Sprint(o.OmapKeys), fmt.Sprint(g.LogSize), g.State.String(),
			service.Age(now.Sub(g.LastChange)), g.Version.String(), reported(g),
			osdVector(g.Up)+fmt.Sprint("p", g.UpPrimary), osdVector(g.Acting)+fmt.Sprint("p", g.ActingPrimary),
			jsonfmt.Time(g.LastScrubStamp), jsonfmt.Time(g.LastDeepStamp))
	}
	return t.String()
}
