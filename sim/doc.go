// Package sim runs a whole cluster (monitors, OSDs with their shards, clients) in
// one goroutine, from one seed, in virtual time, and breaks it on purpose. The
// idea is FoundationDB's and TigerBeetle's: the daemons are pure machines, so
// whatever surrounds them can be replaced by something that is deterministic and
// hostile.
//
// # What is real and what is not
//
// Real are the machines as the daemons run them: mon.Mon, osd.OSD, osd.Shard with
// its groups, objecter.Core, and every message's encoding. The package takes the
// place of package node: loops with inboxes and timers, connections, disks, the
// line to the monitors.
//
//	World      time, the queue of events, the seed, the trace
//	process    one life of a daemon: its loops, connections and timers end with it
//	loop       a goroutine of the shell: inbox, timer, one event at a time
//	network    connections in order; delay, cuts in one or both directions, resets
//	disk       a store of which a crash keeps a prefix; slow, full
//	client     the objecter's core, and a history of what it was told
//	Plan       who takes part, and a list of what is done and broken when
//
// # One seed, one run
//
// Nothing here or in the machines reads a clock or a random number that does not
// come from the [World]. [Generate] makes a [Plan] of a seed; a plan is text, so
// that one which found something can be kept in testdata and cut down to what
// matters ([Shrink]). The same plan gives the same trace, byte for byte; a test
// sees to that, which is what finds a machine that ranges over a map.
//
// # What a plan may break
//
// Only what a cluster must survive:
//
//   - processes: any number, at any time, with or without a word to their peers
//     ("kill", "power"). What their disks had made durable is there again.
//   - disks: a crash loses what was not durable, and perhaps not all of that. A
//     disk may become slow or full. While all groups are clean the data of a copy
//     may rot, or a disk be lost and replaced by an empty one (rot.go); else no
//     disk loses what it said was durable.
//   - network: any message late, any connection reset, any pair cut in one or both
//     directions, for a time. Nothing is altered: that is msgr's to find out.
//   - clocks: each process's is wrong by a constant; all run at the same speed.
//   - at the end everything is repaired, and then the cluster must become whole.
//
// # What must hold
//
// Each file check_*.go has one invariant, with the moment at which it is looked
// at: after each event if it is cheap, at quiet points if it is not.
//
// No compatibility promise.
package sim
