package mon

import (
	"strings"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// report gathers what a bug report wants to have.
func (m *Mon) report(c *command.Call) command.Reply {
	out := c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("report", func() {
			f.Stringer("cluster_fingerprint", m.FSID())
			f.Str("version", ShortVersion(m.cfg.Version))
			f.Str("commit", "")
			f.Str("timestamp", jsonfmt.Time(c.Now))
			f.Str("tag", strings.Join(c.Strs("tags"), " "))
			m.parts.health.Dump(f, c.Now)
			oldest, newest := m.parts.mon.Versions("monmap")
			f.Uint("monmap_first_committed", oldest)
			f.Uint("monmap_last_committed", newest)
			f.Object("monmap", func() { m.parts.mon.Map().Dump(f) })
			f.Array("quorum", func() {
				for _, n := range m.Quorum().Names {
					rank, _ := m.parts.mon.Map().Rank(n)
					f.Int("", int64(rank))
				}
			})
			oldest, newest = m.parts.osd.Versions("osdmap")
			f.Uint("osdmap_first_committed", oldest)
			f.Uint("osdmap_last_committed", newest)
			if om := m.parts.osd.Map(); om != nil {
				f.Object("osdmap", func() { om.Dump(f) })
			}
			f.Array("osd_metadata", func() {
				for _, d := range m.parts.daemons(entity.OSD) {
					f.Object("osd", func() { dumpDaemon(f, d) })
				}
			})
		})
	})
	out.Status = "report " + crcText(out.Output)
	return out
}
