package rados

import (
	"errors"
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
)

// What a cluster refuses with, for errors.Is. ErrNotFound, ErrExists and
// ErrPermission also match fs.ErrNotExist, fs.ErrExist and fs.ErrPermission.
const (
	ErrNotFound    = errno.ENOENT       // no such object, pool, lock or watch
	ErrExists      = errno.EEXIST       // exclusive create, or a lock one holds already
	ErrPermission  = errno.EPERM        // the capabilities do not allow it
	ErrAccess      = errno.EACCES       // wrong key or unknown account
	ErrBusy        = errno.EBUSY        // somebody else holds the lock
	ErrNoAttribute = errno.ENODATA      // no such xattr
	ErrCanceled    = errno.ECANCELED    // a comparison of xattrs or omap values failed
	ErrOlder       = errno.EOVERFLOW    // the object is older than the asserted version
	ErrNewer       = errno.ERANGE       // the object is newer than the asserted version
	ErrNoSpace     = errno.ENOSPC       // cluster or pool full
	ErrQuota       = errno.EDQUOT       // quota of the pool reached
	ErrBlocklisted = errno.EBLOCKLISTED // the cluster has shut this client out
	ErrUnsupported = errno.EOPNOTSUPP   // unknown operation, class or method
	ErrReadOnly    = errno.EROFS        // a write by a handle of a snapshot
	ErrStaleSnaps  = errno.EOLDSNAPC    // the snap context is older than the object's
	ErrTimeout     = errno.ETIMEDOUT    // not all watchers have answered
	ErrNotWatching = errno.ENOTCONN     // the watch is lost
	ErrInvalid     = errno.EINVAL
)

// ErrClosed is what everything says after Cluster.Close.
var ErrClosed = errors.New("rados: cluster is closed")

// Error tells what was tried on which object. It wraps the cause.
type Error struct {
	Op     string // of the step that failed: "write", "call lock.lock"
	Pool   string
	Object string // empty for operations on a pool
	Err    error
}

func (e *Error) Error() string {
	if e.Object == "" {
		return fmt.Sprintf("rados: %s pool %s: %v", e.Op, e.Pool, e.Err)
	}
	return fmt.Sprintf("rados: %s %s/%s: %v", e.Op, e.Pool, e.Object, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// MismatchError is a CompareExtent that found other bytes.
type MismatchError struct {
	Offset uint64 // of the first difference, from where the comparison began
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("bytes differ at offset %d", e.Offset)
}

// Unwrap is EILSEQ, as in librbd.
func (e *MismatchError) Unwrap() error { return errno.EILSEQ }

// maxErrno ends the error numbers: from -maxErrno down, results are offsets of
// mismatches.
const maxErrno = 4095

func resultError(result int32) error {
	if result <= -maxErrno {
		return &MismatchError{Offset: uint64(-int64(result) - maxErrno)}
	}
	return errno.Error(result)
}

var errReadOnly = fmt.Errorf("the handle is of a snapshot: %w", errno.EROFS)
