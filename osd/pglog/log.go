package pglog

import (
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/object"
)

// Log is the newest entries, and the ids of some requests before them (PGLog with
// its dups). Versions rise along Entries; those up to Info.LogTail are there for
// their request ids only.
type Log struct {
	Entries []*Entry
	byReq   map[object.ReqID]*Entry
}

// Append adds the newest entry.
func (l *Log) Append(t *Entry) {
	l.Entries = append(l.Entries, t)
	if t.ReqID != (object.ReqID{}) {
		if l.byReq == nil {
			l.byReq = map[object.ReqID]*Entry{}
		}
		l.byReq[t.ReqID] = t
	}
}

func (l *Log) forget(t *Entry) {
	if l.byReq[t.ReqID] == t {
		delete(l.byReq, t.ReqID)
	}
}

// Undo takes the newest n entries away again.
func (l *Log) Undo(n int) {
	keep := len(l.Entries) - n
	for i, t := range l.Entries[keep:] {
		l.forget(t)
		l.Entries[keep+i] = nil
	}
	l.Entries = l.Entries[:keep]
}

// Rewind takes the entries above v away and returns them, oldest first.
func (l *Log) Rewind(v object.Version) []*Entry {
	gone := slices.Clone(l.Entries[l.Above(v):])
	l.Undo(len(gone))
	return gone
}

// Find returns the entry of a request that came before.
func (l *Log) Find(id object.ReqID) *Entry { return l.byReq[id] }

// Newest returns the version of the newest entry.
func (l *Log) Newest() object.Version {
	if len(l.Entries) == 0 {
		return object.Version{}
	}
	return l.Entries[len(l.Entries)-1].Version
}

// Has reports whether the log has the entry of a version.
func (l *Log) Has(v object.Version) bool {
	i := l.Above(v)
	return i > 0 && l.Entries[i-1].Version == v
}

// Drop forgets the n oldest entries.
func (l *Log) Drop(n int) {
	for i, t := range l.Entries[:n] {
		l.forget(t)
		l.Entries[i] = nil
	}
	l.Entries = l.Entries[n:]
}

// Trimmed says what to do so that no more than keep entries and dups ids stay:
// the new tail, and how many of the oldest to drop.
func (l *Log) Trimmed(keep, dups int) (tail object.Version, drop int) {
	n := len(l.Entries)
	if n > keep {
		tail = l.Entries[n-keep-1].Version
	}
	return tail, max(0, n-keep-dups)
}

// SetTail makes ids of the entries between two versions.
func (l *Log) SetTail(was, tail object.Version) {
	for _, t := range l.Entries[l.Above(was):max(l.Above(was), l.Above(tail))] {
		t.Object = object.ID{}
	}
}

// Above returns the index of the first entry above v.
func (l *Log) Above(v object.Version) int {
	i, _ := slices.BinarySearchFunc(l.Entries, v, func(t *Entry, v object.Version) int {
		if t.Version.Compare(v) <= 0 {
			return -1
		}
		return 1
	})
	return i
}

// Check panics if the log contradicts itself or info.
func (l *Log) Check(info *Info) {
	for i := 1; i < len(l.Entries); i++ {
		// One after the other, but where entries of other groups that this one was
		// split from have been.
		if a, b := l.Entries[i-1].Version, l.Entries[i].Version; a.Compare(b) >= 0 || a.Version >= b.Version {
			panic(fmt.Sprintf("BUG: pg %v: log goes from %v to %v", info.PG, a, b))
		}
	}
	if n := l.Newest(); n.Compare(info.LastUpdate) > 0 {
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

// CheckWhole panics if not all entries above the tail are there, as they are in a
// group that was never split.
func (l *Log) CheckWhole(info *Info) {
	at := info.LogTail.Version
	for _, t := range l.Entries[l.Above(info.LogTail):] {
		if at++; t.Version.Version != at {
			panic(fmt.Sprintf("BUG: pg %v: %v follows version %d in the log (%v,%v]", info.PG, t.Version, at-1, info.LogTail, info.LastUpdate))
		}
	}
	if at != info.LastUpdate.Version {
		panic(fmt.Sprintf("BUG: pg %v: log (%v,%v] ends with version %d", info.PG, info.LogTail, info.LastUpdate, at))
	}
}
