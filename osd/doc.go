// Package osd is the object storage daemon without its shell (Ceph's OSD): what
// it decides, and none of what it does.
//
// It is two kinds of machine. The placement groups are divided among [Shard]s,
// one for each loop that the shell runs; a request goes from the connection
// straight to the shard of its group ([ShardOf]) and back, and no other
// goroutine has a part in it. The [OSD] is the rest, of which there is one: the
// maps, booting and stopping, reports to the monitors, commands. It never holds
// up a request.
//
// They talk through the shell, which delivers in order:
//
//	OSD    -> Shard   [Ready].ToShards: maps, settings, questions
//	Shard  -> OSD     [ShardReady].Answers, WantEpoch, Places
//	reader -> Shard   *pg.Request
//	store  -> Shard   ForPG{pg.Committed}; replies go from the store's callback
//	                  straight to the connection
//
// All machines have the shape Step, Ready, Wake. After each Step the shell
// carries out all of Ready before the next one: see package pg.
//
// A shard serves nobody until the OSD is up, in its newest map, at the
// addresses of this process: a map may still show the one before it.
//
// No compatibility promise.
package osd
