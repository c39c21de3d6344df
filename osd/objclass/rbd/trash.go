package rbd

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// The trash of a pool is the object rbd_trash: images without a name, which wait
// to be removed or restored. Every removal goes through it, so that what a
// client left half removed can be found.
var trashMethods = objclass.Class{
	"trash_add":       {Flags: rd | wr, Call: trashAdd},
	"trash_remove":    {Flags: rd | wr, Call: trashRemove},
	"trash_list":      {Flags: rd, Call: trashList},
	"trash_get":       {Flags: rd, Call: trashGet},
	"trash_state_set": {Flags: rd | wr, Call: trashStateSet},
}

const trashPrefix = "id_"

// trashAdd makes the trash, too, if it is not there.
func trashAdd(c objclass.Context, in []byte) ([]byte, error) {
	if err := c.Create(false); err != nil {
		return nil, err
	}
	var id string
	var spec, old clsrbd.TrashSpec
	if err := objclass.Parse(in, func(d *wire.Decoder) { id = d.Str(); spec.Decode(d) }); err != nil {
		return nil, err
	}
	if !validID(id) {
		return nil, fmt.Errorf("bad image id %q: %w", id, errno.EINVAL)
	}
	switch err := readKey(c, trashPrefix+id, old.Decode); {
	case err == nil:
		return nil, errno.EEXIST
	case !isMissing(err):
		return nil, err
	}
	return nil, writeKey(c, trashPrefix+id, spec.Encode)
}

func trashRemove(c objclass.Context, in []byte) ([]byte, error) {
	id, err := parseString(in)
	if err != nil {
		return nil, err
	}
	if _, err := c.OmapValue(trashPrefix + id); err != nil {
		return nil, err
	}
	return nil, c.RemoveOmapKeys([]string{trashPrefix + id})
}

// trashList answers with ids and their specs.
func trashList(c objclass.Context, in []byte) ([]byte, error) {
	return listMap(c, trashPrefix, in, func(e *wire.Encoder, id string, value []byte) error {
		var spec clsrbd.TrashSpec
		err := decodeValue(trashPrefix+id, value, spec.Decode)
		spec.Encode(e)
		return err
	})
}

func trashGet(c objclass.Context, in []byte) ([]byte, error) {
	id, err := parseString(in)
	if err != nil {
		return nil, err
	}
	return c.OmapValue(trashPrefix + id)
}

// trashStateSet changes a state, unless another client did.
func trashStateSet(c objclass.Context, in []byte) ([]byte, error) {
	var id string
	var state, expected clsrbd.TrashState
	err := objclass.Parse(in, func(d *wire.Decoder) {
		id, state, expected = d.Str(), clsrbd.TrashState(d.U8()), clsrbd.TrashState(d.U8())
	})
	if err != nil {
		return nil, err
	}
	var spec clsrbd.TrashSpec
	if err := readKey(c, trashPrefix+id, spec.Decode); err != nil {
		return nil, err
	}
	switch spec.State {
	case expected:
		spec.State = state
		return nil, writeKey(c, trashPrefix+id, spec.Encode)
	case state:
		return nil, nil
	}
	return nil, fmt.Errorf("image %s is in state %d of the trash, not %d: %w", id, spec.State, expected, errno.ESTALE)
}
