package osdmon

import (
	"fmt"
	"math"
	"slices"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Spread says how evenly placement groups are spread over the OSDs that are up
// and in, and what another map would make of that
// (OSDMap::summarize_mapping_stats). Ceph computes in single precision.
type Spread struct {
	compared     bool // with another map
	total        int  // groups, times their replicas
	moved        int  // of them, by the other map
	avg          float32
	dev, newDev  float32
	baseline     float32 // deviation that chance alone makes
	least, most  int32   // OSDs
	count, after []int   // groups by OSD, with the other map
}

// SpreadOf looks at the given pools, nil for all; next may be nil. There is
// nothing to say if no OSD is up and in.
func SpreadOf(m, next *osdmap.Map, pools []int64) (*Spread, bool) {
	s := &Spread{compared: next != nil, least: -1, most: -1, count: make([]int, m.MaxOSD), after: make([]int, m.MaxOSD)}
	if pools == nil {
		pools = poolIDs(m)
	}
	tally := func(count []int, up []int32) {
		for _, o := range up {
			if o >= 0 && int(o) < len(count) {
				count[o]++
			}
		}
	}
	for _, id := range pools {
		p := m.Pools[id]
		s.total += int(p.PGNum) * int(p.Size)
		fixed := p.Type == osdmap.Erasure // each place has its own part
		for seed := range p.PGNum {
			pg := object.PG{Pool: id, Seed: seed}
			up := m.PGToUpActing(pg).Up
			tally(s.count, up)
			if next == nil {
				continue
			}
			up2 := next.PGToUpActing(pg).Up
			tally(s.after, up2)
			for i, o := range up {
				if fixed && (i >= len(up2) || up2[i] != o) || !fixed && !slices.Contains(up2, o) {
					s.moved++
				}
			}
		}
	}
	var in []int32
	for o := range m.MaxOSD {
		if m.IsUp(o) && m.IsIn(o) {
			in = append(in, o)
		}
	}
	if len(in) == 0 {
		return nil, false
	}
	s.avg = float32(s.total) / float32(len(in))
	for _, o := range in {
		d, d2 := float32(s.count[o])-s.avg, float32(s.after[o])-s.avg
		s.dev += d * d
		s.newDev += d2 * d2
		if s.least < 0 || s.count[o] < s.count[s.least] {
			s.least = o
		}
		if s.most < 0 || s.count[o] > s.count[s.most] {
			s.most = o
		}
	}
	root := func(v float64) float32 { return float32(math.Sqrt(v)) }
	s.dev, s.newDev = root(float64(s.dev/float32(len(in)))), root(float64(s.newDev/float32(len(in))))
	s.baseline = root(float64(s.avg) * (1 - 1/float64(len(in))))
	return s, true
}

// Text is the plain form, some lines.
func (s *Spread) Text() string {
	num := func(v float32) string { return jsonfmt.Short(float64(v)) }
	arrow := func(from, to string) string {
		if !s.compared {
			return from
		}
		return from + " -> " + to
	}
	out := ""
	if s.compared {
		part := 0.0
		if s.total > 0 {
			part = float64(float32(s.moved)) * 100 / float64(float32(s.total))
		}
		out = fmt.Sprintf("moved %d / %d (%s%%)\n", s.moved, s.total, jsonfmt.Short(part))
	}
	out += fmt.Sprintf("avg %s\nstddev %s (expected baseline %s)\n", num(s.avg), arrow(num(s.dev), num(s.newDev)), num(s.baseline))
	if s.avg == 0 {
		return out
	}
	for _, end := range []struct {
		name string
		osd  int32
	}{{"min", s.least}, {"max", s.most}} {
		n, n2 := s.count[end.osd], s.after[end.osd]
		out += fmt.Sprintf("%s osd.%d with %s pgs (%s * mean)\n", end.name, end.osd, arrow(fmt.Sprint(n), fmt.Sprint(n2)),
			arrow(num(float32(n)/s.avg), num(float32(n2)/s.avg)))
	}
	return out
}

// Dump writes the same as an object "utilization".
func (s *Spread) Dump(f *jsonfmt.Formatter) {
	f.Object("utilization", func() {
		if s.compared {
			f.Uint("moved_pgs", uint64(s.moved))
			f.Uint("total_pgs", uint64(s.total))
		}
		f.Float("avg_pgs", float64(s.avg))
		f.Float("std_dev", float64(s.dev))
		f.Float("expected_baseline_std_dev", float64(s.baseline))
		if s.compared {
			f.Float("new_std_dev", float64(s.newDev))
		}
		for _, end := range []struct {
			name string
			osd  int32
		}{{"min_osd", s.least}, {"max_osd", s.most}} {
			f.Int(end.name, int64(end.osd))
			f.Int(end.name+"_pgs", int64(s.count[end.osd]))
			if s.compared {
				f.Int("new_"+end.name+"_pgs", int64(s.after[end.osd]))
			}
		}
	})
}
