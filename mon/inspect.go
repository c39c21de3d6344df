package mon

import "github.com/pulpo-storage/pulpo/monmap"

// Check panics if an invariant does not hold; tests and the simulator call it
// after each step.
func (m *Mon) Check() { m.check() }

// Leads tells raft's term as this monitor knows it, and whether it leads in it.
func (m *Mon) Leads() (term uint64, leads bool) { return m.term, m.leading && m.err == nil }

// MonMap is the monitor map, which is not to be changed; nil: none is known yet.
func (m *Mon) MonMap() *monmap.Map {
	if !m.parts.ready() {
		return nil
	}
	return m.parts.mon.Map()
}
