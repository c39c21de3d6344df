package nbd

import "context"

// Device is what an export gives access to. It is for concurrent use. Errors are
// those of package errno, or wrap them.
type Device interface {
	// Size is the present size in bytes; it may change.
	Size() int64
	// Refresh makes sure that Size is the present one, for a new client.
	Refresh(ctx context.Context) error
	ReadOnly() bool
	// BlockSize is the length in bytes that requests are best aligned to, a power
	// of two.
	BlockSize() uint32
	// ReadAt fills p; the range is within the device.
	ReadAt(ctx context.Context, p []byte, off int64) error
	// WriteAt writes p. On return it is durable or not; Flush tells.
	WriteAt(ctx context.Context, p []byte, off int64) error
	// Trim may forget the content of a range.
	Trim(ctx context.Context, off, n int64) error
	// WriteZeroes makes a range read as zeros; hole: it may lose its space.
	WriteZeroes(ctx context.Context, off, n int64, hole bool) error
	// Flush makes durable what was written before it was called.
	Flush(ctx context.Context) error
	// Extents tells what is in a range, in order and without gaps; it may end
	// early, but not at off.
	Extents(ctx context.Context, off, n int64) ([]Extent, error)
	Close(ctx context.Context) error
}

// Extent is a run of bytes of one kind.
type Extent struct {
	Len  int64
	Hole bool // no space is taken, and it reads as zeros
}

// Exports are the devices that a server offers, by name.
type Exports interface {
	// List names them.
	List(ctx context.Context) ([]string, error)
	// Open opens one; ENOENT if there is none of that name. The empty name asks
	// for the default.
	Open(ctx context.Context, name string) (Device, error)
}
