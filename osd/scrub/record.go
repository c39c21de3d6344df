package scrub

import (
	"time"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// Record is what remains of the scrubs of a group (the fields of pg_history_t and
// object_stat_sum_t that scrubs set). It is kept with the group.
type Record struct {
	Last, LastDeep      object.Version
	Stamp, DeepStamp    time.Time
	CleanStamp          time.Time // of the last scrub that found nothing
	Shallow, Deep       int64     // errors
	LargeOmaps          int64     // objects with a very large omap
	OmapBytes, OmapKeys int64
	Repaired            int64 // copies that were replaced, ever
}

// Begin is the record of a group that is new: as if it had just been scrubbed.
func (r *Record) Begin(now time.Time) { *r = Record{Stamp: now, DeepStamp: now, CleanStamp: now} }

// Errors is all errors that are known.
func (r *Record) Errors() int64 { return r.Shallow + r.Deep }

const recordVersion = 1

func (r *Record) Encode(e *wire.Encoder) {
	m := e.Begin(recordVersion, 1)
	r.Last.Encode(e)
	r.LastDeep.Encode(e)
	for _, t := range []time.Time{r.Stamp, r.DeepStamp, r.CleanStamp} {
		e.Time(t)
	}
	for _, n := range r.counts() {
		e.S64(*n)
	}
	e.End(m)
}

func (r *Record) Decode(d *wire.Decoder) {
	env := d.Begin("scrub.Record", recordVersion)
	r.Last.Decode(d)
	r.LastDeep.Decode(d)
	for _, t := range []*time.Time{&r.Stamp, &r.DeepStamp, &r.CleanStamp} {
		*t = d.Time()
	}
	for _, n := range r.counts() {
		*n = d.S64()
	}
	d.End(env)
}

func (r *Record) counts() []*int64 {
	return []*int64{&r.Shallow, &r.Deep, &r.LargeOmaps, &r.OmapBytes, &r.OmapKeys, &r.Repaired}
}
