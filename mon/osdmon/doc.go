// Package osdmon keeps the OSD map (Ceph's OSDMonitor): which OSDs there are,
// which are up and in, the pools, the CRUSH map, and the switches and limits of
// the whole cluster.
//
// Everything that changes the map, be it a command, a message of an OSD or time
// that passed, is staged in one pending incremental. The next proposal makes it
// the next epoch, for everybody the same bytes: the incremental names the
// checksum of the full map it leads to, and Apply refuses one that does not come
// true.
//
//	command, message, tick
//	   | read the view: the committed map with what is pending folded in
//	   v
//	pending incremental, on the committed map
//	   | Propose: derived flags (full pools), times, checksum
//	   v
//	change {incremental, metadata} -> raft -> Apply: inc/E, full/E, meta/OSD
//
// # What is stored
//
//	range       oldest and newest epoch, u32 each
//	inc/E       incremental of epoch E (8 hex digits), as it travels
//	full/E      full map: of every 16th epoch, of the oldest and the newest
//	meta/O      what OSD O (decimal) told of itself, map<string, string>
//	purged/P    snapshots of pool P (decimal) whose clones are gone, interval_set
//
// The full maps between are made of those before them. Epochs that no placement
// group and no OSD in the cluster can still need are trimmed, but so many as
// mon_min_osdmap_epochs says are kept.
//
// # Invariants
//
//   - Commands look at the view and write to the pending incremental, so several
//     of them in one proposal act as if each had been alone.
//   - States travel as bits to flip; only pending.setState computes them.
//   - Everything that is decided by the leader (times, ids, what is trimmed) is
//     in the change; Apply uses nothing else but the state.
//   - The statistics (package mgrmon) are in memory of the leader and may be
//     missing; nothing that needs them is decided before they are there.
//
// No compatibility promise.
package osdmon
