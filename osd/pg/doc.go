// Package pg is a placement group (Ceph's PG and PrimaryLogPG): the machine
// that orders the operations on a share of a pool's objects, makes one
// transaction of each, and keeps the log by which a request that comes twice is
// answered and not run again.
//
// A PG is a pure machine. Its input is an [Event]: a request of a client, a
// transaction that became durable, a new map. What must happen is in [Ready].
// It reads its own collection through [objstore.Store] whenever it likes;
// everything else (transactions, messages, objects of other groups) is an
// effect. It owns no goroutine and knows no clock: one loop steps it.
//
// # The way of a request
//
//	admit    is it for this group, this interval, this client's capabilities?
//	resent   does the log know its id? then the stored result is the answer
//	context  what is the object now? (objectContext, cached)
//	execute  each operation of the vector changes an execution, which stages
//	         the steps of a transaction; later operations see what earlier
//	         ones staged (view); the first that fails ends it, nothing is left
//	commit   version, log entry and object info join the same transaction
//	reply    with the transaction, sent once it is durable
//
// # Invariants
//
// A reply never tells of something that a crash can take back: that of a write
// travels with its transaction, and that of a read which saw a write that is
// not durable waits for it. Transactions of a collection become durable in the
// order of their submission, so waiting for the newest one seen is enough.
//
// After a Step the shell carries out [Ready] before the next Step; in
// particular it submits the transactions. So the store always shows what the
// machine decided. If a store refuses a transaction (no space) the shell says
// so at once with [SubmitFailed] and the machine takes the decision back.
//
// LastUpdate is the version of the newest log entry; versions rise by one with
// each entry; the log holds all of (LogTail, LastUpdate], and below the tail
// the ids and results of some more requests. check tests this.
//
// # What is on disk
//
// All of it is in the group's collection: the objects, each with its attribute
// "oi" ([ObjectInfo]), users' attributes with "_" before their names, and the
// group's own object, whose name is empty and which holds in its omap "info"
// ([Info], written when an interval begins) and the log, one key for each
// entry. The newest entry also carries the figures of Info that change with
// every write, so that a write costs one key. See doc/format/pg.md.
//
// No compatibility promise.
package pg
