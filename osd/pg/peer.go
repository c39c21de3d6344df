package pg

import "time"

// PeerKind is what a [msg.PGPeer] is.
type PeerKind uint16

// Kinds up to 15 are peering's and replication's.
const (
	PeerPush      PeerKind = 16 // recovery's, up to 31
	PeerPushReply PeerKind = 17
	PeerPull      PeerKind = 18
	PeerScrub     PeerKind = 32 // scrub's, up to 47
)

// Release gives the message's buffers back; more than once is once.
func (m *FromPeer) Release() {
	if m.Message != nil {
		m.Message.Release()
		m.Message = nil
	}
}

// fromPeer takes in a message of another OSD. One from before the interval began
// means nothing any more: its sender will see that in its map.
func (p *PG) fromPeer(_ time.Time, m *FromPeer) { m.Release() }
