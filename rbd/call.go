package rbd

import (
	"context"
	"errors"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd/calls"
)

// answer is a reading call that is part of a sequence, and its result once the
// sequence was executed.
type answer[T any] struct {
	step *rados.DataStep
	read calls.Read[T]
}

func add[T any](v *rados.Steps, r calls.Read[T]) *answer[T] {
	return &answer[T]{v.Call(calls.Class, r.Method, r.In), r}
}

// tryAdd is add of a call that may fail.
func tryAdd[T any](v *rados.Steps, r calls.Read[T]) *answer[T] {
	a := add(v, r)
	a.step.MayFail()
	return a
}

func (a *answer[T]) get() (T, error) {
	if err := a.step.Err(); err != nil {
		var zero T
		return zero, err
	}
	return a.read.Decode(a.step.Data)
}

// take is the result. It keeps the first error in err; the zero value stands for
// a call that failed with one of the errors tolerated.
func (a *answer[T]) take(err *error, tolerated ...errno.Errno) T {
	v, e := a.get()
	for _, t := range tolerated {
		if errors.Is(e, t) {
			return v
		}
	}
	if *err == nil {
		*err = e
	}
	return v
}

// ask executes one reading call.
func ask[T any](ctx context.Context, p *rados.Pool, object string, r calls.Read[T]) (T, error) {
	var op rados.ReadOp
	a := add(&op.Steps, r)
	if err := p.Query(ctx, object, &op); err != nil {
		var zero T
		return zero, err
	}
	return a.get()
}

// tell executes changing calls, all or none.
func tell(ctx context.Context, p *rados.Pool, object string, w ...calls.Write) error {
	var op rados.WriteOp
	for _, c := range w {
		addWrite(&op, c)
	}
	return p.Mutate(ctx, object, &op)
}

func addWrite(op *rados.WriteOp, w calls.Write) *rados.Step {
	return op.Call(calls.Class, w.Method, w.In).Step
}
