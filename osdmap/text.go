package osdmap

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/jsonfmt"
)

// Text is what `ceph osd dump` prints.
func (m *Map) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("epoch %d", m.Epoch)
	line("fsid %v", m.FSID)
	line("created %s", jsonfmt.Time(m.Created))
	line("modified %s", jsonfmt.Time(m.Modified))
	line("flags %v", m.Flags)
	line("crush_version %d", m.CrushVersion)
	line("full_ratio %s", short(float64(m.FullRatio)))
	line("backfillfull_ratio %s", short(float64(m.BackfillfullRatio)))
	line("nearfull_ratio %s", short(float64(m.NearfullRatio)))
	if m.RequireMinCompatClient > 0 {
		line("require_min_compat_client %v", m.RequireMinCompatClient)
	}
	line("min_compat_client %v", m.MinCompatClient())
	if m.RequireOSDRelease > 0 {
		line("require_osd_release %v", m.RequireOSDRelease)
	}
	line("stretch_mode_enabled %v", m.Stretch.Enabled)
	if s := m.Stretch; s.Enabled {
		line("stretch_bucket_count %d\ndegraded_stretch_mode %d\nrecovering_stretch_mode %d\nstretch_mode_bucket %d",
			s.BucketCount, s.Degraded, s.Recovering, s.Bucket)
	}
	if m.ClusterSnapshot != "" {
		line("cluster_snapshot %s", m.ClusterSnapshot)
	}
	b.WriteString(m.PoolsText())
	line("max_osd %d", m.MaxOSD)
	for o := range m.MaxOSD {
		if m.Exists(o) {
			line("%s", m.OSDText(o))
		}
	}
	for _, pg := range sortedKeys(m.PGUpmap) {
		line("pg_upmap %v %s", pg, osdList(m.PGUpmap[pg]))
	}
	for _, pg := range sortedKeys(m.PGUpmapItems) {
		var flat []int32
		for _, i := range m.PGUpmapItems[pg] {
			flat = append(flat, i.From, i.To)
		}
		line("pg_upmap_items %v %s", pg, osdList(flat))
	}
	for _, pg := range sortedKeys(m.PGTemp) {
		line("pg_temp %v %s", pg, osdList(m.PGTemp[pg]))
	}
	for _, pg := range sortedKeys(m.PrimaryTemp) {
		line("primary_temp %v %d", pg, m.PrimaryTemp[pg])
	}
	for _, a := range sortedAddrs(m.Blocklist) {
		line("blocklist %s expires %s", a.Legacy(), jsonfmt.Time(m.Blocklist[a]))
	}
	for _, a := range sortedAddrs(m.RangeBlocklist) {
		line("range blocklist %s expires %s", rangeString(a), jsonfmt.Time(m.RangeBlocklist[a]))
	}
	return b.String()
}

// PoolsText is the part of Text about pools, which is also what
// `ceph osd pool ls detail` prints.
func (m *Map) PoolsText() string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(m.Pools)) {
		p := m.Pools[id]
		fmt.Fprintf(&b, "pool %d '%s' %s\n", id, m.poolName(id), p.Text())
		for _, s := range slices.Sorted(maps.Keys(p.Snaps)) {
			fmt.Fprintf(&b, "\tsnap %x '%s' %s\n", uint64(s), p.Snaps[s].Name, jsonfmt.Time(p.Snaps[s].Stamp))
		}
		if len(p.RemovedSnaps) > 0 {
			fmt.Fprintf(&b, "\tremoved_snaps %v\n", p.RemovedSnaps)
		}
		if q, ok := m.RemovedSnapsQueue[id]; ok {
			fmt.Fprintf(&b, "\tremoved_snaps_queue %v\n", q)
		}
	}
	return b.String()
}

// Text is a pool's settings on one line.
func (p *Pool) Text() string {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	some := func(format string, v uint64) {
		if v != 0 {
			add(format, v)
		}
	}
	add("%v", p.Type)
	if p.Type == Erasure {
		add(" profile %s", p.ErasureCodeProfile)
	}
	add(" size %d min_size %d crush_rule %d object_hash %s pg_num %d pgp_num %d", p.Size, p.MinSize, p.CrushRule, p.hashName(), p.PGNum, p.PGPNum)
	if p.PGNumTarget != p.PGNum {
		add(" pg_num_target %d", p.PGNumTarget)
	}
	if p.PGPNumTarget != p.PGPNum {
		add(" pgp_num_target %d", p.PGPNumTarget)
	}
	if p.PGNumPending != p.PGNum {
		add(" pg_num_pending %d", p.PGNumPending)
	}
	add(" autoscale_mode %v last_change %d", p.AutoscaleMode, p.LastChange)
	if p.LastForceOpResend|p.LastForceOpResendPrenautilus|p.LastForceOpResendPreluminous != 0 {
		add(" lfor %d/%d/%d", p.LastForceOpResend, p.LastForceOpResendPrenautilus, p.LastForceOpResendPreluminous)
	}
	some(" owner %d", p.AUID)
	if p.Flags != 0 {
		add(" flags %v", p.Flags)
	}
	some(" crash_replay_interval %d", uint64(p.CrashReplayInterval))
	some(" max_bytes %d", p.QuotaMaxBytes)
	some(" max_objects %d", p.QuotaMaxObjects)
	if len(p.Tiers) > 0 {
		s := make([]string, len(p.Tiers))
		for i, t := range p.Tiers {
			s[i] = strconv.FormatInt(t, 10)
		}
		add(" tiers %s", strings.Join(s, ","))
	}
	if p.TierOf >= 0 {
		add(" tier_of %d", p.TierOf)
	}
	if p.ReadTier >= 0 {
		add(" read_tier %d", p.ReadTier)
	}
	if p.WriteTier >= 0 {
		add(" write_tier %d", p.WriteTier)
	}
	if p.CacheMode != 0 {
		add(" cache_mode %s", cacheMode(p.CacheMode))
	}
	some(" target_bytes %d", p.TargetMaxBytes)
	some(" target_objects %d", p.TargetMaxObjects)
	some(" min_read_recency_for_promote %d", uint64(p.MinReadRecencyForPromote))
	some(" min_write_recency_for_promote %d", uint64(p.MinWriteRecencyForPromote))
	add(" stripe_width %d", p.StripeWidth)
	some(" expected_num_objects %d", p.ExpectedNumObjects)
	if p.FastRead {
		add(" fast_read 1")
	}
	for _, k := range p.Opts.byName() {
		switch v := p.Opts[k].(type) {
		case float64:
			add(" %v %s", k, short(v))
		default:
			add(" %v %v", k, v)
		}
	}
	if len(p.Applications) > 0 {
		add(" application %s", strings.Join(slices.Sorted(maps.Keys(p.Applications)), ","))
	}
	return b.String()
}

func (p *Pool) hashName() string {
	switch p.ObjectHash {
	case HashLinux:
		return "linux"
	case HashRjenkins:
		return "rjenkins"
	}
	return "unknown"
}

// OSDText is an OSD's line in Text.
// OSDText is the line of an OSD in Text.
func (m *Map) OSDText(o int32) string {
	var b strings.Builder
	up, in := "down", "out"
	if m.IsUp(o) {
		up = "up  "
	}
	if m.IsIn(o) {
		in = "in "
	}
	fmt.Fprintf(&b, "osd.%d %s %s weight %s", o, up, in, short(m.WeightOf(o)))
	if a := m.AffinityOf(o); a != AffinityDefault {
		fmt.Fprintf(&b, " primary_affinity %s", short(float64(a)/AffinityDefault))
	}
	i := m.Info[o]
	fmt.Fprintf(&b, " up_from %d up_thru %d down_at %d last_clean_interval [%d,%d)", i.UpFrom, i.UpThru, i.DownAt, i.LastCleanBegin, i.LastCleanEnd)
	if i.LostAt != 0 {
		fmt.Fprintf(&b, " lost_at %d", i.LostAt)
	}
	fmt.Fprintf(&b, " %s %s %s", addrs(m.ClientAddrs[o]), addrs(m.ClusterAddrs[o]), strings.Join(m.State[o].Names(), ","))
	if u := m.UUID[o]; !u.IsZero() {
		fmt.Fprintf(&b, " %v", u)
	}
	return b.String()
}

// addrs prints nothing for no address.
func addrs(v entity.AddrVec) string {
	if len(v) == 0 {
		return ""
	}
	return v.String()
}

// osdList is how Ceph prints a list of OSDs: [1,2,3].
func osdList(osds []int32) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, o := range osds {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(o)))
	}
	b.WriteByte(']')
	return b.String()
}

// short prints a float as a C++ stream does by default.
func short(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
