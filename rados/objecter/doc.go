// Package objecter sends operations on objects to the OSDs that serve them and
// brings back the answers, whatever happens to the cluster in between (Ceph's
// Objecter, src/osdc).
//
// # The idea
//
// Nobody tells a client where an object is: it computes the place from the OSD
// map. The map may change while an operation is on its way, and connections
// may be lost, so the objecter keeps each operation until its answer came:
//
//	submitted -> [waits] -> sent -> answered
//	                ^         |
//	                +---------+  the placement group began a new interval, the
//	                             session was lost, the OSD said "not now"
//
// An operation waits while it has no place (no primary, or a pool this map does
// not know), its session is not open, the map says that the cluster or the pool
// is full or paused, or the OSD holds back its range of objects (a backoff). An
// OSD drops, without a word, operations that were sent before the placement
// group's last interval began; so when a map begins a new interval the operation
// is sent again. It keeps its tid: the OSD finds the tid in its log and answers
// a write that was already done instead of doing it twice.
//
// Watches and notifies are more than one question and answer. They are a [Linger],
// which makes the operations that it needs itself: to register, to ping, and to
// register anew when its interval or its session has ended.
//
// # What always holds
//
//   - tids only grow, and what is sent on one session for one object is sent in
//     the order of the tids, in the first round and in each later one.
//   - an operation is in at most one session, that of its current primary.
//   - an operation is completed exactly once, or cancelled.
//   - an interest is either registered, over the session of its current primary,
//     or an operation to register it is under way. Its last notice, if it was
//     not ended before, is of its end.
//   - maps are folded in epoch by epoch; where epochs are missing everything is
//     sent again, since an interval may have passed unseen.
//
// # Parts
//
// [Core] is the machine: no sockets, no goroutines, no clock; events in
// ([Core.Step]), decisions out ([Core.Ready]). [Objecter] is the shell that runs
// it: it owns the connections to OSDs and the mutex, decodes maps and talks to
// the monitors through a small interface.
//
// Operations hold references to their payloads until they are completed, so
// that they can be sent again; a reply's buffers go to whoever submitted.
//
// No compatibility promise.
package objecter
