// Package refcount is the class "refcount": an object that several owners share
// goes when the last of them lets go of it (cls_refcount).
//
// An object without the attribute counts, if the caller says so, as held once,
// under a tag that stands for any.
//
// No compatibility promise.
package refcount

import (
	"errors"
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

const (
	attr     = "refcount"
	wildcard = ""
)

// Class returns the class.
func Class() objclass.Class {
	const rd, wr = objclass.Read, objclass.Write
	return objclass.Class{
		"get":  {Flags: rd | wr, Call: get},
		"put":  {Flags: rd | wr, Call: put},
		"set":  {Flags: rd | wr, Call: set},
		"read": {Flags: rd, Call: list},
	}
}

// refs is obj_refcount. Retired tags stay, so that a put that comes twice
// counts once.
type refs struct {
	held    map[string]bool
	retired map[string]bool
}

func (r refs) Encode(e *wire.Encoder) {
	m := e.Begin(2, 1)
	wire.EncodeMap(e, r.held, func(tag string, v bool) { e.Str(tag); e.Bool(v) })
	wire.EncodeMap(e, r.retired, func(tag string, _ bool) { e.Str(tag) })
	e.End(m)
}

func (r *refs) Decode(d *wire.Decoder) {
	env := d.Begin("obj_refcount", 2)
	r.held = wire.DecodeMap(d, 5, func() (string, bool) { return d.Str(), d.Bool() })
	r.retired = map[string]bool{}
	if env.Version >= 2 {
		r.retired = wire.DecodeMap(d, 4, func() (string, bool) { return d.Str(), true })
	}
	d.End(env)
}

func read(c objclass.Context, implicit bool) (refs, error) {
	b, err := c.Xattr(attr)
	if errors.Is(err, errno.ENODATA) {
		r := refs{map[string]bool{}, map[string]bool{}}
		if implicit {
			r.held[wildcard] = true
		}
		return r, nil
	}
	if err != nil {
		return refs{}, err
	}
	var r refs
	if err := wire.Unmarshal(b, &r); err != nil {
		return refs{}, fmt.Errorf("%w: %w", err, errno.EIO)
	}
	return r, nil
}

func write(c objclass.Context, r refs) error { return c.SetXattr(attr, wire.Marshal(r)) }

func parseTag(in []byte) (tag string, implicit bool, err error) {
	err = objclass.ParseStruct(in, "cls_refcount request", 1, func(d *wire.Decoder, _ uint8) {
		tag = d.Str()
		implicit = d.Bool()
	})
	return tag, implicit, err
}

func get(c objclass.Context, in []byte) ([]byte, error) {
	tag, implicit, err := parseTag(in)
	if err != nil {
		return nil, err
	}
	r, err := read(c, implicit)
	if err != nil {
		return nil, err
	}
	r.held[tag] = true
	return nil, write(c, r)
}

func put(c objclass.Context, in []byte) ([]byte, error) {
	tag, implicit, err := parseTag(in)
	if err != nil {
		return nil, err
	}
	r, err := read(c, implicit)
	if err != nil {
		return nil, err
	}
	if len(r.held) == 0 {
		return nil, errno.EINVAL
	}
	which := tag
	_, found := r.held[which]
	if !found && implicit {
		which = wildcard
		_, found = r.held[which]
	}
	if !found || r.retired[tag] {
		return nil, nil
	}
	r.retired[tag] = true
	delete(r.held, which)
	if len(r.held) == 0 {
		return nil, c.Remove()
	}
	return nil, write(c, r)
}

func set(c objclass.Context, in []byte) ([]byte, error) {
	r := refs{map[string]bool{}, map[string]bool{}}
	err := objclass.ParseStruct(in, "cls_refcount request", 1, func(d *wire.Decoder, _ uint8) {
		for _, tag := range wire.DecodeSlice(d, 4, d.Str) {
			r.held[tag] = true
		}
	})
	if err != nil {
		return nil, err
	}
	if len(r.held) == 0 {
		return nil, c.Remove()
	}
	return nil, write(c, r)
}

func list(c objclass.Context, in []byte) ([]byte, error) {
	var implicit bool
	if err := objclass.ParseStruct(in, "cls_refcount request", 1, func(d *wire.Decoder, _ uint8) { implicit = d.Bool() }); err != nil {
		return nil, err
	}
	r, err := read(c, implicit)
	if err != nil {
		return nil, err
	}
	var e wire.Encoder
	m := e.Begin(1, 1)
	wire.EncodeMap(&e, r.held, func(tag string, _ bool) { e.Str(tag) })
	e.End(m)
	return e.Bytes(), nil
}
