package session

import "github.com/pulpo-storage/pulpo/msgr/frame"

// State is what one side remembers of a session beside its messages.
type State struct {
	Lossy         bool
	ClientCookie  uint64 // of the connecting side
	ServerCookie  uint64 // of the accepting side; 0 for a lossy session
	GlobalSeq     uint64 // connecting side: number of the last connection made
	PeerGlobalSeq uint64 // the same, as the other side told it
	ConnectSeq    uint64 // attempts to resume
	InSeq         uint64 // the last message received
}

// Resumable reports whether the connecting side may ask to go on.
func (s *State) Resumable() bool { return !s.Lossy && s.ServerCookie != 0 }

// Receive notes a received message. It reports false for one that was received
// before and must be dropped. Numbers may be left out: a message that its
// sender revoked half way took one.
func (s *State) Receive(seq uint64) bool {
	if seq <= s.InSeq {
		return false
	}
	s.InSeq = seq
	return true
}

// Verdict is what an accepting side makes of a SESSION_RECONNECT.
type Verdict int

const (
	Accept      Verdict = iota
	Reset               // it is not this session
	Retry               // connect_seq is behind
	RetryGlobal         // global_seq is behind: an old connection arrived late
)

// Judge holds a SESSION_RECONNECT against the session of its address and
// cookie. at is what the peer is behind of.
func (s *State) Judge(r *frame.Reconnect) (v Verdict, at uint64) {
	switch {
	case s.Lossy, r.ClientCookie != s.ClientCookie, r.ServerCookie != s.ServerCookie:
		return Reset, 0
	case s.PeerGlobalSeq > r.GlobalSeq:
		return RetryGlobal, s.PeerGlobalSeq
	case s.ConnectSeq > r.ConnectSeq:
		return Retry, s.ConnectSeq
	}
	return Accept, 0
}

// Resume notes an accepted SESSION_RECONNECT.
func (s *State) Resume(r *frame.Reconnect) {
	s.PeerGlobalSeq = r.GlobalSeq
	s.ConnectSeq = r.ConnectSeq
}

// Meeting is what a CLIENT_IDENT means for an older session of its address.
type Meeting int

const (
	Apart    Meeting = iota // nothing
	Replaced                // the old session is over
	Stale                   // the ident is the older one and must not be answered
)

// Meet holds a CLIENT_IDENT against a session of the same address, which
// has a connection or is waiting for one. The same cookie means the same
// session (stock clients use 0 for all lossy ones: they have one per peer);
// another one means that the peer gave up a session whose connection is lost,
// and nothing for one that has its connection: a peer may have several.
func (s *State) Meet(id *frame.ClientIdent, connected bool) Meeting {
	switch {
	case !connected:
		return Replaced
	case id.Cookie != s.ClientCookie:
		return Apart
	case s.PeerGlobalSeq > id.GlobalSeq:
		return Stale
	}
	return Replaced
}
