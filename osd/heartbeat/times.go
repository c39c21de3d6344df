package heartbeat

import (
	"time"

	"github.com/pulpo-storage/pulpo/msg"
)

// times collects how long pings took over one network: of each minute the
// average, the shortest and the longest, for a quarter of an hour.
type times struct {
	last  time.Duration
	now   minute // being collected
	begun time.Time
	past  []minute // newest first
}

type minute struct {
	n             int
	sum, min, max time.Duration
}

const maxMinutes = 15

func (m *minute) add(d time.Duration) {
	if m.n == 0 || d < m.min {
		m.min = d
	}
	m.max = max(m.max, d)
	m.sum += d
	m.n++
}

func (t *times) add(now time.Time, d time.Duration) {
	if t.begun.IsZero() {
		t.begun = now
	}
	t.last = d
	t.now.add(d)
	if now.Sub(t.begun) < time.Minute {
		return
	}
	t.past = append([]minute{t.now}, t.past[:min(len(t.past), maxMinutes-1)]...)
	t.now, t.begun = minute{}, now
}

// span sums up; nothing before the first minute is over.
func (t *times) span() (s msg.PingSpan) {
	us := func(d time.Duration) uint32 { return uint32(min(max(d.Microseconds(), 0), 1<<32-1)) }
	s.Last = us(t.last)
	for i, n := range []int{1, 5, 15} {
		var avg time.Duration
		var all minute
		for _, m := range t.past[:min(n, len(t.past))] {
			avg += m.sum / time.Duration(m.n)
			all.add(m.min)
			all.max = max(all.max, m.max)
		}
		if all.n > 0 {
			s.Average[i], s.Min[i], s.Max[i] = us(avg/time.Duration(all.n)), us(all.min), us(all.max)
		}
	}
	return s
}
