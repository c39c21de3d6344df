// Package rbd is a client of block device images (librbd) in pure Go, on Pulpo's
// clusters and stock ones, together with librbd and the kernel on the same
// images. It is part of Pulpo's promised API.
//
// # The idea
//
// An image is an array of bytes cut into objects, by default of 4 MiB, that a
// pool keeps: see package clsrbd for their names. Objects nobody wrote to do not
// exist and read as zeros, so an image takes the space that is used.
//
//	pool, err := cluster.Pool(ctx, "rbd")
//	err = rbd.Create(ctx, pool, "disk", 10<<30, rbd.CreateOptions{})
//	img, err := rbd.Open(ctx, pool, "disk", rbd.OpenOptions{})
//	defer img.Close(ctx)
//	_, err = img.WriteAt(ctx, p, 4096)
//
// What is more than that stands in the image's header, an object that only
// methods of the class rbd change: size, features, snapshots, parent. An Image
// has a copy of it, and looks again when it is told that the header changed.
//
// # Concurrency
//
// All methods may be called at any time by any goroutine. Writes that overlap
// and run at one time are done in either order, in each object of its own; one
// that has returned is durable, and seen by all reads that begin later. With
// OpenOptions.Cache it is durable after the next Flush.
//
// # Errors
//
// Errors are of type *Error and wrap Linux error numbers: errors.Is(err,
// errno.EROFS), or errors.Is(err, fs.ErrNotExist).
package rbd
