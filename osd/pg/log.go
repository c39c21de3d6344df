package pg

import (
	"encoding/binary"
	"fmt"
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
	EntryError  EntryKind = 9 // nothing was changed; the result is kept for a request that comes again
)

func (k EntryKind) String() string {
	switch k {
	case EntryModify:
		return "modify"
	case EntryClone:
		return "clone"
	case EntryDelete:
		return "delete"
	case EntryError:
		return "error"
	}
	return "unknown"
}

// Entry is one entry of the log.
type Entry struct {
	Kind        EntryKind
	Object      object.ID // zero below the log's tail
	Version     object.Version
	Prior       object.Version // of the object, before
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

const entryVersion = 2

// encode writes the entry with the figures of Info that it leaves behind.
func (t *Entry) encode(e *wire.Encoder, after *Info) {
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

func (t *Entry) decode(d *wire.Decoder, after *Info) {
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

// logPrefix begins the keys of the log in the group's omap. What follows
// orders as versions do.
const logPrefix = "l"

func logKey(v object.Version) string {
	var b [len(logPrefix) + 12]byte
	copy(b[:], logPrefix)
	binary.BigEndian.PutUint32(b[len(logPrefix):], v.Epoch)
	binary.BigEndian.PutUint64(b[len(logPrefix)+4:], v.Version)
	return string(b[:])
}

// log is the newest entries, and the ids of some requests before them
// (PGLog with its dups). Versions rise along entries; those up to tail are
// there for their request ids only.
type log struct {
	entries []*Entry
	byReq   map[object.ReqID]*Entry
}

func (l *log) append(t *Entry) {
	l.entries = append(l.entries, t)
	if t.ReqID != (object.ReqID{}) {
		if l.byReq == nil {
			l.byReq = map[object.ReqID]*Entry{}
		}
		l.byReq[t.ReqID] = t
	}
}

// undo takes the newest n entries away again.
func (l *log) undo(n int) {
	keep := len(l.entries) - n
	for i, t := range l.entries[keep:] {
		if l.byReq[t.ReqID] == t {
			delete(l.byReq, t.ReqID)
		}
		l.entries[keep+i] = nil
	}
	l.entries = l.entries[:keep]
}

// find returns the entry of a request that came before.
func (l *log) find(id object.ReqID) *Entry { return l.byReq[id] }

// newest returns the version of the newest entry.
func (l *log) newest() object.Version {
	if len(l.entries) == 0 {
		return object.Version{}
	}
	return l.entries[len(l.entries)-1].Version
}

// drop forgets the n oldest entries.
func (l *log) drop(n int) {
	for i, t := range l.entries[:n] {
		if l.byReq[t.ReqID] == t {
			delete(l.byReq, t.ReqID)
		}
		l.entries[i] = nil
	}
	l.entries = l.entries[n:]
}

// trimmed says what to do so that no more than keep entries and dups ids stay:
// the new tail, and how many of the oldest to drop.
func (l *log) trimmed(keep, dups int) (tail object.Version, drop int) {
	n := len(l.entries)
	if n > keep {
		tail = l.entries[n-keep-1].Version
	}
	return tail, max(0, n-keep-dups)
}

// above returns the index of the first entry above v.
func (l *log) above(v object.Version) int {
	i, _ := slices.BinarySearchFunc(l.entries, v, func(t *Entry, v object.Version) int {
		if t.Version.Compare(v) <= 0 {
			return -1
		}
		return 1
	})
	return i
}

// check panics if the log contradicts itself or info.
func (l *log) check(info *Info) {
	for i := 1; i < len(l.entries); i++ {
		if a, b := l.entries[i-1].Version, l.entries[i].Version; a.Compare(b) >= 0 || a.Version+1 != b.Version {
			panic(fmt.Sprintf("BUG: pg %v: log goes from %v to %v", info.PG, a, b))
		}
	}
	if n := l.newest(); len(l.entries) > 0 && n != info.LastUpdate {
		panic(fmt.Sprintf("BUG: pg %v: newest entry %v, last update %v", info.PG, n, info.LastUpdate))
	}
	if info.LogTail.Compare(info.LastUpdate) > 0 {
		panic(fmt.Sprintf("BUG: pg %v: log tail %v above last update %v", info.PG, info.LogTail, info.LastUpdate))
	}
	for id, t := range l.byReq {
		if t.ReqID != id {
			panic(fmt.Sprintf("BUG: pg %v: request %v finds that of %v", info.PG, id, t.ReqID))
		}
	}
}
