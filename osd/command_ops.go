package osd

import (
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
)

// Commands on requests under way and of late.

func dumpOp(f *jsonfmt.Formatter, r *OpRecord) {
	f.Object("", func() {
		f.Str("description", r.Description)
		f.Str("initiated_at", jsonfmt.Time(r.Initiated))
		f.Float("age", r.Age.Seconds())
		f.Float("duration", r.Duration.Seconds())
		f.Object("type_data", func() {
			f.Str("flag_point", r.FlagPoint)
			f.Array("events", func() {
				event := func(name string, at time.Time, d time.Duration) {
					f.Object("", func() {
						f.Str("event", name)
						f.Str("time", jsonfmt.Time(at))
						f.Float("duration", d.Seconds())
					})
				}
				event("initiated", r.Initiated, 0)
				if r.Done {
					event("done", r.Initiated.Add(r.Duration), r.Duration)
				} else {
					event(r.FlagPoint, r.Initiated, r.Age)
				}
			})
		})
	})
}

func (c *call) opsInFlight() {
	o := c.o
	o.askAll(Ask{About: AboutOps}, func(now time.Time, answers []Answer) {
		var ops []OpRecord
		for _, a := range answers {
			for _, r := range a.InFlight {
				if c.prefix != "dump_blocked_ops" || r.Age > o.pgConfig.ComplaintTime {
					ops = append(ops, r)
				}
			}
		}
		slices.SortStableFunc(ops, func(a, b OpRecord) int { return a.Initiated.Compare(b.Initiated) })
		c.object(func(f *jsonfmt.Formatter) {
			f.Array("ops", func() {
				for i := range ops {
					dumpOp(f, &ops[i])
				}
			})
			if c.prefix == "dump_blocked_ops" {
				f.Float("complaint_time", o.pgConfig.ComplaintTime.Seconds())
				f.Int("num_blocked_ops", int64(len(ops)))
				return
			}
			f.Int("num_ops", int64(len(ops)))
		})
	})
}

func (c *call) historicOps() {
	limits := c.o.history
	keep := limits.size
	if c.prefix == "dump_historic_slow_ops" {
		keep = limits.slowSize
	}
	c.o.askAll(Ask{About: AboutOps}, func(now time.Time, answers []Answer) {
		var ops []OpRecord
		for _, a := range answers {
			if c.prefix == "dump_historic_slow_ops" {
				ops = append(ops, a.SlowOps...)
			} else {
				ops = append(ops, a.Recent...)
			}
		}
		longest := func(a, b OpRecord) int { return int(b.Duration - a.Duration) }
		slices.SortStableFunc(ops, longest)
		ops = ops[:min(len(ops), keep)]
		if c.prefix != "dump_historic_ops_by_duration" {
			slices.SortStableFunc(ops, func(a, b OpRecord) int { return a.Initiated.Compare(b.Initiated) })
		}
		c.object(func(f *jsonfmt.Formatter) {
			if c.prefix == "dump_historic_slow_ops" {
				f.Int("num to keep", int64(limits.slowSize))
				f.Int("threshold to keep", int64(limits.threshold.Seconds()))
			} else {
				f.Int("size", int64(limits.size))
				f.Int("duration", int64(limits.duration.Seconds()))
			}
			name := "ops"
			if c.prefix == "dump_historic_slow_ops" {
				name = "Ops"
			}
			f.Array(name, func() {
				for i := range ops {
					dumpOp(f, &ops[i])
				}
			})
		})
	})
}
