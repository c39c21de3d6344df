package mgrmon

import (
	"fmt"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/msg"
)

const (
	sampleEvery   = 2 * time.Second // mgr_tick_period
	smoothSamples = 6               // mon_stat_smooth_intervals
)

// window is what happened in the last few samples.
type window struct {
	samples []sample
	sum     msg.ObjectStats
	span    time.Duration
}

type sample struct {
	did  msg.ObjectStats
	span time.Duration
}

func (w *window) add(s sample) {
	w.samples = append(w.samples, s)
	w.sum.Add(&s.did)
	w.span += s.span
	if len(w.samples) > smoothSamples {
		w.sum.Sub(&w.samples[0].did)
		w.span -= w.samples[0].span
		w.samples = append(w.samples[:0], w.samples[1:]...)
	}
}

// Tick takes a sample of what happened since the last one.
func (s *Service) Tick(now time.Time) {
	if now.Before(s.Wake()) {
		return
	}
	p := s.pgmap()
	span := now.Sub(s.ticked)
	first := s.ticked.IsZero()
	s.ticked = now
	p.version++
	p.stamp = now
	var all sample
	for _, q := range p.pools {
		if !first {
			q.window.add(sample{q.lately, span})
			all.did.Add(&q.lately)
		}
		q.lately = msg.ObjectStats{}
	}
	for _, o := range p.osds {
		if !first {
			o.window.add(sample{o.lately, span})
		}
		o.lately = msg.ObjectStats{}
	}
	if !first {
		all.span = span
		p.window.add(all)
	}
}

// Wake is when the next sample is due.
func (s *Service) Wake() time.Time {
	if s.ticked.IsZero() {
		return s.h.Now()
	}
	return s.ticked.Add(sampleEvery)
}

// per returns a count per second. Objects that were removed can make a count
// go down; that is no work.
func (w *window) per(n int64) int64 {
	if n <= 0 || w.span <= 0 {
		return 0
	}
	return int64(float64(n) / w.span.Seconds())
}

func (w *window) readBytes() int64  { return w.per(w.sum.ReadKB << 10) }
func (w *window) writeBytes() int64 { return w.per(w.sum.WriteKB << 10) }

func (w *window) clientIO() bool { return w.sum.Reads > 0 || w.sum.Writes > 0 }

// client is the load by clients: 1.2 MiB/s rd, 0 op/s rd, ...; empty if there
// is none.
func (w *window) client() string {
	if !w.clientIO() {
		return ""
	}
	return w.bytes() + fmt.Sprintf("%s op/s rd, %s op/s wr",
		jsonfmt.SI(uint64(w.per(w.sum.Reads))), jsonfmt.SI(uint64(w.per(w.sum.Writes))))
}

func (w *window) bytes() string {
	var b strings.Builder
	if w.sum.Reads > 0 {
		b.WriteString(jsonfmt.Bytes(uint64(w.readBytes())) + "/s rd, ")
	}
	if w.sum.Writes > 0 {
		b.WriteString(jsonfmt.Bytes(uint64(w.writeBytes())) + "/s wr, ")
	}
	return b.String()
}

func (w *window) dumpBytes(f *jsonfmt.Formatter) {
	if w.sum.Reads > 0 {
		f.Int("read_bytes_sec", w.readBytes())
	}
	if w.sum.Writes > 0 {
		f.Int("write_bytes_sec", w.writeBytes())
	}
}

func (w *window) dumpClient(f *jsonfmt.Formatter) {
	if !w.clientIO() {
		return
	}
	w.dumpBytes(f)
	f.Int("read_op_per_sec", w.per(w.sum.Reads))
	f.Int("write_op_per_sec", w.per(w.sum.Writes))
}

func (w *window) recovers() bool {
	return w.sum.ObjectsRecovered > 0 || w.sum.BytesRecovered > 0 || w.sum.KeysRecovered > 0
}

// recovery is the load by recovery.
func (w *window) recovery() string {
	if !w.recovers() {
		return ""
	}
	out := jsonfmt.Bytes(uint64(w.per(w.sum.BytesRecovered))) + "/s"
	if w.sum.KeysRecovered > 0 {
		out += ", " + jsonfmt.SI(uint64(w.per(w.sum.KeysRecovered))) + " keys/s"
	}
	return out + ", " + jsonfmt.SI(uint64(w.per(w.sum.ObjectsRecovered))) + " objects/s"
}

func (w *window) dumpRecovery(f *jsonfmt.Formatter) {
	if !w.recovers() {
		return
	}
	f.Int("recovering_objects_per_sec", w.per(w.sum.ObjectsRecovered))
	f.Int("recovering_bytes_per_sec", w.per(w.sum.BytesRecovered))
	f.Int("recovering_keys_per_sec", w.per(w.sum.KeysRecovered))
	f.Int("num_objects_recovered", max(w.sum.ObjectsRecovered, 0))
	f.Int("num_bytes_recovered", max(w.sum.BytesRecovered, 0))
	f.Int("num_keys_recovered", max(w.sum.KeysRecovered, 0))
}
