package mon

import (
	"encoding/binary"
	"time"

	"go.etcd.io/raft/v3"
)

// A read sees all that was answered before it came, on whichever monitor: it
// waits until the leader has said how far the log was committed at a time after
// the read came, having made sure that it still leads (ReadIndex in raft's
// words), and until this monitor has applied that much. Nothing depends on
// clocks, and a monitor without a quorum answers no reads. All reads that came
// while one question was under way share the next one.
//
// In Ceph the leader's leases have the same effect (Paxos::is_readable).
type reads struct {
	next  []*request // for the next question
	asked []*request // for the answer to this one
	seq   uint64     // of the question
	at    time.Time  // it was asked
	index uint64     // the answer; 0: none yet
}

// readAgain is when a question counts as lost: it is, if there was no leader or
// a message was.
const readAgain = 400 * time.Millisecond

// read serves a request once this monitor's state is known to be the newest.
func (m *Mon) read(r *request) {
	if m.alone() && m.leading && m.caughtUp {
		m.serve(r)
		return
	}
	if m.overfull(r) {
		return
	}
	m.reads.next = append(m.reads.next, r)
}

// askReads asks the leader, or serves what it has answered.
func (m *Mon) askReads() {
	for m.rn != nil {
		q := &m.reads
		if q.index != 0 && m.rlog.done.Index >= q.index {
			served := q.asked
			q.asked, q.index = nil, 0
			for _, r := range served {
				if m.sessions[r.s.ID] == r.s {
					m.serve(r)
				}
			}
		}
		lost := q.index == 0 && len(q.asked) > 0 && m.now.Sub(q.at) >= readAgain
		if lost {
			q.next = append(q.asked, q.next...)
			q.asked = nil
		}
		if len(q.asked) > 0 || len(q.next) == 0 || m.leader == 0 {
			return
		}
		q.asked, q.next, q.at, q.index = q.next, nil, m.now, 0
		m.numbers++
		q.seq = m.numbers
		m.rn.ReadIndex(m.readContext())
		m.drainRaft()
		if q.index == 0 {
			return
		}
	}
}

// readContext tells the question from those of other monitors.
func (m *Mon) readContext() []byte {
	b := binary.BigEndian.AppendUint64(nil, m.id)
	return binary.BigEndian.AppendUint64(b, m.reads.seq)
}

// readStates takes the leader's answers.
func (m *Mon) readStates(states []raft.ReadState) {
	for _, s := range states {
		if len(m.reads.asked) > 0 && string(s.RequestCtx) == string(m.readContext()) {
			m.reads.index = max(s.Index, 1)
		}
	}
}
