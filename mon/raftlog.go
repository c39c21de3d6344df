package mon

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/pulpo-storage/pulpo/wire"
)

// Keys of the log. Entries are few: those that were applied long ago are
// removed, and a monitor that misses them gets the whole state instead.
const (
	keyRaft      = "raft/"
	keyEntry     = "raft/log/"  // + index, 16 hex digits
	keyHardState = "raft/vote"  // HardState
	keyApplied   = "raft/state" // progress
	statePrefix  = "s/"         // + service + "/" + key
	keyFormat    = "format"     // format
)

// format is that of the whole store (doc/format/monstore.md).
const format = "pulpo monitor 1"

const (
	keepEntries  = 256     // applied entries kept for monitors that lag
	trimEntries  = 1024    // trim when there are so many
	trimLogBytes = 4 << 20 // or so much
)

// progress is what was applied: written with each batch of applied state.
type progress struct {
	Index, Term uint64
	First       uint64 // the log begins after this entry
	FirstTerm   uint64
	Conf        *raftpb.ConfState
}

func (p progress) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.U64(p.Index)
	e.U64(p.Term)
	e.U64(p.First)
	e.U64(p.FirstTerm)
	e.Blob(marshal(p.Conf))
	e.End(m)
}

func (p *progress) Decode(d *wire.Decoder) {
	env := d.Begin("raft progress", 1)
	p.Index = d.U64()
	p.Term = d.U64()
	p.First = d.U64()
	p.FirstTerm = d.U64()
	p.Conf = new(raftpb.ConfState)
	unmarshal(d, d.Blob(), p.Conf)
	d.End(env)
}

func marshal(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic("BUG: " + err.Error()) // our own messages are always complete
	}
	return b
}

func unmarshal(d *wire.Decoder, b []byte, m proto.Message) {
	if d.Err() != nil {
		return
	}
	if err := proto.Unmarshal(b, m); err != nil {
		d.Fail(err)
	}
}

// raftLog is the raft log: in memory as raft wants it, and as keys in the
// store. It makes snapshots of the whole state when raft asks for one.
type raftLog struct {
	*raft.MemoryStorage
	s    *store
	done progress
	size int // bytes of the entries since the last trim, about
}

func entryKey(index uint64) string { return keyEntry + fmt.Sprintf("%016x", index) }

// open reads the log from the store.
func (l *raftLog) open() error {
	s := l.s
	raw := s.get(keyApplied)
	if s.err != nil {
		return s.err
	}
	if raw == nil {
		return fmt.Errorf("mon: the store is empty: no cluster was made in it")
	}
	if f := string(s.get(keyFormat)); f != format {
		return fmt.Errorf("mon: the store has the format %q, this monitor knows %q", f, format)
	}
	if err := wire.Unmarshal(raw, &l.done); err != nil {
		return fmt.Errorf("mon: raft progress: %w", err)
	}
	snap := &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{
		Index: new(l.done.First), Term: new(l.done.FirstTerm), ConfState: l.done.Conf,
	}}
	if l.done.First > 0 { // else the monitor was let in, but has no state yet
		if err := l.ApplySnapshot(snap); err != nil {
			return err
		}
	}
	if raw := s.get(keyHardState); raw != nil {
		hs := new(raftpb.HardState)
		if err := proto.Unmarshal(raw, hs); err != nil {
			return fmt.Errorf("mon: raft hard state: %w", err)
		}
		if err := l.SetHardState(hs); err != nil {
			return err
		}
	}
	var entries []*raftpb.Entry
	next := l.done.First + 1
	for k, v := range s.scan(keyEntry, prefixEnd(keyEntry)) {
		index, err := strconv.ParseUint(strings.TrimPrefix(k, keyEntry), 16, 64)
		if err != nil {
			return fmt.Errorf("mon: raft log has a key %q", k)
		}
		if index < next {
			continue // was being trimmed
		}
		ent := new(raftpb.Entry)
		if err := proto.Unmarshal(v, ent); err != nil || ent.GetIndex() != index || index != next {
			return fmt.Errorf("mon: raft log is broken at entry %d (%v)", index, err)
		}
		entries = append(entries, ent)
		next++
	}
	if s.err != nil {
		return s.err
	}
	if next <= l.done.Index {
		return fmt.Errorf("mon: raft log ends at %d, before the applied state at %d", next-1, l.done.Index)
	}
	return l.Append(entries)
}

// append writes new entries. Those they replace beyond the last new one go.
func (l *raftLog) append(entries []*raftpb.Entry) {
	if len(entries) == 0 {
		return
	}
	last, _ := l.LastIndex()
	for _, e := range entries {
		b := marshal(e)
		l.size += len(b)
		l.s.put(entryKey(e.GetIndex()), b)
	}
	for i := entries[len(entries)-1].GetIndex() + 1; i <= last; i++ {
		l.s.del(entryKey(i))
	}
	if err := l.MemoryStorage.Append(entries); err != nil {
		l.s.fail(err)
	}
}

func (l *raftLog) setHardState(hs *raftpb.HardState) {
	l.s.put(keyHardState, marshal(hs))
	if err := l.MemoryStorage.SetHardState(hs); err != nil {
		l.s.fail(err)
	}
}

// applied notes how far the state has come, and trims the log behind it.
func (l *raftLog) applied(index, term uint64) {
	l.done.Index, l.done.Term = index, term
	if l.done.Index-l.done.First >= trimEntries || l.size > trimLogBytes {
		l.trim()
	}
	l.s.put(keyApplied, wire.Marshal(l.done))
}

func (l *raftLog) trim() {
	first := l.done.Index
	if len(l.done.Conf.GetVoters()) > 1 {
		first -= min(first-l.done.First, keepEntries)
	}
	if first == l.done.First {
		return
	}
	term, err := l.Term(first)
	if err != nil {
		l.s.fail(err)
		return
	}
	for i := l.done.First + 1; i <= first; i++ {
		l.s.del(entryKey(i))
	}
	if err := l.Compact(first); err != nil {
		l.s.fail(err)
		return
	}
	l.done.First, l.done.FirstTerm, l.size = first, term, 0
}

// Snapshot is the whole state as applied, for a monitor that lags too far.
func (l *raftLog) Snapshot() (*raftpb.Snapshot, error) {
	var e wire.Encoder
	for k, v := range l.s.scan(statePrefix, prefixEnd(statePrefix)) {
		e.Str(k)
		e.Blob(v)
	}
	if l.s.err != nil {
		return nil, l.s.err
	}
	return &raftpb.Snapshot{
		Data: e.Bytes(),
		Metadata: &raftpb.SnapshotMetadata{
			Index: new(l.done.Index), Term: new(l.done.Term), ConfState: l.done.Conf,
		},
	}, nil
}

// install replaces log and state by a snapshot.
func (l *raftLog) install(snap *raftpb.Snapshot) error {
	for k := range l.s.scan(keyEntry, prefixEnd(keyEntry)) {
		l.s.del(k)
	}
	for k := range l.s.scan(statePrefix, prefixEnd(statePrefix)) {
		l.s.del(k)
	}
	d := wire.NewDecoder(snap.GetData())
	for d.Left() > 0 && d.Err() == nil {
		k, v := d.Str(), d.Blob()
		if d.Err() == nil && !strings.HasPrefix(k, statePrefix) {
			d.Failf("key %q", k)
		}
		if d.Err() == nil {
			l.s.put(k, v)
		}
	}
	if d.Err() != nil {
		return fmt.Errorf("mon: snapshot: %w", d.Err())
	}
	meta := snap.GetMetadata()
	l.done = progress{
		Index: meta.GetIndex(), Term: meta.GetTerm(), First: meta.GetIndex(), FirstTerm: meta.GetTerm(),
		Conf: meta.GetConfState(),
	}
	l.size = 0
	l.s.put(keyApplied, wire.Marshal(l.done))
	bare := &raftpb.Snapshot{Metadata: meta}
	return l.ApplySnapshot(bare)
}

// raftLogger hands raft's own log on: its news are of interest only to who
// debugs elections. A panic there is a broken invariant.
type raftLogger struct{ log *slog.Logger }

func (r raftLogger) Debug(v ...any)            { r.log.Debug("raft", "msg", fmt.Sprint(v...)) }
func (r raftLogger) Debugf(f string, v ...any) { r.log.Debug("raft", "msg", fmt.Sprintf(f, v...)) }
func (r raftLogger) Info(v ...any)             { r.Debug(v...) }
func (r raftLogger) Infof(f string, v ...any)  { r.Debugf(f, v...) }
func (r raftLogger) Warning(v ...any)          { r.log.Warn("raft", "msg", fmt.Sprint(v...)) }
func (r raftLogger) Warningf(f string, v ...any) {
	r.log.Warn("raft", "msg", fmt.Sprintf(f, v...))
}
func (r raftLogger) Error(v ...any)            { r.Warning(v...) }
func (r raftLogger) Errorf(f string, v ...any) { r.Warningf(f, v...) }
func (r raftLogger) Fatal(v ...any)            { panic("BUG: raft: " + fmt.Sprint(v...)) }
func (r raftLogger) Fatalf(f string, v ...any) { panic("BUG: raft: " + fmt.Sprintf(f, v...)) }
func (r raftLogger) Panic(v ...any)            { panic("BUG: raft: " + fmt.Sprint(v...)) }
func (r raftLogger) Panicf(f string, v ...any) { panic("BUG: raft: " + fmt.Sprintf(f, v...)) }
