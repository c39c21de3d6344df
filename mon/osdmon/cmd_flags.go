package osdmon

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Switches: of the whole cluster, of parts of the tree, of device classes and
// of single OSDs.

func (s *Service) flagCommands(t *command.Table) {
	t.Write("osd set", func(c *command.Call) command.Reply { return s.switchFlag(c, c.Str("key"), true) })
	t.Write("osd unset", func(c *command.Call) command.Reply { return s.switchFlag(c, c.Str("key"), false) })
	t.Write("osd pause", func(c *command.Call) command.Reply { return s.switchFlag(c, "pause", true) })
	t.Write("osd unpause", func(c *command.Call) command.Reply { return s.switchFlag(c, "pause", false) })
	t.Write("osd set-group", func(c *command.Call) command.Reply {
		return s.switchGroup(c, strings.Split(c.Str("flags"), ","), c.Strs("who"), true)
	})
	t.Write("osd unset-group", func(c *command.Call) command.Reply {
		return s.switchGroup(c, strings.Split(c.Str("flags"), ","), c.Strs("who"), false)
	})
	for flag := range groupFlags {
		t.Write("osd add-"+flag, func(c *command.Call) command.Reply { return s.switchGroup(c, []string{flag}, c.Strs("ids"), true) })
		t.Write("osd rm-"+flag, func(c *command.Call) command.Reply { return s.switchGroup(c, []string{flag}, c.Strs("ids"), false) })
	}
}

// settable are the flags that users may switch.
var settable = map[string]osdmap.Flags{
	"pause": osdmap.FlagPauseRd | osdmap.FlagPauseWr,
	"noup":  osdmap.FlagNoUp, "nodown": osdmap.FlagNoDown, "noout": osdmap.FlagNoOut, "noin": osdmap.FlagNoIn,
	"nobackfill": osdmap.FlagNoBackfill, "norebalance": osdmap.FlagNoRebalance, "norecover": osdmap.FlagNoRecover,
	"noscrub": osdmap.FlagNoScrub, "nodeep-scrub": osdmap.FlagNoDeepScrub,
	"notieragent": osdmap.FlagNoTierAgent, "nosnaptrim": osdmap.FlagNoSnapTrim,
}

func (s *Service) switchFlag(c *command.Call, key string, on bool) command.Reply {
	flag, ok := settable[key]
	if key == "pglog_hardlimit" && on {
		if _, up, _ := s.view().NumOSDs(); up == 0 && !c.Bool("yes_i_really_mean_it") {
			return command.Fail(errno.EPERM, "Not advisable to continue since no OSDs are up. Pass --yes-i-really-mean-it if you really wish to continue.")
		}
		flag, ok = osdmap.FlagPGLogHardLimit, true
	}
	if !ok {
		return command.Fail(errno.EINVAL, "unrecognized flag '%s'", key)
	}
	flags, word := s.view().Flags|flag, "set"
	if !on {
		flags, word = s.view().Flags&^flag, "unset"
	}
	s.stage().NewFlags = int32(flags)
	return command.Committed("%v is %s", flag, word)
}

// groupFlags can be set for some OSDs only.
var groupFlags = map[string]osdmap.State{
	"noup": osdmap.StateNoUp, "nodown": osdmap.StateNoDown, "noin": osdmap.StateNoIn, "noout": osdmap.StateNoOut,
}

// switchGroup sets or clears flags of what who names: OSDs, buckets, device
// classes.
func (s *Service) switchGroup(c *command.Call, names, who []string, on bool) command.Reply {
	var flags osdmap.State
	for _, n := range names {
		f, ok := groupFlags[n]
		if !ok {
			return command.Fail(errno.EINVAL, "unrecognized flag '%s', must be one of {noup,nodown,noin,noout}", n)
		}
		flags |= f
	}
	if len(who) == 0 {
		return command.Fail(errno.EINVAL, "must specify at least one or more targets to set/unset")
	}
	v := s.view()
	var say strings.Builder
	osds, nodes, classes := map[int32]bool{}, map[int32]bool{}, map[int32]bool{}
	for _, w := range who {
		if w == "any" || w == "all" || w == "*" {
			for _, o := range existing(v) {
				osds[o] = true
			}
			break
		}
		if o, why := parseOSD(w); why == "" {
			osds[o] = true
		} else if id, ok := v.Crush.ItemID(w); ok {
			nodes[id] = true
		} else if id, ok := v.Crush.ClassID(w); ok {
			classes[id] = true
		} else {
			fmt.Fprintf(&say, "unable to parse osd id or crush node or device class: \"%s\". ", w)
		}
	}
	if len(osds)+len(nodes)+len(classes) == 0 {
		return command.Fail(errno.EINVAL, "%s", say.String())
	}
	changed := false
	for _, o := range slices.Sorted(maps.Keys(osds)) {
		if !v.Exists(o) {
			fmt.Fprintf(&say, "osd.%d does not exist. ", o)
			continue
		}
		changed = true
		if on {
			s.setState(o, flags, 0)
		} else {
			s.setState(o, 0, flags)
		}
	}
	apply := func(ids map[int32]bool, now map[int32]osdmap.State, next map[int32]osdmap.State) {
		for id := range ids {
			changed = true
			if on {
				next[id] = now[id] | flags
			} else {
				next[id] = now[id] &^ flags
			}
		}
	}
	inc := s.stage()
	apply(nodes, v.CrushNodeFlags, inc.NewCrushNodeFlags)
	apply(classes, v.DeviceClassFlags, inc.NewDeviceClassFlags)
	return command.Reply{Status: say.String(), Commit: changed}
}
