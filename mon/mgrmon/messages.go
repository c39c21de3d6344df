package mgrmon

import (
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
)

// poolStatsOf answers what librados asks for pools by name; those that do not
// exist are left out.
func (s *Service) poolStatsOf(sess *service.Session, b *msg.GetPoolStats) service.Answer {
	if b.FSID != s.h.FSID() || !sess.Capable("pg", "r") {
		return service.Answer{}
	}
	p := s.pgmap()
	r := &msg.GetPoolStatsReply{FSID: b.FSID, Pools: map[string]msg.PoolStat{}, PerPool: true}
	r.Paxos.Version = p.version
	for _, name := range b.Pools {
		if id, _, ok := p.m.PoolByName(name); ok {
			r.Pools[name] = p.current().pools[id].PoolStat
		}
	}
	return service.Answer{Body: r}
}

// statfs answers how big the cluster is, or the part of it that a pool can use.
func (s *Service) statfs(sess *service.Session, b *msg.Statfs) service.Answer {
	if b.FSID != s.h.FSID() || !sess.Capable("pg", "r") {
		return service.Answer{}
	}
	p := s.pgmap()
	sum := p.current()
	r := &msg.StatfsReply{FSID: b.FSID, MapVersion: p.version}
	kb := func(n int64) uint64 { return uint64(max(n, 0)) >> 10 }
	if mp := p.m.Pools[b.Pool]; b.HasPool && mp != nil {
		o := &sum.pools[b.Pool].Objects
		r.KBUsed = kb(o.Bytes)
		if rate := rawUsedRate(p.m, mp); rate > 0 {
			r.KBAvail = kb(int64(float32(sum.avail[mp.CrushRule]) / rate))
		}
		r.KB = r.KBUsed + r.KBAvail
		r.NumObjects = uint64(max(o.Objects, 0))
		return service.Answer{Body: r}
	}
	space := &sum.osds.space
	r.KB, r.KBUsed, r.KBAvail = kb(space.Total), kb(usedRaw(space)), kb(space.Available)
	r.NumObjects = uint64(max(sum.all.Objects.Objects, 0))
	return service.Answer{Body: r}
}
