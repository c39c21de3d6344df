package pg

import (
	"time"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// ObjectInfo is what the group knows of an object beside its content
// (object_info_t); attribute "oi".
type ObjectInfo struct {
	Version     object.Version // of the log entry that made it
	Prior       object.Version // and of the one before; zero: it was created
	UserVersion uint64         // the version that clients see
	LastReqID   object.ReqID
	Size        uint64
	MTime       time.Time // the client's
	LocalMTime  time.Time // ours
	// What a file system's clients know of truncations that their writes may
	// not have seen.
	TruncateSeq  uint32
	TruncateSize uint64
	Flags        ObjectFlags
	// Hints, for those who ask; the store takes none.
	ExpectedSize, ExpectedWrite uint64
	HintFlags                   uint32
	Watchers                    []WatchInfo // in order; shared, never changed in place
}

// ObjectFlags are object_info_t's, with its numbers.
type ObjectFlags uint32

const (
	ObjectLost     ObjectFlags = 1 << 0
	ObjectWhiteout ObjectFlags = 1 << 1 // deleted, and there for its clones only
	ObjectOmap     ObjectFlags = 1 << 3 // it has or had an omap
)

const objectInfoVersion = 2

func (i *ObjectInfo) Encode(e *wire.Encoder) {
	m := e.Begin(objectInfoVersion, 1)
	i.Version.Encode(e)
	i.Prior.Encode(e)
	e.U64(i.UserVersion)
	i.LastReqID.Encode(e)
	e.U64(i.Size)
	e.Time(i.MTime)
	e.Time(i.LocalMTime)
	e.U32(i.TruncateSeq)
	e.U64(i.TruncateSize)
	e.U32(uint32(i.Flags))
	e.U64(i.ExpectedSize)
	e.U64(i.ExpectedWrite)
	e.U32(i.HintFlags)
	wire.EncodeSlice(e, i.Watchers, func(w WatchInfo) { w.encode(e) })
	e.End(m)
}

func (i *ObjectInfo) Decode(d *wire.Decoder) {
	env := d.Begin("ObjectInfo", objectInfoVersion)
	i.Version.Decode(d)
	i.Prior.Decode(d)
	i.UserVersion = d.U64()
	i.LastReqID.Decode(d)
	i.Size = d.U64()
	i.MTime = d.Time()
	i.LocalMTime = d.Time()
	i.TruncateSeq = d.U32()
	i.TruncateSize = d.U64()
	i.Flags = ObjectFlags(d.U32())
	i.ExpectedSize = d.U64()
	i.ExpectedWrite = d.U64()
	i.HintFlags = d.U32()
	if env.Version >= 2 {
		i.Watchers = wire.DecodeSlice(d, minWatchInfo, func() (w WatchInfo) { w.decode(d); return w })
	}
	d.End(env)
}
