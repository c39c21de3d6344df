// Package errno is the one place where errors become the numbers that travel
// (Linux errno values, whatever the system this runs on) and numbers become
// errors again.
//
// Inside the program errors are wrapped with fmt.Errorf("...: %w", errno.ENOENT)
// and tested with errors.Is. At the message boundary [Code] digs the number
// out; in clients [Error] makes an error of a result.
//
// No compatibility promise.
package errno

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// Errno is a positive Linux error number.
type Errno int32

// The numbers that Ceph's protocols use.
const (
	EPERM        Errno = 1
	ENOENT       Errno = 2
	EINTR        Errno = 4
	EIO          Errno = 5
	ENXIO        Errno = 6
	E2BIG        Errno = 7
	ENOEXEC      Errno = 8
	EBADF        Errno = 9
	EAGAIN       Errno = 11
	ENOMEM       Errno = 12
	EACCES       Errno = 13
	EBUSY        Errno = 16
	EEXIST       Errno = 17
	EXDEV        Errno = 18
	ENODEV       Errno = 19
	ENOTDIR      Errno = 20
	EISDIR       Errno = 21
	EINVAL       Errno = 22
	EFBIG        Errno = 27
	ENOSPC       Errno = 28
	EROFS        Errno = 30
	EMLINK       Errno = 31
	EDOM         Errno = 33
	ERANGE       Errno = 34
	EDEADLK      Errno = 35
	ENAMETOOLONG Errno = 36
	ENOSYS       Errno = 38
	ENOTEMPTY    Errno = 39
	ELOOP        Errno = 40
	ENOMSG       Errno = 42
	ENODATA      Errno = 61
	ENOLINK      Errno = 67
	EPROTO       Errno = 71
	EBADMSG      Errno = 74
	EOVERFLOW    Errno = 75
	EILSEQ       Errno = 84
	EMSGSIZE     Errno = 90
	EOPNOTSUPP   Errno = 95
	ESHUTDOWN    Errno = 108
	ETIMEDOUT    Errno = 110
	ENOTCONN     Errno = 107
	ECONNREFUSED Errno = 111
	EALREADY     Errno = 114
	EINPROGRESS  Errno = 115
	ESTALE       Errno = 116
	EDQUOT       Errno = 122
	ECANCELED    Errno = 125
)

// EOLDSNAPC is what a writer gets whose snap context is too old (Ceph's
// EOLDSNAPC).
const EOLDSNAPC Errno = 85

// ERESTART, the same number, is what clients tell each other to ask again.
const ERESTART = EOLDSNAPC

// EBLOCKLISTED is what a blocklisted client gets (Ceph's EBLOCKLISTED).
const EBLOCKLISTED = ESHUTDOWN

var names = map[Errno]string{
	EPERM: "Operation not permitted", ENOENT: "No such file or directory", EINTR: "Interrupted system call",
	EIO: "Input/output error", ENXIO: "No such device or address", E2BIG: "Argument list too long", ENOEXEC: "Exec format error",
	EBADF: "Bad file descriptor", EAGAIN: "Resource temporarily unavailable", ENOMEM: "Cannot allocate memory",
	EACCES: "Permission denied", EBUSY: "Device or resource busy", EEXIST: "File exists",
	EXDEV: "Invalid cross-device link", ENODEV: "No such device", ENOTDIR: "Not a directory",
	EISDIR: "Is a directory", EINVAL: "Invalid argument", EFBIG: "File too large",
	ENOSPC: "No space left on device", EROFS: "Read-only file system", EMLINK: "Too many links",
	EDOM: "Numerical argument out of domain", ERANGE: "Numerical result out of range",
	EDEADLK: "Resource deadlock avoided", ENAMETOOLONG: "File name too long",
	ENOSYS: "Function not implemented", ENOTEMPTY: "Directory not empty",
	ELOOP: "Too many levels of symbolic links", ENOMSG: "No message of desired type", ENODATA: "No data available", ENOLINK: "Link has been severed", EPROTO: "Protocol error",
	EBADMSG: "Bad message", EOVERFLOW: "Value too large for defined data type",
	EILSEQ: "Invalid or incomplete multibyte or wide character", EMSGSIZE: "Message too long", EOLDSNAPC: "Interrupted system call should be restarted",
	EOPNOTSUPP: "Operation not supported", ESHUTDOWN: "Cannot send after transport endpoint shutdown",
	ETIMEDOUT: "Connection timed out", ENOTCONN: "Transport endpoint is not connected",
	ECONNREFUSED: "Connection refused", EALREADY: "Operation already in progress",
	EINPROGRESS: "Operation now in progress", ESTALE: "Stale file handle",
	EDQUOT: "Disk quota exceeded", ECANCELED: "Operation canceled",
}

// Error gives the words of strerror(3).
func (e Errno) Error() string {
	if s := names[e]; s != "" {
		return s
	}
	return fmt.Sprintf("Unknown error %d", int32(e))
}

// Is makes the numbers match the sentinels of the standard library.
func (e Errno) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return e == ENOENT
	case fs.ErrExist:
		return e == EEXIST
	case fs.ErrPermission:
		return e == EACCES || e == EPERM
	}
	return false
}

// Code returns the result that travels for err: 0 for nil, else a negative
// number. An error that carries no number is -EIO.
func Code(err error) int32 {
	if err == nil {
		return 0
	}
	var e Errno
	if errors.As(err, &e) {
		return -int32(e)
	}
	var s syscall.Errno
	switch {
	case errors.As(err, &s):
		return -int32(s)
	case errors.Is(err, context.DeadlineExceeded):
		return -int32(ETIMEDOUT)
	case errors.Is(err, context.Canceled):
		return -int32(ECANCELED)
	}
	return -int32(EIO)
}

// Error returns the error of a result: nil for zero and above.
func Error(result int32) error {
	if result >= 0 {
		return nil
	}
	return Errno(-result)
}
