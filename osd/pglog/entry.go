package pglog

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// EntryKind is what an entry of the log tells (pg_log_entry_t).
type EntryKind uint8

const (
	EntryModify EntryKind = 1
	EntryClone  EntryKind = 2 // the object is a new clone
	EntryDelete EntryKind = 3
	// An operator has given up the object, of which nobody had the newest version:
	// an older one is the newest again, or it is gone.
	EntryLostRevert EntryKind = 5
	EntryLostDelete EntryKind = 6
	EntryError      EntryKind = 9 // nothing was changed; the result is kept for a request that comes again
)

func (k EntryKind) String() string {
	switch k {
	case EntryModify:
		return "modify"
	case EntryClone:
		return "clone"
	case EntryDelete:
		return "delete"
	case EntryLostRevert:
		return "l_revert"
	case EntryLostDelete:
		return "l_delete"
	case EntryError:
		return "error"
	}
	return "unknown"
}

// Entry is one entry of the log. It does not change once it is in one.
type Entry struct {
	Kind        EntryKind
	Object      object.ID // zero: one that is below the log's tail, kept for its request
	Version     object.Version
	Prior       object.Version // of the object, before; zero: there was none
	UserVersion uint64
	ReqID       object.ReqID
	MTime       time.Time
	Result      int32
	Returns     []OpReturn // of requests that want them again
}

// OpReturn is what one operation of a request gave.
type OpReturn struct {
	Result int32
	Out    []byte
}

// Deletes reports whether the object is not there after the entry.
func (t *Entry) Deletes() bool { return t.Kind == EntryDelete || t.Kind == EntryLostDelete }

// before is the version that the object had before the entry; a clone had none,
// whatever the entry says of its head.
func (t *Entry) before() object.Version {
	if t.Kind == EntryClone {
		return object.Version{}
	}
	return t.Prior
}

const entryVersion = 2

// Encode writes the entry with the figures of Info that it leaves behind.
func (t *Entry) Encode(e *wire.Encoder, after *Info) {
	m := e.Begin(entryVersion, 1)
	e.U8(uint8(t.Kind))
	t.Object.Encode(e)
	t.Version.Encode(e)
	t.Prior.Encode(e)
	e.U64(t.UserVersion)
	t.ReqID.Encode(e)
	e.Time(t.MTime)
	e.S32(t.Result)
	wire.EncodeSlice(e, t.Returns, func(r OpReturn) { e.S32(r.Result); e.Blob(r.Out) })
	e.U64(after.LastUserVersion)
	after.LogTail.Encode(e)
	after.Stats.encode(e)
	e.End(m)
}

// Decode reads the entry and puts the figures into after.
func (t *Entry) Decode(d *wire.Decoder, after *Info) {
	env := d.Begin("pg.Entry", entryVersion)
	t.Kind = EntryKind(d.U8())
	t.Object.Decode(d)
	t.Version.Decode(d)
	t.Prior.Decode(d)
	t.UserVersion = d.U64()
	t.ReqID.Decode(d)
	t.MTime = d.Time()
	t.Result = d.S32()
	t.Returns = wire.DecodeSlice(d, 8, func() OpReturn { return OpReturn{d.S32(), slices.Clone(d.Blob())} })
	after.LastUpdate = t.Version
	after.LastUserVersion = d.U64()
	after.LogTail.Decode(d)
	after.Stats.decode(d, env.Version)
	d.End(env)
}

// KeyPrefix begins the keys of the log in the omap of the group's own object.
// What follows orders as versions do.
const KeyPrefix = "l"

// Key is where the entry of a version is kept.
func Key(v object.Version) string {
	var b [len(KeyPrefix) + 12]byte
	copy(b[:], KeyPrefix)
	binary.BigEndian.PutUint32(b[len(KeyPrefix):], v.Epoch)
	binary.BigEndian.PutUint64(b[len(KeyPrefix)+4:], v.Version)
	return string(b[:])
}

// Version is the inverse of Key; zero for what is none.
func Version(key string) (v object.Version) {
	if len(key) == len(KeyPrefix)+12 && key[:len(KeyPrefix)] == KeyPrefix {
		b := []byte(key[len(KeyPrefix):])
		v.Epoch, v.Version = binary.BigEndian.Uint32(b), binary.BigEndian.Uint64(b[4:])
	}
	return v
}
