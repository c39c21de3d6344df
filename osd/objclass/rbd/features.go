package rbd

import (
	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// An image's features say what a client must understand to read it, or to write
// it. Operation features are a second set for what comes and goes with
// operations on the image; while there is any, the image has the feature
// "operations".

var featureMethods = objclass.Class{
	"get_features":     {Flags: rd, Call: getFeatures},
	"set_features":     {Flags: rd | wr, Call: setFeatures},
	"get_all_features": {Flags: rd, Call: getAllFeatures},
	"op_features_get":  {Flags: rd, Call: opFeaturesGet},
	"op_features_set":  {Flags: rd | wr, Call: opFeaturesSet},
}

// requireFeature returns ENOEXEC if an image lacks a feature, or is of format 1
// and has none (require_feature).
func requireFeature(c objclass.Context, need clsrbd.Feature) error {
	features, err := readU64(c, "features")
	switch {
	case isMissing(err):
		return errno.ENOEXEC
	case err != nil:
		return err
	case clsrbd.Feature(features)&need != need:
		return errno.ENOEXEC
	}
	return nil
}

// getFeatures takes u64 snapshot, which is not looked at, and bool read_only. It
// returns u64 features, u64 those that the client must understand.
func getFeatures(c objclass.Context, in []byte) ([]byte, error) {
	readOnly := false
	if err := objclass.Parse(in, func(d *wire.Decoder) {
		d.U64()
		if d.Left() > 0 {
			readOnly = d.Bool()
		}
	}); err != nil {
		return nil, err
	}
	features, err := readU64(c, "features")
	if err != nil {
		return nil, err
	}
	incompatible := features & uint64(clsrbd.RWIncompatible)
	if readOnly {
		incompatible = features & uint64(clsrbd.Incompatible)
	}
	return encoded(func(e *wire.Encoder) { e.U64(features); e.U64(incompatible) }), nil
}

// parseMasked decodes u64 value, u64 mask of the bits to change.
func parseMasked(in []byte) (value, mask uint64, err error) {
	err = objclass.Parse(in, func(d *wire.Decoder) { value, mask = d.U64(), d.U64() })
	return value, mask, err
}

// masked changes the bits of a mask.
func masked(old, value, mask uint64) uint64 { return old&^mask | value&mask }

// setFeatures takes u64 features, u64 mask.
func setFeatures(c objclass.Context, in []byte) ([]byte, error) {
	features, mask, err := parseMasked(in)
	if err != nil {
		return nil, err
	}
	old, err := readU64(c, "features")
	if _, err := present(err); err != nil {
		return nil, err
	}
	if mask&uint64(clsrbd.InternalFeatures) != 0 {
		return nil, errno.EINVAL
	}
	mask &= clsrbd.AllFeatures // a newer client may switch off what we do not know
	if on := features & mask; on&^uint64(clsrbd.MutableFeatures) != 0 {
		return nil, errno.EINVAL
	}
	if off := mask &^ features; off&^uint64(clsrbd.DisableFeatures) != 0 {
		return nil, errno.EINVAL
	}
	return nil, writeU64(c, "features", masked(old, features, mask))
}

// getAllFeatures returns u64.
func getAllFeatures(objclass.Context, []byte) ([]byte, error) {
	return encodedU64(clsrbd.AllFeatures), nil
}

// opFeaturesGet returns u64.
func opFeaturesGet(c objclass.Context, _ []byte) ([]byte, error) {
	f, err := readU64(c, "op_features")
	if _, err := present(err); err != nil {
		return nil, err
	}
	return encodedU64(f), nil
}

// opFeaturesSet takes u64 features, u64 mask.
func opFeaturesSet(c objclass.Context, in []byte) ([]byte, error) {
	features, mask, err := parseMasked(in)
	if err != nil {
		return nil, err
	}
	if mask&^clsrbd.AllOpFeatures != 0 {
		return nil, errno.EINVAL
	}
	return nil, setOpFeatures(c, clsrbd.OpFeature(features), clsrbd.OpFeature(mask))
}

// setOpFeatures changes those of an image's operation features that mask has
// (set_op_features). The feature "operations" says whether there are any.
func setOpFeatures(c objclass.Context, op, mask clsrbd.OpFeature) error {
	features, err := readU64(c, "features")
	if err != nil {
		return err
	}
	was, err := readU64(c, "op_features")
	if err != nil && !isMissing(err) {
		return err
	}
	old := clsrbd.OpFeature(was)
	if op = old&^mask | op&mask; op == old {
		return nil
	}
	next := clsrbd.Feature(features) | clsrbd.Operations
	if op == 0 {
		next &^= clsrbd.Operations
		err = removeKey(c, "op_features")
	} else {
		err = writeU64(c, "op_features", uint64(op))
	}
	if err != nil || uint64(next) == features {
		return err
	}
	return writeU64(c, "features", uint64(next))
}
