package rbd

import (
	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/osd/objclass"
)

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
