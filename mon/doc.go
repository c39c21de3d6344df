// Package mon is a monitor (Ceph's Monitor): it keeps the cluster's maps,
// accounts and configuration, all monitors the same, and tells everybody who
// asks or has subscribed. It plays the manager's part too: a second listener
// with the manager's address leads into the same machine.
//
// # The machine
//
// [Mon] decides, package node acts: events go in by [Mon.Step], and
// [Mon.Ready] says what must be done, writes before sends. The core knows
// sessions, subscriptions, commands and the quorum; what the state means is the
// business of services (package service and the folders beside it).
//
//	message or command
//	   | read: answered from the committed state, once that is known to be the
//	   |       newest (read.go)
//	   | write, on another monitor than the leader: forwarded (forward.go)
//	   | write: waits until nothing is on its way, then the service checks it
//	   v        and adds it to its pending change
//	pending changes of all services = one entry of the raft log
//	   | Ready.Batch, synced
//	   v
//	committed: every service applies its change, Ready.Batch, not synced
//	   |
//	   v
//	replies, subscriptions
//
// # Several monitors
//
// One raft group (go.etcd.io/raft) keeps the log. Monitors talk to each other in
// messages of their own (peer.go); the shell carries them and loses some. Who is
// in the group follows from the monitor map, one step at a time (member.go);
// what the leader knows of the others besides is in quorum.go.
//
// A client may use any monitor:
//
//	logins          everywhere; peons have ranges of global ids from the leader
//	reads           everywhere, but those of what only the leader has in memory
//	                (statistics, health), which are forwarded as writes are
//	subscriptions   everywhere, from the applied state
//	the manager     at the leader; the others' sessions are closed, and the map
//	                says where it is
//	no quorum       nothing but "tell"; who waits longer than mon_lease is sent
//	                away, after two of them everybody
//
// The leader's silence is noticed within one to two seconds, a broken connection
// to it at once. Time plays no part in what is right: a monitor that was
// partitioned, stopped or has a wrong clock may be slow, but shows nothing that
// is not so any more.
//
// # What is durable
//
// The raft log is written synced before anything is said about it. Applied
// state is derived from it: it goes into the same store, in one batch with the
// index up to which it was applied, and needs no sync. After a crash the log
// from that index on is applied again. So a command costs one synced write,
// and so do all commands that arrived while the one before was written.
//
// # Invariants
//
//   - At most one entry of this leader is on its way, and while it is, nothing
//     is pending: pending changes always build on the committed state.
//   - A reply that reports a change is sent after the entry was committed here.
//   - Services see reads of everything applied, written or not yet (store).
//   - A read sees every change that was reported before it came, on whichever
//     monitor either was.
//   - One leader serves a forwarded request once.
//   - No global id is given twice.
//   - A number in the raft group is that of one store: whoever comes with another
//     one under the same name gets another number.
//   - Two monitors that applied the same log have the same bytes under all keys
//     but raft's own.
//
// No compatibility promise.
package mon
