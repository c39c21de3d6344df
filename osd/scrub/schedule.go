package scrub

import (
	"fmt"
	"math"
	"time"

	"github.com/pulpo-storage/pulpo/object"
)

// Options are the settings of scrubs, under Ceph's names. A pool may have some of
// its own: see With.
type Options struct {
	MinInterval    time.Duration // osd_scrub_min_interval
	MaxInterval    time.Duration // osd_scrub_max_interval; 0: no deadline
	DeepInterval   time.Duration // osd_deep_scrub_interval
	Randomize      float64       // osd_scrub_interval_randomize_ratio
	DeepRandomize  float64       // osd_deep_scrub_randomize_ratio
	BeginHour      int           // osd_scrub_begin_hour
	EndHour        int           // osd_scrub_end_hour
	BeginDay       int           // osd_scrub_begin_week_day, Sunday is 0
	EndDay         int           // osd_scrub_end_week_day
	Sleep          time.Duration // osd_scrub_sleep, between chunks
	ExtendedSleep  time.Duration // osd_scrub_extended_sleep, outside of the hours
	ChunkMin       int           // osd_scrub_chunk_min
	ChunkMax       int           // osd_scrub_chunk_max
	MaxPreemptions int           // osd_scrub_max_preemptions
	Limits         Limits
	AutoRepair     bool // osd_scrub_auto_repair
	AutoRepairMost int  // osd_scrub_auto_repair_num_errors
	LargeOmapKeys  uint64
	LargeOmapBytes uint64
	Busy           bool // the machine's load is above osd_scrub_load_threshold
}

// DefaultOptions are Ceph's.
func DefaultOptions() Options {
	const day = 24 * time.Hour
	return Options{
		MinInterval: day, MaxInterval: 7 * day, DeepInterval: 7 * day, Randomize: 0.5, DeepRandomize: 0.15,
		ChunkMin: 5, ChunkMax: 25, MaxPreemptions: 5, Limits: Limits{Stride: 512 << 10, Keys: 1024}, AutoRepairMost: 5,
		LargeOmapKeys: 200000, LargeOmapBytes: 1 << 30,
	}
}

// With returns the options of a pool: intervals in seconds, zero where the
// pool has none of its own.
func (o Options) With(minInterval, maxInterval, deepInterval float64) Options {
	for _, p := range []struct {
		to      *time.Duration
		seconds float64
	}{{&o.MinInterval, minInterval}, {&o.MaxInterval, maxInterval}, {&o.DeepInterval, deepInterval}} {
		if p.seconds > 0 {
			*p.to = Seconds(p.seconds)
		}
	}
	return o
}

// Seconds is a time span of a number of seconds, as long as there can be.
func Seconds(s float64) time.Duration {
	if n := s * float64(time.Second); n < math.MaxInt64 {
		return time.Duration(n)
	}
	return math.MaxInt64
}

// Due is when a group is to be scrubbed that was scrubbed last at a time: some
// time after the shortest interval, not all groups at once; and when it is late,
// whatever the hour and the load. A zero deadline is none.
func (o *Options) Due(pg object.SPG, last time.Time) (at, deadline time.Time) {
	spread := float64(o.MinInterval) * o.Randomize * chance(pg, last, "at")
	at = last.Add(o.MinInterval + time.Duration(spread))
	if o.MaxInterval > 0 {
		deadline = last.Add(o.MaxInterval)
		if deadline.Before(at) {
			at = deadline
		}
	}
	return at, deadline
}

// Deep reports whether a scrub that is due now is a deep one: it is time for that,
// or it happens to be, so that deep scrubs of groups made together drift apart.
func (o *Options) Deep(pg object.SPG, now, last, lastDeep time.Time) bool {
	return !now.Before(lastDeep.Add(o.DeepInterval)) || chance(pg, last, "deep") < o.DeepRandomize
}

// chance is a number in [0,1) that only looks like chance.
func chance(pg object.SPG, at time.Time, what string) float64 {
	return float64(object.HashString(fmt.Sprint(pg, at.UnixNano(), what))) / (1 << 32)
}

// Permitted reports whether a scrub that was not asked for may begin now.
func (o *Options) Permitted(now, deadline time.Time) bool {
	return !deadline.IsZero() && now.After(deadline) || o.InHours(now) && !o.Busy
}

// InHours reports whether the time of day and the day of the week are those
// of scrubs.
func (o *Options) InHours(now time.Time) bool {
	return within(o.BeginDay, o.EndDay, int(now.Weekday())) && within(o.BeginHour, o.EndHour, now.Hour())
}

// within reports whether n is in [from, to) on a circle; all of it if they are
// the same.
func within(from, to, n int) bool {
	switch {
	case from == to:
		return true
	case from < to:
		return from <= n && n < to
	}
	return n >= from || n < to
}

// Pause is how long to wait before the next chunk.
func (o *Options) Pause(now time.Time, asked bool) time.Duration {
	if !asked && !o.InHours(now) {
		return max(o.Sleep, o.ExtendedSleep)
	}
	return o.Sleep
}

// Load is the load of a machine over time, for osd_scrub_load_threshold
// (OSD::scrub_load_below_threshold).
type Load struct {
	daily float64
	known bool
}

// Sample takes in the load averages of 1 and 15 minutes, every so often, and
// reports whether the load is too high for a scrub: above the threshold for each
// processor, unless it is below the day's average and sinking.
func (l *Load) Sample(one, fifteen float64, every time.Duration, processors int, threshold float64) (busy bool) {
	n := float64(24*time.Hour) / float64(max(every, time.Second))
	if !l.known {
		l.daily, l.known = one, true
	}
	l.daily = (l.daily*(n-1) + one) / n
	return one/float64(max(processors, 1)) >= threshold && (one >= l.daily || one >= fifteen)
}
