package pg

import (
	"fmt"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/object"
)

// ScrubQuery is what "pg query" tells of the group's scrubs.
type ScrubQuery struct {
	Active    bool
	Interval  uint32 // in which it began
	Next      time.Time
	Asked     ScrubKind // 0: none
	Recheck   bool      // one is to see whether a repair has helped
	Begin     object.ID // of the chunk
	End       object.ID
	Mode      string
	Deep      bool
	Shallow   int64 // errors so far
	DeepErrs  int64
	Awaited   []int32 // whose map of the chunk is not there
	Preempted int
}

func (p *PG) queryScrub() ScrubQuery {
	s := &p.scrub
	q := ScrubQuery{Interval: p.info.History.SameIntervalSince, Next: s.next, Asked: s.asked, Recheck: s.check}
	if r := s.run; r != nil {
		q.Active, q.Begin, q.End, q.Mode, q.Deep = true, r.begin, r.end, r.mode(), r.deep
		q.Shallow, q.DeepErrs, q.Preempted = r.shallow, r.deepErrors, r.preempted
		for _, k := range r.maps {
			if k.Map == nil {
				q.Awaited = append(q.Awaited, k.OSD)
			}
		}
	}
	return q
}

// dump writes the fields into the open object, under Ceph's names.
func (q *ScrubQuery) dump(f *jsonfmt.Formatter) {
	begun := uint32(0)
	if q.Active {
		begun = q.Interval
	}
	f.Str("epoch_start", fmt.Sprint(begun))
	f.Bool("active", q.Active)
	if q.Active || q.Asked != 0 {
		f.Bool("must_scrub", q.Asked != 0)
		f.Bool("must_deep_scrub", q.Asked >= ScrubDeep)
		f.Bool("must_repair", q.Asked == ScrubRepair)
		f.Bool("check_repair", q.Recheck)
	}
	if !q.Active {
		if q.Asked != 0 && !q.Next.IsZero() {
			f.Str("scrub_reg_stamp", jsonfmt.Time(q.Next))
		}
		return
	}
	f.Str("start", q.Begin.String())
	f.Str("end", q.End.String())
	f.Bool("deep", q.Deep)
	f.Str("mode", q.Mode)
	f.Int("preempted", int64(q.Preempted))
	f.Int("shallow_errors", q.Shallow)
	f.Int("deep_errors", q.DeepErrs)
	f.Array("waiting_on_whom", func() {
		for _, o := range q.Awaited {
			f.Str("shard", fmt.Sprint(o))
		}
	})
}
