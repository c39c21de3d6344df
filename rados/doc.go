// Package rados is a client of Ceph clusters, Pulpo's and stock ones, in pure
// Go (librados). It is part of Pulpo's promised API.
//
// # The idea
//
// A cluster keeps objects: named byte sequences, with extended attributes and an
// ordered map of keys and values (omap). An object lives in a pool, there in a
// namespace, and where it is stored follows from its name: the client computes
// the placement group and the OSDs and talks to them directly.
//
// What one does with an object is a sequence of steps that is executed as one,
// atomically: [ReadOp] and [WriteOp]. The methods of [Pool] are the common
// sequences of one step.
//
//	c, err := rados.ConnectFile(ctx, "/etc/ceph/ceph.conf")
//	pool, err := c.Pool(ctx, "data")
//	err = pool.WriteFull(ctx, "greeting", []byte("hello"))
//	for o, err := range pool.Objects(ctx) { ... }
//
// # Snapshots
//
// A pool has one kind of snapshots or the other, from the first one on. Those of
// the pool have names and concern all its objects: the OSDs keep what writers
// overwrite ([Pool.CreateSnap]). Self-managed ones are only numbers that the
// monitors give out ([Pool.CreateSelfManagedSnap]); which objects they concern is
// up to the writers, who say so with each write ([Pool.SnapContext]). Images of
// rbd are built on those. Either way the first write after a snapshot turns the
// object, as it was, into a clone, and [Pool.AtSnap] reads what was there at a
// snapshot. Handles are values: deriving one changes no other and costs little.
//
// # Watch and notify
//
// Clients that watch an object are told what others say about it, and whoever
// says it hears what they answer ([Pool.Watch], [Pool.Notify]). Together with
// locks ([Pool.Lock]) and the blocklist ([Pool.EvictLock]) it is how clients
// agree on who may do what.
//
// # What happens underneath
//
// Operations are sent again when the cluster changes or a connection breaks,
// until they are answered; an OSD that has done one already answers again
// instead of doing it twice. So a call fails only for a reason of its own, or
// when its context ends. Calls wait while the pool is full (Pool.FailIfFull) or
// no OSD serves the object: give them a context with a deadline if that is not
// wanted. A write whose context ends first may have been done or not.
//
// # Errors
//
// Errors are of type [*Error] or [*CommandError] and wrap what the cluster said:
//
//	errors.Is(err, rados.ErrNotFound)  // or fs.ErrNotExist
//
// # Concurrency
//
// [Cluster] and [Pool] are for concurrent use. Operations of one goroutine are
// one after the other; to have many in flight, begin each in a goroutine of its
// own, which costs little beside the operation. Those of several goroutines on
// one object are done in the order in which they were begun.
package rados
