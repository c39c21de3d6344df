// Package version is the class "version": a number with a tag that radosgw keeps
// on its metadata objects and compares before it changes them (cls_version).
//
// No compatibility promise.
package version

import (
	"errors"
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

const (
	attr    = "ceph.objclass.version"
	tagSize = 24
)

// Class returns the class.
func Class() objclass.Class {
	const rd, wr = objclass.Read, objclass.Write
	return objclass.Class{
		"set":         {Flags: rd | wr, Call: set},
		"inc":         {Flags: rd | wr, Call: inc},
		"inc_conds":   {Flags: rd | wr, Call: inc},
		"read":        {Flags: rd, Call: get},
		"check_conds": {Flags: rd, Call: check},
	}
}

// version is obj_version.
type version struct {
	num uint64
	tag string
}

func (v version) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.U64(v.num)
	e.Str(v.tag)
	e.End(m)
}

func (v *version) Decode(d *wire.Decoder) {
	env := d.Begin("obj_version", 1)
	v.num = d.U64()
	v.tag = d.Str()
	d.End(env)
}

// condition is obj_version_cond.
type condition struct {
	version
	kind uint32
}

// holds reports whether the object's version v fulfils the condition.
func (c condition) holds(v version) bool {
	switch c.kind {
	case 1:
		return v == c.version
	case 2:
		return v.num > c.num
	case 3:
		return v.num >= c.num
	case 4:
		return v.num < c.num
	case 5:
		return v.num <= c.num
	case 6:
		return v.tag == c.tag
	case 7:
		return v.tag != c.tag
	}
	return true
}

// parse decodes {version} or {version, conditions}.
func parse(in []byte, conds bool) (v version, list []condition, err error) {
	err = objclass.ParseStruct(in, "cls_version request", 1, func(d *wire.Decoder, _ uint8) {
		v.Decode(d)
		if !conds {
			return
		}
		list = wire.DecodeSlice(d, 28, func() (c condition) {
			env := d.Begin("obj_version_cond", 1)
			c.version.Decode(d)
			c.kind = d.U32()
			d.End(env)
			return c
		})
	})
	return v, list, err
}

// read returns the object's version and whether it has one.
func read(c objclass.Context) (v version, ok bool, err error) {
	b, err := c.Xattr(attr)
	if errors.Is(err, errno.ENODATA) || errors.Is(err, errno.ENOENT) {
		return v, false, nil
	}
	if err == nil {
		if err = wire.Unmarshal(b, &v); err != nil {
			err = fmt.Errorf("%w: %w", err, errno.EIO)
		}
	}
	return v, err == nil, err
}

func holdAll(list []condition, v version) error {
	for _, c := range list {
		if !c.holds(v) {
			return errno.ECANCELED
		}
	}
	return nil
}

func set(c objclass.Context, in []byte) ([]byte, error) {
	v, _, err := parse(in, false)
	if err != nil {
		return nil, err
	}
	return nil, c.SetXattr(attr, wire.Marshal(v))
}

func inc(c objclass.Context, in []byte) ([]byte, error) {
	_, conds, err := parse(in, true)
	if err != nil {
		return nil, err
	}
	v, ok, err := read(c)
	if err != nil {
		return nil, err
	}
	if !ok {
		v = version{1, c.Unique(tagSize)}
	}
	if err := holdAll(conds, v); err != nil {
		return nil, err
	}
	v.num++
	return nil, c.SetXattr(attr, wire.Marshal(v))
}

func check(c objclass.Context, in []byte) ([]byte, error) {
	_, conds, err := parse(in, true)
	if err != nil {
		return nil, err
	}
	v, _, err := read(c)
	if err != nil {
		return nil, err
	}
	return nil, holdAll(conds, v)
}

func get(c objclass.Context, _ []byte) ([]byte, error) {
	v, _, err := read(c)
	if err != nil {
		return nil, err
	}
	var e wire.Encoder
	m := e.Begin(1, 1)
	v.Encode(&e)
	e.End(m)
	return e.Bytes(), nil
}
