// Package recovery is how copies of a placement group become equal again: the
// parts of it that need not know what a group is (Ceph's ReplicatedBackend
// pushes, the backfill of PrimaryLogPG, AsyncReserver, and the counting of
// PeeringState).
//
// Two things can be wrong with a copy. It may lack objects that are known by
// name and version: its log ends somewhere in the log of the others, and what
// that has since is what it is missing. That is recovered object by object. Or
// its log ends before the others' begin, or it has none; then it is backfilled:
// both collections are walked through side by side, and what differs is copied.
//
// # Moving an object
//
//	[Lineage]  which bytes of a version must travel, and which the other side
//	           takes from older or newer versions that it has
//	[Source]   reads a version in pieces of bounded size: each is a [Push]
//	[Incoming] folds pushes into transactions. An object of one piece is replaced
//	           by one transaction. Of a larger one the pieces gather in a temporary
//	           object, [Temp], and the transaction of the last piece renames it. So
//	           nobody ever sees a part, and what a crash leaves behind is found by
//	           its name and removed ([Leftovers]).
//
// Who sends asks for the next piece when the one before is durable at the other
// side. So there is never more than one piece of an object under way, and memory
// is bounded by the number of objects that move at a time. While an object moves
// nobody writes to it: the group holds requests for it back, and only for it.
//
// # Backfill
//
// [Backfill] decides what a target needs. It works on units: a head with all its
// clones, for a write to a head may make a clone of it, and if the boundary ran
// between the two the clone would be lost. Units up to a target's last_backfill
// are complete there and get all writes; the unit that is being copied is not
// written to; those above it get only the entries of the log.
//
// # Sharing an OSD
//
// [Reserver] lets few groups at a time recover on an OSD, the most urgent first
// ([Priority]). [Census] counts what is missing, degraded and misplaced.
//
// Everything here is data and decisions, without clock, goroutine or network. It
// reads a store through its contract and adds steps to transactions.
//
// No compatibility promise.
package recovery
