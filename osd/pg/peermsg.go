package pg

import (
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/pglog"
	"github.com/pulpo-storage/pulpo/wire"
)

// PeerKind is what a [msg.PGPeer] is. The numbers are those of one version of
// Pulpo; new ones are added at the end of their group.
type PeerKind uint16

const (
	PeerQuery    PeerKind = 1  // what do you have? (MOSDPGQuery)
	PeerNotify   PeerKind = 2  // this is what I have (MOSDPGNotify)
	PeerLog      PeerKind = 3  // with the log, too; of a primary: be like this (MOSDPGLog)
	PeerInfo     PeerKind = 4  // of a primary: this is so; of a replica: I have noted it (MOSDPGInfo)
	PeerRemove   PeerKind = 5  // the copy is needed no longer (MOSDPGRemove)
	PeerOp       PeerKind = 6  // a transaction (MOSDRepOp)
	PeerOpReply  PeerKind = 7  // it is durable (MOSDRepOpReply)
	PeerLease    PeerKind = 8  // (MOSDPGLease)
	PeerLeaseAck PeerKind = 9  // (MOSDPGLeaseAck)
	PeerDamaged  PeerKind = 10 // my copy is damaged

	// From here on recovery's, from PeerScrubReserve on scrub's.
	PeerPush      PeerKind = 16 // parts of objects (MOSDPGPush)
	PeerPushReply PeerKind = 17
	PeerPull      PeerKind = 18
	PeerPlace     PeerKind = 19 // places to recover (MRecoveryReserve, MBackfillReserve)
	PeerScan      PeerKind = 20 // what is there to be filled? (MOSDPGScan)
	PeerInterval  PeerKind = 21 // this is
	PeerDrop      PeerKind = 22 // objects that must not be there (MOSDPGBackfillRemove)
	PeerDropped   PeerKind = 23
	PeerFill      PeerKind = 24 // how far the copy is filled; of it: it is complete (MOSDPGBackfill)

	PeerScrubReserve PeerKind = 32 // (MOSDScrubReserve)
	PeerScrubGrant   PeerKind = 33
	PeerScrubReject  PeerKind = 34
	PeerScrubRelease PeerKind = 35
	PeerScrubAsk     PeerKind = 36 // for a map of a chunk (MOSDRepScrub)
	PeerScrubMap     PeerKind = 37 // (MOSDRepScrubMap)
	PeerScrubDone    PeerKind = 38 // this came of it
	PeerScrubDamaged PeerKind = 39 // these copies are to be replaced
)

var peerKindNames = map[PeerKind]string{
	PeerQuery: "pg_query", PeerNotify: "pg_notify", PeerLog: "pg_log", PeerInfo: "pg_info", PeerRemove: "pg_remove",
	PeerOp: "osd_repop", PeerOpReply: "osd_repop_reply", PeerLease: "pg_lease", PeerLeaseAck: "pg_lease_ack",
	PeerDamaged: "pg_damaged",
	PeerPush:    "pg_push", PeerPushReply: "pg_push_reply", PeerPull: "pg_pull", PeerPlace: "pg_place", PeerScan: "pg_scan", PeerInterval: "pg_interval", PeerDrop: "pg_drop", PeerDropped: "pg_dropped", PeerFill: "pg_fill",
	PeerScrubReserve: "scrub_reserve_request", PeerScrubGrant: "scrub_reserve_grant", PeerScrubReject: "scrub_reserve_reject",
	PeerScrubRelease: "scrub_reserve_release", PeerScrubAsk: "rep_scrub", PeerScrubMap: "rep_scrubmap", PeerScrubDone: "scrub_done",
	PeerScrubDamaged: "scrub_damaged",
}

func (k PeerKind) String() string {
	if s := peerKindNames[k]; s != "" {
		return s
	}
	return "unknown"
}

// queryBody asks a copy what it has.
type queryBody struct {
	What  queryWhat
	Since object.Version // of queryLog: entries above are wanted
}

type queryWhat uint8

const (
	queryInfo    queryWhat = iota // answered with PeerNotify
	queryLog                      // answered with PeerLog: entries, and what is missing
	queryMissing                  // the same, asked for the sake of what is missing
)

func (b *queryBody) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.U8(uint8(b.What))
	b.Since.Encode(e)
	e.End(m)
}

func (b *queryBody) Decode(d *wire.Decoder) {
	env := d.Begin("pg_query", 1)
	b.What = queryWhat(d.U8())
	b.Since.Decode(d)
	d.End(env)
}

// notifyBody is what a copy has. Info.History.EpochCreated is 0 if there is none.
type notifyBody struct {
	Info Info
	Past pglog.PastIntervals
	// Promises are what the copy has promised primaries of before
	// (prior_readable_until_ub).
	Promises []promiseBody
	Answer   bool // to a query
	Damage   damage
}

// promiseBody is a promise to a process of an OSD, and how long it still lasts.
type promiseBody struct {
	To     int32
	UpFrom uint32
	Left   time.Duration
}

func (b *notifyBody) Encode(e *wire.Encoder) {
	m := e.Begin(2, 1)
	b.Info.Encode(e)
	b.Past.Encode(e)
	wire.EncodeSlice(e, b.Promises, func(p promiseBody) { e.S32(p.To); e.U32(p.UpFrom); e.S64(int64(p.Left)) })
	e.Bool(b.Answer)
	e.U8(uint8(b.Damage))
	e.End(m)
}

func (b *notifyBody) Decode(d *wire.Decoder) {
	env := d.Begin("pg_notify", 2)
	b.Info.Decode(d)
	b.Past.Decode(d)
	b.Promises = wire.DecodeSlice(d, 16, func() promiseBody { return promiseBody{d.S32(), d.U32(), time.Duration(d.S64())} })
	b.Answer = d.Bool()
	if env.Version >= 2 {
		if b.Damage = damage(d.U8()); b.Damage > damageRuined && d.Err() == nil {
			d.Failf("damage %d", b.Damage)
		}
	}
	d.End(env)
}

// logBody is a part of a copy's log, with all that it lacks; of a primary that
// activates a replica, the part that this one needs.
type logBody struct {
	What     queryWhat // that it answers
	Info     Info
	Part     pglog.Part
	Missing  pglog.Missing
	Activate bool
	Lease    time.Duration // with Activate: promise so long
}

func (b *logBody) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.U8(uint8(b.What))
	b.Info.Encode(e)
	b.Part.Tail.Encode(e)
	b.Part.Head.Encode(e)
	wire.EncodeSlice(e, b.Part.Entries, func(t *Entry) { t.Encode(e, &b.Info) })
	b.Missing.Encode(e)
	e.Bool(b.Activate)
	e.S64(int64(b.Lease))
	e.End(m)
}

// minEntry is the least that an entry takes.
const minEntry = 100

func (b *logBody) Decode(d *wire.Decoder) {
	env := d.Begin("pg_log", 1)
	b.What = queryWhat(d.U8())
	b.Info.Decode(d)
	b.Part.Tail.Decode(d)
	b.Part.Head.Decode(d)
	last := b.Part.Tail
	b.Part.Entries = wire.DecodeSlice(d, minEntry, func() *Entry {
		t, after := new(Entry), Info{}
		t.Decode(d, &after)
		if d.Err() == nil && (t.Version.Compare(last) <= 0 || t.Version.Compare(b.Part.Head) > 0) {
			d.Failf("log entry %v after %v, head %v", t.Version, last, b.Part.Head)
		}
		last = t.Version
		return t
	})
	b.Missing.Decode(d)
	b.Activate = d.Bool()
	b.Lease = time.Duration(d.S64())
	d.End(env)
}

// infoBody is what a primary tells the replicas of the group, or with Activated
// a replica its primary.
type infoBody struct {
	Info      Info
	Activated bool
}

func (b *infoBody) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	b.Info.Encode(e)
	e.Bool(b.Activated)
	e.End(m)
}

func (b *infoBody) Decode(d *wire.Decoder) {
	env := d.Begin("pg_info", 1)
	b.Info.Decode(d)
	b.Activated = d.Bool()
	d.End(env)
}

// opBody is a transaction of the primary's, to be done by a replica as it is. Its
// data is the message's payload.
type opBody struct {
	Token uint64         // the primary's
	Prior object.Version // what the replica's log must have reached
	Txn   []byte         // objstore.Txn; aliases the message
}

func (b *opBody) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.U64(b.Token)
	b.Prior.Encode(e)
	e.Blob(b.Txn)
	e.End(m)
}

func (b *opBody) Decode(d *wire.Decoder) {
	env := d.Begin("osd_repop", 1)
	b.Token = d.U64()
	b.Prior.Decode(d)
	b.Txn = d.Blob()
	d.End(env)
}

// opReplyBody says that all transactions up to a token are durable; or that the
// one with that token could not be done, and none after it will be.
type opReplyBody struct {
	Token  uint64
	Result int32
}

func (b *opReplyBody) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.U64(b.Token)
	e.S32(b.Result)
	e.End(m)
}

func (b *opReplyBody) Decode(d *wire.Decoder) {
	env := d.Begin("osd_repop_reply", 1)
	b.Token = d.U64()
	b.Result = d.S32()
	d.End(env)
}

// leaseBody asks a replica for a promise, or says that it has been given.
type leaseBody struct {
	Ask   uint64 // which of the primary's
	Lease time.Duration
}

func (b *leaseBody) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.U64(b.Ask)
	e.S64(int64(b.Lease))
	e.End(m)
}

func (b *leaseBody) Decode(d *wire.Decoder) {
	env := d.Begin("pg_lease", 1)
	b.Ask = d.U64()
	b.Lease = time.Duration(d.S64())
	d.End(env)
}

// decodePeer decodes a message's front; it must be all of it.
func decodePeer(front []byte, b wire.Unmarshaler) error {
	d := wire.NewDecoder(front)
	b.Decode(d)
	if err := d.Finish(); err != nil {
		return errno.EBADMSG
	}
	return nil
}

// sortedOSDs returns the keys of a set of OSDs in order.
func sortedOSDs[V any](m map[int32]V) []int32 {
	list := make([]int32, 0, len(m))
	for o := range m {
		list = append(list, o)
	}
	slices.Sort(list)
	return list
}
