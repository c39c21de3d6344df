package osd

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/osd/pg"
)

// OpRecord is a request, for those who ask what is going on.
type OpRecord struct {
	Description string
	Initiated   time.Time
	Age         time.Duration // at the time of asking
	Duration    time.Duration
	FlagPoint   string
	Done        bool
}

// historyLimits say what is remembered (osd_op_history_*).
type historyLimits struct {
	size      int
	duration  time.Duration
	slowSize  int
	threshold time.Duration // a request that took so long was slow
}

func historyConfig(c *config.Config) historyLimits {
	return historyLimits{
		size: int(max(c.Int("osd_op_history_size"), 0)), duration: c.Seconds("osd_op_history_duration"),
		slowSize: int(max(c.Int("osd_op_history_slow_op_size"), 0)), threshold: c.Seconds("osd_op_history_slow_op_threshold"),
	}
}

// history is the requests of late that took longest (OpHistory), and those that
// took far too long.
type history struct {
	limits historyLimits
	recent []OpRecord // shortest first
	slow   []OpRecord // oldest first
}

// remember takes in what the groups are done with. There may be several steps
// before a Ready.
func (s *Shard) remember(now time.Time) {
	done := s.env.Done()
	fresh := done[s.remembered:]
	if hits, all := s.env.TakeLookups(); all > 0 {
		s.counters.objectHits.Add(hits)
		s.counters.objects.Add(all)
	}
	s.remembered = len(done)
	for _, r := range fresh {
		s.counters.add(r, now)
		s.history.add(now, r)
	}
}

// add takes in a request that has ended. It keeps a description, not the request,
// on whose operations large buffers hang.
func (h *history) add(now time.Time, r *pg.Request) {
	dur := now.Sub(r.Received)
	full := len(h.recent) >= h.limits.size
	if dur < h.limits.threshold && full && (len(h.recent) == 0 || dur <= h.recent[0].Duration && now.Sub(h.recent[0].Initiated) < h.limits.duration) {
		return // as nearly all
	}
	d := record(now, r)
	d.Done, d.FlagPoint = true, "done"
	if dur >= h.limits.threshold {
		h.slow = append(h.slow, d)
		h.slow = slices.Delete(h.slow, 0, max(len(h.slow)-h.limits.slowSize, 0))
	}
	h.expire(now)
	if len(h.recent) >= h.limits.size && (len(h.recent) == 0 || dur <= h.recent[0].Duration) {
		return
	}
	at, _ := slices.BinarySearchFunc(h.recent, d, func(a, b OpRecord) int { return cmp.Compare(a.Duration, b.Duration) })
	h.recent = slices.Insert(h.recent, at, d)
	h.recent = slices.Delete(h.recent, 0, max(len(h.recent)-h.limits.size, 0))
}

func (h *history) expire(now time.Time) {
	h.recent = slices.DeleteFunc(h.recent, func(d OpRecord) bool { return now.Sub(d.Initiated) >= h.limits.duration })
}

func (h *history) lists(now time.Time) (recent, slow []OpRecord) {
	h.expire(now)
	list := func(ds []OpRecord) []OpRecord {
		out := slices.Clone(ds)
		for i := range out {
			out[i].Age = now.Sub(out[i].Initiated)
		}
		slices.SortStableFunc(out, func(a, b OpRecord) int { return a.Initiated.Compare(b.Initiated) })
		return out
	}
	return list(h.recent), list(h.slow)
}

func record(now time.Time, r *pg.Request) OpRecord {
	age := now.Sub(r.Received)
	return OpRecord{Description: pg.Describe(r), Initiated: r.Received, Age: age, Duration: age, FlagPoint: r.Stage.String()}
}

// inFlight is the requests under way, oldest first.
func (s *Shard) inFlight(now time.Time) []OpRecord {
	var out []OpRecord
	s.requests(func(r *pg.Request) { out = append(out, record(now, r)) })
	slices.SortStableFunc(out, func(a, b OpRecord) int {
		return cmp.Or(a.Initiated.Compare(b.Initiated), strings.Compare(a.Description, b.Description))
	})
	return out
}

func slowNote(n int, oldest time.Duration, ops []OpRecord) pg.Note {
	text := fmt.Sprintf("%d slow requests, oldest is %.0f seconds old", n, oldest.Seconds())
	if len(ops) > 0 {
		text += fmt.Sprintf(": %s currently %s", ops[0].Description, ops[0].FlagPoint)
	}
	return pg.Note{Level: pg.NoteClusterWarn, Text: text}
}
