package osdmon

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// The blocklist: clients that may do no I/O any more. "blacklist" is its old
// name.

func (s *Service) blocklistCommands(t *command.Table) {
	for _, name := range []string{"blocklist", "blacklist"} {
		t.Write("osd "+name, func(c *command.Call) command.Reply { return s.cmdBlocklist(c, c.Str(name[:5]+"listop")) })
		t.Read("osd "+name+" ls", s.cmdBlocklistLs)
		t.Write("osd "+name+" clear", s.cmdBlocklistClear)
	}
}

// unblock removes an entry; false: there is none.
func (s *Service) unblock(a entity.Addr) bool {
	if _, ok := s.view().Blocklist[a]; !ok {
		return false
	}
	inc := s.stage()
	delete(inc.NewBlocklist, a)
	if _, ok := s.cur.Blocklist[a]; ok {
		inc.OldBlocklist = append(inc.OldBlocklist, a)
	}
	return true
}

func (s *Service) unblockRange(a entity.Addr) bool {
	if _, ok := s.view().RangeBlocklist[a]; !ok {
		return false
	}
	inc := s.stage()
	delete(inc.NewRangeBlocklist, a)
	if _, ok := s.cur.RangeBlocklist[a]; ok {
		inc.OldRangeBlocklist = append(inc.OldRangeBlocklist, a)
	}
	return true
}

// Block keeps a client from doing I/O until a time. It returns the epoch from
// which on that holds.
func (s *Service) Block(a entity.Addr, until time.Time) uint32 {
	a.Type = entity.AddrAny
	inc := s.stage()
	inc.NewBlocklist[a] = until
	inc.OldBlocklist = slices.DeleteFunc(inc.OldBlocklist, func(o entity.Addr) bool { return o == a })
	return inc.Epoch
}

func (s *Service) cmdBlocklist(c *command.Call, op string) command.Reply {
	isRange := false
	if c.Has("range") {
		if c.Str("range") != "range" {
			return command.Fail(errno.EINVAL, "Did you mean to specify \"osd blocklist range\"?")
		}
		isRange = true
	}
	addr, err := entity.ParseAddr(c.Str("addr"), entity.AddrAny)
	if err != nil {
		return command.Fail(errno.EINVAL, "unable to parse address %s", c.Str("addr"))
	}
	addr.Type = entity.AddrAny
	if isRange {
		if limit := uint32(addr.AP.Addr().BitLen()); addr.Nonce > limit {
			return command.Fail(errno.EINVAL, "Too many bits in range for that protocol!")
		}
		addr.Type = addrCIDR
	}
	switch op {
	case "add":
		span := c.FloatOr("expire", s.floatOption("mon_osd_blocklist_default_expire", 3600))
		if !(span >= 0) || span > 10*365*86400 {
			return command.Fail(errno.EINVAL, "invalid expire value '%s'", jsonfmt.Short(span))
		}
		until := c.Now.Add(time.Duration(span * float64(time.Second)))
		if isRange {
			inc := s.stage()
			inc.NewRangeBlocklist[addr] = until
			inc.OldRangeBlocklist = slices.DeleteFunc(inc.OldRangeBlocklist, func(o entity.Addr) bool { return o == addr })
		} else {
			s.Block(addr, until)
		}
		return command.Committed("blocklisting %s until %s (%s sec)", blockName(addr), jsonfmt.Time(until), jsonfmt.Short(span))
	case "rm":
		if isRange && s.unblockRange(addr) || !isRange && s.unblock(addr) {
			return command.Committed("un-blocklisting %s", blockName(addr))
		}
		return command.Say("%s isn't blocklisted", blockName(addr))
	}
	return command.Reply{}
}

// addrCIDR is the type of the addresses in the range blocklist, whose nonce is
// the length of the prefix.
const addrCIDR entity.AddrType = 4

// blockName is how a blocklisted address is printed.
func blockName(a entity.Addr) string {
	if a.Type == addrCIDR {
		return "cidr:" + a.Legacy()
	}
	return a.Legacy()
}

func (s *Service) cmdBlocklistLs(c *command.Call) command.Reply {
	m := s.cur
	lists := []struct {
		list  string
		field string
		m     map[entity.Addr]time.Time
	}{{"blocklist", "addr", m.Blocklist}, {"range_blocklist", "range", m.RangeBlocklist}}
	var out strings.Builder
	for _, l := range lists {
		addrs := slices.SortedFunc(maps.Keys(l.m), entity.Addr.Compare)
		if c.Format == command.Plain {
			for _, a := range addrs {
				out.WriteString(blockName(a) + " " + jsonfmt.Time(l.m[a]) + "\n")
			}
			continue
		}
		// Two documents, one after the other, as in Ceph.
		out.WriteString(c.Render(func(f *jsonfmt.Formatter) {
			f.Array(l.list, func() {
				for _, a := range addrs {
					f.Object("entry", func() {
						f.Str(l.field, a.Legacy())
						f.Str("until", jsonfmt.Time(l.m[a]))
					})
				}
			})
		}))
	}
	r := command.Say("listed %d entries", len(m.Blocklist)+len(m.RangeBlocklist))
	r.Output = []byte(out.String())
	return r
}

func (s *Service) cmdBlocklistClear(*command.Call) command.Reply {
	v := s.view()
	for _, a := range slices.SortedFunc(maps.Keys(v.Blocklist), entity.Addr.Compare) {
		s.unblock(a)
	}
	for _, a := range slices.SortedFunc(maps.Keys(v.RangeBlocklist), entity.Addr.Compare) {
		s.unblockRange(a)
	}
	s.stageNone()
	return command.Committed(" removed all blocklist entries")
}
