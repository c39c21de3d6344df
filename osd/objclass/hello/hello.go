// Package hello is the class "hello": an example that clients' own tests call
// (cls_hello).
//
// No compatibility promise.
package hello

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
)

const maxName = 100 // bytes

// Class returns the class.
func Class() objclass.Class {
	const rd, wr = objclass.Read, objclass.Write
	return objclass.Class{
		"say_hello":               {Flags: rd, Call: say},
		"record_hello":            {Flags: wr, Call: record},
		"write_return_data":       {Flags: wr, Call: returnData},
		"writes_dont_return_data": {Flags: wr, Call: returnData},
		"replay":                  {Flags: rd, Call: replay},
		"turn_it_to_11":           {Flags: rd | wr, Call: amplify},
		// Two that break the rules, so that tests see them kept.
		"bad_reader": {Flags: wr, Call: replay},
		"bad_writer": {Flags: rd, Call: func(c objclass.Context, in []byte) ([]byte, error) {
			return nil, c.WriteFull(bytes.Clone(in))
		}},
	}
}

func greeting(name []byte) ([]byte, error) {
	if len(name) > maxName {
		return nil, errno.EINVAL
	}
	if len(name) == 0 {
		name = []byte("world")
	}
	return fmt.Appendf(nil, "Hello, %s!", name), nil
}

func say(_ objclass.Context, in []byte) ([]byte, error) { return greeting(in) }

func record(c objclass.Context, in []byte) ([]byte, error) {
	text, err := greeting(in)
	if err != nil {
		return nil, err
	}
	if _, _, err := c.Stat(); err == nil {
		return nil, errno.EEXIST
	} else if !errors.Is(err, errno.ENOENT) {
		return nil, err
	}
	if err := c.WriteFull(text); err != nil {
		return nil, err
	}
	return nil, sign(c, "said_by")
}

// sign notes who called, as Ceph prints an instance: client.4123 ADDR.
func sign(c objclass.Context, attr string) error {
	name, addr := c.Origin()
	return c.SetXattr(attr, fmt.Appendf(nil, "%v %v", name, addr))
}

func returnData(c objclass.Context, in []byte) ([]byte, error) {
	if err := c.SetXattr("foo", []byte("bar")); err != nil {
		return nil, err
	}
	if len(in) > 0 {
		return []byte("too much input data!"), errno.EINVAL
	}
	return []byte("you might see this"), nil
}

func replay(c objclass.Context, _ []byte) ([]byte, error) { return c.Read(0, 1100) }

func amplify(c objclass.Context, in []byte) ([]byte, error) {
	if len(in) != 0 {
		return nil, errno.EINVAL
	}
	text, err := c.Read(0, 1100)
	if err != nil {
		return nil, err
	}
	if err := c.WriteFull(bytes.ToUpper(text)); err != nil {
		return nil, err
	}
	return nil, sign(c, "amplified_by")
}
