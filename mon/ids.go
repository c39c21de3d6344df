package mon

import "time"

// idSupply is what a peon has of global ids to give to who logs in: a part of
// what the leader has reserved by a commit. What is left of it is lost with this
// life.
type idSupply struct {
	left  idRange // not given out yet
	asked time.Time
}

const (
	peonIDs  = 1000 // that the leader gives at a time
	idsAgain = 500 * time.Millisecond
)

// grantIDs answers logins that wait for an id.
func (m *Mon) grantIDs() {
	for len(m.wantIDs) > 0 {
		id, ok := m.takeID()
		if !ok {
			return // more come with the next commit, or from the leader
		}
		m.out.GlobalIDs = append(m.out.GlobalIDs, GlobalID{m.wantIDs[0], id})
		m.wantIDs = m.wantIDs[1:]
	}
}

func (m *Mon) takeID() (uint64, bool) {
	if m.leading && m.caughtUp {
		id, _, ok := m.parts.auth.TakeGlobalIDs(1)
		return id, ok
	}
	q := &m.ids
	if q.left.first == 0 || q.left.first > q.left.last {
		if m.inQuorum() && m.now.Sub(q.asked) >= idsAgain {
			q.asked = m.now
			m.tellLeader(&wantIDs{})
		}
		return 0, false
	}
	q.left.first++
	return q.left.first - 1, true
}
