// Package admin is what every daemon answers about itself (AdminSocket in Ceph):
// through its admin socket ("ceph daemon NAME") and through the network ("ceph
// tell NAME") it takes the same commands, one JSON object each.
//
// A [Table] holds a daemon's commands with their signatures, from which tools
// learn what there is and complete what was typed:
//
//	config get name=var,type=CephString
//	pg name=pgid,type=CephPgid name=cmd,type=CephChoices,strings=list_unfound name=offset,type=CephString,req=false
//
// Words without an equals sign are the prefix; the others describe arguments. One
// prefix may have several signatures. Unlike the monitors' commands for the
// cluster, a command is checked against its signature before it is carried out.
//
// [Daemon] has those that are the same for all daemons: configuration, counters,
// version, log.
//
// No compatibility promise.
package admin
