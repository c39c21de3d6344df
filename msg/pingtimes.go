package msg

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/wire"
)

// PingTimes is how long the pings to one peer took (osd_stat_t::Interfaces).
type PingTimes struct {
	Peer        int32
	Updated     time.Time
	Back, Front PingSpan
}

// PingSpan is that over one of the two networks, in microseconds: over the last
// minute, five and fifteen minutes.
type PingSpan struct {
	Average, Min, Max [3]uint32
	Last              uint32
}

// minPingTimes is its length.
const minPingTimes = 4 + 8 + 2*40

func (p *PingTimes) spans() [2]*PingSpan { return [2]*PingSpan{&p.Back, &p.Front} }

func (p PingTimes) encode(e *wire.Encoder) {
	e.S32(p.Peer)
	e.Time(p.Updated)
	for _, s := range p.spans() {
		for _, list := range [][3]uint32{s.Average, s.Min, s.Max} {
			for _, v := range list {
				e.U32(v)
			}
		}
		e.U32(s.Last)
	}
}

func (p *PingTimes) decode(d *wire.Decoder) {
	p.Peer = d.S32()
	p.Updated = d.Time()
	for _, s := range p.spans() {
		for _, list := range []*[3]uint32{&s.Average, &s.Min, &s.Max} {
			for i := range list {
				list[i] = d.U32()
			}
		}
		s.Last = d.U32()
	}
}

// dump writes the figures, in milliseconds, each by number.
func (s *PingSpan) dump(number func(name string, us uint32), f *jsonfmt.Formatter) {
	for _, row := range []struct {
		name string
		us   [3]uint32
	}{{"average", s.Average}, {"min", s.Min}, {"max", s.Max}} {
		f.Object(row.name, func() {
			for i, name := range []string{"1min", "5min", "15min"} {
				number(name, row.us[i])
			}
		})
	}
	number("last", s.Last)
}

// Milliseconds prints microseconds as Ceph does where it wants three decimals.
func Milliseconds(us uint32) string { return fmt.Sprintf("%d.%03d", us/1000, us%1000) }

// Dump writes an entry of "network_ping_times", as the statistics of an OSD have
// it.
func (p *PingTimes) Dump(f *jsonfmt.Formatter) {
	f.Object("entry", func() {
		f.Int("osd", int64(p.Peer))
		f.Str("last update", p.Updated.UTC().Format(time.ANSIC))
		f.Array("interfaces", func() {
			for _, l := range p.links(0) {
				if l.Side == "front" && l.Average[0] == 0 {
					continue
				}
				f.Object("interface", func() {
					f.Str("interface", l.Side)
					l.dump(func(name string, us uint32) { f.Float(name, float64(us)/1000) }, f)
				})
			}
		})
	})
}

// PingLink is the way from one OSD to another over one of the networks.
type PingLink struct {
	From, To int32
	Side     string // back, front
	Updated  time.Time
	PingSpan
}

// Longest is the longest of the averages, in microseconds.
func (l *PingLink) Longest() uint32 { return slices.Max(l.Average[:]) }

func (p *PingTimes) links(from int32) [2]PingLink {
	return [2]PingLink{{from, p.Peer, "back", p.Updated, p.Back}, {from, p.Peer, "front", p.Updated, p.Front}}
}

// PingLinks are the ways of an OSD's heartbeats whose longest average is at least
// so many microseconds.
func PingLinks(from int32, times []PingTimes, least uint32) (list []PingLink) {
	for i := range times {
		for _, l := range times[i].links(from) {
			if l.Longest() >= least {
				list = append(list, l)
			}
		}
	}
	return list
}

// SortPingLinks puts the slowest first.
func SortPingLinks(list []PingLink) {
	slices.SortFunc(list, func(a, b PingLink) int {
		return -cmp.Or(cmp.Compare(a.Longest(), b.Longest()), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Side, b.Side))
	})
}

// DumpPingLinks writes what "dump_osd_network" tells, the slowest first; the
// threshold is in milliseconds. What is older than stale says so.
func DumpPingLinks(f *jsonfmt.Formatter, threshold int64, list []PingLink, now time.Time, stale time.Duration) {
	SortPingLinks(list)
	f.Object("", func() {
		f.Int("threshold", threshold)
		f.Array("entries", func() {
			for _, l := range list {
				f.Object("entry", func() {
					f.Str("last update", l.Updated.UTC().Format(time.ANSIC))
					f.Bool("stale", now.Sub(l.Updated) > stale)
					f.Int("from osd", int64(l.From))
					f.Int("to osd", int64(l.To))
					f.Str("interface", l.Side)
					l.dump(func(name string, us uint32) { f.Raw(name, Milliseconds(us)) }, f)
				})
			}
		})
	})
}
