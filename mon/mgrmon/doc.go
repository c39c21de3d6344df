// Package mgrmon is the manager's part of a monitor (PGMap and DaemonServer in
// Ceph): the statistics that OSDs report, and the commands, health checks and
// lines of "ceph -s" that are made of them.
//
// Nothing here is replicated or stored: reports are kept in memory by the
// monitor that leads, which answers as the active manager. After a start the
// sums are complete as soon as each OSD has reported once; until then placement
// groups that nobody told about are "unknown", as in Ceph.
//
//	OSDReport --> pgmap: a PGStat per group, an OSDStat per OSD
//	                |  follows the OSD map: groups and OSDs come and go
//	                |
//	                +--> sums     of pools, OSDs, device classes, states
//	                +--> window   of what happened lately: the io section
//
// # Invariants
//
//   - For a placement group the report of the newest epoch and sequence counts.
//   - Groups and pools that left the OSD map leave the statistics.
//   - Sums are computed anew when they are asked for after a change, so they
//     cannot drift from what they are the sums of. Rates are made of differences
//     between two reports of one group, so a first report is no burst of work.
//
// # Numbers and words
//
// What is printed is compared by scripts: the fields, their order and the words
// are those of the stock release, and so is the arithmetic. Ceph computes ratios
// and sizes per replica with single precision, so this package does where the
// result is shown. Ceph lists pools, OSDs and groups in the arbitrary order of a
// hash table; here the order is fixed.
//
// No compatibility promise.
package mgrmon
