package module

import (
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// absent are the modules that this manager does not have, by how their commands
// begin.
var absent = []struct{ commands, module string }{
	{"alerts ", "alerts"},
	{"fs perf ", "stats"},
	{"fs snap-schedule ", "snap_schedule"},
	{"fs snapshot mirror ", "mirroring"},
	{"healthcheck ", "prometheus"},
	{"influx ", "influx"},
	{"insights", "insights"},
	{"mgr self-test ", "selftest"},
	{"nfs ", "nfs"},
	{"prometheus ", "prometheus"},
	{"restful ", "restful"},
	{"telegraf ", "telegraf"},
	{"test_orchestrator ", "test_orchestrator"},
	{"zabbix ", "zabbix"},
}

// absentCommands refuses the commands of these modules.
func (s *Service) absentCommands(t *command.Table) {
	for _, prefix := range t.Unanswered(command.FlagMgr) {
		for _, a := range absent {
			if strings.HasPrefix(prefix, a.commands) {
				t.Read(prefix, s.whenEnabled(a.module, prefix, func(*command.Call) command.Reply {
					return command.Fail(errno.EIO, "Module '%s' has experienced an error and cannot handle commands: %s",
						a.module, "this manager does not have it")
				}))
				break
			}
		}
	}
}

// whenEnabled guards a command of a module that can be switched off.
func (s *Service) whenEnabled(module, prefix string, h command.Handler) command.Handler {
	return func(c *command.Call) command.Reply {
		if !slices.Contains(s.Mgr.Map().Modules, module) {
			return command.Fail(errno.EOPNOTSUPP, "Module '%s' is not enabled/loaded (required by command '%s'): "+
				"use `ceph mgr module enable %[1]s` to enable it", module, prefix)
		}
		return h(c)
	}
}
