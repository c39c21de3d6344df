// Package rbd is the class "rbd": what librbd and the Linux kernel keep about
// block device images, and the rules for changing it (cls_rbd).
//
// An image is a set of objects in a pool. Its data is in rbd_data.ID.N; all else
// is in a few objects that only this class reads and writes, so that two clients
// who change the same image cannot contradict each other:
//
//	rbd_header.ID       size, features, snapshots, parent, metadata of an image
//	rbd_object_map.ID   two bits per data object: is there anything? (object_map)
//	rbd_id.NAME         the id of the image with this name
//	rbd_directory       the names and ids of a pool's images
//	rbd_children        the clones of a protected snapshot (first format of clones)
//	rbd_trash, rbd_group_directory, rbd_namespace, rbd_mirroring, rbd_info
//	NAME.rbd            all of an image of format 1, in one binary header
//
// Most are omaps: a key for each thing, with a value in Ceph's encoding. The
// form on disk is Ceph's, too, since images are inspected, exported and repaired
// with tools that read the objects themselves.
//
// Each file has one family of methods and their table; [Class] joins the tables.
// The numbers of errors and the order of the checks are Ceph's, too: librbd tells
// an old cluster from a missing image by them.
//
// No compatibility promise.
package rbd
