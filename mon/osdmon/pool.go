package osdmon

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Pools come, change their names and go.

func (s *Service) poolCommands(t *command.Table) {
	t.Read("osd pool ls", s.cmdPoolLs)
	t.Write("osd pool create", s.cmdPoolCreate)
	t.Write("osd pool rm", s.cmdPoolRm)
	t.Write("osd pool delete", s.cmdPoolRm)
	t.Write("osd pool rename", s.cmdPoolRename)
}

func (s *Service) cmdPoolLs(c *command.Call) command.Reply {
	m := s.cur
	detail := c.Str("detail") == "detail"
	plain := func() string {
		if detail {
			return m.PoolsText()
		}
		out := ""
		for _, id := range poolIDs(m) {
			out += m.PoolNames[id] + "\n"
		}
		return out
	}
	if c.Format == command.Plain && detail {
		// The text ends with the newline of the last pool and one more.
		return command.Text(plain() + "\n")
	}
	return c.Either(plain, func(f *jsonfmt.Formatter) {
		f.Array("pools", func() {
			for _, id := range poolIDs(m) {
				if !detail {
					f.Str("pool_name", m.PoolNames[id])
					continue
				}
				f.Object("pool", func() {
					f.Int("pool_id", id)
					f.Str("pool_name", m.PoolNames[id])
					m.Pools[id].Dump(f)
				})
			}
		})
	})
}

// newPool is what a pool is created with; zero values mean the default.
type newPool struct {
	name          string
	rule          string
	ruleID        int // used if rule is empty; below zero: the default one
	pgNum, pgpNum int64
	pgNumMin      int64
	pgNumMax      int64
	size          int64
	objects       int64
	targetBytes   int64
	targetRatio   float64
	autoscale     string
	bulk          bool
}

func (s *Service) cmdPoolCreate(c *command.Call) command.Reply {
	v := s.view()
	name := c.Str("pool")
	typ := c.Str("pool_type")
	if typ == "" {
		if typ = s.h.Option("osd_pool_default_type"); typ == "" {
			typ = "replicated"
		}
	}
	if _, p, ok := v.PoolByName(name); ok {
		if p.Type.String() != typ {
			return command.Fail(errno.EINVAL, "pool '%s' cannot change to type %s", name, typ)
		}
		return command.Say("pool '%s' already exists", name)
	}
	n := newPool{
		name: name, rule: c.Str("rule"), ruleID: -1,
		pgNum: c.Int("pg_num"), pgpNum: c.IntOr("pgp_num", c.Int("pg_num")),
		pgNumMin: c.Int("pg_num_min"), pgNumMax: c.Int("pg_num_max"), size: c.Int("size"), objects: c.Int("expected_num_objects"),
		targetBytes: c.Int("target_size_bytes"), targetRatio: c.Float("target_size_ratio"),
		autoscale: c.Str("autoscale_mode"), bulk: c.Bool("bulk"),
	}
	switch typ {
	case "replicated":
		// The ceph tool fills positional arguments in order: what stands in
		// the place of the profile is the rule, in that of the rule the number
		// of objects.
		if profile := c.Str("erasure_code_profile"); profile != "" {
			if n.rule != "" {
				objects, err := strconv.ParseInt(n.rule, 10, 64)
				if err != nil {
					return command.Fail(errno.EINVAL, "error parsing integer value '%s': Expected option value to be integer, got '%s'", n.rule, n.rule)
				}
				n.objects = objects
			}
			n.rule = profile
		}
	case "erasure":
		if r, ok := s.checkProfile(c.Str("erasure_code_profile")); !ok {
			return r
		}
		return command.Fail(errno.EOPNOTSUPP, "pool '%s': erasure-coded pools are not supported yet; create a replicated one", name)
	default:
		return command.Fail(errno.EINVAL, "unknown pool type '%s'", typ)
	}
	if n.objects < 0 {
		return command.Fail(errno.EINVAL, "'expected_num_objects' must be non-negative")
	}
	if _, r, ok := s.createPool(n, c.Now); !ok {
		return r
	}
	return command.Committed("pool '%s' created", name)
}

// createPool stages a replicated pool.
func (s *Service) createPool(n newPool, now time.Time) (int64, command.Reply, bool) {
	no := func(e errno.Errno, format string, args ...any) (int64, command.Reply, bool) {
		return 0, command.Fail(e, format, args...), false
	}
	v := s.view()
	if n.name == "" {
		return 0, command.Err(errno.EINVAL), false
	}
	mode := n.autoscale
	if mode == "" {
		mode = s.h.Option("osd_pool_default_pg_autoscale_mode")
	}
	autoscale, ok := osdmap.ParseAutoscaleMode(mode)
	if !ok {
		autoscale = osdmap.AutoscaleOff
	}
	if n.pgNum == 0 {
		n.pgNum = s.intOption("osd_pool_default_pg_num", 32)
		if autoscale == osdmap.AutoscaleOn {
			n.pgNum = 1
		}
	}
	if n.pgpNum == 0 {
		if n.pgpNum = s.intOption("osd_pool_default_pgp_num", 0); n.pgpNum == 0 {
			n.pgpNum = n.pgNum
		}
	}
	if limit := s.intOption("mon_max_pool_pg_num", 65536); n.pgNum < 1 || n.pgNum > limit {
		return no(errno.ERANGE, "'pg_num' must be greater than 0 and less than or equal to %d (you may adjust 'mon max pool pg num' for higher values)", limit)
	}
	if n.pgpNum < 0 || n.pgpNum > n.pgNum {
		return no(errno.ERANGE, "'pgp_num' must be greater than 0 and lower or equal than 'pg_num', which in this case is %d", n.pgNum)
	}
	rule := n.ruleID
	switch {
	case n.rule != "":
		if rule, ok = v.Crush.RuleID(n.rule); !ok {
			return no(errno.ENOENT, "specified rule %s doesn't exist", n.rule)
		}
	case rule < 0:
		if rule = s.defaultRule(v); rule < 0 {
			return no(errno.ENOENT, "No suitable CRUSH rule exists, check 'osd pool default crush *' config options")
		}
	case v.Crush.Rule(rule) == nil:
		return no(errno.ENOENT, "CRUSH rule %d not found", rule)
	}
	if n.size == 0 {
		n.size = s.intOption("osd_pool_default_size", 3)
	}
	if n.size < 1 || n.size > maxPoolSize {
		return no(errno.EINVAL, "pool size must be between 1 and %d", maxPoolSize)
	}
	if r, ok := s.checkPGNum(-1, n.pgNum, n.size); !ok {
		return 0, r, false
	}
	if v.Crush.Rule(rule).Type != uint8(osdmap.Replicated) {
		return no(errno.EINVAL, "crush rule %d type does not match pool", rule)
	}
	if n.pgNumMin < 0 || n.pgNumMax < 0 || n.targetBytes < 0 || n.targetRatio < 0 {
		return no(errno.EINVAL, "negative value")
	}

	p := osdmap.NewPool(osdmap.Replicated)
	p.CreateTime = now
	p.Size = uint8(n.size)
	p.MinSize = s.defaultMinSize(p.Size)
	p.CrushRule = uint8(rule)
	p.PGNum, p.PGNumTarget, p.PGNumPending = uint32(n.pgNum), uint32(n.pgNum), uint32(n.pgNum)
	p.PGPNum, p.PGPNumTarget = uint32(n.pgNum), uint32(n.pgpNum)
	p.AutoscaleMode = autoscale
	p.Flags = osdmap.PoolFlagCreating
	for _, f := range []struct {
		option string
		def    bool
		flag   osdmap.PoolFlags
	}{
		{"osd_pool_default_flag_hashpspool", true, osdmap.PoolFlagHashPSPool},
		{"osd_pool_default_flag_nodelete", false, osdmap.PoolFlagNoDelete},
		{"osd_pool_default_flag_nopgchange", false, osdmap.PoolFlagNoPGChange},
		{"osd_pool_default_flag_nosizechange", false, osdmap.PoolFlagNoSizeChange},
		{"osd_pool_default_flag_bulk", false, osdmap.PoolFlagBulk},
	} {
		if s.boolOption(f.option, f.def) {
			p.Flags |= f.flag
		}
	}
	if n.bulk {
		p.Flags |= osdmap.PoolFlagBulk
	}
	p.UseGMTHitset = s.boolOption("osd_pool_use_gmt_hitset", true)
	p.ExpectedNumObjects = uint64(n.objects)
	micro := func(option string, def float64) uint32 { return uint32(s.floatOption(option, def) * 1e6) }
	p.CacheTargetDirtyRatioMicro = micro("osd_pool_default_cache_target_dirty_ratio", 0.4)
	p.CacheTargetDirtyHighRatio = micro("osd_pool_default_cache_target_dirty_high_ratio", 0.6)
	p.CacheTargetFullRatioMicro = micro("osd_pool_default_cache_target_full_ratio", 0.8)
	setInt := func(k osdmap.PoolOptKey, v int64) {
		if v > 0 {
			p.Opts[k] = v
		}
	}
	setInt(osdmap.OptPGNumMin, n.pgNumMin)
	setInt(osdmap.OptPGNumMax, n.pgNumMax)
	setInt(osdmap.OptTargetSizeBytes, n.targetBytes)
	if n.targetRatio > 0 {
		p.Opts[osdmap.OptTargetSizeRatio] = float64(float32(n.targetRatio))
	}

	id := int64(v.PoolMax) + 1
	inc := s.stage()
	inc.NewPoolMax = id
	inc.NewPools[id] = p
	inc.NewPoolNames[id] = n.name
	return id, command.Reply{}, true
}

const maxPoolSize = 10

// defaultMinSize is how many replicas there must be to serve I/O, of so many.
func (s *Service) defaultMinSize(size uint8) uint8 {
	if n := s.intOption("osd_pool_default_min_size", 0); n > 0 {
		return uint8(min(n, int64(size)))
	}
	return size - size/2
}

// defaultRule returns the rule of pools that name none: that of the option, or
// the first that fits; -1 without any.
func (s *Service) defaultRule(v *osdmap.Map) int {
	if id := s.intOption("osd_pool_default_crush_rule", -1); id >= 0 && v.Crush.Rule(int(id)) != nil {
		return int(id)
	}
	for id, r := range v.Crush.Rules {
		if r != nil && r.Type == uint8(osdmap.Replicated) {
			return id
		}
	}
	return -1
}

// checkPGNum refuses more placement groups than the OSDs can bear; pool below
// zero is a new one.
func (s *Service) checkPGNum(pool, pgNum, size int64) (command.Reply, bool) {
	v := s.view()
	perOSD := s.intOption("mon_max_pg_per_osd", 250)
	_, _, in := v.NumOSDs()
	osds := max(int64(in), 3) // clusters of less are about to grow
	var total int64
	if pool < 0 {
		total = pgNum * size
	}
	for id, p := range v.Pools {
		if id == pool {
			total += pgNum * size
		} else {
			total += int64(p.PGNumTarget) * int64(p.Size)
		}
	}
	limit := perOSD * osds
	if total <= limit {
		return command.Reply{}, true
	}
	which := ""
	if pool >= 0 {
		which = fmt.Sprintf("pool id %d", pool)
	}
	return command.Fail(errno.ERANGE, "%s pg_num %d size %d would mean %d total pgs, which exceeds max %d (mon_max_pg_per_osd %d * num_in_osds %d)",
		which, pgNum, size, total, limit, perOSD, osds), false
}

func (s *Service) cmdPoolRm(c *command.Call) command.Reply {
	name := c.Str("pool")
	id, _, ok := s.view().PoolByName(name)
	if !ok {
		return command.Say("pool '%s' does not exist", name)
	}
	noFake := c.Bool("yes_i_really_really_mean_it")
	if c.Str("pool2") != name || !noFake && !c.Bool("yes_i_really_really_mean_it_not_faking") {
		return command.Fail(errno.EPERM, "WARNING: this will *PERMANENTLY DESTROY* all data stored in pool %s.  "+
			"If you are *ABSOLUTELY CERTAIN* that is what you want, pass the pool name *twice*, followed by --yes-i-really-really-mean-it.", name)
	}
	if r, ok := s.mayRemovePool(id); !ok {
		return r
	}
	s.removePool(id)
	return command.Committed("pool '%s' removed", name)
}

func (s *Service) mayRemovePool(id int64) (command.Reply, bool) {
	v := s.view()
	name, p := v.PoolNames[id], v.Pools[id]
	switch {
	case p.TierOf >= 0:
		return command.Fail(errno.EBUSY, "pool '%s' is a tier of '%s'", name, v.PoolNames[p.TierOf]), false
	case len(p.Tiers) > 0:
		var tiers strings.Builder
		for _, t := range p.Tiers {
			tiers.WriteString(" " + v.PoolNames[t])
		}
		return command.Fail(errno.EBUSY, "pool '%s' has tiers%s", name, tiers.String()), false
	case !s.boolOption("mon_allow_pool_delete", false):
		return command.Fail(errno.EPERM, "pool deletion is disabled; you must first set the mon_allow_pool_delete config option to true before you can destroy a pool"), false
	case p.Has(osdmap.PoolFlagNoDelete):
		return command.Fail(errno.EPERM, "pool deletion is disabled; you must unset nodelete flag for the pool first"), false
	}
	return command.Reply{}, true
}

// removePool stages the end of a pool; settle removes what was about its
// groups.
func (s *Service) removePool(id int64) {
	if m := s.view().Crush; m.ChooseArgs[id] != nil {
		n := m.Clone()
		n.RemoveWeightSet(id)
		s.stageCrush(n)
	}
	inc := s.stage()
	delete(inc.NewPools, id)
	delete(inc.NewPoolNames, id)
	delete(inc.NewRemovedSnaps, id)
	delete(inc.NewPurgedSnaps, id)
	if !slices.Contains(inc.OldPools, id) {
		inc.OldPools = append(inc.OldPools, id)
	}
}

func (s *Service) cmdPoolRename(c *command.Call) command.Reply {
	v := s.view()
	from, to := c.Str("srcpool"), c.Str("destpool")
	id, _, ok := v.PoolByName(from)
	_, _, taken := v.PoolByName(to)
	switch {
	case !ok && taken:
		return command.Say("pool '%s' does not exist; pool '%s' does -- assuming successful rename", from, to)
	case !ok:
		return command.Fail(errno.ENOENT, "unrecognized pool '%s'", from)
	case taken:
		return command.Fail(errno.EEXIST, "pool '%s' already exists", to)
	case to == "":
		return command.Err(errno.EINVAL)
	}
	s.stage().NewPoolNames[id] = to
	return command.Committed("pool '%s' renamed to '%s'", from, to)
}
