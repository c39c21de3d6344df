package rbd

import (
	"errors"
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
)

// Error tells what was tried with which image. It wraps the cause.
type Error struct {
	Op    string // open, write, create snapshot
	Image string // pool/namespace/name@snapshot; a pool for what concerns all of it
	Err   error
}

func (e *Error) Error() string { return "rbd: " + e.Op + " " + e.Image + ": " + e.Err.Error() }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// poolName is how errors and listings name a pool or a namespace of it.
func poolName(p *rados.Pool) string {
	if ns := p.NamespaceName(); ns != "" {
		return p.Name() + "/" + ns
	}
	return p.Name()
}

// fail is the error of an operation; nil stays nil, and an error that is one
// already is not wrapped again.
func fail(op, image string, err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) && e.Op == op && e.Image == image {
		return err
	}
	return &Error{op, image, err}
}

func isMissing(err error) bool { return errors.Is(err, errno.ENOENT) }

// isUnknown tells whether the OSD does not know a method.
func isUnknown(err error) bool { return errors.Is(err, errno.EOPNOTSUPP) }

func invalid(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, errno.EINVAL)...)
}
