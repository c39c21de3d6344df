package mgrmon

import (
	"fmt"
	"maps"
	"slices"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

func (s *Service) perfCommands(t *command.Table) {
	t.Read("osd perf", s.perf)
	t.Read("osd blocked-by", s.blockedBy)
}

// perf shows how long the stores of OSDs take.
func (s *Service) perf(c *command.Call) command.Reply {
	p := s.pgmap()
	return s.answer(c, func() string {
		var t jsonfmt.Table
		for _, h := range []string{"osd", "commit_latency(ms)", "apply_latency(ms)"} {
			t.Column(h, jsonfmt.Right)
		}
		for _, o := range p.osdIDs() {
			st, _ := p.stat(o)
			t.Row(fmt.Sprint(o), fmt.Sprint(st.CommitLatencyMS), fmt.Sprint(st.ApplyLatencyMS))
		}
		return t.String()
	}, func(f *jsonfmt.Formatter) {
		f.Object("osdstats", func() {
			f.Array("osd_perf_infos", func() {
				for _, o := range p.osdIDs() {
					st, _ := p.stat(o)
					a := osdSum{commitMS: st.CommitLatencyMS, applyMS: st.ApplyLatencyMS}
					f.Object("osd", func() {
						f.Int("id", int64(o))
						f.Object("perf_stats", func() { a.dumpPerf(f) })
					})
				}
			})
		})
	})
}

// blockedBy shows for which OSDs groups wait to go on with peering.
func (s *Service) blockedBy(c *command.Call) command.Reply {
	blocked := map[int32]int{}
	for g := range s.pgmap().groups() {
		for _, o := range g.BlockedBy {
			blocked[o]++
		}
	}
	osds := slices.Sorted(maps.Keys(blocked))
	return s.answer(c, func() string {
		var t jsonfmt.Table
		t.Column("osd", jsonfmt.Right)
		t.Column("num_blocked", jsonfmt.Right)
		for _, o := range osds {
			t.Row(fmt.Sprint(o), fmt.Sprint(blocked[o]))
		}
		return t.String()
	}, func(f *jsonfmt.Formatter) {
		f.Object("osd_blocked_by", func() {
			f.Array("osd_blocked_by_infos", func() {
				for _, o := range osds {
					f.Object("osd", func() {
						f.Int("id", int64(o))
						f.Int("num_blocked", int64(blocked[o]))
					})
				}
			})
		})
	})
}
