package osdmon

import (
	"slices"
	"strconv"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// The variables of a pool: one table for "osd pool get" and "osd pool set".

func (s *Service) poolVarCommands(t *command.Table) {
	t.Read("osd pool get", s.cmdPoolGet)
	t.Write("osd pool set", s.cmdPoolSet)
}

// poolVar is a variable of a pool.
type poolVar struct {
	name string
	kind varKind
	// show returns what get shows in plain text and as JSON; ok is false for
	// one that is not set.
	show func(m *osdmap.Map, p *osdmap.Pool) (plain, json string, ok bool)
	// set changes the pool as the value says; nil: cannot be set.
	set func(s *Service, e *poolEdit) command.Reply
	// opt is the optional setting behind it, if there is one.
	opt osdmap.PoolOptKey
}

type varKind uint8

const (
	general varKind = iota
	ofTiers         // only for cache tiers
	ofErasure
	optional // may be unset
	setOnly
)

// poolEdit is a setting on its way.
type poolEdit struct {
	c    *command.Call
	id   int64
	p    *osdmap.Pool // a copy; staged if set does not refuse
	val  string
	n    int64   // val as a number
	nErr string  // why it is none
	f    float64 // val as a fraction
	fErr string
}

func number(name string, kind varKind, get func(p *osdmap.Pool) int64, set func(s *Service, e *poolEdit) command.Reply) poolVar {
	return poolVar{name: name, kind: kind, set: set, show: func(_ *osdmap.Map, p *osdmap.Pool) (string, string, bool) {
		v := strconv.FormatInt(get(p), 10)
		return v, v, true
	}}
}

func flag(name string, f osdmap.PoolFlags) poolVar {
	return poolVar{
		name: name,
		show: func(_ *osdmap.Map, p *osdmap.Pool) (string, string, bool) {
			v := strconv.FormatBool(p.Has(f))
			return v, v, true
		},
		set: func(_ *Service, e *poolEdit) command.Reply { return e.switchFlag(f) },
	}
}

func opt(k osdmap.PoolOptKey, check func(s *Service, e *poolEdit) command.Reply) poolVar {
	return poolVar{
		name: k.String(), kind: optional, opt: k,
		show: func(_ *osdmap.Map, p *osdmap.Pool) (string, string, bool) {
			switch v := p.Opts[k].(type) {
			case string:
				return v, jsonfmt.Quote(v), true
			case int64:
				if k == osdmap.OptCsumType {
					return csumName(v), jsonfmt.Quote(csumName(v)), true
				}
				n := strconv.FormatInt(v, 10)
				return n, n, true
			case float64:
				return jsonfmt.Short(v), jsonfmt.Float(v), true
			}
			return "", "", false
		},
		set: func(s *Service, e *poolEdit) command.Reply {
			if check != nil && e.val != "unset" {
				if r := check(s, e); r.Failed() {
					return r
				}
			}
			return e.setOpt(k)
		},
	}
}

// poolVars are in the order in which "osd pool get all" shows them. hit_set_*
// and the like belong to cache tiers, which there are none of.
var poolVars = []poolVar{
	number("size", general, func(p *osdmap.Pool) int64 { return int64(p.Size) }, (*Service).setSize),
	number("min_size", general, func(p *osdmap.Pool) int64 { return int64(p.MinSize) }, (*Service).setMinSize),
	number("pg_num", general, func(p *osdmap.Pool) int64 { return int64(p.PGNum) }, (*Service).setPGNum),
	number("pgp_num", general, func(p *osdmap.Pool) int64 { return int64(p.PGPNum) }, (*Service).setPGPNum),
	{name: "crush_rule", show: showRule, set: (*Service).setRule},
	{name: "hashpspool", show: flag("", osdmap.PoolFlagHashPSPool).show, set: (*Service).setHashPSPool},
	{name: "allow_ec_overwrites", kind: ofErasure, show: flag("", osdmap.PoolFlagECOverwrites).show, set: (*Service).setECOverwrites},
	flag("nodelete", osdmap.PoolFlagNoDelete),
	flag("nopgchange", osdmap.PoolFlagNoPGChange),
	flag("nosizechange", osdmap.PoolFlagNoSizeChange),
	flag("write_fadvise_dontneed", osdmap.PoolFlagWriteFadviseDontneed),
	flag("noscrub", osdmap.PoolFlagNoScrub),
	flag("nodeep-scrub", osdmap.PoolFlagNoDeepScrub),
	tier("hit_set_type"), tier("hit_set_period"), tier("hit_set_count"), tier("hit_set_fpp"),
	{name: "use_gmt_hitset", show: func(_ *osdmap.Map, p *osdmap.Pool) (string, string, bool) {
		if p.UseGMTHitset {
			return "1", "true", true
		}
		return "0", "false", true
	}, set: refuseTier},
	tier("target_max_objects"), tier("target_max_bytes"), tier("cache_target_dirty_ratio"), tier("cache_target_dirty_high_ratio"),
	tier("cache_target_full_ratio"), tier("cache_min_flush_age"), tier("cache_min_evict_age"),
	{name: "erasure_code_profile", kind: ofErasure, show: func(_ *osdmap.Map, p *osdmap.Pool) (string, string, bool) {
		return p.ErasureCodeProfile, jsonfmt.Quote(p.ErasureCodeProfile), true
	}},
	tier("min_read_recency_for_promote"), tier("min_write_recency_for_promote"),
	number("fast_read", general, func(p *osdmap.Pool) int64 {
		if p.FastRead {
			return 1
		}
		return 0
	}, (*Service).setFastRead),
	tier("hit_set_grade_decay_rate"), tier("hit_set_search_last_n"),
	opt(osdmap.OptScrubMinInterval, nil),
	opt(osdmap.OptScrubMaxInterval, nil),
	opt(osdmap.OptDeepScrubInterval, nil),
	opt(osdmap.OptRecoveryPriority, func(_ *Service, e *poolEdit) command.Reply {
		if r := e.needInt("int value"); r.Failed() {
			return r
		}
		if e.n < -10 || e.n > 10 {
			return command.Fail(errno.EINVAL, "pool recovery_priority must be between -10 and 10")
		}
		return command.Reply{}
	}),
	opt(osdmap.OptRecoveryOpPriority, nil),
	opt(osdmap.OptScrubPriority, nil),
	opt(osdmap.OptCompressionMode, oneOf("unrecognized compression mode '%s'", "none", "passive", "aggressive", "force")),
	opt(osdmap.OptCompressionAlgorithm, oneOf("unrecognized compression_algorithm '%s'", "none", "snappy", "zlib", "zstd", "lz4")),
	opt(osdmap.OptCompressionRequiredRatio, func(_ *Service, e *poolEdit) command.Reply {
		if e.fErr != "" {
			return command.Fail(errno.EINVAL, "error parsing float value '%s': %s", e.val, e.fErr)
		}
		if e.f < 0 || e.f > 1 {
			return command.Fail(errno.EINVAL, "compression_required_ratio is out of range (0-1): '%s'", e.val)
		}
		return command.Reply{}
	}),
	opt(osdmap.OptCompressionMaxBlobSize, bytesOpt),
	opt(osdmap.OptCompressionMinBlobSize, bytesOpt),
	opt(osdmap.OptCsumType, func(_ *Service, e *poolEdit) command.Reply {
		n := slices.Index(csumTypes[1:], e.val) + 1
		if n == 0 {
			return command.Fail(errno.EINVAL, "unrecognized csum_type '%s'", e.val)
		}
		e.n, e.nErr = int64(n), ""
		return command.Reply{}
	}),
	opt(osdmap.OptCsumMaxBlock, bytesOpt),
	opt(osdmap.OptCsumMinBlock, bytesOpt),
	opt(osdmap.OptFingerprintAlgorithm, nil),
	{name: "pg_autoscale_mode", show: func(_ *osdmap.Map, p *osdmap.Pool) (string, string, bool) {
		v := p.AutoscaleMode.String()
		return v, jsonfmt.Quote(v), true
	}, set: func(_ *Service, e *poolEdit) command.Reply {
		m, ok := osdmap.ParseAutoscaleMode(e.val)
		if !ok {
			return command.Fail(errno.EINVAL, "specified invalid mode %s", e.val)
		}
		e.p.AutoscaleMode = m
		return command.Reply{}
	}},
	opt(osdmap.OptPGNumMin, func(_ *Service, e *poolEdit) command.Reply {
		if r := e.needInt("int value"); r.Failed() {
			return r
		}
		if e.n > int64(e.p.PGNumTarget) {
			return command.Fail(errno.EINVAL, "specified pg_num_min %d > pg_num %d", e.n, e.p.PGNumTarget)
		}
		return command.Reply{}
	}),
	opt(osdmap.OptTargetSizeBytes, func(_ *Service, e *poolEdit) command.Reply { e.parseIEC(); return e.needInt("unit value") }),
	opt(osdmap.OptTargetSizeRatio, func(_ *Service, e *poolEdit) command.Reply {
		if e.f < 0 {
			return command.Fail(errno.EINVAL, "target_size_ratio cannot be negative")
		}
		return command.Reply{}
	}),
	opt(osdmap.OptPGAutoscaleBias, func(_ *Service, e *poolEdit) command.Reply {
		if e.f < 0 || e.f > 1000 {
			return command.Fail(errno.EINVAL, "pg_autoscale_bias must be between 0 and 1000")
		}
		return command.Reply{}
	}),
	opt(osdmap.OptDedupTier, func(s *Service, e *poolEdit) command.Reply {
		if e.nErr == "" {
			return command.Fail(errno.EINVAL, "expecting value 'pool name'")
		}
		id, _, ok := s.view().PoolByName(e.val)
		if !ok {
			return command.Fail(errno.ENOENT, "unrecognized pool '%s'", e.val)
		}
		e.n, e.nErr = id, ""
		return command.Reply{}
	}),
	opt(osdmap.OptDedupChunkAlgorithm, nil),
	opt(osdmap.OptDedupCDCChunkSize, func(_ *Service, e *poolEdit) command.Reply { return e.needInt("int value") }),
	flag("bulk", osdmap.PoolFlagBulk),
	opt(osdmap.OptPGNumMax, func(_ *Service, e *poolEdit) command.Reply {
		if r := e.needInt("int value"); r.Failed() {
			return r
		}
		if e.n != 0 && e.n < int64(e.p.PGNumTarget) {
			return command.Fail(errno.EINVAL, "specified pg_num_max %d < pg_num %d", e.n, e.p.PGNumTarget)
		}
		return command.Reply{}
	}),
	{name: "pgp_num_actual", kind: setOnly, set: (*Service).setPGPNumActual},
}

var csumTypes = []string{1: "none", 2: "xxhash32", 3: "xxhash64", 4: "crc32c", 5: "crc32c_16", 6: "crc32c_8"}

func csumName(n int64) string {
	if n >= 0 && n < int64(len(csumTypes)) {
		return csumTypes[n]
	}
	return "???"
}

// tier is a variable of cache tiers.
func tier(name string) poolVar { return poolVar{name: name, kind: ofTiers, set: refuseTier} }

func refuseTier(*Service, *poolEdit) command.Reply { return command.Err(errno.EACCES) }

func findVar(name string) *poolVar {
	i := slices.IndexFunc(poolVars, func(v poolVar) bool { return v.name == name })
	if i < 0 {
		return nil
	}
	return &poolVars[i]
}

func (s *Service) cmdPoolGet(c *command.Call) command.Reply {
	m := s.cur
	name, want := c.Str("pool"), c.Str("var")
	id, p, ok := m.PoolByName(name)
	if !ok {
		return command.Fail(errno.ENOENT, "unrecognized pool '%s'", name)
	}
	fits := func(v *poolVar) bool {
		return v.kind != setOnly && v.kind != ofTiers && (v.kind != ofErasure || p.Type == osdmap.Erasure)
	}
	var vars []*poolVar
	if want == "all" {
		for i := range poolVars {
			if fits(&poolVars[i]) {
				vars = append(vars, &poolVars[i])
			}
		}
	} else {
		v := findVar(want)
		switch {
		case v == nil || v.kind == setOnly:
			return command.Fail(errno.EINVAL, "pool '%s': invalid variable: '%s'", name, want)
		case v.kind == ofTiers:
			return command.Fail(errno.EACCES, "pool '%s' is not a tier pool: variable not applicable", name)
		case !fits(v):
			return command.Fail(errno.EACCES, "pool '%s' is not a erasure pool: variable not applicable", name)
		}
		if _, _, set := v.show(m, p); !set {
			return command.Fail(errno.ENOENT, "option '%s' is not set on pool '%s'", want, name)
		}
		vars = append(vars, v)
	}
	plain := func() string {
		out := ""
		for _, v := range vars {
			if text, _, set := v.show(m, p); set {
				out += v.name + ": " + text + "\n"
			}
		}
		return out
	}
	return c.Either(plain, func(f *jsonfmt.Formatter) {
		f.Object("pool", func() {
			f.Str("pool", name)
			f.Int("pool_id", id)
			for _, v := range vars {
				if _, json, set := v.show(m, p); set {
					f.Raw(v.name, json)
				}
			}
		})
	})
}

func (s *Service) cmdPoolSet(c *command.Call) command.Reply {
	id, p, ok := s.view().PoolByName(c.Str("pool"))
	if !ok {
		return command.Fail(errno.ENOENT, "unrecognized pool '%s'", c.Str("pool"))
	}
	e := &poolEdit{c: c, id: id, p: p.Clone(), val: c.Str("val")}
	e.n, e.nErr = parseInt(e.val)
	e.f, e.fErr = parseFloat(e.val)
	v := findVar(c.Str("var"))
	if v == nil || v.set == nil {
		return command.Fail(errno.EINVAL, "unrecognized variable '%s'", c.Str("var"))
	}
	if r := v.set(s, e); r.Failed() {
		return r
	}
	*s.editPool(id) = *e.p
	if e.val == "unset" {
		return command.Committed("unset pool %d %s", id, v.name)
	}
	return command.Committed("set pool %d %s to %s", id, v.name, e.val)
}

func (e *poolEdit) needInt(what string) command.Reply {
	if e.nErr != "" {
		return command.Fail(errno.EINVAL, "error parsing %s '%s': %s", what, e.val, e.nErr)
	}
	return command.Reply{}
}

func (e *poolEdit) parseIEC() { e.n, e.nErr = parseIEC(e.val) }

// bytesOpt is a size with units.
func bytesOpt(_ *Service, e *poolEdit) command.Reply {
	e.parseIEC()
	return e.needInt("int value")
}

func oneOf(words string, values ...string) func(*Service, *poolEdit) command.Reply {
	return func(_ *Service, e *poolEdit) command.Reply {
		if !slices.Contains(values, e.val) {
			return command.Fail(errno.EINVAL, words, e.val)
		}
		return command.Reply{}
	}
}

func (e *poolEdit) switchFlag(f osdmap.PoolFlags) command.Reply {
	switch {
	case e.val == "true" || e.nErr == "" && e.n == 1:
		e.p.Flags |= f
	case e.val == "false" || e.nErr == "" && e.n == 0:
		e.p.Flags &^= f
	default:
		return command.Fail(errno.EINVAL, "expecting value 'true', 'false', '0', or '1'")
	}
	return command.Reply{}
}

// setOpt sets an optional setting; zero unsets it.
func (e *poolEdit) setOpt(k osdmap.PoolOptKey) command.Reply {
	zero, err := k.ParseValue("0")
	if err != nil {
		return command.Err(err)
	}
	if e.val == "unset" {
		delete(e.p.Opts, k)
		return command.Reply{}
	}
	switch zero.(type) {
	case string:
		e.p.Opts[k] = e.val
	case int64:
		if r := e.needInt("integer value"); r.Failed() {
			return r
		}
		if e.p.Opts[k] = e.n; e.n == 0 {
			delete(e.p.Opts, k)
		}
	case float64:
		if e.fErr != "" {
			return command.Fail(errno.EINVAL, "error parsing floating point value '%s': %s", e.val, e.fErr)
		}
		if e.p.Opts[k] = e.f; e.f == 0 {
			delete(e.p.Opts, k)
		}
	}
	return command.Reply{}
}

func (s *Service) setSize(e *poolEdit) command.Reply {
	switch {
	case e.p.Has(osdmap.PoolFlagNoSizeChange):
		return command.Fail(errno.EPERM, "pool size change is disabled; you must unset nosizechange flag for the pool first")
	case e.p.Type == osdmap.Erasure:
		return command.Fail(errno.EOPNOTSUPP, "can not change the size of an erasure-coded pool")
	case e.nErr != "":
		return e.needInt("integer value")
	case e.n < 1 || e.n > maxPoolSize:
		return command.Fail(errno.EINVAL, "pool size must be between 1 and %d", maxPoolSize)
	}
	if e.n == 1 {
		if !s.boolOption("mon_allow_pool_size_one", false) {
			return command.Fail(errno.EPERM, "configuring pool size as 1 is disabled by default.")
		}
		if !e.c.Bool("yes_i_really_mean_it") {
			return command.Fail(errno.EPERM, "WARNING: setting pool size 1 could lead to data loss without recovery. "+
				"If you are *ABSOLUTELY CERTAIN* that is what you want, pass the flag --yes-i-really-mean-it.")
		}
	}
	if r := s.view().Crush.Rule(int(e.p.CrushRule)); r == nil || r.Type != uint8(e.p.Type) {
		return command.Fail(errno.EINVAL, "crush rule %d type does not match pool", e.p.CrushRule)
	}
	if e.n > int64(e.p.Size) {
		if r, ok := s.checkPGNum(e.id, int64(e.p.PGNum), e.n); !ok {
			return r
		}
	}
	e.p.Size = uint8(e.n)
	e.p.MinSize = s.defaultMinSize(e.p.Size)
	return command.Reply{}
}

func (s *Service) setMinSize(e *poolEdit) command.Reply {
	switch {
	case e.p.Has(osdmap.PoolFlagNoSizeChange):
		return command.Fail(errno.EPERM, "pool min size change is disabled; you must unset nosizechange flag for the pool first")
	case e.nErr != "":
		return e.needInt("integer value")
	}
	least := int64(1)
	if e.p.Type == osdmap.Erasure {
		if shape, err := profileShape(s.view().ErasureCodeProfiles[e.p.ErasureCodeProfile]); err == nil {
			least = int64(shape.k)
		}
	}
	if e.n < least || e.n > int64(e.p.Size) {
		return command.Fail(errno.EINVAL, "pool min_size must be between %d and size, which is set to %d", least, e.p.Size)
	}
	e.p.MinSize = uint8(e.n)
	return command.Reply{}
}

// pgChange does the checks that all changes of the number of groups share.
func (e *poolEdit) pgChange(what string) command.Reply {
	if e.p.Has(osdmap.PoolFlagNoPGChange) {
		return command.Fail(errno.EPERM, "pool %s change is disabled; you must unset nopgchange flag for the pool first", what)
	}
	return e.needInt("integer value")
}

func (s *Service) setPGNum(e *poolEdit) command.Reply {
	if r := e.pgChange("pg_num"); r.Failed() {
		return r
	}
	target := int64(e.p.PGNumTarget)
	if e.n == target {
		return command.Reply{}
	}
	if limit := s.intOption("mon_max_pool_pg_num", 65536); e.n < 1 || e.n > limit {
		return command.Fail(errno.ERANGE, "'pg_num' must be greater than 0 and less than or equal to %d (you may adjust 'mon max pool pg num' for higher values)", limit)
	}
	if e.n > target {
		if r, ok := s.checkPGNum(e.id, e.n, int64(e.p.Size)); !ok {
			return r
		}
	}
	if least := e.p.Opts.Int(osdmap.OptPGNumMin, 0); least != 0 && e.n < least {
		return command.Fail(errno.EINVAL, "specified pg_num %d < pg_num_min %d", e.n, least)
	}
	if most := e.p.Opts.Int(osdmap.OptPGNumMax, 0); most != 0 && e.n > most {
		return command.Fail(errno.EINVAL, "specified pg_num %d > pg_num_max %d", e.n, most)
	}
	if e.n < target {
		return command.Fail(errno.EOPNOTSUPP, "decreasing pg_num is not supported yet: the OSDs cannot merge placement groups")
	}
	if !s.canSplit() {
		return command.Fail(errno.EOPNOTSUPP, "increasing pg_num is not supported yet: not all up OSDs can split placement groups")
	}
	if e.p.PGNumTarget == e.p.PGPNumTarget {
		e.p.PGPNumTarget = uint32(e.n)
	}
	e.p.PGNumTarget = uint32(e.n)
	return command.Reply{}
}

// SplitKey is the key in an OSD's metadata that says "true" if it can split
// placement groups.
const SplitKey = "pg_split"

// canSplit reports whether all OSDs that are up can split placement groups. One
// that cannot would look for objects where they are not.
func (s *Service) canSplit() bool {
	for _, o := range existing(s.view()) {
		if s.view().IsUp(o) && s.meta[o][SplitKey] != "true" {
			return false
		}
	}
	return true
}

// growPools brings pools nearer to the numbers that were asked for: first the
// groups split, then the new ones may be placed apart.
func (s *Service) growPools() {
	for _, id := range poolIDs(s.view()) {
		p := s.view().Pools[id]
		switch {
		case p.Has(osdmap.PoolFlagCreating):
		case p.PGNumTarget > p.PGNum && s.canSplit():
			e := s.editPool(id)
			e.PGNum, e.PGNumPending = e.PGNumTarget, e.PGNumTarget
			// Clients that take a split for no new interval send again.
			e.LastForceOpResendPreluminous = s.cur.Epoch + 1
		case p.PGPNumTarget != p.PGPNum && p.PGPNumTarget <= p.PGNum:
			s.editPool(id).PGPNum = p.PGPNumTarget
		}
	}
}

func (s *Service) setPGPNum(e *poolEdit) command.Reply {
	if r := e.pgChange("pgp_num"); r.Failed() {
		return r
	}
	switch {
	case e.n <= 0:
		return command.Fail(errno.EINVAL, "specified pgp_num must > 0, but you set to %d", e.n)
	case e.n > int64(e.p.PGNumTarget):
		return command.Fail(errno.EINVAL, "specified pgp_num %d > pg_num %d", e.n, e.p.PGNumTarget)
	}
	e.p.PGPNumTarget = uint32(e.n)
	return command.Reply{}
}

func (s *Service) setPGPNumActual(e *poolEdit) command.Reply {
	if r := e.pgChange("pgp_num"); r.Failed() {
		return r
	}
	switch {
	case e.n <= 0:
		return command.Fail(errno.EINVAL, "specified pgp_num must > 0, but you set to %d", e.n)
	case e.n > int64(e.p.PGNum):
		return command.Fail(errno.EINVAL, "specified pgp_num %d > pg_num %d", e.n, e.p.PGNum)
	case e.n > int64(e.p.PGNumPending):
		return command.Fail(errno.EINVAL, "specified pgp_num %d > pg_num_pending %d", e.n, e.p.PGNumPending)
	}
	e.p.PGPNum = uint32(e.n)
	return command.Reply{}
}

func showRule(m *osdmap.Map, p *osdmap.Pool) (string, string, bool) {
	name, ok := m.Crush.RuleNames[int32(p.CrushRule)]
	if !ok || m.Crush.Rule(int(p.CrushRule)) == nil {
		name = strconv.Itoa(int(p.CrushRule))
	}
	return name, jsonfmt.Quote(name), true
}

func (s *Service) setRule(e *poolEdit) command.Reply {
	m := s.view().Crush
	id, ok := m.RuleID(e.val)
	if !ok {
		return command.Fail(errno.ENOENT, "crush rule %s does not exist", e.val)
	}
	r := m.Rule(id)
	if r.Type != uint8(e.p.Type) {
		return command.Fail(errno.EINVAL, "crush rule %d type does not match pool", id)
	}
	if e.p.Size < r.MinSize || e.p.Size > r.MaxSize {
		return command.Fail(errno.EINVAL, "crush rule %d is for pools of size %d to %d", id, r.MinSize, r.MaxSize)
	}
	e.p.CrushRule = uint8(id)
	return command.Reply{}
}

func (s *Service) setHashPSPool(e *poolEdit) command.Reply {
	if !e.c.Bool("yes_i_really_mean_it") {
		return command.Fail(errno.EPERM, "are you SURE?  this will remap all placement groups in this pool, this triggers large data movement, pass --yes-i-really-mean-it if you really do.")
	}
	return e.switchFlag(osdmap.PoolFlagHashPSPool)
}

func (s *Service) setECOverwrites(e *poolEdit) command.Reply {
	if e.p.Type != osdmap.Erasure {
		return command.Fail(errno.EINVAL, "ec overwrites can only be enabled for an erasure coded pool")
	}
	if e.val == "false" || e.nErr == "" && e.n == 0 {
		return command.Fail(errno.EINVAL, "ec overwrites cannot be disabled once enabled")
	}
	return e.switchFlag(osdmap.PoolFlagECOverwrites)
}

func (s *Service) setFastRead(e *poolEdit) command.Reply {
	if e.p.Type == osdmap.Replicated {
		return command.Fail(errno.EINVAL, "fast read is not supported in replication pool")
	}
	switch {
	case e.val == "true" || e.nErr == "" && e.n == 1:
		e.p.FastRead = true
	case e.val == "false" || e.nErr == "" && e.n == 0:
		e.p.FastRead = false
	default:
		return command.Fail(errno.EINVAL, "expecting value 'true', 'false', '0', or '1'")
	}
	return command.Reply{}
}
