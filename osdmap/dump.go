package osdmap

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/object"
)

// Dump writes the fields of `ceph osd dump -f json` into the open object.
func (m *Map) Dump(f *jsonfmt.Formatter) {
	f.Uint("epoch", uint64(m.Epoch))
	f.Stringer("fsid", m.FSID)
	f.Str("created", jsonfmt.Time(m.Created))
	f.Str("modified", jsonfmt.Time(m.Modified))
	f.Str("last_up_change", jsonfmt.Time(m.LastUpChange))
	f.Str("last_in_change", jsonfmt.Time(m.LastInChange))
	f.Str("flags", m.Flags.String())
	f.Uint("flags_num", uint64(m.Flags))
	f.Strs("flags_set", "flag", m.Flags.set())
	f.Int("crush_version", int64(m.CrushVersion))
	f.Float("full_ratio", float64(m.FullRatio))
	f.Float("backfillfull_ratio", float64(m.BackfillfullRatio))
	f.Float("nearfull_ratio", float64(m.NearfullRatio))
	f.Str("cluster_snapshot", m.ClusterSnapshot)
	f.Int("pool_max", int64(m.PoolMax))
	f.Int("max_osd", int64(m.MaxOSD))
	f.Stringer("require_min_compat_client", m.RequireMinCompatClient)
	f.Stringer("min_compat_client", m.MinCompatClient())
	f.Stringer("require_osd_release", m.RequireOSDRelease)
	f.Array("pools", func() {
		for _, id := range slices.Sorted(maps.Keys(m.Pools)) {
			f.Object("pool", func() {
				f.Int("pool", id)
				f.Str("pool_name", m.poolName(id))
				m.Pools[id].Dump(f)
			})
		}
	})
	f.Array("osds", func() {
		for o := range m.MaxOSD {
			if m.Exists(o) {
				f.Object("osd_info", func() { m.DumpOSD(f, o) })
			}
		}
	})
	f.Array("osd_xinfo", func() {
		for o := range m.MaxOSD {
			if m.Exists(o) {
				f.Object("xinfo", func() {
					f.Int("osd", int64(o))
					m.XInfo[o].dump(f)
				})
			}
		}
	})
	m.dumpPGs(f)
	f.Object("blocklist", func() { dumpBlocklist(f, m.Blocklist, entity.Addr.Legacy) })
	f.Object("range_blocklist", func() { dumpBlocklist(f, m.RangeBlocklist, rangeString) })
	f.Object("erasure_code_profiles", func() {
		for _, name := range slices.Sorted(maps.Keys(m.ErasureCodeProfiles)) {
			f.Object(name, func() { dumpStrings(f, m.ErasureCodeProfiles[name]) })
		}
	})
	dumpSnaps(f, "removed_snaps_queue", m.RemovedSnapsQueue)
	dumpSnaps(f, "new_removed_snaps", m.NewRemovedSnaps)
	dumpSnaps(f, "new_purged_snaps", m.NewPurgedSnaps)
	f.Object("crush_node_flags", func() {
		for _, id := range slices.Sorted(maps.Keys(m.CrushNodeFlags)) {
			name, ok := m.Crush.Names[id]
			if !ok {
				name = strconv.Itoa(int(id))
			}
			f.Strs(name, "flag", m.CrushNodeFlags[id].Names())
		}
	})
	f.Object("device_class_flags", func() {
		for _, id := range slices.Sorted(maps.Keys(m.DeviceClassFlags)) {
			name, ok := m.Crush.ClassNames[id]
			if !ok {
				name = strconv.Itoa(int(id))
			}
			f.Strs(name, "flag", m.DeviceClassFlags[id].Names())
		}
	})
	f.Object("stretch_mode", func() {
		f.Bool("stretch_mode_enabled", m.Stretch.Enabled)
		f.Uint("stretch_bucket_count", uint64(m.Stretch.BucketCount))
		f.Uint("degraded_stretch_mode", uint64(m.Stretch.Degraded))
		f.Uint("recovering_stretch_mode", uint64(m.Stretch.Recovering))
		f.Int("stretch_mode_bucket", int64(m.Stretch.Bucket))
	})
}

func (m *Map) poolName(id int64) string {
	if n, ok := m.PoolNames[id]; ok {
		return n
	}
	return "<unknown>"
}

// DumpOSD writes the fields of one OSD into the open object.
func (m *Map) DumpOSD(f *jsonfmt.Formatter, o int32) {
	f.Int("osd", int64(o))
	f.Stringer("uuid", m.UUID[o])
	f.Int("up", b2i(m.IsUp(o)))
	f.Int("in", b2i(m.IsIn(o)))
	f.Float("weight", m.WeightOf(o))
	f.Float("primary_affinity", float64(m.AffinityOf(o))/AffinityDefault)
	i := m.Info[o]
	f.Uint("last_clean_begin", uint64(i.LastCleanBegin))
	f.Uint("last_clean_end", uint64(i.LastCleanEnd))
	f.Uint("up_from", uint64(i.UpFrom))
	f.Uint("up_thru", uint64(i.UpThru))
	f.Uint("down_at", uint64(i.DownAt))
	f.Uint("lost_at", uint64(i.LostAt))
	f.AddrVec("public_addrs", m.ClientAddrs[o])
	f.AddrVec("cluster_addrs", m.ClusterAddrs[o])
	f.AddrVec("heartbeat_back_addrs", m.HBBackAddrs[o])
	f.AddrVec("heartbeat_front_addrs", m.HBFrontAddrs[o])
	f.Str("public_addr", m.ClientAddrs[o].LegacyString())
	f.Str("cluster_addr", m.ClusterAddrs[o].LegacyString())
	f.Str("heartbeat_back_addr", m.HBBackAddrs[o].LegacyString())
	f.Str("heartbeat_front_addr", m.HBFrontAddrs[o].LegacyString())
	f.Strs("state", "state", m.State[o].Names())
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (x XInfo) dump(f *jsonfmt.Formatter) {
	f.Str("down_stamp", jsonfmt.Time(x.DownStamp))
	f.Float("laggy_probability", float64(float32(x.LaggyProbability)/float32(0xffffffff)))
	f.Uint("laggy_interval", uint64(x.LaggyInterval))
	f.Uint("features", x.Features)
	f.Uint("old_weight", uint64(x.OldWeight))
	f.Str("last_purged_snaps_scrub", jsonfmt.Time(x.LastPurgedSnapsScrub))
	f.Uint("dead_epoch", uint64(x.DeadEpoch))
}

func (m *Map) dumpPGs(f *jsonfmt.Formatter) {
	osds := func(list []int32) {
		f.Array("osds", func() {
			for _, o := range list {
				f.Int("osd", int64(o))
			}
		})
	}
	f.Array("pg_upmap", func() {
		for _, pg := range sortedKeys(m.PGUpmap) {
			f.Object("mapping", func() {
				f.Stringer("pgid", pg)
				osds(m.PGUpmap[pg])
			})
		}
	})
	f.Array("pg_upmap_items", func() {
		for _, pg := range sortedKeys(m.PGUpmapItems) {
			f.Object("mapping", func() {
				f.Stringer("pgid", pg)
				f.Array("mappings", func() {
					for _, i := range m.PGUpmapItems[pg] {
						f.Object("mapping", func() {
							f.Int("from", int64(i.From))
							f.Int("to", int64(i.To))
						})
					}
				})
			})
		}
	})
	f.Array("pg_temp", func() {
		for _, pg := range sortedKeys(m.PGTemp) {
			f.Object("osds", func() {
				f.Stringer("pgid", pg)
				osds(m.PGTemp[pg])
			})
		}
	})
	f.Array("primary_temp", func() {
		for _, pg := range sortedKeys(m.PrimaryTemp) {
			f.Stringer("pgid", pg)
			f.Int("osd", int64(m.PrimaryTemp[pg]))
		}
	})
}

func sortedKeys[V any](m map[object.PG]V) []object.PG {
	return slices.SortedFunc(maps.Keys(m), object.PG.Compare)
}

func sortedAddrs(m map[entity.Addr]time.Time) []entity.Addr {
	return slices.SortedFunc(maps.Keys(m), entity.Addr.Compare)
}

// rangeString is the form of an entry of the range blocklist: a prefix.
func rangeString(a entity.Addr) string {
	return a.AP.String() + "/" + strconv.FormatUint(uint64(a.Nonce), 10)
}

func dumpBlocklist(f *jsonfmt.Formatter, m map[entity.Addr]time.Time, name func(entity.Addr) string) {
	for _, a := range sortedAddrs(m) {
		f.Str(name(a), jsonfmt.Time(m[a]))
	}
}

func dumpStrings(f *jsonfmt.Formatter, m map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		f.Str(k, m[k])
	}
}

// Dump writes the runs of a set into the open array or object.
func (s SnapSet) Dump(f *jsonfmt.Formatter) {
	for _, r := range s {
		f.Object("interval", func() {
			f.Uint("begin", uint64(r.Begin))
			f.Uint("length", r.Length)
		})
	}
}

func dumpSnaps(f *jsonfmt.Formatter, name string, m map[int64]SnapSet) {
	f.Array(name, func() {
		for _, pool := range slices.Sorted(maps.Keys(m)) {
			f.Object("pool", func() {
				f.Int("pool", pool)
				f.Array("snaps", func() { m[pool].Dump(f) })
			})
		}
	})
}

// Dump writes the fields of a pool into the open object (pg_pool_t::dump).
func (p *Pool) Dump(f *jsonfmt.Formatter) {
	f.Str("create_time", jsonfmt.Time(p.CreateTime))
	f.Uint("flags", uint64(p.Flags))
	f.Stringer("flags_names", p.Flags)
	f.Uint("type", uint64(p.Type))
	f.Uint("size", uint64(p.Size))
	f.Uint("min_size", uint64(p.MinSize))
	f.Uint("crush_rule", uint64(p.CrushRule))
	f.Uint("peering_crush_bucket_count", uint64(p.PeeringCrushBucketCount))
	f.Uint("peering_crush_bucket_target", uint64(p.PeeringCrushBucketTarget))
	f.Uint("peering_crush_bucket_barrier", uint64(p.PeeringCrushBucketBarrier))
	f.Int("peering_crush_bucket_mandatory_member", int64(p.PeeringCrushMandatoryMember))
	f.Uint("object_hash", uint64(p.ObjectHash))
	f.Stringer("pg_autoscale_mode", p.AutoscaleMode)
	f.Uint("pg_num", uint64(p.PGNum))
	f.Uint("pg_placement_num", uint64(p.PGPNum))
	f.Uint("pg_placement_num_target", uint64(p.PGPNumTarget))
	f.Uint("pg_num_target", uint64(p.PGNumTarget))
	f.Uint("pg_num_pending", uint64(p.PGNumPending))
	f.Object("last_pg_merge_meta", func() {
		f.Stringer("source_pgid", p.LastMerge.SourcePG)
		f.Uint("ready_epoch", uint64(p.LastMerge.ReadyEpoch))
		f.Uint("last_epoch_started", uint64(p.LastMerge.LastEpochStarted))
		f.Uint("last_epoch_clean", uint64(p.LastMerge.LastEpochClean))
		f.Stringer("source_version", p.LastMerge.SourceVersion)
		f.Stringer("target_version", p.LastMerge.TargetVersion)
	})
	epoch := func(name string, e uint32) { f.Str(name, strconv.FormatUint(uint64(e), 10)) }
	epoch("last_change", p.LastChange)
	epoch("last_force_op_resend", p.LastForceOpResend)
	epoch("last_force_op_resend_prenautilus", p.LastForceOpResendPrenautilus)
	epoch("last_force_op_resend_preluminous", p.LastForceOpResendPreluminous)
	f.Uint("auid", p.AUID)
	mode := "selfmanaged"
	if p.Has(PoolFlagPoolSnaps) {
		mode = "pool"
	}
	f.Str("snap_mode", mode)
	f.Uint("snap_seq", uint64(p.SnapSeq))
	f.Uint("snap_epoch", uint64(p.SnapEpoch))
	f.Array("pool_snaps", func() {
		for _, id := range slices.Sorted(maps.Keys(p.Snaps)) {
			s := p.Snaps[id]
			f.Object("pool_snap_info", func() {
				f.Uint("snapid", uint64(s.ID))
				f.Str("stamp", jsonfmt.Time(s.Stamp))
				f.Str("name", s.Name)
			})
		}
	})
	f.Stringer("removed_snaps", p.RemovedSnaps)
	f.Uint("quota_max_bytes", p.QuotaMaxBytes)
	f.Uint("quota_max_objects", p.QuotaMaxObjects)
	f.Array("tiers", func() {
		for _, t := range p.Tiers {
			f.Int("pool_id", t)
		}
	})
	f.Int("tier_of", p.TierOf)
	f.Int("read_tier", p.ReadTier)
	f.Int("write_tier", p.WriteTier)
	f.Str("cache_mode", cacheMode(p.CacheMode))
	f.Uint("target_max_bytes", p.TargetMaxBytes)
	f.Uint("target_max_objects", p.TargetMaxObjects)
	f.Uint("cache_target_dirty_ratio_micro", uint64(p.CacheTargetDirtyRatioMicro))
	f.Uint("cache_target_dirty_high_ratio_micro", uint64(p.CacheTargetDirtyHighRatio))
	f.Uint("cache_target_full_ratio_micro", uint64(p.CacheTargetFullRatioMicro))
	f.Uint("cache_min_flush_age", uint64(p.CacheMinFlushAge))
	f.Uint("cache_min_evict_age", uint64(p.CacheMinEvictAge))
	f.Str("erasure_code_profile", p.ErasureCodeProfile)
	f.Object("hit_set_params", func() { f.Str("type", hitSetType(p.HitSet.Type)) })
	f.Uint("hit_set_period", uint64(p.HitSetPeriod))
	f.Uint("hit_set_count", uint64(p.HitSetCount))
	f.Bool("use_gmt_hitset", p.UseGMTHitset)
	f.Uint("min_read_recency_for_promote", uint64(p.MinReadRecencyForPromote))
	f.Uint("min_write_recency_for_promote", uint64(p.MinWriteRecencyForPromote))
	f.Uint("hit_set_grade_decay_rate", uint64(p.HitSetGradeDecayRate))
	f.Uint("hit_set_search_last_n", uint64(p.HitSetSearchLastN))
	f.Array("grade_table", func() {
		// What one more hit set of age i counts, falling by the decay rate.
		grade, decay := uint64(1000000), 1-float64(p.HitSetGradeDecayRate)/100
		for range p.HitSetCount {
			f.Uint("value", grade)
			grade = uint64(float64(grade) * decay)
		}
	})
	f.Uint("stripe_width", uint64(p.StripeWidth))
	f.Uint("expected_num_objects", p.ExpectedNumObjects)
	f.Bool("fast_read", p.FastRead)
	f.Object("options", func() {
		for _, k := range p.Opts.byName() {
			switch v := p.Opts[k].(type) {
			case string:
				f.Str(k.String(), v)
			case int64:
				f.Int(k.String(), v)
			case float64:
				f.Float(k.String(), v)
			}
		}
	})
	f.Object("application_metadata", func() {
		for _, app := range slices.Sorted(maps.Keys(p.Applications)) {
			f.Object(app, func() { dumpStrings(f, p.Applications[app]) })
		}
	})
}

func cacheMode(m uint8) string {
	modes := []string{"none", "writeback", "forward", "readonly", "readforward", "readproxy", "proxy"}
	if int(m) < len(modes) {
		return modes[m]
	}
	return "unknown"
}

func hitSetType(t uint8) string {
	types := []string{"none", "explicit_hash", "explicit_object", "bloom"}
	if int(t) < len(types) {
		return types[t]
	}
	return "???"
}

// MinCompatClient names the oldest release whose clients understand everything
// that the map uses (get_min_compat_client).
func (m *Map) MinCompatClient() entity.Release {
	need := entity.Release(1)
	atLeast := func(r entity.Release, used bool) {
		if used {
			need = max(need, r)
		}
	}
	atLeast(entity.Luminous, len(m.PGUpmap)+len(m.PGUpmapItems) > 0 || m.Crush.HasIncompatChooseArgs())
	if r, err := entity.ParseRelease(m.Crush.MinRequiredVersion()); err == nil {
		atLeast(r, true)
	}
	const dumpling, firefly = 4, 6
	for _, p := range m.Pools {
		atLeast(dumpling, p.Has(PoolFlagHashPSPool))
		atLeast(firefly, len(p.Tiers) > 0 || p.TierOf >= 0)
	}
	atLeast(firefly, slices.ContainsFunc(m.PrimaryAffinity, func(a uint32) bool { return a != AffinityDefault }))
	return need
}
