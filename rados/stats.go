package rados

import (
	"context"
	"fmt"

	"github.com/pulpo-storage/pulpo/msg"
)

// ClusterStats is the cluster's space, in bytes.
type ClusterStats struct {
	Total, Used, Available uint64
	Objects                uint64
}

// Stats tells the space of the whole cluster.
func (c *Cluster) Stats(ctx context.Context) (ClusterStats, error) {
	var s ClusterStats
	fsid := c.mons.FSID()
	err := c.mons.Call(ctx, func(uint64) msg.Body {
		return &msg.Statfs{Paxos: msg.NoPaxos, FSID: fsid}
	}, func(b msg.Body) {
		if r, ok := b.(*msg.StatfsReply); ok {
			s = ClusterStats{Total: r.KB << 10, Used: r.KBUsed << 10, Available: r.KBAvail << 10, Objects: r.NumObjects}
		}
	})
	if err != nil {
		return s, fmt.Errorf("rados: cluster statistics: %w", closedError(err))
	}
	return s, nil
}

// PoolStats is what is in a pool, and what was done there.
type PoolStats struct {
	Bytes, Objects, Clones, Copies      int64
	MissingOnPrimary, Degraded, Unfound int64
	Reads, ReadBytes                    int64
	Writes, WriteBytes                  int64
	Used                                int64 // on disk, all copies
	UsedCompressed, UnderCompression    int64
}

// PoolStats tells of pools, by name; without names, of all. Pools that do not
// exist, or of which nothing is known yet, are left out.
func (c *Cluster) PoolStats(ctx context.Context, names ...string) (map[string]PoolStats, error) {
	if len(names) == 0 {
		pools, err := c.Pools(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range pools {
			names = append(names, p.Name)
		}
	}
	out := map[string]PoolStats{}
	m := c.osdMap()
	fsid := c.mons.FSID()
	err := c.mons.Call(ctx, func(uint64) msg.Body {
		return &msg.GetPoolStats{Paxos: msg.NoPaxos, FSID: fsid, Pools: names}
	}, func(b msg.Body) {
		r, ok := b.(*msg.GetPoolStatsReply)
		if !ok {
			return
		}
		for name, s := range r.Pools {
			o := &s.Objects
			p := PoolStats{
				Bytes: o.Bytes, Objects: o.Objects, Clones: o.Clones, Copies: o.Copies,
				MissingOnPrimary: o.MissingOnPrimary, Degraded: o.Degraded, Unfound: o.Unfound,
				Reads: o.Reads, ReadBytes: o.ReadKB << 10, Writes: o.Writes, WriteBytes: o.WriteKB << 10,
				UsedCompressed: s.Store.CompressedAllocated, UnderCompression: s.Store.CompressedOrig,
			}
			if r.PerPool {
				p.Used = s.Store.Allocated + s.Store.OmapAllocated
			} else if id, pool, ok := m.PoolByName(name); ok && m.Pools[id] != nil {
				p.Used = o.Bytes * int64(pool.Size)
			}
			out[name] = p
		}
	})
	if err != nil {
		return nil, fmt.Errorf("rados: pool statistics: %w", closedError(err))
	}
	return out, nil
}
