// Package heartbeat finds out which other OSDs are alive (the heartbeats of
// Ceph's OSD).
//
// An OSD pings its peers every few seconds, each over two networks: the front
// one, where clients are, and the back one, where OSDs talk to each other. Both
// must answer. It does so on connections of their own, so that neither load nor a
// long queue is taken for death.
//
//	maps, groups' peers ----> [Machine] ----> pings, for the shell to send
//	pings, answers ---------> [Machine] ----> answers
//	nobody listens ---------> [Machine] ----> reports to the monitors
//
// # Who is pinged
//
//	with whom groups that we are the primary of are shared
//	the nearest OSDs by number, up and down: so the pings of all make one ring
//	OSDs of other parts of the tree, so that reports count (mon_osd_min_down_reporters)
//	more by number, up to osd_heartbeat_min_peers
//
// # When a peer is reported
//
//	no answer for osd_heartbeat_grace           failed since the last ping that was answered; repeated
//	nobody listens at its address               failed at once, if osd_fast_fail_on_connection_refused
//	it answers again, or need not be pinged     withdrawn
//	a map shows it down, or another process     forgotten
//
// # Maps
//
// Pings and answers tell which map their sender has. Who has a newer one sends what
// the other lacks, over the same connection.
//
// A machine has no clock: ping times are measured with the times of its Steps. A
// process that stood still finds its answers late; it gives the others as much
// more time.
//
// Invariants, which check() verifies: an OSD never pings itself or one that is
// down; pings of one peer have rising stamps and deadlines; there is at most one
// report about a process of a peer that is not withdrawn.
//
// No compatibility promise.
package heartbeat
