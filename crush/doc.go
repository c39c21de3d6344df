// Package crush places data: from a number it computes, without asking anyone,
// the list of devices that hold it (Sage Weil's CRUSH, 2006; in Ceph
// src/crush/, crush_map and CrushWrapper).
//
// A [Map] is a tree. Leaves are devices, with ids from 0 up; inner nodes are
// buckets, with ids from -1 down, each of a type (host, rack, root) and with
// an algorithm that draws one of its items, by weight, from a hash of
// (x, item, r). A [Rule] is a small program over that tree: take a bucket,
// choose n distinct items of a type below it, descend to leaves, emit. A draw
// that collides with an earlier one, or meets a device that is out, is
// repeated with another r. "firstn" results close ranks when an item is lost
// (replicas), "indep" results keep their positions and leave holes, [ItemNone]
// (erasure-coded shards).
//
// Everybody who looks for an object runs this: clients, kernels, daemons. The
// results therefore equal those of Ceph bit for bit, for all bucket algorithms
// and all tunables, or data is lost from sight.
//
// Beside the tree the map holds names, and three things built from it:
//   - Device classes. For a class in use each bucket has a shadow, a copy with
//     only the devices of the class, named "bucket~class". A rule that takes
//     "default class ssd" takes the shadow. Shadows are rebuilt by
//     RebuildShadows after every change of tree or classes.
//   - Choose args: other weights (by position) or ids for the items of a
//     bucket, kept under a key: a pool's id, or -1 for all pools.
//   - Tunables, which repair old mistakes of the algorithm one by one, so that
//     old clusters do not have to move their data.
//
// Weights are 16.16 fixed point, and a bucket's weight is the sum of its
// items'; the editing methods keep it so up to the roots.
//
// A Map that is shared must not be edited: Clone it first. An edit that fails may
// have been made in part, which is another reason to edit a clone. DoRule may be
// called by many goroutines at once. Sources: doc/protocol/maps.md#crush.
//
// No compatibility promise.
package crush
