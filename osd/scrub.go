package osd

import (
	"time"

	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/pg"
	"github.com/pulpo-storage/pulpo/osd/scrub"
)

// onScrub passes on what the manager wants scrubbed.
func (o *OSD) onScrub(m *msg.OSDScrub) {
	kind := pg.ScrubShallow
	switch {
	case m.Repair:
		kind = pg.ScrubRepair
	case m.Deep:
		kind = pg.ScrubDeep
	}
	if m.All {
		o.toShard(-1, ScrubAll{kind})
	}
	for _, g := range m.PGs {
		o.toShard(ShardOf(g, o.cfg.Shards), ForPG{object.SPG{PG: g, Shard: object.NoShard}, pg.Scrub{Kind: kind}})
	}
}

// scrubConfig are the settings of scrubs by the options.
func scrubConfig(c *config.Config) scrub.Options {
	o := scrub.DefaultOptions()
	seconds := func(name string) time.Duration { return scrub.Seconds(max(c.Float(name), 0)) }
	o.MinInterval, o.MaxInterval, o.DeepInterval = seconds("osd_scrub_min_interval"), seconds("osd_scrub_max_interval"), seconds("osd_deep_scrub_interval")
	o.Randomize, o.DeepRandomize = c.Float("osd_scrub_interval_randomize_ratio"), c.Float("osd_deep_scrub_randomize_ratio")
	o.BeginHour, o.EndHour = int(c.Int("osd_scrub_begin_hour")), int(c.Int("osd_scrub_end_hour"))
	o.BeginDay, o.EndDay = int(c.Int("osd_scrub_begin_week_day")), int(c.Int("osd_scrub_end_week_day"))
	o.Sleep, o.ExtendedSleep = seconds("osd_scrub_sleep"), seconds("osd_scrub_extended_sleep")
	o.ChunkMin, o.ChunkMax = int(c.Int("osd_scrub_chunk_min")), int(c.Int("osd_scrub_chunk_max"))
	o.MaxPreemptions = int(c.Int("osd_scrub_max_preemptions"))
	o.AutoRepair, o.AutoRepairMost = c.Bool("osd_scrub_auto_repair"), int(c.Int("osd_scrub_auto_repair_num_errors"))
	if n := c.Int("osd_deep_scrub_stride"); n > 0 {
		o.Limits.Stride = uint64(n)
	}
	if n := c.Int("osd_deep_scrub_keys"); n > 0 {
		o.Limits.Keys = int(n)
	}
	if n := c.Int("osd_deep_scrub_large_omap_object_key_threshold"); n > 0 {
		o.LargeOmapKeys = uint64(n)
	}
	if n := c.Int("osd_deep_scrub_large_omap_object_value_sum_threshold"); n > 0 {
		o.LargeOmapBytes = uint64(n)
	}
	return o
}

// busy looks whether the load is too high for scrubs.
func (o *OSD) busy() bool {
	if o.cfg.Load == nil {
		return false
	}
	one, fifteen, processors := o.cfg.Load()
	return o.load.Sample(one, fifteen, reportEvery, processors, o.cfg.Options.Float("osd_scrub_load_threshold"))
}
