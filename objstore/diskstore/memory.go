package diskstore

import "github.com/pulpo-storage/pulpo/objstore/diskstore/journal"

// Memory.
//
// A store keeps to a target, [Options.Memory]:
//
//	an eighth   onodes, the least recently used of which go first
//	an eighth   blocks of Pebble's tables
//	a half      what records hold until a checkpoint has passed them: data that
//	            rode in the journal, and metadata in memtables. With half of
//	            that a checkpoint begins; when all is taken Submit waits, and with
//	            it those who wait for Submit, up to the clients
//	a quarter   large data on its way to the disk; when that is taken Submit
//	            waits too
//
// What reads return, the journal's buffer and a checkpoint's come on top: some
// MiB, and what those who read hold.

// DefaultMemory is the target of a store that is given none.
const DefaultMemory = 128 << 20

// minMemory is what a store cannot do without.
const minMemory = 4 << 20

// memory is how a target is shared out, in bytes.
type memory struct {
	onodes, blocks int64
	memTable       int64 // one of Pebble's, at most
	records        int64
	direct         int64
}

func shareOut(target int64) memory {
	target = max(target, minMemory)
	return memory{
		onodes: target / 8, blocks: target / 8, records: target / 2, direct: target / 4,
		// While one is flushed another is filled.
		memTable: min(target/16, 16<<20),
	}
}

// SetMemory changes the target of an open store. The blocks of Pebble keep what
// they have.
func (s *Store) SetMemory(target int64) {
	m := shareOut(target)
	s.cache.setLimit(int(m.onodes))
	s.jrnl.SetMemory(m.records, m.direct)
}

// What is held beside the bytes that are counted, about.
const (
	recordCost   = 256 // a record
	blockCost    = 64  // a block in pendingData
	metaItemCost = 64  // an entry in a memtable
)

// need is what a record of so many bytes in the journal takes.
func (r *record) need(size int64, batch int, items uint32, last bool) journal.Need {
	n := journal.Need{Size: size, Held: int64(recordCost+batch) + metaItemCost*int64(items), Last: last}
	for i := range r.placed {
		if p := &r.placed[i]; p.direct {
			n.Direct += int64(p.run.Len) * blockSize
		} else {
			n.Held += int64(p.run.Len) * (blockSize + blockCost)
		}
	}
	return n
}
