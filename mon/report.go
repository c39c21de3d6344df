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
			om := m.parts.osd.Map()
			if om != nil {
				f.Object("osdmap", func() { om.Dump(f) })
			}
			f.Array("osd_metadata", func() {
				for _, d := range m.parts.daemons(entity.OSD) {
					f.Object("osd", func() { dumpDaemon(f, d) })
				}
			})
			f.Object("osdmap_clean_epochs", func() { m.parts.stats.DumpCleanEpochs(f) })
			oldest, newest = m.parts.osd.Versions("osdmap")
			f.Uint("osdmap_first_committed", oldest)
			f.Uint("osdmap_last_committed", newest)
			if om != nil {
				f.Object("crushmap", func() { om.Crush.Dump(f) })
			}
			f.Object("fsmap", func() { m.parts.fs.Dump(f) })
			oldest, newest = m.parts.fs.Versions("mdsmap")
			f.Uint("mdsmap_first_committed", oldest)
			f.Uint("mdsmap_last_committed", newest)
			first, last := m.rlog.done.First+1, m.rlog.done.Index
			f.Object("auth", func() {
				f.Uint("first_committed", first)
				f.Uint("last_committed", last)
				f.Int("num_secrets", int64(m.parts.auth.Accounts()))
			})
			m.parts.stats.DumpInfo(f)
			f.Array("purged_snaps", func() { m.parts.osd.DumpPurged(f) })
			f.Object("servicemap", func() { m.parts.mgr.DumpServices(f) })
			// All parts are one log here.
			f.Object("paxos", func() {
				f.Uint("first_committed", first)
				f.Uint("last_committed", last)
				f.Uint("last_pn", 0)
				f.Uint("accepted_pn", m.term)
			})
		})
	})
	out.Status = "report " + crcText(out.Output)
	return out
}
