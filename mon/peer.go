package mon

import (
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/wire"
)

// What monitors say to each other. The shell carries it as opaque bytes, at most
// once and in order between two lives of two monitors, except what is lost with
// a connection; Connected tells of that. Nothing here relies on more:
//
//	kind      from      to         lost?
//	raft      any       any        raft sends again
//	chunk     leader    follower   the sender gives up; raft begins anew
//	got       follower  leader     as above
//	forward   peon      leader     sent again when connected, when another leads, and
//	                               now and then
//	answer    leader    peon       given again when asked again
//	closed    peon      leader     the next list tells
//	sessions  peon      leader     comes when connected
//	ping      leader    all        comes every second
//	pong      any       leader     answers a ping
//	join      new       any        comes every second until welcome
//	welcome   leader    new        as above
//	wantIDs   peon      leader     comes again
//	ids       leader    peon       the ids are lost
//	log       peon      leader     the lines are lost
type peerKind uint8

const (
	kindRaft    peerKind = 1
	kindChunk   peerKind = 2
	kindGot     peerKind = 3
	kindForward peerKind = 4
	kindAnswer  peerKind = 5
	kindClosed  peerKind = 6
	kindPing    peerKind = 7
	kindPong    peerKind = 8
	kindJoin    peerKind = 9
	kindWelcome peerKind = 10
	kindWantIDs peerKind = 11
	kindIDs     peerKind = 12
	kindList    peerKind = 13
	kindLog     peerKind = 14
)

// peerBody is one of the messages below.
type peerBody interface {
	kind() peerKind
	Encode(e *wire.Encoder)
	decode(d *wire.Decoder)
}

var peerBodies = map[peerKind]func() peerBody{
	kindRaft:    func() peerBody { return new(raftBytes) },
	kindChunk:   func() peerBody { return new(chunk) },
	kindGot:     func() peerBody { return new(got) },
	kindForward: func() peerBody { return new(forward) },
	kindAnswer:  func() peerBody { return new(answered) },
	kindClosed:  func() peerBody { return new(sessionGone) },
	kindPing:    func() peerBody { return new(ping) },
	kindPong:    func() peerBody { return new(pong) },
	kindJoin:    func() peerBody { return new(join) },
	kindWelcome: func() peerBody { return new(welcome) },
	kindWantIDs: func() peerBody { return new(wantIDs) },
	kindIDs:     func() peerBody { return new(idRange) },
	kindList:    func() peerBody { return new(sessionList) },
	kindLog:     func() peerBody { return new(logLines) },
}

// encodePeer makes a message of a monitor in the life that boot numbers.
func encodePeer(boot uint64, b peerBody) []byte {
	var e wire.Encoder
	m := e.Begin(1, 1)
	e.U64(boot)
	e.U8(uint8(b.kind()))
	b.Encode(&e)
	e.End(m)
	return e.Bytes()
}

func decodePeer(raw []byte) (boot uint64, b peerBody, err error) {
	d := wire.NewDecoder(raw)
	env := d.Begin("message of a monitor", 1)
	boot = d.U64()
	kind := peerKind(d.U8())
	mk := peerBodies[kind]
	if mk == nil {
		d.Failf("kind %d", kind)
		return 0, nil, d.Err()
	}
	b = mk()
	b.decode(d)
	d.End(env)
	return boot, b, d.Finish()
}

// raftBytes is a message of raft.
type raftBytes struct{ data []byte }

func (raftBytes) kind() peerKind            { return kindRaft }
func (b raftBytes) Encode(e *wire.Encoder)  { e.Blob(b.data) }
func (b *raftBytes) decode(d *wire.Decoder) { b.data = d.Blob() }

// chunk is a part of a message of raft that is large: one with a snapshot.
type chunk struct {
	id     uint64 // of the message
	offset uint64
	total  uint64
	data   []byte
}

func (chunk) kind() peerKind { return kindChunk }
func (b chunk) Encode(e *wire.Encoder) {
	e.U64(b.id)
	e.U64(b.offset)
	e.U64(b.total)
	e.Blob(b.data)
}
func (b *chunk) decode(d *wire.Decoder) {
	b.id, b.offset, b.total, b.data = d.U64(), d.U64(), d.U64(), d.Blob()
}

// got acknowledges chunks: the message is there up to next.
type got struct{ id, next uint64 }

func (got) kind() peerKind            { return kindGot }
func (b got) Encode(e *wire.Encoder)  { e.U64(b.id); e.U64(b.next) }
func (b *got) decode(d *wire.Decoder) { b.id, b.next = d.U64(), d.U64() }

// carried is a message of a client on its way between monitors; typ 0: none.
type carried struct {
	typ, version, compat uint16
	front, data          []byte
}

func carry(b msg.Body) carried {
	if b == nil {
		return carried{}
	}
	var e wire.Encoder
	b.EncodeFront(&e)
	version, compat := b.Versions()
	return carried{b.MsgType(), version, compat, e.Bytes(), b.Payload().Bytes()}
}

func (c carried) decoded() (msg.Body, error) {
	return msg.Decode(c.typ, c.version, c.compat, c.front, buffer.ListOf(c.data))
}

func (c carried) encode(e *wire.Encoder) {
	e.U16(c.typ)
	e.U16(c.version)
	e.U16(c.compat)
	e.Blob(c.front)
	e.Blob(c.data)
}

func (c *carried) decode(d *wire.Decoder) {
	c.typ, c.version, c.compat = d.U16(), d.U16(), d.U16()
	c.front, c.data = d.Blob(), d.Blob()
}

// who is the other end of a session, as one monitor tells another
// (MForward has the same: the leader must know whom it serves).
type who struct {
	session  uint64
	name     entity.Name
	auth     entity.AuthName
	addrs    entity.AddrVec
	globalID uint64
	features uint64
	host     string
	opened   time.Time
	caps     map[string]string
}

func (w who) encode(e *wire.Encoder) {
	e.U64(w.session)
	e.U8(uint8(w.name.Type))
	e.S64(w.name.Num)
	w.auth.Encode(e)
	w.addrs.Encode(e)
	e.U64(w.globalID)
	e.U64(w.features)
	e.Str(w.host)
	e.Time(w.opened)
	wire.EncodeMap(e, w.caps, func(k, v string) { e.Str(k); e.Str(v) })
}

func (w *who) decode(d *wire.Decoder) {
	w.session = d.U64()
	w.name.Type = entity.Type(d.U8())
	w.name.Num = d.S64()
	w.auth.Decode(d)
	w.addrs.Decode(d)
	w.globalID = d.U64()
	w.features = d.U64()
	w.host = d.Str()
	w.opened = d.Time()
	w.caps = wire.DecodeMap(d, 8, func() (string, string) { return d.Str(), d.Str() })
}

// forward is a request that only the leader can serve (MForward).
type forward struct {
	tid  uint64 // of the forwarding; rises
	low  uint64 // answers below are at home
	from who
	mtid uint64 // of the client's message
	body carried
}

func (forward) kind() peerKind { return kindForward }
func (b forward) Encode(e *wire.Encoder) {
	e.U64(b.tid)
	e.U64(b.low)
	b.from.encode(e)
	e.U64(b.mtid)
	b.body.encode(e)
}
func (b *forward) decode(d *wire.Decoder) {
	b.tid, b.low = d.U64(), d.U64()
	b.from.decode(d)
	b.mtid = d.U64()
	b.body.decode(d)
}

// answered is what becomes of a forwarded request, or with tid 0 a message for
// a session that no request asked for (MRoute).
type answered struct {
	tid     uint64
	session uint64
	close   bool // the session is to be closed
	body    carried
}

func (answered) kind() peerKind { return kindAnswer }
func (b answered) Encode(e *wire.Encoder) {
	e.U64(b.tid)
	e.U64(b.session)
	e.Bool(b.close)
	b.body.encode(e)
}
func (b *answered) decode(d *wire.Decoder) {
	b.tid, b.session, b.close = d.U64(), d.U64(), d.Bool()
	b.body.decode(d)
}

// sessionGone tells the leader that a session of which it has heard has ended.
type sessionGone struct{ session uint64 }

func (sessionGone) kind() peerKind            { return kindClosed }
func (b sessionGone) Encode(e *wire.Encoder)  { e.U64(b.session) }
func (b *sessionGone) decode(d *wire.Decoder) { b.session = d.U64() }

// sessionList are all sessions of which the leader was told and that last.
type sessionList struct{ sessions []uint64 }

func (sessionList) kind() peerKind            { return kindList }
func (b sessionList) Encode(e *wire.Encoder)  { wire.EncodeSlice(e, b.sessions, e.U64) }
func (b *sessionList) decode(d *wire.Decoder) { b.sessions = wire.DecodeSlice(d, 8, d.U64) }

// ping is the leader's word to all: who is in quorum, and what time it is.
type ping struct {
	seq   uint64
	term  uint64
	time  time.Time
	names []string
	since time.Time
}

func (ping) kind() peerKind { return kindPing }
func (b ping) Encode(e *wire.Encoder) {
	e.U64(b.seq)
	e.U64(b.term)
	e.Time(b.time)
	wire.EncodeSlice(e, b.names, e.Str)
	e.Time(b.since)
}
func (b *ping) decode(d *wire.Decoder) {
	b.seq, b.term, b.time = d.U64(), d.U64(), d.Time()
	b.names = wire.DecodeSlice(d, 4, d.Str)
	b.since = d.Time()
}

// pong answers a ping with what the monitor tells of itself.
type pong struct {
	seq  uint64
	sent time.Time // of the ping
	time time.Time
	self report
}

func (pong) kind() peerKind { return kindPong }
func (b pong) Encode(e *wire.Encoder) {
	e.U64(b.seq)
	e.Time(b.sent)
	e.Time(b.time)
	b.self.encode(e)
}
func (b *pong) decode(d *wire.Decoder) {
	b.seq, b.sent, b.time = d.U64(), d.Time(), d.Time()
	b.self.decode(d)
}

// report is what a monitor tells the leader of itself.
type report struct {
	addrs    entity.AddrVec
	metadata map[string]string
	mgr      Manager
	total    uint64 // bytes of the file system that its store is on
	avail    uint64
}

func (r report) encode(e *wire.Encoder) {
	r.addrs.Encode(e)
	wire.EncodeMap(e, r.metadata, func(k, v string) { e.Str(k); e.Str(v) })
	e.Str(r.mgr.Name)
	r.mgr.Addrs.Encode(e)
	e.U64(r.mgr.Features)
	wire.EncodeMap(e, r.mgr.Metadata, func(k, v string) { e.Str(k); e.Str(v) })
	e.U64(r.total)
	e.U64(r.avail)
}

func (r *report) decode(d *wire.Decoder) {
	r.addrs.Decode(d)
	r.metadata = wire.DecodeMap(d, 8, func() (string, string) { return d.Str(), d.Str() })
	r.mgr.Name = d.Str()
	r.mgr.Addrs.Decode(d)
	r.mgr.Features = d.U64()
	r.mgr.Metadata = wire.DecodeMap(d, 8, func() (string, string) { return d.Str(), d.Str() })
	r.total, r.avail = d.U64(), d.U64()
}

// join is a monitor without a state that wants to be one of these (MMonJoin).
type join struct {
	name  string
	addrs entity.AddrVec
	// instance numbers its store: what had this name with another store may have
	// promised things that this one does not know.
	instance entity.UUID
}

func (join) kind() peerKind { return kindJoin }
func (b join) Encode(e *wire.Encoder) {
	e.Str(b.name)
	b.addrs.Encode(e)
	b.instance.Encode(e)
}
func (b *join) decode(d *wire.Decoder) {
	b.name = d.Str()
	b.addrs.Decode(d)
	b.instance.Decode(d)
}

// welcome answers a join: it has a number in the raft group now.
type welcome struct {
	instance entity.UUID
	raftID   uint64
	raw      []byte // the monitor map
	ids      map[string]uint64
}

func (welcome) kind() peerKind { return kindWelcome }
func (b welcome) Encode(e *wire.Encoder) {
	b.instance.Encode(e)
	e.U64(b.raftID)
	e.Blob(b.raw)
	wire.EncodeMap(e, b.ids, func(n string, id uint64) { e.Str(n); e.U64(id) })
}
func (b *welcome) decode(d *wire.Decoder) {
	b.instance.Decode(d)
	b.raftID = d.U64()
	b.raw = d.Blob()
	b.ids = wire.DecodeMap(d, 12, func() (string, uint64) { return d.Str(), d.U64() })
}

// wantIDs asks for global ids to give out.
type wantIDs struct{}

func (wantIDs) kind() peerKind        { return kindWantIDs }
func (wantIDs) Encode(*wire.Encoder)  {}
func (*wantIDs) decode(*wire.Decoder) {}

// idRange are ids that nobody else gives out.
type idRange struct{ first, last uint64 }

func (idRange) kind() peerKind            { return kindIDs }
func (b idRange) Encode(e *wire.Encoder)  { e.U64(b.first); e.U64(b.last) }
func (b *idRange) decode(d *wire.Decoder) { b.first, b.last = d.U64(), d.U64() }

// logLines are lines of a peon for the cluster log.
type logLines struct{ lines []msg.LogEntry }

func (logLines) kind() peerKind { return kindLog }
func (b logLines) Encode(e *wire.Encoder) {
	wire.EncodeSlice(e, b.lines, func(l msg.LogEntry) { l.Encode(e) })
}
func (b *logLines) decode(d *wire.Decoder) {
	b.lines = wire.DecodeSlice(d, 6, func() (l msg.LogEntry) { l.Decode(d); return l })
}
