package crush

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
)

// Tunables are the parameters of the search. Each repairs a weakness of what
// came before it, at the price of moving data, so clusters switch them on
// deliberately and clients must know them.
type Tunables struct {
	ChooseLocalTries         uint32 // retries in the same bucket after a collision
	ChooseLocalFallbackTries uint32 // then by permutation of that bucket
	ChooseTotalTries         uint32 // descents from the top, less one
	ChooseLeafDescendOnce    uint32 // chooseleaf tries each subtree once only
	ChooseLeafVaryR          uint8  // chooseleaf's inner draw depends on the outer r
	StrawCalcVersion         uint8  // how straw lengths are computed
	AllowedBucketAlgs        uint32 // bit per Alg: what new buckets may use
	ChooseLeafStable         uint8  // the inner draw does not depend on the position
}

const (
	legacyAlgs = 1<<Uniform | 1<<List | 1<<Straw
	hammerAlgs = 1<<Uniform | 1<<List | 1<<Straw | 1<<Straw2
)

// The profiles, named by the release that brought them.
var (
	TunablesArgonaut = Tunables{2, 5, 19, 0, 0, 0, legacyAlgs, 0}
	TunablesBobtail  = Tunables{0, 0, 50, 1, 0, 0, legacyAlgs, 0}
	TunablesFirefly  = Tunables{0, 0, 50, 1, 1, 0, legacyAlgs, 0}
	TunablesHammer   = Tunables{0, 0, 50, 1, 1, 0, hammerAlgs, 0}
	TunablesJewel    = Tunables{0, 0, 50, 1, 1, 0, hammerAlgs, 1}
)

// SetTunablesProfile switches to a profile: argonaut, bobtail, firefly, hammer,
// jewel, legacy, optimal or default. How straws are computed is about the build
// of buckets and not about the search: profiles named by a release leave it.
func (m *Map) SetTunablesProfile(name string) error {
	var t Tunables
	straw := m.StrawCalcVersion
	switch name {
	case "legacy":
		t, straw = TunablesArgonaut, 0
	case "argonaut":
		t = TunablesArgonaut
	case "bobtail":
		t = TunablesBobtail
	case "firefly":
		t = TunablesFirefly
	case "hammer":
		t = TunablesHammer
	case "jewel":
		t = TunablesJewel
	case "optimal", "default":
		t, straw = TunablesJewel, 1
	default:
		return fmt.Errorf("unrecognized profile '%s': %w", name, errno.EINVAL)
	}
	t.StrawCalcVersion = straw
	m.Tunables = t
	return nil
}

// is reports whether t equals profile p; how straws are built does not count.
func (t Tunables) is(p Tunables) bool {
	t.StrawCalcVersion = p.StrawCalcVersion
	return t == p
}

// Profile names the profile in use.
func (t Tunables) Profile() string {
	switch {
	case t.is(TunablesJewel):
		return "jewel"
	case t.is(TunablesHammer):
		return "hammer"
	case t.is(TunablesFirefly):
		return "firefly"
	case t.is(TunablesBobtail):
		return "bobtail"
	case t.is(TunablesArgonaut):
		return "argonaut"
	}
	return "unknown"
}

// What clients must understand to use the map (CRUSH_TUNABLES and its
// successors).

func (t Tunables) needsTunables() bool {
	return t.ChooseLocalTries != 2 || t.ChooseLocalFallbackTries != 5 || t.ChooseTotalTries != 19
}
func (t Tunables) needsTunables2() bool { return t.ChooseLeafDescendOnce != 0 }
func (t Tunables) needsTunables3() bool { return t.ChooseLeafVaryR != 0 }
func (t Tunables) needsTunables5() bool { return t.ChooseLeafStable != 0 }

func (m *Map) anyStep(ops ...Op) bool {
	for _, r := range m.Rules {
		if r == nil {
			continue
		}
		for _, s := range r.Steps {
			for _, op := range ops {
				if s.Op == op {
					return true
				}
			}
		}
	}
	return false
}

func (m *Map) hasV2Rules() bool {
	return m.anyStep(OpChooseIndep, OpChooseLeafIndep, OpSetChooseTries, OpSetChooseLeafTries)
}
func (m *Map) hasV3Rules() bool { return m.anyStep(OpSetChooseLeafVaryR) }
func (m *Map) hasV5Rules() bool { return m.anyStep(OpSetChooseLeafStable) }

func (m *Map) hasV4Buckets() bool {
	for _, b := range m.Buckets {
		if b != nil && b.Alg == Straw2 {
			return true
		}
	}
	return false
}

// MinRequiredVersion names the oldest release whose clients can use the map, as
// Ceph reckons: it leaves out the steps of bobtail and firefly.
func (m *Map) MinRequiredVersion() string {
	switch {
	case m.hasV5Rules() || m.needsTunables5():
		return "jewel"
	case m.hasV4Buckets():
		return "hammer"
	case m.needsTunables3():
		return "firefly"
	case m.needsTunables2() || m.needsTunables():
		return "bobtail"
	}
	return "argonaut"
}
