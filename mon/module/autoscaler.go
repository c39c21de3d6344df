package module

import (
	"maps"
	"slices"

	"github.com/pulpo-storage/pulpo/mon/command"
)

// autoscalerCommands are those that switch the autoscaler for all pools, those
// to come included.
func (s *Service) autoscalerCommands(t *command.Table) {
	const flag = "pg_autoscaler/noautoscale"
	t.Read("osd pool get noautoscale", func(*command.Call) command.Reply {
		if s.isOn(flag, false) {
			return command.Say("noautoscale is on")
		}
		return command.Say("noautoscale is off")
	})
	for set, mode := range map[bool]string{true: "off", false: "on"} {
		verb := map[bool]string{true: "set", false: "unset"}[set]
		t.Write("osd pool "+verb+" noautoscale", func(c *command.Call) command.Reply {
			if s.isOn(flag, false) == set {
				return command.Say("noautoscale is already %s!", verb)
			}
			r := s.setting(c, flag, onOff(set), "noautoscale is "+verb+", all pools now have autoscale "+mode)
			if r.Failed() {
				return r
			}
			if bad := s.set(c, "global", "osd_pool_default_pg_autoscale_mode", mode); bad.Failed() {
				return bad
			}
			m := s.OSD.Map()
			for _, id := range slices.Sorted(maps.Keys(m.Pools)) {
				args := map[string]any{"pool": m.PoolNames[id], "var": "pg_autoscale_mode", "val": mode}
				if bad := s.run(c, "osd pool set", args); bad.Failed() {
					return bad
				}
			}
			return r
		})
	}
}
