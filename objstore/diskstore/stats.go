package diskstore

import (
	"sync/atomic"
	"time"

	"github.com/pulpo-storage/pulpo/objstore/diskstore/journal"
)

// counters are updated where things happen.
type counters struct {
	stored, allocated  atomic.Uint64
	meta, omap         atomic.Uint64 // bytes of metadata and of its part omap, as last measured
	omapPut            atomic.Uint64 // bytes set since then
	reads              atomic.Uint64
	checksumErrors     atomic.Uint64
	readErrors         atomic.Uint64
	metaErrors         atomic.Uint64
	deferredBytes      atomic.Uint64
	checkpoints        atomic.Uint64
	checkpointTime     atomic.Int64
	replayed, replayMS atomic.Uint64
}

// Stats is what a store counts since it was opened.
type Stats struct {
	Journal        journal.Stats // commits, their groups and latencies
	JournalUsed    int64
	JournalSize    int64
	Reads          uint64
	ChecksumErrors uint64 // blocks that were not what was written
	ReadErrors     uint64 // of the medium
	MetaErrors     uint64 // records of metadata that could not be read
	DeferredBytes  uint64 // data that went through the journal to its blocks
	Checkpoints    uint64
	CheckpointTime time.Duration
	PendingBytes   int   // data in memory, not in its blocks
	HeldBytes      int64 // memory of all that waits for a checkpoint
	DirectBytes    int64 // memory of data on its way to its blocks past the journal
	CacheHits      uint64
	CacheMisses    uint64
	CacheBytes     int
	Replayed       uint64 // records, at opening
	ReplayTime     time.Duration
}

// Stats returns the counters.
func (s *Store) Stats() Stats {
	used, size := s.jrnl.Used()
	st := Stats{
		Journal: s.jrnl.Stats(), JournalUsed: used, JournalSize: size,
		Reads:          s.stats.reads.Load(),
		ChecksumErrors: s.stats.checksumErrors.Load(),
		ReadErrors:     s.stats.readErrors.Load(),
		MetaErrors:     s.stats.metaErrors.Load(),
		DeferredBytes:  s.stats.deferredBytes.Load(),
		Checkpoints:    s.stats.checkpoints.Load(),
		CheckpointTime: time.Duration(s.stats.checkpointTime.Load()),
		PendingBytes:   s.pending.bytes(),
		Replayed:       s.stats.replayed.Load(),
		ReplayTime:     time.Duration(s.stats.replayMS.Load()) * time.Millisecond,
	}
	st.HeldBytes, st.DirectBytes = s.jrnl.Held()
	s.cache.mu.Lock()
	st.CacheHits, st.CacheMisses, st.CacheBytes = s.cache.hits, s.cache.misses, s.cache.size
	s.cache.mu.Unlock()
	return st
}
