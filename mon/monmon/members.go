package monmon

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/monmap"
)

// memberCommands change who the monitors are and what is known of each. The
// raft group follows the map: see package mon, member.go.
func (m *Service) memberCommands(t *command.Table) {
	t.Read("mon ok-to-stop", m.okToStop)
	t.Read("mon ok-to-add-offline", m.okToAddOffline)
	t.Read("mon ok-to-rm", m.okToRm)
	t.Write("mon add", m.addCommand)
	for _, p := range []string{"mon rm", "mon remove"} {
		t.Write(p, m.rm)
	}
	t.Write("mon set-rank", m.setRank)
	t.Write("mon set-addrs", m.setAddrs)
	t.Write("mon set-weight", m.setWeight)
	t.Write("mon set election_strategy", m.setStrategy)
	t.Write("mon add disallowed_leader", m.disallow)
	t.Write("mon rm disallowed_leader", m.allow)
	t.Write("mon set_location", m.setLocation)
}

// need is how many of n monitors make a quorum.
func need(n int) int { return n/2 + 1 }

func (m *Service) okToStop(c *command.Call) command.Reply {
	ids := c.Strs("ids")
	if len(ids) == 0 {
		return command.Fail(errno.EINVAL, "must specify one or more monitor ids")
	}
	left := slices.DeleteFunc(slices.Clone(m.host.Quorum().Names), func(n string) bool { return slices.Contains(ids, n) })
	slices.Sort(left)
	if len(left) < need(len(m.m.Ranks)) {
		return command.Fail(errno.EBUSY, "not enough monitors would be available (%s) after stopping mons [%s]",
			strings.Join(left, ","), strings.Join(ids, ","))
	}
	return command.Say("quorum should be preserved (%s) after stopping [%s]", strings.Join(left, ","), strings.Join(ids, ","))
}

func (m *Service) okToAddOffline(*command.Call) command.Reply {
	if len(m.host.Quorum().Names) < need(len(m.m.Ranks)+1) {
		return command.Fail(errno.EBUSY, "adding a monitor may break quorum (until that monitor starts)")
	}
	return command.Say("adding another mon that is not yet online will not break quorum")
}

func (m *Service) okToRm(c *command.Call) command.Reply {
	id := c.Str("id")
	if id == "" {
		return command.Fail(errno.EINVAL, "must specify a monitor id")
	}
	if _, ok := m.m.Rank(id); !ok {
		return command.Say("mon.%s does not exist", id)
	}
	q := m.host.Quorum().Names
	if slices.Contains(q, id) && len(q)-1 < need(len(m.m.Ranks)-1) {
		return command.Fail(errno.EBUSY, "removing mon.%s would break quorum", id)
	}
	return command.Say("safe to remove mon.%s", id)
}

// The ports that monitors have if nothing else is said.
const (
	portMsgr2  = 3300
	portLegacy = 6789
)

// parseMonAddr reads the address of "mon add": without a port, or with the old
// one, it stands for both of a monitor's usual ones.
func parseMonAddr(s string) (entity.AddrVec, error) {
	if s == "" {
		return nil, errno.EINVAL
	}
	v, err := entity.ParseAddrVec(s)
	if err != nil || len(v) != 1 || strings.HasPrefix(s, "[") {
		return v, err
	}
	a := v[0]
	switch a.AP.Port() {
	case 0, portLegacy:
		both := entity.AddrVec{a, a}
		both[0].Type, both[0].AP = entity.AddrMsgr2, netip.AddrPortFrom(a.AP.Addr(), portMsgr2)
		both[1].Type, both[1].AP = entity.AddrLegacy, netip.AddrPortFrom(a.AP.Addr(), portLegacy)
		return both, nil
	case portMsgr2:
		v[0].Type = entity.AddrMsgr2
	}
	return v, nil
}

func (m *Service) addCommand(c *command.Call) command.Reply {
	addrs, err := parseMonAddr(c.Str("addr"))
	if err != nil {
		return command.Fail(errno.EINVAL, "addr %sdoes not parse", c.Str("addr"))
	}
	loc, bad := location(c.Strs("location"))
	if bad != nil {
		return *bad
	}
	name := c.Str("name")
	if mon := m.view().Mons[name]; mon != nil {
		if mon.Addrs.Equal(addrs) {
			return command.Say("mon.%s at %v already exists", name, addrs)
		}
		return command.Fail(errno.EEXIST, "mon.%s already exists at address %v", name, mon.Addrs)
	}
	for _, n := range m.view().Ranks {
		for _, a := range addrs {
			if slices.ContainsFunc(m.view().Mons[n].Addrs, func(b entity.Addr) bool { return a.AP == b.AP }) {
				return command.Fail(errno.EEXIST, "mon.%s already exists at address %v", n, a)
			}
		}
	}
	if err := m.add(name, addrs, unclaimed, c.Now); err != nil {
		return command.Fail(errno.EINVAL, "%v", err)
	}
	m.pending.next.Mons[name].CrushLoc = loc
	return command.Committed("adding mon.%s at %v", name, addrs)
}

func (m *Service) rm(c *command.Call) command.Reply {
	name := c.Str("name")
	if m.view().Mons[name] == nil {
		return command.Say("mon.%s does not exist or has already been removed", name)
	}
	if len(m.view().Ranks) == 1 {
		return command.Fail(errno.EINVAL, "error: refusing removal of last monitor %s", name)
	}
	next, p := m.next(c.Now)
	addrs := next.Mons[name].Addrs
	p.dismiss(name)
	if err := next.Remove(name); err != nil {
		return command.Fail(errno.EINVAL, "%v", err)
	}
	next.DisallowedLeaders = slices.DeleteFunc(next.DisallowedLeaders, func(n string) bool { return n == name })
	delete(p.Instances, name)
	return command.Committed("removing mon.%s at %v, there will be %d monitors", name, addrs, len(next.Ranks))
}

// change stages something about one monitor of the map.
func (m *Service) change(c *command.Call, f func(next *monmap.Map, mon *monmap.Mon) command.Reply) command.Reply {
	name := c.Str("name")
	if m.view().Mons[name] == nil {
		return command.Fail(errno.ENOENT, "mon.%s does not exist", name)
	}
	next, _ := m.next(c.Now)
	return f(next, next.Mons[name])
}

func (m *Service) setRank(c *command.Call) command.Reply {
	name := c.Str("name")
	if m.view().Mons[name] == nil {
		return command.Fail(errno.ENOENT, "mon.%s does not exist in monmap", name)
	}
	return m.change(c, func(next *monmap.Map, mon *monmap.Mon) command.Reply {
		if rank := c.Int("rank"); rank >= 0 && rank < int64(len(next.Ranks)) {
			old, _ := next.Rank(name)
			next.Ranks = slices.Insert(slices.Delete(next.Ranks, old, old+1), int(rank), name)
		}
		return command.Committed("")
	})
}

func (m *Service) setAddrs(c *command.Call) command.Reply {
	addrs, err := entity.ParseAddrVec(c.Str("addrs"))
	if m.view().Mons[c.Str("name")] != nil {
		if err != nil || len(addrs) == 0 {
			return command.Fail(errno.EINVAL, "failed to parse addrs '%s'", c.Str("addrs"))
		}
		for i := range addrs {
			addrs[i].Nonce = 0
			if addrs[i].AP.Port() == 0 {
				return command.Fail(errno.EINVAL, "monitor must bind to a non-zero port, not %v", addrs[i])
			}
		}
	}
	return m.change(c, func(_ *monmap.Map, mon *monmap.Mon) command.Reply {
		mon.Addrs = addrs
		return command.Committed("")
	})
}

func (m *Service) setWeight(c *command.Call) command.Reply {
	return m.change(c, func(_ *monmap.Map, mon *monmap.Mon) command.Reply {
		mon.Weight = uint16(c.Int("weight"))
		return command.Committed("")
	})
}

// setStrategy notes how monitors shall elect. With any of the strategies the
// leader is one that has all that was committed; those that are not allowed to
// lead hand over.
func (m *Service) setStrategy(c *command.Call) command.Reply {
	strategies := map[string]monmap.Strategy{
		"classic": monmap.Classic, "disallow": monmap.Disallow, "connectivity": monmap.Connectivity,
	}
	name := c.Str("strategy")
	s, ok := strategies[name]
	switch {
	case !ok:
		return command.Err(errno.EINVAL)
	case m.view().Strategy == s:
		return command.Say("You are already in %s election strategy", name)
	}
	next, _ := m.next(c.Now)
	next.Strategy = s
	return command.Committed("")
}

func (m *Service) disallow(c *command.Call) command.Reply {
	v, name := m.view(), c.Str("name")
	switch {
	case v.Strategy == monmap.Classic:
		return command.Fail(errno.EINVAL, "You cannot disallow monitors in your current election mode")
	case v.Mons[name] != nil && slices.Contains(v.DisallowedLeaders, name):
		return command.Say("mon.%s is already disallowed", name)
	case v.Mons[name] != nil && len(v.DisallowedLeaders) == len(v.Ranks)-1:
		return command.Fail(errno.EINVAL, "mon.%s is the only remaining allowed leader!", name)
	}
	return m.change(c, func(next *monmap.Map, _ *monmap.Mon) command.Reply {
		next.DisallowedLeaders = append(next.DisallowedLeaders, name)
		slices.Sort(next.DisallowedLeaders)
		return command.Committed("")
	})
}

func (m *Service) allow(c *command.Call) command.Reply {
	v, name := m.view(), c.Str("name")
	switch {
	case v.Strategy == monmap.Classic:
		return command.Fail(errno.EINVAL, "You cannot disallow monitors in your current election mode")
	case v.Mons[name] != nil && !slices.Contains(v.DisallowedLeaders, name):
		return command.Say("mon.%s is already allowed", name)
	}
	return m.change(c, func(next *monmap.Map, _ *monmap.Mon) command.Reply {
		next.DisallowedLeaders = slices.DeleteFunc(next.DisallowedLeaders, func(n string) bool { return n == name })
		return command.Committed("")
	})
}

func (m *Service) setLocation(c *command.Call) command.Reply {
	loc, bad := location(c.Strs("args"))
	return m.change(c, func(_ *monmap.Map, mon *monmap.Mon) command.Reply {
		if bad != nil {
			return *bad
		}
		mon.CrushLoc = loc
		return command.Committed("")
	})
}

// location reads words such as "host=a rack=b".
func location(words []string) (map[string]string, *command.Reply) {
	loc := map[string]string{}
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok && k != "" && v != "" {
			loc[k] = v
		}
	}
	if len(words) > 0 && len(loc) == 0 {
		r := command.Fail(errno.EINVAL, "We could not parse your input location to anything real; [%s] turned into an empty map!", strings.Join(words, ","))
		return nil, &r
	}
	return loc, nil
}

// Disallowed reports whether a monitor must not lead.
func (m *Service) Disallowed(name string) bool {
	return m.m.Strategy != monmap.Classic && slices.Contains(m.m.DisallowedLeaders, name)
}
