package mgrmapmon

import (
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// moduleCommands answers for modules of the stock manager that have nothing to
// do here, so that tools which look at all of them go on: there is no balancer,
// no orchestrator, and nothing that scrapes devices.
func (s *Service) moduleCommands(t *command.Table) {
	t.Read("balancer status", func(c *command.Call) command.Reply {
		return c.As(command.JSONPretty).Dump(func(f *jsonfmt.Formatter) {
			f.Object("balancer", func() {
				f.Bool("active", false)
				f.Str("last_optimize_duration", "")
				f.Str("last_optimize_started", "")
				f.Str("mode", "none")
				f.Bool("no_optimization_needed", false)
				f.Str("optimize_result", "")
				f.Array("plans", func() {})
			})
		})
	})
	none := func(plain string) command.Handler {
		return func(c *command.Call) command.Reply {
			return c.Either(func() string { return plain }, func(f *jsonfmt.Formatter) {
				f.Array("list", func() {})
			})
		}
	}
	t.Read("device ls", none("DEVICE  HOST:DEV  DAEMONS  WEAR  LIFE EXPECTANCY\n"))
	t.Read("orch status", func(*command.Call) command.Reply {
		return command.Fail(errno.ENOENT, "No orchestrator configured (try `ceph orch set backend`)")
	})
	t.Read("progress", func(*command.Call) command.Reply { return command.Say("Nothing in progress") })
	t.Read("progress json", func(c *command.Call) command.Reply {
		return c.As(command.JSONPretty).Dump(func(f *jsonfmt.Formatter) {
			f.Object("progress", func() {
				f.Array("completed", func() {})
				f.Array("events", func() {})
			})
		})
	})
}
