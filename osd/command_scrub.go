package osd

import (
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/osd/pg"
	"github.com/pulpo-storage/pulpo/osd/scrub"
)

// Commands on scrubs.

// scrubGroup makes a group's scrub overdue: the schedule does the rest.
func (c *call) scrubGroup(deep bool) {
	ago := scrub.Seconds(float64(max(c.args.Int("time", 0), 0)))
	c.group(Ask{About: AboutOverdue, Deep: deep, Ago: ago}, func(a Answer) {
		if a.Refusal != nil {
			c.fail(a.Refusal.Errno, a.Refusal.Words)
			return
		}
		c.fmt(func(f *jsonfmt.Formatter) {
			f.Object("result", func() {
				f.Bool("deep", deep)
				f.Str("stamp", jsonfmt.Time(a.Stamp))
			})
		})
	})
}

// dumpScrubs lists which groups are to be scrubbed when, the first one first.
func (c *call) dumpScrubs() {
	c.o.askAll(Ask{About: AboutScrubs}, func(now time.Time, answers []Answer) {
		var jobs []pg.ScrubJob
		for _, a := range answers {
			jobs = append(jobs, a.Scrubs...)
		}
		slices.SortStableFunc(jobs, func(a, b pg.ScrubJob) int { return a.At.Compare(b.At) })
		c.fmt(func(f *jsonfmt.Formatter) {
			f.Array("scrubs", func() {
				for i := range jobs {
					jobs[i].Dump(f)
				}
			})
		})
	})
}

func (c *call) scrubReservations() {
	local, remote, most := c.o.slots.Held()
	c.fmt(func(f *jsonfmt.Formatter) {
		f.Object("scrub_reservations", func() {
			f.Int("scrubs_local", int64(local))
			f.Int("scrubs_remote", int64(remote))
			f.Int("osd_max_scrubs", int64(most))
		})
	})
}
