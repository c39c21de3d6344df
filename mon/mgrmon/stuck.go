package mgrmon

import (
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/msg"
)

func (s *Service) stuckCommands(t *command.Table) {
	t.Read("pg dump_stuck", s.dumpStuck)
	t.Read("pg debug", s.debug)
}

// stuckSince says for each kind of trouble whether a group has it, and since
// when.
var stuckSince = map[string]func(g *msg.PGStat) (bool, time.Time){
	"inactive":   func(g *msg.PGStat) (bool, time.Time) { return g.State&msg.PGActive == 0, g.LastActive },
	"unclean":    func(g *msg.PGStat) (bool, time.Time) { return g.State&msg.PGClean == 0, g.LastClean },
	"degraded":   func(g *msg.PGStat) (bool, time.Time) { return g.State&msg.PGDegraded != 0, g.LastUndegraded },
	"undersized": func(g *msg.PGStat) (bool, time.Time) { return g.State&msg.PGUndersized != 0, g.LastFullsized },
	"stale":      func(g *msg.PGStat) (bool, time.Time) { return g.State&msg.PGStale != 0, g.LastUnstale },
	"peering":    func(g *msg.PGStat) (bool, time.Time) { return g.State&msg.PGPeering != 0, lastPeered(g) },
}

func lastPeered(g *msg.PGStat) time.Time {
	return slices.MaxFunc([]time.Time{g.LastActive, g.LastPeered}, time.Time.Compare)
}

func (s *Service) stuckThreshold() int64 { return s.intOption("mon_pg_stuck_threshold", 60) }

// dumpStuck lists the groups that have been in trouble for a while.
func (s *Service) dumpStuck(c *command.Call) command.Reply {
	kinds := c.Strs("stuckops")
	if len(kinds) == 0 {
		kinds = []string{"unclean"}
	}
	for _, k := range kinds {
		if stuckSince[k] == nil {
			out := "Unknown type: " + k + "\n"
			if c.Format != command.Plain {
				out += s.info(c, func(*jsonfmt.Formatter) {})
			}
			return command.Reply{Output: []byte(out), Status: "failed"} // with success, as in Ceph
		}
	}
	p := s.pgmap()
	cutoff := c.Now.Add(-time.Duration(c.IntOr("threshold", s.stuckThreshold())) * time.Second)
	var stuck []*msg.PGStat
	for g := range p.groups() {
		if slices.ContainsFunc(kinds, func(k string) bool {
			in, since := stuckSince[k](g)
			return in && since.Before(cutoff)
		}) {
			stuck = append(stuck, g)
		}
	}
	r := s.answer(c, func() string {
		if len(stuck) == 0 {
			return ""
		}
		return p.briefText(slices.Values(stuck))
	}, func(f *jsonfmt.Formatter) {
		f.Array("stuck_pg_stats", func() {
			for _, g := range stuck {
				p.dumpGroup(f, g)
			}
		})
	})
	r.Status = "ok"
	return r
}

// debug answers yes or no to a question about all groups.
func (s *Service) debug(c *command.Call) command.Reply {
	sum := &s.pgmap().current().all.Objects
	found := false
	switch op := c.StrOr("debugop", "unfound_objects_exist"); op {
	case "unfound_objects_exist":
		found = sum.Unfound > 0
	case "degraded_pgs_exist":
		found = sum.Degraded > 0
	default:
		return s.unhandled(c)
	}
	out := map[bool]string{true: "TRUE\n", false: "FALSE\n"}[found]
	if c.Format != command.Plain {
		out += s.info(c, func(*jsonfmt.Formatter) {})
	}
	return command.Text(out)
}
