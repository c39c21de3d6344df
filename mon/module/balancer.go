package module

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/python"
)

// Options of the balancer.
const (
	balancerMode  = "balancer/mode"
	balancerPools = "balancer/pool_ids"
)

// balancerCommands judge how evenly data is spread. Nothing is moved for the
// sake of that: a group that is mapped to another OSD cannot be served until its
// objects are there. So the balancer cannot be switched on and makes no plans.
func (s *Service) balancerCommands(t *command.Table) {
	t.Read("balancer status", s.balancerStatus)
	t.Write("balancer mode", s.balancerMode)
	t.Read("balancer on", notBalanced)
	t.Read("balancer off", func(*command.Call) command.Reply { return command.Reply{} })
	t.Read("balancer pool ls", s.balancerPoolLs)
	t.Write("balancer pool add", s.balancerPoolAdd)
	t.Write("balancer pool rm", s.balancerPoolRm)
	t.Read("balancer eval", s.Stats.EvaluateBalance)
	t.Read("balancer eval-verbose", s.Stats.EvaluateBalance)
	t.Read("balancer optimize", s.balancerOptimize)
	t.Read("balancer ls", func(*command.Call) command.Reply { return python.Output("[]") })
	for _, prefix := range []string{"balancer rm", "balancer reset"} {
		t.Read(prefix, func(*command.Call) command.Reply { return command.Reply{} })
	}
	for _, prefix := range []string{"balancer show", "balancer dump", "balancer execute"} {
		t.Read(prefix, func(c *command.Call) command.Reply {
			return command.Fail(errno.ENOENT, "plan %s not found", c.Str("plan"))
		})
	}
}

func notBalanced(*command.Call) command.Reply {
	return command.Fail(errno.EOPNOTSUPP, "balancing is not supported: this release cannot move placement groups while they are served")
}

func (s *Service) mode() string {
	if m := s.Option("mgr/" + balancerMode); m != "" {
		return m
	}
	return "none"
}

func (s *Service) balancerStatus(*command.Call) command.Reply {
	return python.Output(python.Indented(map[string]any{
		"active": false, "last_optimize_duration": "", "last_optimize_started": "", "mode": s.mode(),
		"no_optimization_needed": false, "optimize_result": "", "plans": []any{},
	}))
}

func (s *Service) balancerMode(c *command.Call) command.Reply {
	mode := c.Str("mode")
	if r := s.OSD.Map().RequireMinCompatClient; mode == "upmap" && r < entity.Luminous {
		return command.Fail(errno.EPERM, "min_compat_client \"%v\" < \"luminous\", which is required for pg-upmap. "+
			"Try \"ceph osd set-require-min-compat-client luminous\" before enabling this mode", r)
	}
	return s.setting(c, balancerMode, mode, "")
}

func (s *Service) balancerOptimize(c *command.Call) command.Reply {
	var missing []string
	for _, name := range c.Strs("pools") {
		if _, _, ok := s.OSD.Map().PoolByName(name); !ok {
			missing = append(missing, name)
		}
	}
	switch {
	case len(missing) > 0:
		return command.Fail(errno.EINVAL, "pools %s not found", python.Repr(missing))
	case s.mode() == "none":
		return command.Fail(errno.ENOEXEC, "Please do \"ceph balancer mode\" to choose a valid mode first")
	}
	return notBalanced(c)
}

// allowedPools are the ids of the pools that balancing is limited to, none for
// all. Pools that are gone are left out.
func (s *Service) allowedPools() map[int64]bool {
	ids := map[int64]bool{}
	for text := range strings.SplitSeq(s.Option("mgr/"+balancerPools), ",") {
		if id, err := strconv.ParseInt(text, 10, 64); err == nil && s.OSD.Map().Pools[id] != nil {
			ids[id] = true
		}
	}
	return ids
}

func (s *Service) allowPools(c *command.Call, ids map[int64]bool) command.Reply {
	var list []string
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		list = append(list, strconv.FormatInt(id, 10))
	}
	return s.setting(c, balancerPools, strings.Join(list, ","), "")
}

func (s *Service) balancerPoolLs(*command.Call) command.Reply {
	var names []string
	for id := range s.allowedPools() {
		names = append(names, s.OSD.Map().PoolNames[id])
	}
	if len(names) == 0 {
		return command.Reply{}
	}
	slices.Sort(names)
	return python.Output(python.Indented(names))
}

func (s *Service) balancerPoolAdd(c *command.Call) command.Reply {
	ids := s.allowedPools()
	var missing []string
	for _, name := range c.Strs("pools") {
		id, _, ok := s.OSD.Map().PoolByName(name)
		if !ok {
			missing = append(missing, name)
		}
		ids[id] = true
	}
	if len(missing) > 0 {
		return command.Fail(errno.EINVAL, "pool(s) %s not found", python.Repr(missing))
	}
	return s.allowPools(c, ids)
}

func (s *Service) balancerPoolRm(c *command.Call) command.Reply {
	ids := s.allowedPools()
	for _, name := range c.Strs("pools") {
		if id, _, ok := s.OSD.Map().PoolByName(name); ok {
			delete(ids, id)
		}
	}
	return s.allowPools(c, ids)
}
