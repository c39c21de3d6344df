package module

import (
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/mgrmapmon"
	"github.com/pulpo-storage/pulpo/mon/python"
)

// orchestratorCommands answer for a cluster that nobody deploys daemons for:
// there is no backend, and none can be chosen.
func (s *Service) orchestratorCommands(t *command.Table) {
	none := func(*command.Call) command.Reply {
		return command.Fail(errno.ENOENT, "No orchestrator configured (try `ceph orch set backend`)")
	}
	usage := func(words string) command.Handler {
		return func(c *command.Call) command.Reply {
			if len(c.Input) == 0 && !c.Has("service_type") && !c.Has("daemon_type") {
				return command.Fail(errno.EINVAL, "Usage:\n%s", words)
			}
			return none(c)
		}
	}
	t.Read("orch set backend", s.setBackend)
	t.Read("orch apply", usage("  ceph orch apply -i <yaml spec> [--dry-run]\n"+
		"  ceph orch apply <service_type> [--placement=<placement_string>] [--unmanaged]\n        "))
	t.Read("orch daemon add", usage("    ceph orch daemon add -i <json_file>\n    ceph orch daemon add <daemon_type> <placement>"))
	t.Read("device light", none)
	t.Read("device ls-lights", func(*command.Call) command.Reply {
		return python.Output(python.Indented(map[string]any{"fault": []any{}, "ident": []any{}}))
	})
	for _, prefix := range t.Unanswered(command.FlagMgr) {
		if prefix == "orch" || strings.HasPrefix(prefix, "orch ") {
			t.Read(prefix, none)
		}
	}
}

func (s *Service) setBackend(c *command.Call) command.Reply {
	name := c.Str("module_name")
	m, known := mgrmapmon.FindModule(name)
	switch {
	case name == "":
		return command.Reply{}
	case !known || m.Error != "":
		return command.Fail(errno.EINVAL, "Module '%s' not found", name)
	case !slices.Contains(s.Mgr.Map().Modules, name):
		return command.Fail(errno.EINVAL, "Module '%s' is not enabled. \n Run `ceph mgr module enable %[1]s` to enable.", name)
	}
	return command.Fail(errno.EINVAL, "'%s' is not an orchestrator module", name)
}
