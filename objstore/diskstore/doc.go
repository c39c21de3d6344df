// Package diskstore is the object store on a disk (what BlueStore is to Ceph).
// doc/format/diskstore.md has its format.
//
// # Parts
//
// A directory holds a file "block" and a directory "meta". The file begins with
// the superblock; the [journal] follows, then blocks of 4096 bytes, which hold
// object data and nothing else. In meta is a Pebble database with all metadata,
// above all the onodes: an onode is what is known of an object, with a map of
// its blocks and the crc32c of each.
//
// # The way of a transaction
//
// Submit executes a transaction on copies of the onodes it touches (exec.go).
// Data never overwrites data: it gets fresh blocks, and a block written in part
// is first merged with what it held. The outcome is a record: a Pebble batch
// with the new onodes and omap entries, the blocks taken and given up, and the
// data. Small data is in the record itself and in memory ([pendingData]) until it
// is written to its blocks; large data goes to its blocks at once.
//
// The record is queued for the journal, the batch is applied to Pebble (to its
// memtable: Pebble's own log is off), the new onodes go to the cache. From here
// on reads see the transaction. When its group is durable the callback runs.
//
// # Checkpoints
//
// From time to time a goroutine (checkpoint.go) takes all records that are
// durable in the journal, writes their small data to its blocks, syncs, flushes
// Pebble, and with it the number of the last of these records and the bitmap of
// blocks in use at that point. Then the journal is needed only from there on.
//
// Opening reads Pebble and the bitmap and replays the journal from the
// checkpoint: blocks taken and given up, data into memory, and the batches of
// those records that are not in Pebble yet; every batch carries the number of its
// record, so it is known which they are.
//
// # What must hold
//
//   - Pebble must not make a batch durable before the journal has its record: the
//     blocks it refers to may hold nothing yet. Since memtables are flushed when
//     Pebble likes, the file system under it makes the sync of a table wait for
//     the journal (meta.go).
//   - A checkpoint passes a record only when Pebble has its batch: the journal may
//     be faster (Store.applied).
//   - A block that was given up is not handed out before the checkpoint has passed
//     the record that did it. Until then a replay may write to it, or return to a
//     state that needs it.
//   - The journal never waits for a checkpoint once a record is queued, since a
//     checkpoint may wait for the journal: room is reserved before.
//   - Onodes in the cache, and those handed out by it, never change; a transaction
//     makes new ones. So readers need no lock.
//
// Lock order: Store.mu, then Store.applied, then any of the locks of the cache,
// the pending data, the space, the records and the journal, which are leaves.
// Submit holds Store.mu throughout, also where it waits for room in the journal or
// for a checkpoint to give blocks back; the journal's and the checkpoint's
// goroutines never take it. That wait is the backpressure of the store: memory
// keeps to its target (memory.go). What happens when a file system is full is told
// in room.go.
//
// No compatibility promise for the API; the format has feature bits.
package diskstore
