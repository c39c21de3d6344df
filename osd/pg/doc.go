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
// # Copies
//
// A group has as many copies as its pool wants, on OSDs that the map names. One
// is the primary: it alone decides, the others do what it did. At the beginning
// of each interval it finds out what was acknowledged before and makes the others
// agree (peering.go, replica.go; package pglog has the argument). Then each
// transaction with an entry of the log goes to all of them (replicate.go), and
// what is told of it waits until all have it. While they keep their promises no
// other primary answers (lease.go). What a copy lacks is brought to it, and a
// request waits for the objects that it needs, for no others (recover.go).
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
// # Snapshots
//
// A snapshot is a number, higher than all before. What an object was at a
// snapshot is not kept when the snapshot is made, but when the object is changed
// for the first time after it: the head, which clients write to, is cloned
// first. A write says by its snapshot context which snapshots there are. The
// head's [SnapSet] lists the clones. With clones c1 < c2 < ... < cn and the
// head's sequence number q >= cn, these rules hold (check tests them):
//
//	(q, ∞)          served by the head: nothing has changed since
//	(c(i-1), ci]    served by clone ci, and only those of them that are in its
//	                list; at the others the object did not exist, or they are
//	                no snapshots of clients, or are being removed
//	(cn, q]         served by nobody: the head was made or changed since
//
// The list of a clone is never empty; when its last snapshot is removed, the
// clone is. The overlap of a clone is bytes that the next newer version has
// unchanged, so it ends where the shorter of both ends. It may name fewer than
// there are, never others. The group's sum of bytes has those of each head, and
// of each clone what it does not share.
//
// Clones are objects of the store under the head's name with their number for
// the snapshot; they share the head's blocks. A deleted head with clones stays
// as a whiteout, an empty object with a flag: to clients it does not exist,
// though a listing of the group has it, as with Ceph. A clone and the change
// that it was made for are one transaction, with an entry of the log each. An
// index in the group's own object finds the clones of a snapshot.
//
// # What is on disk
//
// All of it is in the group's collection: the objects, each with its attribute
// "oi" ([ObjectInfo]), heads with "ss" ([SnapSet]) if a snapshot concerned them,
// users' attributes with "_" before their names, and the group's own object,
// whose name is empty and which holds in its omap "info" ([Info], written when an
// interval begins), the index of clones, the names of the objects that are
// watched, and the log, one key for each entry. The newest entry also carries
// the figures of Info that change with every write, so that a write costs one
// key. See doc/format/pg.md.
//
// No compatibility promise.
package pg
