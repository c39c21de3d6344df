package pg

import (
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/osdmap"
)

// A stamp that is put back makes a scrub due, as the schedule says, and never
// against the flags.
func TestOverdue(t *testing.T) {
	t.Parallel()
	w := scrubWorld(t)
	w.populate()
	j, ok := w.pg.ScrubJob()
	if !ok || j.Forced || !j.At.After(w.now) || !j.Deadline.After(j.At) {
		t.Fatalf("job %+v, %v", j, ok)
	}
	// Deep is what the scrub to come will be, not when.
	stamp, ok := w.pg.Overdue(w.now, true, 0)
	if o := w.pg.scrubOptions(); !ok || !stamp.Equal(w.now.Add(-o.DeepInterval-scrubMargin)) {
		t.Fatalf("put back to %v, %v", stamp, ok)
	}
	if after, _ := w.pg.ScrubJob(); after != j {
		t.Errorf("the schedule changed from %+v to %+v", j, after)
	}
	w.changeMap(func(m *osdmap.Map) { m.Flags |= osdmap.FlagNoScrub | osdmap.FlagNoDeepScrub })
	w.pg.Overdue(w.now, false, 0)
	w.clusterLog()
	w.step(Tick{})
	w.wantLog()
	if j, ok := w.pg.ScrubJob(); ok {
		t.Errorf("a group that must not be scrubbed has the job %+v", j)
	}
	w.changeMap(func(m *osdmap.Map) { m.Flags &^= osdmap.FlagNoScrub | osdmap.FlagNoDeepScrub })
	w.step(Tick{})
	w.finishScrub()
	w.wantLog("DBG 1.0 deep-scrub starts", "DBG 1.0 deep-scrub ok")
	// A short time ago: not due.
	if stamp, _ := w.pg.Overdue(w.now, false, time.Second); !stamp.Equal(w.now.Add(-time.Second - scrubMargin)) {
		t.Errorf("put back to %v", stamp)
	}
	if j, _ := w.pg.ScrubJob(); !j.At.After(w.now) {
		t.Errorf("due at %v", j.At)
	}
	// One that is asked for has no time.
	w.changeMap(func(m *osdmap.Map) { m.Flags |= osdmap.FlagNoScrub | osdmap.FlagNoDeepScrub })
	w.pg.scrub.asked = ScrubShallow
	w.pg.checkScrub(w.now)
	if j, ok := w.pg.ScrubJob(); !ok || !j.Forced || !j.At.IsZero() || !j.Deadline.IsZero() {
		t.Errorf("job %+v, %v", j, ok)
	}
	w.pg.scrub.asked = 0
	if stamp, _ := w.pg.Overdue(w.now, true, 1<<62); stamp.Unix() != 0 {
		t.Errorf("put back to %v", stamp)
	}
}
