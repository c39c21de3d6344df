package mon

import (
	"testing"

	"github.com/pulpo-storage/pulpo/crush"
)

// TestBootstrapByOwnSettings makes the first CRUSH rule by the setting of who
// founds the cluster.
func TestBootstrapByOwnSettings(t *testing.T) {
	for setting, want := range map[string]int32{"": 1, "0": 0, "3": 3} {
		g := genesis(t)
		if setting != "" {
			g.Settings = map[string]string{"osd_crush_chooseleaf_type": setting}
		}
		w := makeWorld(t, g, Config{Name: "a"})
		found := false
		for _, step := range w.m.parts.osd.Map().Crush.Rules[0].Steps {
			if step.Op == crush.OpChooseLeafFirstN || step.Op == crush.OpChooseFirstN {
				found = true
				if step.Arg2 != want {
					t.Errorf("setting %q: the rule chooses by type %d, want %d", setting, step.Arg2, want)
				}
			}
		}
		if !found {
			t.Errorf("setting %q: the rule chooses nothing", setting)
		}
	}
}
