package mgrmon

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/python"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// The module balancer judges how well groups, objects and bytes are spread over
// the OSDs below each CRUSH node that rules begin at. The score is 0 for a
// perfect distribution and stays below 1: overfull OSDs count by their weight
// and by how far they are above the average.

// metrics are what is spread; each is judged by itself.
var metrics = []string{"pgs", "objects", "bytes"}

// amounts are those of the metrics, in their order.
type amounts [3]int64

func (a *amounts) add(b amounts) {
	for i := range a {
		a[i] += b[i]
	}
}

// tally is what a pool or a root has, by OSD.
type tally struct {
	osds  []int32 // in the order in which they came
	by    map[int32]amounts
	total amounts
}

func newTally(osds ...int32) *tally {
	s := &tally{by: map[int32]amounts{}}
	for _, o := range osds {
		s.osds = append(s.osds, o)
		s.by[o] = amounts{}
	}
	return s
}

func (s *tally) add(o int32, a amounts) {
	sum, known := s.by[o]
	if !known {
		s.osds = append(s.osds, o)
	}
	sum.add(a)
	s.by[o] = sum
}

// root is a node at which rules begin.
type root struct {
	name   string
	order  []int32
	target map[int32]float64 // the part that each OSD should have
	share  *tally
	stats  [3]spreadStats
}

// spreadStats judge one metric below one root.
type spreadStats struct{ max, min, avg, dev, sumWeight, score float64 }

type evaluation struct {
	pools     []int64
	poolShare map[int64]*tally
	roots     []*root
	score     float64
}

// EvaluateBalance is "balancer eval [POOL]".
func (s *Service) EvaluateBalance(c *command.Call) command.Reply {
	p := s.pgmap()
	what, pools := "current cluster", slices.Sorted(maps.Keys(p.m.Pools))
	if name := c.Str("option"); name != "" {
		id, _, ok := p.m.PoolByName(name)
		if !ok {
			return command.Fail(errno.EINVAL, "option \"%s\" not a plan or a pool", name)
		}
		what, pools = fmt.Sprintf("pool \"%s\"", name), []int64{id}
	}
	e := p.evaluate(pools)
	if c.Prefix == "balancer eval-verbose" {
		return python.Output(what + "\n" + e.verbose(p.m) + fmt.Sprintf("score %f (lower is better)\n", e.score))
	}
	return python.Output(fmt.Sprintf("%s score %f (lower is better)\n", what, e.score))
}

func (p *pgmap) evaluate(pools []int64) *evaluation {
	e := &evaluation{pools: pools, poolShare: map[int64]*tally{}}
	byRoot := map[int32][]int64{}
	for _, id := range pools {
		if r, ok := ruleRoot(p.m.Crush, int(p.m.Pools[id].CrushRule)); ok {
			byRoot[r] = append(byRoot[r], id)
		}
		e.poolShare[id] = newTally()
	}
	rootsOf := map[int64]*root{}
	for _, id := range slices.Sorted(maps.Keys(byRoot)) {
		r := p.balanceRoot(id)
		e.roots = append(e.roots, r)
		for _, pool := range byRoot[id] {
			rootsOf[pool] = r
		}
	}
	for _, id := range pools {
		of, r := e.poolShare[id], rootsOf[id]
		q := p.pools[id]
		for i := range q.groups {
			g := &q.groups[i]
			has := amounts{1, g.Objects.Objects, g.Objects.Bytes}
			for _, o := range p.m.PGToUpActing(g.PG).Up {
				if o == osdmap.NoOSD {
					continue
				}
				of.add(o, has)
				if r != nil && r.target[o] > 0 {
					of.total.add(has)
					r.share.add(o, has)
					r.share.total.add(has)
				}
			}
		}
	}
	for _, r := range e.roots {
		for i := range metrics {
			r.stats[i] = r.judge(i)
			e.score += r.stats[i].score
		}
	}
	if n := len(metrics) * len(e.roots); n > 0 {
		e.score /= float64(n)
	}
	return e
}

// balanceRoot works out which part each OSD below a node should have: by its
// CRUSH weight and its own.
func (p *pgmap) balanceRoot(id int32) *root {
	r := &root{name: p.m.Crush.ItemName(id), target: map[int32]float64{}}
	weights := map[int32]float32{}
	if id >= 0 {
		weights[id] = 1
	} else {
		leafWeights(p.m.Crush, id, weights)
	}
	sum := 0.0
	for _, o := range slices.Sorted(maps.Keys(weights)) {
		if w := float64(weights[o]); w > 0 && p.m.IsIn(o) {
			r.order = append(r.order, o)
			r.target[o] = w * p.m.WeightOf(o)
			sum += r.target[o]
		}
	}
	for o := range r.target {
		r.target[o] /= sum
	}
	r.share = newTally(r.order...)
	return r
}

func (r *root) judge(metric int) (s spreadStats) {
	total := r.share.total[metric]
	if total == 0 {
		return s
	}
	n := float64(max(len(r.target), 1))
	s.avg = float64(total) / n
	s.min = math.Inf(1)
	dev := 0.0
	for _, o := range r.order {
		has := float64(r.share.by[o][metric])
		s.max, s.min = max(s.max, has), min(s.min, has)
		even := has / r.target[o] / n
		if even > s.avg {
			s.score += r.target[o] * math.Erf((even-s.avg)/s.avg/math.Sqrt2)
			s.sumWeight += r.target[o]
		}
		dev += (s.avg - even) * (s.avg - even)
	}
	s.dev = math.Sqrt(dev / max(n-1, 1))
	s.score /= max(s.sumWeight, 1)
	return s
}

// verbose shows all that the score was made of.
func (e *evaluation) verbose(m *osdmap.Map) string {
	byMetric := func(s *tally, value func(n, total int64) any) python.Dict {
		var d python.Dict
		for i, name := range metrics {
			osds := python.Dict{}
			for _, o := range s.osds {
				osds = append(osds, python.Item{Key: int(o), Value: value(s.by[o][i], s.total[i])})
			}
			d = append(d, python.Item{Key: name, Value: osds})
		}
		return d
	}
	part := func(n, total int64) any { return float64(n) / float64(max(total, 1)) }
	var target, actualPool, actualRoot, countPool, countRoot, totalPool, totalRoot, stats, scores python.Dict
	totals := func(a amounts) python.Dict {
		return python.Dict{{Key: "pgs", Value: a[0]}, {Key: "objects", Value: a[1]}, {Key: "bytes", Value: a[2]}}
	}
	for _, id := range e.pools {
		name, s := m.PoolNames[id], e.poolShare[id]
		actualPool = append(actualPool, python.Item{Key: name, Value: byMetric(s, part)})
		countPool = append(countPool, python.Item{Key: name, Value: byMetric(s, func(n, _ int64) any { return n })})
		totalPool = append(totalPool, python.Item{Key: name, Value: totals(s.total)})
	}
	for _, r := range e.roots {
		osds, judged, scored := python.Dict{}, python.Dict{}, python.Dict{}
		for _, o := range r.order {
			osds = append(osds, python.Item{Key: int(o), Value: r.target[o]})
		}
		for i, name := range metrics {
			s := r.stats[i]
			number := func(v float64) any {
				if r.share.total[i] == 0 {
					return 0
				}
				return v
			}
			judged = append(judged, python.Item{Key: name, Value: python.Dict{
				{Key: "max", Value: number(s.max)}, {Key: "min", Value: number(s.min)}, {Key: "avg", Value: number(s.avg)},
				{Key: "stddev", Value: number(s.dev)}, {Key: "sum_weight", Value: number(s.sumWeight)}, {Key: "score", Value: number(s.score)},
			}})
			scored = append(scored, python.Item{Key: name, Value: number(s.score)})
		}
		target = append(target, python.Item{Key: r.name, Value: osds})
		actualRoot = append(actualRoot, python.Item{Key: r.name, Value: byMetric(r.share, part)})
		countRoot = append(countRoot, python.Item{Key: r.name, Value: byMetric(r.share, func(n, _ int64) any { return float64(n) })})
		totalRoot = append(totalRoot, python.Item{Key: r.name, Value: totals(r.share.total)})
		stats = append(stats, python.Item{Key: r.name, Value: judged})
		scores = append(scores, python.Item{Key: r.name, Value: scored})
	}
	out := ""
	for _, line := range []struct {
		name string
		d    python.Dict
	}{
		{"target_by_root", target}, {"actual_by_pool", actualPool}, {"actual_by_root", actualRoot}, {"count_by_pool", countPool},
		{"count_by_root", countRoot}, {"total_by_pool", totalPool}, {"total_by_root", totalRoot}, {"stats_by_root", stats},
		{"score_by_pool", nil}, {"score_by_root", scores},
	} {
		out += line.name + " " + python.Repr(line.d) + "\n"
	}
	return out
}
