package pg

import (
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
)

// ScrubJob is when a group is to be scrubbed (OSDService::ScrubJob).
type ScrubJob struct {
	PG       object.PG
	At       time.Time
	Deadline time.Time // after which neither hour nor load matter; zero: none
	Forced   bool      // somebody has asked for it
}

// ScrubJob returns when the group is to be scrubbed next. Only the primary knows,
// and there is none of a group under no scrub's eyes: one that is not clean, or
// that flags keep from all scrubs.
func (p *PG) ScrubJob() (j ScrubJob, ok bool) {
	s := &p.scrub
	if !p.isPrimary() || s.run == nil && s.next.IsZero() {
		return j, false
	}
	j = ScrubJob{PG: p.id.PG, Forced: s.asked != 0}
	if !j.Forced {
		o := p.scrubOptions()
		j.At, j.Deadline = o.Due(p.id, s.record.Stamp)
	}
	return j, true
}

// Dump writes the job under Ceph's names. One that somebody has asked for has the
// first of all times.
func (j *ScrubJob) Dump(f *jsonfmt.Formatter) {
	f.Object("scrub", func() {
		f.Stringer("pgid", j.PG)
		f.Str("sched_time", jsonfmt.Time(j.At))
		f.Str("deadline", jsonfmt.Time(j.Deadline))
		f.Bool("forced", j.Forced)
	})
}

// scrubMargin is what a stamp is put back by beyond the interval.
const scrubMargin = 100 * time.Second

// Overdue makes the group believe that its last scrub, or its last deep one, was
// some time ago, or with zero as long ago as it may be, and returns when ("scrub"
// and "deep_scrub" of "ceph tell"). What comes of it is for the schedule to say:
// flags hold as ever, and it is the stamp of any scrub that makes one due, while
// that of the deep one makes it deep. Only the primary can; else ok is false.
func (p *PG) Overdue(now time.Time, deep bool, ago time.Duration) (stamp time.Time, ok bool) {
	p.settleEffects(now)
	p.stepToken = p.nextToken
	defer p.stepped()
	if p.role != roleActive {
		return time.Time{}, false
	}
	o, rec := p.scrubOptions(), &p.scrub.record
	at, interval := &rec.Stamp, o.MaxInterval
	if deep {
		at, interval = &rec.DeepStamp, o.DeepInterval
	}
	if ago == 0 {
		ago = interval
	}
	*at = now.Add(-ago - scrubMargin)
	if farthest := time.Unix(0, 0); at.Before(farthest) {
		*at = farthest
	}
	txn := new(objstore.Txn)
	p.writeScrub(txn)
	p.submitLocal(txn)
	p.scrubChanged(now)
	p.checkScrub(now)
	return *at, true
}
