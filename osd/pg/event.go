package pg

import (
	"time"

	"github.com/pulpo-storage/pulpo/cephx/caps"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Session is a peer's connection, as far as its operations need to know. It
// does not change and may be shared.
type Session struct {
	Name     entity.Name // with the global id
	Addr     entity.Addr
	Caps     *caps.OSD // nil: everything is allowed, to the daemons themselves
	Features uint64
	Conn     any // the shell's; not looked at
}

// Event is an input of the machine.
type Event interface{ event() }

// Releaser owns the buffers that a request's operations borrow.
type Releaser interface{ Release() }

// Request is an operation that a client wants. The machine takes it over, and
// releases Message when it is done with it.
type Request struct {
	Session  *Session
	TID      uint64
	Op       *msg.OSDOp
	Message  Releaser // nil: nothing to release
	Received time.Time
	Taken    time.Time // out of the queue
	Executed time.Time

	// Stage is how far it has come, for those who ask what is going on.
	Stage Stage
	// What it was, once it has been executed, for those who count.
	Reads, Writes     bool
	InBytes, OutBytes int
	id                object.ReqID
	fetched           map[int]*copyData // by operation, of copy-from
}

// Committed says that all transactions up to a token are durable.
type Committed struct {
	Token uint64
	Err   error // the medium failed; the daemon must stop
}

// SubmitFailed says that the store refused the transaction with that token,
// which was the newest. It must come before any other event.
type SubmitFailed struct {
	Token uint64
	Err   error
}

// MapChange is the next map. Maps come one at a time, none left out but those
// that the daemon never saw. Behind: another one follows, so this one is history
// already and nobody is served by it.
type MapChange struct {
	Map    *osdmap.Map
	Behind bool
}

// Fetched answers a [Fetch]. The machine keeps the reply and its buffers.
type Fetched struct {
	ID    uint64
	Reply *msg.OSDOpReply
	Err   error
}

// BackoffAck is a client's answer to a backoff.
type BackoffAck struct {
	Session *Session
	ID      uint64
}

// SessionClosed says that a connection has ended. What waits of it is dropped.
type SessionClosed struct{ Session *Session }

// FromPeer is a message of the copy of the group on another OSD. The machine
// takes it over, and releases Message when it is done with the body's buffers.
type FromPeer struct {
	Body    *msg.PGPeer
	Message Releaser // nil: nothing to release
}

// Tick lets time pass.
type Tick struct{}

func (*Request) event()      {}
func (Committed) event()     {}
func (SubmitFailed) event()  {}
func (MapChange) event()     {}
func (Fetched) event()       {}
func (BackoffAck) event()    {}
func (SessionClosed) event() {}
func (*FromPeer) event()     {}
func (Tick) event()          {}

// Stage is how far a request has come.
type Stage uint8

const (
	StageQueued       Stage = iota // with the shell
	StageWaitMap                   // needs a newer map
	StageWaitPG                    // the group is not active
	StageWaitObject                // another request works on the object
	StageFetching                  // reads an object of another group
	StageWaitScrub                 // the object is being scrubbed
	StageCommitting                // its transaction is on its way to the disk
	StageWaitRecovery              // the object is being copied
	StageWaitReadable              // the primary has no lease
	StageWaitCommit                // answered, once what it saw is durable
	StageDone
)

var stageNames = [...]string{"queued for pg", "waiting for map", "waiting for peered", "waiting for rw locks",
	"waiting for fetch", "waiting for scrub", "waiting for commit", "waiting for missing object", "waiting for readable", "waiting for ondisk", "done"}

// String is the flag point that Ceph would name.
func (s Stage) String() string { return stageNames[s] }

// Ready is what the machine decided since the last call. The shell carries it
// out in the order of the fields. The lists are reused: it is done with them
// when it calls the machine again.
type Ready struct {
	// Writes are to be submitted in order.
	Writes []Write
	// Sends go out at once; what they tell of is durable.
	Sends []Send
	// Peers are messages to other OSDs, which go out at once as well.
	Peers []PeerSend
	// Fetches are requests to other groups' primaries, perhaps in this daemon.
	Fetches []Fetch
	// Split are groups that have come of others and are whole now; each is to be
	// loaded by the loop that it belongs to.
	Split []object.SPG
	// Places are wishes for the OSD, which answers each with a [Place], some time.
	Places []PlaceAsk
	// WantUpThru: not zero if groups need it on record that this OSD was alive in
	// that epoch (MOSDAlive).
	WantUpThru uint32
	// WantTemp are groups that need other members than they have (MOSDPGTemp).
	WantTemp []WantTemp
	// Done are requests that are finished, for the history of requests.
	Done []*Request
	// Notes are worth a line in the log.
	Notes []Note
	// More: requests that were held back are to go on. When all of the above has
	// been carried out, the loop takes up the next one before any other event.
	More bool
	// Fatal: the daemon must stop.
	Fatal error
}

// Write is a transaction. When it is durable its replies are sent, straight
// from the store's callback, and the machine gets Committed, some time. Peers
// are sent once the store has taken the transaction; if it refuses they are
// dropped. What is sent to one OSD arrives in the order of these lists.
type Write struct {
	PG      object.SPG
	Token   uint64
	Txn     *objstore.Txn
	Replies []Send
	Peers   []PeerSend
	Acks    []PeerSend // to be sent when it is durable, as Replies
}

// WantTemp is who should act for a group; none: those that CRUSH gives.
type WantTemp struct {
	PG     object.PG
	Acting []int32
}

// PeerSend is a message to the copy of a group on another OSD. The body's buffers
// go with it. It arrives once, after those sent to that OSD before, or not at
// all: then the map shows that OSD down, or come up anew.
type PeerSend struct {
	To   int32 // OSD
	Body *msg.PGPeer
}

// Send is a message to a peer. The message's buffers go with it: the shell
// releases [msg.Body] Payload after sending, or when the peer is gone.
type Send struct {
	To   *Session
	TID  uint64
	Body msg.Body
}

// Fetch is a request to an OSD, on behalf of a group.
type Fetch struct {
	PG     object.SPG // who asks
	ID     uint64
	Target int32 // OSD, perhaps this one; -1: nobody serves the object now
	Op     *msg.OSDOp
}

// Note is an event worth knowing.
type Note struct {
	PG    object.SPG
	Level NoteLevel
	Text  string
	Err   error
}

// NoteLevel says where a note belongs.
type NoteLevel uint8

const (
	NoteDebug       NoteLevel = iota
	NoteInfo                  // a state changed
	NoteWarn                  // a client was refused, or something waits too long
	NoteClusterWarn           // a warning that also belongs in the cluster's log
	NoteCluster               // an error that also belongs there
	NoteClusterInfo           // other lines for it
	NoteClusterDebug
)
