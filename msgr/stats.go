package msgr

import "sync/atomic"

// Stats are counts since New, and what is open now.
type Stats struct {
	Sessions        int    // open, incoming and dialled
	Unauthenticated int    // accepted connections in their handshake
	Accepted        uint64 // TCP connections
	Dialled         uint64
	Refused         uint64 // accepted ones whose handshake failed
	MessagesIn      uint64
	MessagesOut     uint64
	BytesIn         uint64 // of messages
	BytesOut        uint64 // of everything in a session
	Held            int64  // bytes of received messages that handlers have not released, of open sessions
}

// traffic counts for one Conn, so that busy connections share no cache line.
type traffic struct {
	messagesIn, messagesOut, bytesIn, bytesOut atomic.Uint64
}

func (s *Stats) add(t *traffic) {
	s.MessagesIn += t.messagesIn.Load()
	s.MessagesOut += t.messagesOut.Load()
	s.BytesIn += t.bytesIn.Load()
	s.BytesOut += t.bytesOut.Load()
}

// Stats returns the counts.
func (m *Messenger) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.past
	s.Sessions = len(m.conns)
	for c := range m.conns {
		s.add(&c.traffic)
		s.Held += c.credit.held.Load()
	}
	s.Unauthenticated = m.pending.len()
	s.Accepted = m.accepted.Load()
	s.Dialled = m.dialled.Load()
	s.Refused = m.refused.Load()
	return s
}
