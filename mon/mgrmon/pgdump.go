package mgrmon

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/msg"
)

func (s *Service) dumpCommands(t *command.Table) {
	t.Read("pg dump", func(c *command.Call) command.Reply { return s.dump(c, c.Strs("dumpcontents")) })
	t.Read("pg dump_json", func(c *command.Call) command.Reply { return s.dump(asDocument(c), []string{"all"}) })
	t.Read("pg dump_pools_json", func(c *command.Call) command.Reply { return s.dump(asDocument(c), []string{"pools"}) })
}

// asDocument is for commands that print JSON whatever is asked for.
func asDocument(c *command.Call) *command.Call {
	if c.Format == command.Plain {
		return c.As(command.JSON)
	}
	return c
}

// omapNote goes below tables with numbers about omap.
const omapNote = "\n* NOTE: Omap statistics are gathered during deep scrub and may be inaccurate soon afterwards depending on utilization." +
	" See http://docs.ceph.com/en/latest/dev/placement-group/#omap-statistics for further details.\n"

// dump shows the statistics as they are, or the parts asked for.
func (s *Service) dump(c *command.Call, parts []string) command.Reply {
	if len(parts) == 0 {
		parts = []string{"all"}
	}
	p := s.pgmap()
	has := func(part ...string) bool {
		return slices.ContainsFunc(part, func(x string) bool { return slices.Contains(parts, x) })
	}
	r := s.answerWhole(c, func() string {
		var out string
		note := true
		switch {
		case has("all"):
			out = p.basicText() + p.groupsText() + p.poolsText(false) + p.sumText(false) + p.osdsText()
		case has("summary", "sum"):
			out = p.basicText() + p.sumText(true) + p.osdSumText()
		default:
			if has("pgs_brief") {
				out += p.briefText(p.groups())
			}
			if has("pgs") {
				out += p.groupsText()
			}
			if has("pools") {
				out += p.poolsText(!has("pgs"))
			}
			if has("osds") {
				out += p.osdsText()
			}
			note = has("pgs", "pools")
		}
		if note {
			out += omapNote
		}
		return out
	}, func(f *jsonfmt.Formatter) {
		switch {
		case has("all"):
			f.Object("pg_map", func() {
				p.dumpBasic(f)
				p.dumpGroups(f)
				p.dumpPools(f)
				p.dumpOSDs(f)
			})
		case has("summary", "sum"):
			f.Object("pg_map", func() { p.dumpBasic(f) })
		default:
			if has("pools") {
				p.dumpPools(f)
			}
			if has("osds") {
				p.dumpOSDs(f)
			}
			if has("pgs") {
				p.dumpGroups(f)
			}
			if has("pgs_brief") {
				f.Array("pg_stats", func() {
					for g := range p.groups() {
						f.Object("pg_stat", func() {
							f.Stringer("pgid", g.PG)
							dumpBrief(f, p.placed(g))
						})
					}
				})
			}
			if has("delta") {
				f.Object("delta", func() { p.dumpDelta(f) })
			}
		}
	})
	parts = slices.Compact(slices.Sorted(slices.Values(parts)))
	r.Status = "dumped " + strings.Join(parts, ",")
	return r
}

func (p *pgmap) basicText() string {
	return fmt.Sprintf("version %d\nstamp %s\nlast_osdmap_epoch 0\nlast_pg_scan 0\n", p.version, jsonfmt.Time(p.stamp))
}

func (p *pgmap) dumpBasic(f *jsonfmt.Formatter) {
	f.Uint("version", p.version)
	f.Str("stamp", jsonfmt.Time(p.stamp))
	f.Int("last_osdmap_epoch", 0) // not used since luminous
	f.Int("last_pg_scan", 0)
	sum := p.current()
	f.Object("pg_stats_sum", func() { dumpPool(f, &sum.all.PoolStat) })
	f.Object("osd_stats_sum", func() { dumpOSDStat(f, &sum.osds) })
	p.dumpDelta(f)
}

func (p *pgmap) dumpDelta(f *jsonfmt.Formatter) {
	f.Object("pg_stats_delta", func() {
		dumpPool(f, &msg.PoolStat{Objects: p.window.sum})
		f.Str("stamp_delta", strconv.FormatFloat(p.window.span.Seconds(), 'f', 6, 64))
	})
}

func (p *pgmap) dumpGroups(f *jsonfmt.Formatter) {
	f.Array("pg_stats", func() {
		for g := range p.groups() {
			p.dumpGroup(f, g)
		}
	})
}

func (p *pgmap) dumpGroup(f *jsonfmt.Formatter, g *msg.PGStat) {
	f.Object("pg_stat", func() {
		f.Stringer("pgid", g.PG)
		dumpGroup(f, p.placed(g))
	})
}

func (p *pgmap) dumpPools(f *jsonfmt.Formatter) {
	sum := p.current()
	f.Array("pool_stats", func() {
		for _, id := range p.poolIDs() {
			f.Object("pool_stat", func() {
				f.Int("poolid", id)
				f.Int("num_pg", int64(sum.pools[id].groups))
				dumpPool(f, &sum.pools[id].PoolStat)
			})
		}
	})
}

func (p *pgmap) dumpOSDs(f *jsonfmt.Formatter) {
	at := p.placement()
	f.Array("osd_stats", func() {
		for _, o := range p.osdIDs() {
			f.Object("osd_stat", func() {
				f.Int("osd", int64(o))
				dumpOSDStat(f, p.osdNumbers(o, at))
			})
		}
	})
	f.Array("pool_statfs", func() {
		for _, pool := range slices.Backward(p.poolIDs()) {
			for _, o := range slices.Backward(p.osdIDs()) {
				if space, ok := p.osds[o].space[pool]; ok {
					f.Object("item", func() {
						f.Int("poolid", pool)
						f.Int("osd", int64(o))
						dumpSpace(f, &space)
					})
				}
			}
		}
	})
}

// Tables.

var objectHeads = []string{"OBJECTS", "MISSING_ON_PRIMARY", "DEGRADED", "MISPLACED", "UNFOUND", "BYTES", "OMAP_BYTES*", "OMAP_KEYS*", "LOG", "DISK_LOG"}

func objectCells(o *msg.ObjectStats, log, diskLog int64) []string {
	var cells []string
	for _, n := range []int64{o.Objects, o.MissingOnPrimary, o.Degraded, o.Misplaced, o.Unfound, o.Bytes, o.OmapBytes, o.OmapKeys, log, diskLog} {
		cells = append(cells, strconv.FormatInt(n, 10))
	}
	return cells
}

func heads(t *jsonfmt.Table, first string, more ...string) {
	t.Column(first, jsonfmt.Left)
	for _, h := range more {
		t.Column(h, jsonfmt.Right)
	}
}

func (p *pgmap) groupsText() string {
	var t jsonfmt.Table
	heads(&t, "PG_STAT", append(slices.Clone(objectHeads), "STATE", "STATE_STAMP", "VERSION", "REPORTED", "UP", "UP_PRIMARY", "ACTING",
		"ACTING_PRIMARY", "LAST_SCRUB", "SCRUB_STAMP", "LAST_DEEP_SCRUB", "DEEP_SCRUB_STAMP", "SNAPTRIMQ_LEN")...)
	for g := range p.groups() {
		g = p.placed(g)
		row := append([]string{g.PG.String()}, objectCells(&g.Objects, g.LogSize, g.LogSize)...)
		t.Row(append(row, g.State.String(), jsonfmt.Time(g.LastChange), g.Version.String(), reported(g),
			osdVector(g.Up), fmt.Sprint(g.UpPrimary), osdVector(g.Acting), fmt.Sprint(g.ActingPrimary),
			g.LastScrub.String(), jsonfmt.Time(g.LastScrubStamp), g.LastDeepScrub.String(), jsonfmt.Time(g.LastDeepStamp),
			fmt.Sprint(g.SnapTrimQueue))...)
	}
	return t.String()
}

func reported(g *msg.PGStat) string { return fmt.Sprintf("%d:%d", g.ReportedEpoch, g.ReportedSeq) }

// briefText says where groups are. Unlike elsewhere a hole is a number here.
func (p *pgmap) briefText(groups func(func(*msg.PGStat) bool)) string {
	var t jsonfmt.Table
	heads(&t, "PG_STAT", "STATE", "UP", "UP_PRIMARY", "ACTING", "ACTING_PRIMARY")
	list := func(osds []int32) string {
		return strings.ReplaceAll(fmt.Sprint(osds), " ", ",")
	}
	for g := range groups {
		g = p.placed(g)
		t.Row(g.PG.String(), g.State.String(), list(g.Up), fmt.Sprint(g.UpPrimary), list(g.Acting), fmt.Sprint(g.ActingPrimary))
	}
	return t.String()
}

func (p *pgmap) poolsText(head bool) string {
	var t jsonfmt.Table
	objectTable(&t, "POOLID", head)
	sum := p.current()
	for _, id := range p.poolIDs() {
		s := sum.pools[id]
		t.Row(append([]string{fmt.Sprint(id)}, objectCells(&s.Objects, s.LogSize, s.OndiskLog)...)...)
	}
	return t.String()
}

func (p *pgmap) sumText(head bool) string {
	var t jsonfmt.Table
	objectTable(&t, "PG_STAT", head)
	s := &p.current().all
	t.Row(append([]string{"sum"}, objectCells(&s.Objects, s.LogSize, s.OndiskLog)...)...)
	return t.String()
}

func objectTable(t *jsonfmt.Table, first string, head bool) {
	if head {
		heads(t, first, objectHeads...)
	} else {
		heads(t, "", make([]string, len(objectHeads))...)
	}
}

func spaceCells(s *msg.StoreStats) []string {
	return []string{size(used(s)), size(s.Available), size(usedRaw(s)), size(s.Total)}
}

func (p *pgmap) osdsText() string {
	var t jsonfmt.Table
	heads(&t, "OSD_STAT", "USED", "AVAIL", "USED_RAW", "TOTAL", "HB_PEERS", "PG_SUM", "PRIMARY_PG_SUM")
	at := p.placement()
	for _, o := range p.osdIDs() {
		a := p.osdNumbers(o, at)
		row := append([]string{fmt.Sprint(o)}, spaceCells(&a.space)...)
		t.Row(append(row, osdVector(a.peers), fmt.Sprint(at.of(o).groups()), fmt.Sprint(at.of(o).primary))...)
	}
	t.Row(append([]string{"sum"}, spaceCells(&p.current().osds.space)...)...)
	return t.String()
}

func (p *pgmap) osdSumText() string {
	var t jsonfmt.Table
	heads(&t, "OSD_STAT", "USED", "AVAIL", "USED_RAW", "TOTAL")
	t.Row(append([]string{"sum"}, spaceCells(&p.current().osds.space)...)...)
	return t.String()
}
