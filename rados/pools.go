package rados

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// PoolInfo tells what a pool is like.
type PoolInfo struct {
	ID           int64
	Name         string
	Size         int // replicas, or shards of an erasure-coded pool
	MinSize      int
	PGNum        int
	Erasure      bool
	Alignment    uint64 // appends must be multiples of it; 0: any
	Full         bool
	Applications []string
}

// Pools lists the pools of the newest map, by id.
func (c *Cluster) Pools(ctx context.Context) ([]PoolInfo, error) {
	m, err := c.objects.WaitLatestMap(ctx)
	if err != nil {
		return nil, fmt.Errorf("rados: list pools: %w", closedError(err))
	}
	var out []PoolInfo
	for id := range m.Pools {
		out = append(out, poolInfo(m, id))
	}
	slices.SortFunc(out, func(a, b PoolInfo) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

func poolInfo(m *osdmap.Map, id int64) PoolInfo {
	p := m.Pools[id]
	info := PoolInfo{
		ID: id, Name: m.PoolNames[id], Size: int(p.Size), MinSize: int(p.MinSize), PGNum: int(p.PGNum),
		Erasure: !p.IsReplicated(), Full: p.Has(osdmap.PoolFlagFull),
	}
	if info.Erasure && !p.Has(osdmap.PoolFlagECOverwrites) {
		info.Alignment = uint64(p.StripeWidth)
	}
	for app := range p.Applications {
		info.Applications = append(info.Applications, app)
	}
	slices.Sort(info.Applications)
	return info
}

// Pool gives a handle of a pool. If the client does not know it, it asks for
// the newest map.
func (c *Cluster) Pool(ctx context.Context, name string) (*Pool, error) {
	return c.findPool(ctx, name, func(m *osdmap.Map) (int64, bool) {
		id, _, ok := m.PoolByName(name)
		return id, ok
	})
}

// PoolByID is Pool for a pool's number.
func (c *Cluster) PoolByID(ctx context.Context, id int64) (*Pool, error) {
	return c.findPool(ctx, fmt.Sprint(id), func(m *osdmap.Map) (int64, bool) { return id, m.Pools[id] != nil })
}

func (c *Cluster) findPool(ctx context.Context, what string, find func(*osdmap.Map) (int64, bool)) (*Pool, error) {
	m := c.osdMap()
	id, ok := find(m)
	if !ok {
		var err error
		if m, err = c.objects.WaitLatestMap(ctx); err != nil {
			return nil, &Error{Op: "open", Pool: what, Err: closedError(err)}
		}
		if id, ok = find(m); !ok {
			return nil, &Error{Op: "open", Pool: what, Err: ErrNotFound}
		}
	}
	return newPool(c, id, m.PoolNames[id]), nil
}

// PoolOption changes what CreatePool asks for.
type PoolOption func(map[string]any)

// PGNum sets the number of placement groups.
func PGNum(n int) PoolOption {
	return func(m map[string]any) { m["pg_num"], m["pgp_num"] = n, n }
}

// Application says what the pool is for; without, it is "rados".
func Application(name string) PoolOption {
	return func(m map[string]any) { m["application"] = name }
}

// ErasureCoded makes an erasure-coded pool of a profile.
func ErasureCoded(profile string) PoolOption {
	return func(m map[string]any) { m["pool_type"], m["erasure_code_profile"] = "erasure", profile }
}

// CreatePool makes a pool and returns its handle once the client's map has it.
// A pool of that name is ErrExists.
func (c *Cluster) CreatePool(ctx context.Context, name string, opts ...PoolOption) (*Pool, error) {
	cmd := map[string]any{"prefix": "osd pool create", "pool": name, "application": "rados"}
	for _, o := range opts {
		o(cmd)
	}
	app := cmd["application"]
	delete(cmd, "application")
	if err := c.WaitLatestMap(ctx); err != nil {
		return nil, &Error{Op: "create", Pool: name, Err: err}
	}
	if _, _, ok := c.osdMap().PoolByName(name); ok {
		return nil, &Error{Op: "create", Pool: name, Err: ErrExists}
	}
	if _, err := c.Command(ctx, ToMons(), cmd, nil); err != nil {
		return nil, err
	}
	if app != "" {
		enable := map[string]any{"prefix": "osd pool application enable", "pool": name, "app": app, "yes_i_really_mean_it": true}
		if _, err := c.Command(ctx, ToMons(), enable, nil); err != nil {
			return nil, err
		}
	}
	if err := c.WaitLatestMap(ctx); err != nil {
		return nil, &Error{Op: "create", Pool: name, Err: err}
	}
	return c.Pool(ctx, name)
}

// DeletePool removes a pool and all that is in it.
func (c *Cluster) DeletePool(ctx context.Context, name string) error {
	p, err := c.Pool(ctx, name)
	if err != nil {
		return err
	}
	_, err = c.poolOp(ctx, &msg.PoolOp{Pool: uint32(p.id), Op: msg.PoolOpDelete, CrushRule: -1})
	if err != nil {
		return &Error{Op: "delete", Pool: name, Err: err}
	}
	return nil
}

// poolOp runs an operation on a pool and waits for the map that has its effect.
func (c *Cluster) poolOp(ctx context.Context, op *msg.PoolOp) ([]byte, error) {
	op.Paxos = msg.NoPaxos
	op.FSID = c.mons.FSID()
	var code int32
	var epoch uint32
	var out []byte
	err := c.mons.Call(ctx, func(uint64) msg.Body { return op }, func(b msg.Body) {
		r, ok := b.(*msg.PoolOpReply)
		if !ok {
			code = -int32(errno.EBADMSG)
			return
		}
		code, epoch, out = r.Code, r.Epoch, slices.Clone(r.Reply)
	})
	if err == nil {
		err = errno.Error(code)
	}
	if err != nil {
		return nil, closedError(err)
	}
	_, err = c.objects.WaitMap(ctx, epoch)
	return out, closedError(err)
}

// ClientRelease is the oldest major release of Ceph whose clients can use the
// cluster, or is required of them: 12 is luminous, 13 mimic.
func (c *Cluster) ClientRelease() int {
	m := c.osdMap()
	return int(max(m.MinCompatClient(), m.RequireMinCompatClient))
}
