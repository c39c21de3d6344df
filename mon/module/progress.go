package module

import (
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/python"
)

// progressCommands answer for the list of what is under way. Nothing here takes
// so long that it would be on it.
func (s *Service) progressCommands(t *command.Table) {
	const enabled = "progress/enabled"
	t.Read("progress", func(*command.Call) command.Reply { return command.Say("Nothing in progress") })
	t.Read("progress json", func(*command.Call) command.Reply {
		return python.Output(python.Indented(map[string]any{"completed": []any{}, "events": []any{}}))
	})
	t.Read("progress clear", func(*command.Call) command.Reply { return command.Reply{} })
	for name, on := range map[string]bool{"enabled": true, "disabled": false} {
		prefix := map[bool]string{true: "progress on", false: "progress off"}[on]
		t.Write(prefix, func(c *command.Call) command.Reply {
			if s.isOn(enabled, true) == on {
				return command.Say("progress already %s!", name)
			}
			return s.setting(c, enabled, onOff(on), "progress "+name)
		})
	}
}
