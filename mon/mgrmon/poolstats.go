package mgrmon

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

func (s *Service) poolStatsCommands(t *command.Table) { t.Read("osd pool stats", s.poolStats) }

// poolStats shows what is going on in pools.
func (s *Service) poolStats(c *command.Call) command.Reply {
	p := s.pgmap()
	ids := slices.Sorted(maps.Keys(p.pools))
	if name := c.Str("pool_name"); name != "" {
		id, _, ok := p.m.PoolByName(name)
		if !ok {
			return command.Fail(errno.ENOENT, "unrecognized pool '%s'", name)
		}
		ids = []int64{id}
	}
	sum := p.current()
	return c.Either(func() string {
		var b strings.Builder
		for _, id := range ids {
			fmt.Fprintf(&b, "pool %s id %d\n", p.m.PoolNames[id], id)
			var lines []string
			for _, t := range sum.pools[id].troubles() {
				lines = append(lines, t.text())
			}
			w := &p.pools[id].window
			if t := w.recovery(); t != "" {
				lines = append(lines, "recovery io "+t)
			}
			if t := w.client(); t != "" {
				lines = append(lines, "client io "+t)
			}
			if len(lines) == 0 {
				lines = []string{"nothing is going on"}
			}
			b.WriteString("  " + strings.Join(lines, "\n  ") + "\n\n")
		}
		return b.String()
	}, func(f *jsonfmt.Formatter) {
		f.Array("pool_stats", func() {
			for _, id := range ids {
				w := &p.pools[id].window
				f.Object("pool", func() {
					f.Str("pool_name", p.m.PoolNames[id])
					f.Int("pool_id", id)
					f.Object("recovery", func() { sum.pools[id].dumpTroubles(f) })
					f.Object("recovery_rate", func() { w.dumpRecovery(f) })
					f.Object("client_io_rate", func() { w.dumpClient(f) })
				})
			}
		})
	})
}
