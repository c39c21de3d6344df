package mgrmon

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strconv"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/python"
	"github.com/pulpo-storage/pulpo/osdmap"
)

func (s *Service) autoscaleCommands(t *command.Table) {
	t.Read("osd pool autoscale-status", s.autoscaleStatus)
}

// The module pg_autoscaler works out how many groups each pool should have. All
// pools whose rules begin at the same OSDs share a budget of so many groups per
// OSD (mon_target_pg_per_osd). Pools take from it in three turns:
//
//  1. ordinary pools, by the part of the space that they use or are meant to;
//  2. bulk pools that use more than their even part of what is left, likewise;
//  3. all other bulk pools, which divide what is left evenly.
//
// What a pool gets is rounded to a power of two. It is only worth a change if
// it is more than three times as much as the pool has, or less than a third.

const (
	minGroups          = 32 // of a pool, unless it says otherwise
	autoscaleThreshold = 3.0
)

// subtree is the OSDs that some pools share.
type subtree struct {
	root        int32
	osds        map[int32]bool
	capacity    int64
	left        int64 // of the budget
	pools, done int
	targetRatio float64 // of all pools together
	targetBytes float64 // with replicas
}

// autoscale is what the module says of one pool.
type autoscale struct {
	id             int64
	name           string
	pool           *osdmap.Pool
	root           int32
	stored, target int64
	rate           float64
	capacity       int64
	effective      float64 // target ratio
	ratio          float64 // of the capacity
	ideal          float64
	final          int64
	adjust         bool
}

func (a *autoscale) bias() float64   { return a.pool.Opts.Float(osdmap.OptPGAutoscaleBias, 1) }
func (a *autoscale) actual() float64 { return float64(a.stored) * a.rate }
func (a *autoscale) raw() float64    { return float64(max(a.stored, a.target)) * a.rate }
func (a *autoscale) targetRatio() float64 {
	return a.pool.Opts.Float(osdmap.OptTargetSizeRatio, 0)
}

// ruleRoot is the item at which a rule begins.
func ruleRoot(c *crush.Map, rule int) (int32, bool) {
	if r := c.Rule(rule); r != nil {
		for _, step := range r.Steps {
			if step.Op == crush.OpTake {
				return step.Arg1, true
			}
		}
	}
	return 0, false
}

// subtrees finds the subtrees, by their roots. Roots that have OSDs in common
// overlap: nothing sensible can be said of their pools.
func (p *pgmap) subtrees(perOSD int64) (byRoot map[int32]*subtree, overlapping map[int32]bool) {
	byRoot, overlapping = map[int32]*subtree{}, map[int32]bool{}
	var order []*subtree
	for _, id := range slices.Sorted(maps.Keys(p.m.Pools)) {
		mp := p.m.Pools[id]
		root, ok := ruleRoot(p.m.Crush, int(mp.CrushRule))
		if !ok {
			continue
		}
		items := map[int32]bool{}
		below(p.m.Crush, root, items)
		osds := map[int32]bool{}
		for item := range items {
			if item >= 0 {
				osds[item] = true
			}
		}
		var t *subtree
		for _, prev := range order {
			for o := range osds {
				if prev.osds[o] {
					t = prev
				}
			}
			if t != nil {
				break
			}
		}
		if t == nil {
			t = &subtree{root: root, osds: map[int32]bool{}}
			order = append(order, t)
		}
		if t.root != root {
			overlapping[t.root], overlapping[root] = true, true
		}
		byRoot[root] = t
		maps.Copy(t.osds, osds)
		t.pools++
		if r := mp.Opts.Float(osdmap.OptTargetSizeRatio, 0); r != 0 {
			t.targetRatio += r
		} else {
			t.targetBytes += float64(mp.Opts.Int(osdmap.OptTargetSizeBytes, 0)) * float64(rawUsedRate(p.m, mp))
		}
	}
	for _, t := range order {
		t.left = int64(len(t.osds)) * perOSD
		for o := range t.osds {
			st, _ := p.stat(o)
			t.capacity += st.Store.Total >> 10 << 10
		}
	}
	return byRoot, overlapping
}

// autoscale works out all pools, in the order of their turns.
func (s *Service) autoscale() []*autoscale {
	p := s.pgmap()
	roots, overlapping := p.subtrees(s.intOption("mon_target_pg_per_osd", 100))
	sum := p.current()
	var pools, bulk, even, out []*autoscale
	for _, id := range slices.Sorted(maps.Keys(p.m.Pools)) {
		mp := p.m.Pools[id]
		root, ok := ruleRoot(p.m.Crush, int(mp.CrushRule))
		if !ok || overlapping[root] || roots[root].capacity == 0 || sum.pools[id] == nil {
			continue
		}
		t := roots[root]
		a := &autoscale{
			id: id, name: p.m.PoolNames[id], pool: mp, root: root, rate: float64(rawUsedRate(p.m, mp)), capacity: t.capacity,
			stored: int64(usePool("", id, mp, sum.pools[id], 0, rawUsedRate(p.m, mp)).stored),
		}
		if a.effective = a.targetRatio(); a.effective == 0 {
			a.target = mp.Opts.Int(osdmap.OptTargetSizeBytes, 0)
		}
		if t.targetRatio != 0 {
			a.effective /= t.targetRatio
		}
		if t.targetBytes != 0 {
			a.effective *= 1 - min(1, t.targetBytes/float64(t.capacity))
		}
		a.ratio = max(a.raw()/float64(t.capacity), a.effective)
		pools = append(pools, a)
	}
	take := func(a *autoscale, part float64, spend bool) {
		t := roots[a.root]
		got := part * float64(t.left)
		if spend {
			t.left -= int64(got)
			t.done++
		}
		a.ideal = got / float64(a.pool.Size) * a.bias()
		a.final = max(a.pool.Opts.Int(osdmap.OptPGNumMin, minGroups), powerOfTwo(a.ideal))
		if most := a.pool.Opts.Int(osdmap.OptPGNumMax, 0); most > 0 {
			a.final = min(a.final, most)
		}
		has := float64(a.pool.PGNumTarget)
		a.adjust = (float64(a.final) > has*autoscaleThreshold || float64(a.final) < has/autoscaleThreshold) &&
			part >= 0 && part <= 1 && a.pool.AutoscaleMode == osdmap.AutoscaleOn
		out = append(out, a)
	}
	for _, a := range pools {
		if a.pool.Has(osdmap.PoolFlagBulk) {
			bulk = append(bulk, a)
		} else {
			take(a, a.ratio, true)
		}
	}
	for _, a := range bulk {
		if t := roots[a.root]; a.ratio > 1/float64(t.pools-t.done) {
			take(a, a.ratio, true)
		} else {
			even = append(even, a)
		}
	}
	for _, a := range even {
		t := roots[a.root]
		take(a, 1/float64(t.pools-t.done), false)
	}
	return out
}

// powerOfTwo is the nearest one, the smaller of two that are as near; of nothing
// it is 0.
func powerOfTwo(n float64) int64 {
	whole := int64(n)
	if whole <= 0 {
		return 0
	}
	above := int64(1) << bits.Len64(uint64(whole-1))
	if below := above >> 1; float64(above)-n > n-float64(below) {
		return below
	}
	return above
}

func (s *Service) autoscaleStatus(c *command.Call) command.Reply {
	all := s.autoscale()
	if c.Format != command.Plain {
		list := make([]any, len(all))
		for i, a := range all {
			list[i] = a.document()
		}
		return python.Output(python.Indented(list))
	}
	table := python.Table{Align: "lrrrrrrrrrrll"}
	table.Row("POOL", "SIZE", "TARGET SIZE", "RATE", "RAW CAPACITY", "RATIO", "TARGET RATIO", "EFFECTIVE RATIO", "BIAS", "PG_NUM",
		"NEW PG_NUM", "AUTOSCALE", "BULK")
	for _, a := range all {
		table.Row(a.row()...)
	}
	return python.Output(table.String())
}

func (a *autoscale) document() map[string]any {
	return map[string]any{
		"pool_id": a.id, "pool_name": a.name, "crush_root_id": int64(a.root), "pg_autoscale_mode": a.pool.AutoscaleMode.String(),
		"pg_num_target": int64(a.pool.PGNumTarget), "logical_used": a.stored, "target_bytes": a.target, "raw_used_rate": a.rate,
		"subtree_capacity": a.capacity, "actual_raw_used": a.actual(), "raw_used": a.raw(),
		"actual_capacity_ratio": a.actual() / float64(a.capacity), "capacity_ratio": a.ratio, "target_ratio": a.targetRatio(),
		"effective_target_ratio": a.effective, "pg_num_ideal": int64(a.ideal), "pg_num_final": a.final, "would_adjust": a.adjust,
		"bias": a.bias(), "bulk": a.pool.Has(osdmap.PoolFlagBulk),
	}
}

func (a *autoscale) row() []string {
	ratio := func(v float64) string {
		if v <= 0 {
			return ""
		}
		return fmt.Sprintf("%.4f", v)
	}
	target, final, bulk := "", "", "False"
	if a.target > 0 {
		target = python.Bytes(a.target, 6)
	}
	if a.adjust {
		final = strconv.FormatInt(a.final, 10)
	}
	if a.pool.Has(osdmap.PoolFlagBulk) {
		bulk = "True"
	}
	return []string{a.name, python.Bytes(a.stored, 6), target, python.Float(a.rate), python.Bytes(a.capacity, 6), fmt.Sprintf("%.4f", a.ratio),
		ratio(a.targetRatio()), ratio(a.effective), python.Float(a.bias()), strconv.Itoa(int(a.pool.PGNumTarget)), final,
		a.pool.AutoscaleMode.String(), bulk}
}
