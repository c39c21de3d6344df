package mgrmon

import (
	"maps"
	"slices"
	"strconv"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// poolSum are the statistics of a pool added up (pool_stat_t).
type poolSum struct {
	msg.PoolStat
	groups int
	states map[msg.PGState]int
}

// osdSum are the statistics of some OSDs added up (osd_stat_t).
type osdSum struct {
	space             msg.StoreStats
	osds, pgs         int
	commitMS, applyMS uint32

	// Of one OSD.
	upFrom        uint32
	seq           uint64
	peers         []int32
	pings         []msg.PingTimes
	snapTrimQueue uint64
	snapTrimming  uint64
}

// sums is everything added up.
type sums struct {
	all     poolSum // without the space
	active  int
	unknown int
	pools   map[int64]*poolSum
	osds    osdSum
	byClass map[string]*osdSum
	avail   map[uint8]int64 // by rule: raw bytes that pools of it can still take
}

// current returns the sums.
func (p *pgmap) current() *sums {
	if p.sum == nil {
		p.sum = p.addUp()
	}
	return p.sum
}

func (p *pgmap) addUp() *sums {
	s := &sums{pools: map[int64]*poolSum{}, byClass: map[string]*osdSum{}, avail: map[uint8]int64{}}
	s.all.states = map[msg.PGState]int{}
	for id, q := range p.pools {
		if q.sum == nil {
			q.sum = q.addUp()
		}
		s.all.Objects.Add(&q.sum.Objects)
		s.all.LogSize += q.sum.LogSize
		s.all.OndiskLog += q.sum.OndiskLog
		s.all.Up += q.sum.Up
		s.all.Acting += q.sum.Acting
		s.all.groups += q.sum.groups
		for state, n := range q.sum.states {
			s.all.states[state] += n
			if state&msg.PGActive != 0 {
				s.active += n
			}
			if state == 0 {
				s.unknown += n
			}
		}
		withSpace := *q.sum
		for _, o := range p.osds {
			if space, ok := o.space[id]; ok {
				withSpace.Store.Add(&space)
				withSpace.NumStoreStat++
			}
		}
		s.pools[id] = &withSpace
	}
	for id := range p.osds {
		st, _ := p.stat(id)
		s.osds.add(&st)
		if class := p.m.Crush.ClassOf(id); class != "" {
			if s.byClass[class] == nil {
				s.byClass[class] = &osdSum{}
			}
			s.byClass[class].add(&st)
		}
	}
	for _, mp := range p.m.Pools {
		if _, ok := s.avail[mp.CrushRule]; !ok {
			s.avail[mp.CrushRule] = p.ruleAvail(int(mp.CrushRule))
		}
	}
	return s
}

func (q *pool) addUp() *poolSum {
	s := &poolSum{groups: len(q.groups), states: map[msg.PGState]int{}}
	for i := range q.groups {
		g := &q.groups[i]
		s.states[g.State]++
		s.Objects.Add(&g.Objects)
		s.LogSize += g.LogSize
		s.OndiskLog += g.LogSize
		s.Up += int32(len(g.Up))
		s.Acting += int32(len(g.Acting))
	}
	return s
}

func (a *osdSum) add(st *msg.OSDStat) {
	if st.Store.Total == 0 {
		return // out
	}
	a.space.Add(&st.Store)
	a.osds++
	a.pgs += int(st.PGs)
	a.commitMS += st.CommitLatencyMS
	a.applyMS += st.ApplyLatencyMS
}

// Space, as stock tools are told of it (store_statfs_t).

func used(s *msg.StoreStats) int64    { return s.Total - s.Available - s.InternallyReserved }
func usedRaw(s *msg.StoreStats) int64 { return s.Total - s.Available }

func usedRawRatio(s *msg.StoreStats) float32 {
	if s.Total == 0 {
		return 0
	}
	return float32(usedRaw(s)) / float32(s.Total)
}

// ruleAvail returns how many bytes pools of a rule can still take, all copies
// counted, until the first of their OSDs is full (get_rule_avail).
func (p *pgmap) ruleAvail(rule int) int64 {
	least := int64(-1)
	for o, share := range ruleShares(p.m.Crush, rule) {
		st, ok := p.stat(o)
		if !ok || st.Store.Total == 0 || share == 0 {
			continue
		}
		kb := func(n int64) float64 { return float64(n >> 10) }
		unusable := kb(st.Store.Total) * (1 - float64(p.m.FullRatio))
		free := max(0, kb(st.Store.Available)-unusable) * 1024
		if n := int64(free / float64(share)); least < 0 || n < least {
			least = n
		}
	}
	return max(least, 0)
}

// ruleShares returns which part of a rule's data each device gets, by weight.
func ruleShares(c *crush.Map, id int) map[int32]float32 {
	shares := map[int32]float32{}
	rule := c.Rule(id)
	if rule == nil {
		return shares
	}
	for _, step := range rule.Steps {
		if step.Op != crush.OpTake {
			continue
		}
		weights := map[int32]float32{}
		if step.Arg1 >= 0 {
			weights[step.Arg1] = 1
		} else {
			leafWeights(c, step.Arg1, weights)
		}
		var sum float32
		for _, o := range slices.Sorted(maps.Keys(weights)) {
			sum += weights[o]
		}
		for o, w := range weights {
			if sum > 0 {
				shares[o] += w / sum
			}
		}
	}
	return shares
}

func leafWeights(c *crush.Map, bucket int32, out map[int32]float32) {
	b := c.Bucket(bucket)
	if b == nil {
		return
	}
	for i, id := range b.Items {
		if id < 0 {
			leafWeights(c, id, out)
		} else {
			out[id] = float32(b.ItemWeightAt(i)) / crush.WeightOne
		}
	}
}

// rawUsedRate is how many bytes of raw space a byte of a pool takes.
func rawUsedRate(m *osdmap.Map, p *osdmap.Pool) float32 {
	if p.Type == osdmap.Erasure {
		profile := m.ErasureCodeProfiles[p.ErasureCodeProfile]
		k, errK := strconv.Atoi(profile["k"])
		n, errM := strconv.Atoi(profile["m"])
		if errK == nil && errM == nil && k > 0 {
			return float32(k+n) / float32(k)
		}
	}
	return float32(p.Size)
}

// Totals are the sums over the whole cluster, as daemons' counters have them.
type Totals struct {
	Pools                        int
	PGs                          int
	Active, ActiveClean, Peering int
	Objects                      msg.ObjectStats
	Bytes, Used, Available       int64 // of the media, raw
}

// Totals returns the sums.
func (s *Service) Totals() Totals {
	sum := s.pgmap().current()
	space := &sum.osds.space
	t := Totals{
		Pools: len(sum.pools), PGs: sum.all.groups, Objects: sum.all.Objects,
		Bytes: space.Total, Used: usedRaw(space), Available: space.Available,
	}
	for state, n := range sum.all.states {
		if state&msg.PGActive != 0 {
			t.Active += n
			if state&msg.PGClean != 0 {
				t.ActiveClean += n
			}
		}
		if state&msg.PGPeering != 0 {
			t.Peering += n
		}
	}
	return t
}
