// Package writeback is a write-back cache in front of a store of bytes
// (ObjectCacher as librbd uses it, with rbd_cache_policy=writeback): writes are
// absorbed, merged, and written some time later.
//
// # What it promises
//
// It is what a disk with a volatile cache promises. A read sees all writes that
// returned before it began. A Flush that returns without error has made durable
// all of them; it is the only barrier: between two of them the store gets the
// changes in any order, but those of the same bytes one after the other. After a
// crash all that was there at the last completed Flush is there, and of each later
// write any part.
//
// # How
//
// What is dirty is a set of extents, in order and without overlaps, each of bytes
// or of zeros. A write puts its bytes into the extents that it meets, or appends
// to the one before it, so that many small writes become few large ones:
//
//	          absorbed            taken: merged with its neighbours
//	caller ------------> dirty -------------------------------------> writing ---> store
//	                       ^                                             |
//	                       +----------- failed; newer bytes win ---------+
//
// Each extent bears the number of the first change in it. A Flush remembers the
// number of the newest change and waits until neither a dirty nor a writing extent
// bears one that is not newer. Extents that meet one that is being written wait,
// so that the older bytes do not come last.
//
// Extents are written when they are old, when there are too many, when a writer
// waits for room, or a Flush for them. A write that fails leaves its bytes dirty:
// the next Flush tries again, and reports it if that fails too. Only Invalidate
// drops bytes, and then the next Flush says so.
//
// # Bounds
//
// Whoever writes reserves room first, and waits for it if there is none: what is
// dirty, being written and reserved is never more than MaxDirty.
//
// No compatibility promise.
package writeback
