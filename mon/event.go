package mon

import (
	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
)

// Event is an input of the machine.
type Event interface{ event() }

// SessionOpened begins a session. The shell numbers sessions; a number is not
// used twice.
type SessionOpened struct {
	ID       uint64
	Name     entity.Name // client.4123, osd.3
	Addrs    entity.AddrVec
	Features uint64
	Identity *cephx.Identity
	Mgr      bool // came in at the manager's address
	Local    bool // of this process itself: never sent elsewhere
}

// SessionClosed ends a session.
type SessionClosed struct{ ID uint64 }

// Received is a message on a session. The machine keeps the body; payloads are
// copied before Step returns, so the shell may release its buffers.
type Received struct {
	ID   uint64
	Body msg.Body
	TID  uint64
}

// FromPeer is what another monitor sent; Data is kept.
type FromPeer struct {
	From string
	Data []byte
}

// Connected says that the line to another monitor stands anew: what was sent
// before may be lost.
type Connected struct{ Name string }

// Disconnected says that the line to another monitor is lost.
type Disconnected struct{ Name string }

// HandOver asks a leader that is about to stop to let another monitor lead.
type HandOver struct{}

// DiskSpace is what the file system of the store has.
type DiskSpace struct{ Total, Available uint64 }

// Persisted says that the batch of the last Ready that had one is written (and
// synced if it asked for that).
type Persisted struct{}

// Tick says that the time of Wake has come.
type Tick struct{}

// WantGlobalID asks for a global id for a login; Ready.GlobalIDs answers with
// the same token.
type WantGlobalID struct{ Token uint64 }

func (SessionOpened) event() {}
func (SessionClosed) event() {}
func (Received) event()      {}
func (FromPeer) event()      {}
func (Connected) event()     {}
func (Disconnected) event()  {}
func (HandOver) event()      {}
func (DiskSpace) event()     {}
func (Persisted) event()     {}
func (Tick) event()          {}
func (WantGlobalID) event()  {}

// Ready is what must be done, in this order.
type Ready struct {
	// Err: the monitor cannot go on (its disk failed, its state is broken).
	Err error
	// Batch must be written, atomically, and with Sync be durable, before
	// anything below is done; then Step(Persisted{}). Until then further Readys
	// have no batch.
	Batch []Op
	Sync  bool
	// Peers are messages to other monitors. Those that cannot be sent at once
	// are dropped.
	Peers []PeerSend
	// Sends are messages on sessions, in order.
	Sends []Send
	// GlobalIDs answer WantGlobalID.
	GlobalIDs []GlobalID
	// Closes are sessions to be closed after what was sent.
	Closes []uint64
}

// Empty reports whether there is nothing to do.
func (r *Ready) Empty() bool {
	return r.Err == nil && r.Batch == nil && r.Peers == nil && r.Sends == nil && r.GlobalIDs == nil && r.Closes == nil
}

// PeerSend is a message to another monitor, Data for FromPeer.
type PeerSend struct {
	To    string // its name; "" while only its address is known
	Addrs entity.AddrVec
	Data  []byte
}

// Send is a message on a session.
type Send struct {
	Session uint64
	Body    msg.Body
	TID     uint64 // of the request it answers; 0: none
}

// GlobalID is a fresh one.
type GlobalID struct{ Token, ID uint64 }
