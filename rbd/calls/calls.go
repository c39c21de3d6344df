// Package calls words the calls of the object class "rbd" as librbd does
// (cls_rbd_client): which method, what input, how to read the output. It only
// encodes and decodes; package rbd sends them.
//
// A [Read] knows the type of its result, a [Write] has none. Each file has the
// methods of one kind of object.
//
// No compatibility promise.
package calls

import (
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/wire"
)

// Class is the object class of all methods here.
const Class = "rbd"

// Read is a call that changes nothing.
type Read[T any] struct {
	Method string
	In     []byte
	decode func(*wire.Decoder) T
}

// Decode reads the output. Output that does not decode is EBADMSG.
func (r Read[T]) Decode(out []byte) (T, error) {
	d := wire.NewDecoder(slices.Clone(out)) // results may alias it
	v := r.decode(d)
	if err := d.Err(); err != nil {
		var zero T
		return zero, fmt.Errorf("rbd.%s: %w: %w", r.Method, err, errno.EBADMSG)
	}
	return v, nil
}

// Write is a call that changes the object.
type Write struct {
	Method string
	In     []byte
}

func input(encode func(*wire.Encoder)) []byte {
	if encode == nil {
		return nil
	}
	var e wire.Encoder
	encode(&e)
	return e.Bytes()
}

func read[T any](method string, encode func(*wire.Encoder), decode func(*wire.Decoder) T) Read[T] {
	return Read[T]{method, input(encode), decode}
}

func write(method string, encode func(*wire.Encoder)) Write { return Write{method, input(encode)} }

func u64(v uint64) func(*wire.Encoder) { return func(e *wire.Encoder) { e.U64(v) } }
func str(s ...string) func(*wire.Encoder) {
	return func(e *wire.Encoder) {
		for _, s := range s {
			e.Str(s)
		}
	}
}

func getU64(d *wire.Decoder) uint64 { return d.U64() }
func getStr(d *wire.Decoder) string { return d.Str() }
