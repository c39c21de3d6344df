package mgrmon

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
)

// stateCount is how many groups are in a state.
type stateCount struct {
	state msg.PGState
	n     int
}

// byCount lists the states, the rarest first.
func byCount(states map[msg.PGState]int) []stateCount {
	var out []stateCount
	for _, state := range slices.Sorted(maps.Keys(states)) {
		out = append(out, stateCount{state, states[state]})
	}
	slices.SortStableFunc(out, func(a, b stateCount) int { return cmp.Compare(a.n, b.n) })
	return out
}

// share is a part of a whole that health and status talk of.
type share struct {
	what  string // degraded
	n, of int64
}

func (s share) percent() float64 { return float64(s.n) / float64(s.of) * 100 }

// text is 14/156 objects misplaced (8.974%).
func (s share) text() string {
	return fmt.Sprintf("%d/%d objects %s (%.3f%%)", s.n, s.of, s.what, s.percent())
}

// troubles are the objects that are not as they should be.
func (s *poolSum) troubles() []share {
	o := &s.Objects
	all := []share{
		{"degraded", o.Degraded, o.Copies},
		{"misplaced", o.Misplaced, o.Copies},
		{"unfound", o.Unfound, o.Objects},
	}
	return slices.DeleteFunc(all, func(s share) bool { return s.n <= 0 || s.of <= 0 })
}

func (s *poolSum) dumpTroubles(f *jsonfmt.Formatter) {
	for _, t := range s.troubles() {
		f.Int(t.what+"_objects", t.n)
		f.Int(t.what+"_total", t.of)
		f.Float(t.what+"_ratio", t.percent()/100)
	}
}

func (s *sums) unknownRatio() float32 { return float32(s.unknown) / float32(s.all.groups) }

func (s *sums) inactive() int { return s.all.groups - s.active - s.unknown }

func (s *sums) inactiveRatio() float32 { return float32(s.inactive()) / float32(s.all.groups) }

// StatusServices has nothing to add.
func (s *Service) StatusServices(time.Time) []service.Line { return nil }

// StatusSections are the sections data and io of "ceph -s".
func (s *Service) StatusSections(time.Time) []service.Section {
	p := s.pgmap()
	sum := p.current()
	var pgs []string
	if sum.unknown > 0 {
		pgs = append(pgs, fmt.Sprintf("%.3f%% pgs unknown", float64(sum.unknownRatio())*100))
	}
	if sum.inactive() > 0 {
		pgs = append(pgs, fmt.Sprintf("%.3f%% pgs not active", float64(sum.inactiveRatio())*100))
	}
	for _, t := range sum.all.troubles() {
		pgs = append(pgs, t.text())
	}
	states := byCount(sum.all.states)
	width := 1
	for _, c := range states {
		width = max(width, len(fmt.Sprint(c.n)))
	}
	for _, c := range slices.Backward(states) {
		pgs = append(pgs, fmt.Sprintf("%-*d %v", width, c.n, c.state))
	}
	space := &sum.osds.space
	data := service.Section{Name: "data", Lines: []service.Line{
		{Label: "pools", Text: fmt.Sprintf("%d pools, %d pgs", len(sum.pools), sum.all.groups)},
		{Label: "objects", Text: jsonfmt.SI(uint64(max(sum.all.Objects.Objects, 0))) + " objects, " + size(sum.all.Objects.Bytes)},
		{Label: "usage", Text: fmt.Sprintf("%s used, %s / %s avail", size(usedRaw(space)), size(space.Available), size(space.Total))},
	}}
	label := "pgs"
	for _, l := range pgs {
		data.Lines = append(data.Lines, service.Line{Label: label, Text: l})
		label = ""
	}
	if len(pgs) == 0 {
		data.Lines = append(data.Lines, service.Line{Label: label})
	}
	sections := []service.Section{data}
	io := service.Section{Name: "io"}
	if t := p.window.client(); t != "" {
		io.Lines = append(io.Lines, service.Line{Label: "client", Text: t})
	}
	if t := p.window.recovery(); t != "" {
		io.Lines = append(io.Lines, service.Line{Label: "recovery", Text: t})
	}
	if len(io.Lines) > 0 {
		sections = append(sections, io)
	}
	return sections
}

// StatusDump is the member pgmap of "ceph -s -f json".
func (s *Service) StatusDump(f *jsonfmt.Formatter, _ time.Time) {
	p := s.pgmap()
	sum := p.current()
	f.Object("pgmap", func() {
		f.Array("pgs_by_state", func() {
			for _, c := range slices.Backward(byCount(sum.all.states)) {
				f.Object("pgs_by_state_element", func() {
					f.Stringer("state_name", c.state)
					f.Int("count", int64(c.n))
				})
			}
		})
		f.Int("num_pgs", int64(sum.all.groups))
		f.Int("num_pools", int64(len(sum.pools)))
		f.Int("num_objects", sum.all.Objects.Objects)
		f.Int("data_bytes", sum.all.Objects.Bytes)
		f.Int("bytes_used", usedRaw(&sum.osds.space))
		f.Int("bytes_avail", sum.osds.space.Available)
		f.Int("bytes_total", sum.osds.space.Total)
		if sum.unknown > 0 {
			f.Float("unknown_pgs_ratio", float64(sum.unknownRatio()))
		}
		if sum.inactive() > 0 {
			f.Float("inactive_pgs_ratio", float64(sum.inactiveRatio()))
		}
		sum.all.dumpTroubles(f)
		p.window.dumpRecovery(f)
		p.window.dumpClient(f)
	})
}

func (s *Service) statCommands(t *command.Table) {
	t.Read("pg stat", func(c *command.Call) command.Reply {
		p := s.pgmap()
		return s.answer(c, func() string { return p.oneLine() + "\n" }, func(f *jsonfmt.Formatter) {
			f.Object("pg_summary", func() { p.dumpOneLine(f) })
		})
	})
}

// oneLine is the summary that "pg stat" prints.
func (p *pgmap) oneLine() string {
	sum := p.current()
	var states []string
	for _, c := range byCount(sum.all.states) {
		states = append(states, fmt.Sprintf("%d %v", c.n, c.state))
	}
	space := &sum.osds.space
	out := fmt.Sprintf("%d pgs: %s; %s data, %s used, %s / %s avail", sum.all.groups, strings.Join(states, ", "),
		size(sum.all.Objects.Bytes), size(used(space)), size(space.Available), size(space.Total))
	if w := &p.window; w.clientIO() {
		out += "; " + w.bytes() + jsonfmt.SI(uint64(w.ops())) + " op/s"
	}
	for _, t := range sum.all.troubles() {
		out += "; " + t.text()
	}
	if t := p.window.recovery(); t != "" {
		out += "; " + t + " recovering"
	}
	return out
}

func (w *window) ops() int64 { return w.per(max(w.sum.Reads, 0) + max(w.sum.Writes, 0)) }

func (p *pgmap) dumpOneLine(f *jsonfmt.Formatter) {
	sum := p.current()
	f.Array("num_pg_by_state", func() {
		for _, c := range byCount(sum.all.states) {
			f.Object("state", func() {
				f.Stringer("name", c.state)
				f.Int("num", int64(c.n))
			})
		}
	})
	space := &sum.osds.space
	f.Int("num_pgs", int64(sum.all.groups))
	f.Int("num_bytes", sum.all.Objects.Bytes)
	f.Int("total_bytes", space.Total)
	f.Int("total_avail_bytes", space.Available)
	f.Int("total_used_bytes", used(space))
	f.Int("total_used_raw_bytes", usedRaw(space))
	if w := &p.window; w.clientIO() {
		w.dumpBytes(f)
		f.Int("io_sec", w.ops())
	}
	sum.all.dumpTroubles(f)
	p.window.dumpRecovery(f)
}
