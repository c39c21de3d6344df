// Package disk is the little that a store needs of files and devices, as
// interfaces, so that the same store runs on a real disk, on one in memory that
// loses power (disk/memdisk) and on one that breaks (disk/faultdisk). In Ceph
// it is BlockDevice and KernelDevice.
//
// A [File] is written and read in whole sectors of [Sector] bytes. A write is
// visible to reads at once and durable after the next [File.Sync] that starts
// after it has returned; until then a crash may keep it, lose it or keep some of
// its 512-byte pieces. Memory that a write goes out from fastest is that of
// [Aligned].
//
// No compatibility promise.
package disk

import (
	"errors"
	"io"
	"unsafe"
)

// Sector is the unit of offsets and lengths.
const Sector = 4096

// ErrLocked says that another process, or another opening, uses the directory.
var ErrLocked = errors.New("in use by another process")

// File is a file of fixed or growing size, or a device. All methods may be
// called at the same time; what overlapping writes leave is undefined.
type File interface {
	// ReadAt fills p from off. Reading beyond the end is io.EOF.
	io.ReaderAt
	// WriteAt writes p, which it borrows, at off; both in whole sectors.
	io.WriterAt
	// Sync makes all writes and allocations that have returned durable.
	Sync() error
	// Allocate makes the file hold off to off+n, with space that later writes
	// cannot find missing. What was not written reads as zeros.
	Allocate(off, n int64) error
	// Size is the number of bytes.
	Size() (int64, error)
	io.Closer
}

// Dir is a directory.
type Dir interface {
	// Create makes an empty file; one that exists is an error.
	Create(name string) (File, error)
	// Open opens a file; one that does not exist is fs.ErrNotExist.
	Open(name string) (File, error)
	// List names what is in the directory, in order; fs.ErrNotExist without one.
	List() ([]string, error)
	// Make makes the directory with its parents.
	Make() error
	// Remove removes a file, or a directory with all in it. None is no error.
	Remove(name string) error
	// Rename renames within the directory, replacing.
	Rename(from, to string) error
	// Sync makes what was created, renamed and removed durable.
	Sync() error
	// Lock locks a file of the directory until Close: ErrLocked if it is.
	Lock(name string) (io.Closer, error)
	// Space returns the bytes of the medium and those that are free.
	Space() (total, free uint64, err error)
	// Path names the directory in messages.
	Path() string
}

// Aligned returns n bytes that begin at a multiple of Sector.
func Aligned(n int) []byte {
	if n == 0 {
		return nil
	}
	b := make([]byte, n+Sector)
	skip := int(-uintptr(unsafe.Pointer(&b[0])) & (Sector - 1))
	return b[skip : skip+n : skip+n]
}

// IsAligned reports whether a write from b needs no copy on the way to a disk.
func IsAligned(b []byte) bool {
	return len(b)%Sector == 0 && uintptr(unsafe.Pointer(unsafe.SliceData(b)))%512 == 0
}
