// Package scrub is what a scrub decides (Ceph's PgScrubber, ScrubStore and the
// scrub part of PGBackend): whether the copies of a group's objects are what they
// were, which of them is right, and what can be repaired.
//
// # The way of a scrub
//
// A group is scrubbed in chunks ([NextChunk]), in the order of its objects. Each
// OSD of the group makes a [Map] of its copy of the chunk ([Builder], a bounded
// piece of work at a time): sizes and attributes, and in a deep scrub the
// checksums of data and omap too. The primary compares the maps ([Compare]): it
// chooses the copy that is right, names what is wrong with the others in the
// words of librados, and says which copies to overwrite with which. Then it
// checks what the right copies say of each other ([Checker]): clones against
// what their head knows of them, and the sums of it all against the group's. With the
// last chunk it compares the logs ([CompareLogs]).
//
// # What is certain
//
// A copy that is missing, or cannot be read, or contradicts its own object info,
// is wrong, whatever the others are. Where copies only differ from each other,
// what most of them agree on is taken for right, and the primary's if there is no
// majority; this is what Ceph would call an error of the object, without naming a
// shard. An object of which no copy is sound is never touched.
//
// # No false findings
//
// A map is only compared with maps of the same moment. The primary asks for maps
// behind all writes that it has sent, on the same ordered connections. A write in
// the chunk makes it throw the maps away and begin the chunk again, smaller; after
// some of those (osd_scrub_max_preemptions) the write waits instead. Snapshots are
// not trimmed meanwhile, and what is written to objects that have been passed is
// added to the sums.
//
// The package is data and maths over an [objstore.Store]: who holds a group
// (osd/pg) steps it, and carries the maps between OSDs.
//
// No compatibility promise.
package scrub
