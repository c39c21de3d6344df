package mon

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// Requests that wait for the quorum, and those of late that took longest
// (OpTracker).

// opRecord is a request, for those who ask what is going on.
type opRecord struct {
	description string
	from        string
	began       time.Time
	took        time.Duration // so far, or until it was answered
	stage       string
}

func (m *Mon) record(r *request, stage string) opRecord {
	d := opRecord{began: r.since, took: m.now.Sub(r.since), stage: stage, from: peerName(r.s.Name) + " " + peerAddrs(r.s.Addrs)}
	if r.call != nil {
		d.description = "mon_command(" + strings.Join(r.cmd, "") + " v 0)"
	} else {
		d.description = strings.TrimPrefix(fmt.Sprintf("%T", r.body), "*msg.")
	}
	return d
}

// opHistory is the requests of late, shortest first.
type opHistory struct{ recent, slow []opRecord }

// done notes that a request was answered.
func (m *Mon) done(r *request) {
	keep, span := m.conf.Int("mon_op_history_size"), m.conf.Seconds("mon_op_history_duration")
	d := m.record(r, "done")
	if d.took >= m.conf.Seconds("mon_op_history_slow_op_threshold") {
		m.ops.slow = append(m.ops.slow, d)
		m.ops.slow = slices.Delete(m.ops.slow, 0, max(0, len(m.ops.slow)-int(max(0, m.conf.Int("mon_op_history_slow_op_size")))))
	}
	h := slices.DeleteFunc(m.ops.recent, func(o opRecord) bool { return m.now.Sub(o.began) >= span })
	at, _ := slices.BinarySearchFunc(h, d, func(a, b opRecord) int { return cmp.Compare(a.took, b.took) })
	h = slices.Insert(h, at, d)
	m.ops.recent = slices.Delete(h, 0, max(0, len(h)-int(max(0, keep))))
}

func (m *Mon) dumpOp(f *jsonfmt.Formatter, o *opRecord) {
	f.Object("op", func() {
		f.Str("description", o.description)
		f.Str("initiated_at", jsonfmt.Time(o.began))
		f.Float("age", m.now.Sub(o.began).Seconds())
		f.Float("duration", o.took.Seconds())
		f.Object("type_data", func() {
			f.Array("events", func() {
				for _, e := range []struct {
					name string
					at   time.Time
				}{{"initiated", o.began}, {o.stage, o.began.Add(o.took)}} {
					f.Object("event", func() {
						f.Str("event", e.name)
						f.Str("time", jsonfmt.Time(e.at))
						f.Float("duration", e.at.Sub(o.began).Seconds())
					})
				}
			})
			f.Object("info", func() {
				f.Str("src", o.from)
				f.Bool("src_is_mon", false)
			})
		})
	})
}

func (m *Mon) opsInFlight(c *command.Call) command.Reply {
	var ops []opRecord
	for _, in := range []struct {
		stage string
		queue []*request
	}{
		{"proposed", m.staged}, {"wait for the quorum", m.waiting},
		{"forwarded to the leader", slices.SortedFunc(maps.Values(m.fwd.out), func(a, b *request) int { return cmp.Compare(a.fwd, b.fwd) })},
		{"wait for the newest state", slices.Concat(m.reads.asked, m.reads.next)},
	} {
		for _, r := range in.queue {
			ops = append(ops, m.record(r, in.stage))
		}
	}
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("ops", func() {
			f.Array("ops", func() {
				for i := range ops {
					m.dumpOp(f, &ops[i])
				}
			})
			f.Int("num_ops", int64(len(ops)))
		})
	})
}

func (m *Mon) historicOps(c *command.Call) command.Reply {
	ops, name := slices.Clone(m.ops.recent), "ops"
	if c.Prefix == "dump_historic_slow_ops" {
		ops, name = m.ops.slow, "Ops"
	}
	slices.SortStableFunc(ops, func(a, b opRecord) int { return a.began.Compare(b.began) })
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("history", func() {
			if name == "Ops" {
				f.Int("num to keep", m.conf.Int("mon_op_history_slow_op_size"))
				f.Int("threshold to keep", int64(m.conf.Seconds("mon_op_history_slow_op_threshold").Seconds()))
			} else {
				f.Int("size", m.conf.Int("mon_op_history_size"))
				f.Int("duration", int64(m.conf.Seconds("mon_op_history_duration").Seconds()))
			}
			f.Array(name, func() {
				for i := range ops {
					m.dumpOp(f, &ops[i])
				}
			})
		})
	})
}
