package module

import (
	"strconv"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/python"
)

// telemetryOptions are the module's settings and their defaults.
var telemetryOptions = map[string]any{
	"channel_basic": true, "channel_crash": true, "channel_device": true, "channel_ident": false, "contact": nil, "description": nil,
	"device_url": "https://telemetry.ceph.com/device", "enabled": false, "interval": int64(24), "last_opt_revision": int64(1),
	"leaderboard": false, "log_level": "", "log_to_cluster": false, "log_to_cluster_level": "info", "log_to_file": false,
	"organization": nil, "proxy": nil, "url": "https://telemetry.ceph.com/report",
}

const telemetryLicense = "sharing-1-0"

// telemetryCommands answer for a cluster that tells nobody of itself: telemetry
// cannot be switched on, whoever agrees to the license.
func (s *Service) telemetryCommands(t *command.Table) {
	unlicensed := func(how string) command.Reply {
		return command.Fail(errno.EPERM, "Telemetry data is licensed under the Community Data License Agreement - Sharing - Version 1.0 "+
			"(https://cdla.io/sharing-1-0/).\n%s", how)
	}
	refused := func(*command.Call) command.Reply {
		return command.Fail(errno.EOPNOTSUPP, "telemetry is not available: this cluster makes and sends no reports")
	}
	t.Read("telemetry status", s.telemetryStatus)
	t.Read("telemetry on", func(c *command.Call) command.Reply {
		if c.Str("license") != telemetryLicense {
			return unlicensed("To enable, add '--license " + telemetryLicense + "' to the 'ceph telemetry on' command.")
		}
		return refused(c)
	})
	t.Write("telemetry off", func(c *command.Call) command.Reply {
		r := s.setting(c, "telemetry/enabled", "false", "")
		if again := s.setting(c, "telemetry/last_opt_revision", "1", ""); again.Failed() || !r.Commit {
			return again
		}
		return r
	})
	t.Read("telemetry send", func(c *command.Call) command.Reply {
		if c.Str("license") != telemetryLicense {
			return unlicensed("To manually send telemetry data, add '--license " + telemetryLicense +
				"' to the 'ceph telemetry send' command.\nPlease consider enabling the telemetry module with 'ceph telemetry on'.")
		}
		return refused(c)
	})
	t.Read("telemetry show", refused)
	t.Read("telemetry show-all", refused)
	t.Read("telemetry show-device", func(*command.Call) command.Reply { return python.Output("{}") })
}

func (s *Service) telemetryStatus(*command.Call) command.Reply {
	status := map[string]any{"last_upload": nil}
	for name, def := range telemetryOptions {
		status[name] = def
		v := s.Option("mgr/telemetry/" + name)
		if v == "" {
			continue
		}
		switch def := def.(type) {
		case bool:
			status[name] = s.isOn("telemetry/"+name, def)
		case int64:
			if n, err := strconv.ParseInt(v, 10, 64); err == nil {
				status[name] = n
			}
		default:
			status[name] = v
		}
	}
	return python.Output(python.Indented(status))
}
