// Package clsrbd has what block device images (RBD) consist of, as clients and
// OSDs both need to know it: the names of objects, the bits of features and
// flags, and the types that travel in calls of the object class "rbd" or are
// kept in its omaps (cls_rbd_types.h, rbd_types.h).
//
// An image is a set of objects in a pool:
//
//	rbd_directory           names and ids of the pool's images
//	rbd_id.NAME             the id of the image with that name
//	rbd_header.ID           its size, features, snapshots, parent, metadata
//	rbd_object_map.ID[.S]   two bits per data object, now and at snapshot S
//	rbd_data.ID.N           its bytes: object N of 2^order bytes
//	rbd_children            clones of protected snapshots (first format)
//	rbd_trash               images that were removed or are being removed
//
// Everything but the bytes is read and changed by calling methods of the class,
// which the OSDs execute: so what may contradict another client is decided
// where the object is. The packages rbd (client) and osd/objclass/rbd (methods)
// are the two sides.
//
// Each type has Encode and Decode, side by side, for package wire.
//
// No compatibility promise.
package clsrbd
