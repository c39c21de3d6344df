package osdmon

import (
	"fmt"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// summary is the OSDs in a line, and the flags that matter in a second one.
func (s *Service) summary(now time.Time, prefix string, epoch bool) string {
	total, up, in := s.cur.NumOSDs()
	var b strings.Builder
	since := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return " (since " + service.Age(now.Sub(t)) + ")"
	}
	fmt.Fprintf(&b, "%d osds: %d up%s, %d in%s", total, up, since(s.cur.LastUpChange), in, since(s.cur.LastInChange))
	if epoch {
		fmt.Fprintf(&b, "; epoch: e%d", s.cur.Epoch)
	}
	if n := len(s.cur.PGTemp); n > 0 {
		fmt.Fprintf(&b, "; %d remapped pgs", n)
	}
	if f := s.cur.Flags &^ osdmap.FlagsSemiHidden; f != 0 {
		fmt.Fprintf(&b, "\n%sflags %v", prefix, f)
	}
	return b.String()
}

func (s *Service) dumpSummary(f *jsonfmt.Formatter) {
	total, up, in := s.cur.NumOSDs()
	unix := func(t time.Time) int64 {
		if t.IsZero() {
			return 0
		}
		return t.Unix()
	}
	f.Int("epoch", int64(s.cur.Epoch))
	f.Int("num_osds", int64(total))
	f.Int("num_up_osds", int64(up))
	f.Int("osd_up_since", unix(s.cur.LastUpChange))
	f.Int("num_in_osds", int64(in))
	f.Int("osd_in_since", unix(s.cur.LastInChange))
	f.Uint("num_remapped_pgs", uint64(len(s.cur.PGTemp)))
}

// StatusServices is the line of the OSDs in "ceph -s".
func (s *Service) StatusServices(now time.Time) []service.Line {
	text, flags, more := strings.Cut(s.summary(now, "", false), "\n")
	lines := []service.Line{{Label: "osd", Text: text}}
	if more {
		lines = append(lines, service.Line{Text: flags})
	}
	return lines
}

// StatusSections has nothing to add.
func (s *Service) StatusSections(time.Time) []service.Section { return nil }

// StatusDump is the OSDs' part of "ceph -s -f json".
func (s *Service) StatusDump(f *jsonfmt.Formatter, _ time.Time) {
	f.Object("osdmap", func() { s.dumpSummary(f) })
}
