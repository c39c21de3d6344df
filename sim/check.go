package sim

import (
	"github.com/pulpo-storage/pulpo/msg"
)

// check is one invariant with the moments at which it wants to look; each may be
// nil. It ends the run by World.fail.
type check struct {
	step     func()                            // after each event
	sent     func(e *end, b msg.Body)          // a message is sent
	loggedIn func(p *process, globalID uint64) // a monitor has let somebody in
	end      func()                            // everything is repaired, whole and at rest
}

func allChecks(w *World) []check {
	return []check{
		checkLeaders(w), checkMaps(w), checkRest(w), checkIdentities(w), checkDurable(w), checkPrimaries(w), checkReplicas(w), checkHistory(w),
	}
}
