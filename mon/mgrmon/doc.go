// Package mgrmon is the manager's part of a monitor (PGMap and DaemonServer in
// Ceph): the statistics that OSDs report, and the commands, health checks and
// lines of "ceph -s" that are made of them.
//
// Nothing here is replicated or stored: reports are kept in memory by the
// monitor that leads, which answers as the active manager. After a start the
// sums are complete as soon as each OSD has reported once; until then placement
// groups that nobody told about are "unknown", as in Ceph.
//
// # Invariants
//
//   - For a placement group the report of the newest epoch and sequence counts.
//   - Groups and pools that left the OSD map leave the statistics.
//   - Sums are computed anew when they are asked for after a change, so they
//     cannot drift from what they are the sums of.
//
// No compatibility promise.
package mgrmon
