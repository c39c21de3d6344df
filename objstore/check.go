package objstore

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/object"
)

// Limits of the contract. They are far above what an OSD allows its clients and
// keep a store's arithmetic free of overflow.
const (
	MaxObjectSize = 1 << 40 // bytes of data
	MaxNameLen    = 16 << 10
	MaxValueLen   = 256 << 20 // of an attribute, omap value or omap header
)

// Check reports what is wrong with the steps themselves, whatever the store
// holds; such a transaction is ErrInvalid.
func (t *Txn) Check() error {
	for i := range t.Ops {
		if err := t.Ops[i].check(); err != nil {
			return fmt.Errorf("transaction step %d (%v): %w: %w", i, t.Ops[i].Code, err, ErrInvalid)
		}
	}
	return nil
}

func (o *Op) check() error {
	shape, ok := opShape[o.Code]
	if !ok {
		return fmt.Errorf("unknown")
	}
	if shape&noOID != 0 {
		if o.Coll.Meta {
			return fmt.Errorf("the meta collection always exists")
		}
		return nil
	}
	if err := checkID(o.OID); err != nil {
		return err
	}
	if shape&hasDest != 0 {
		if err := checkID(o.Dest); err != nil {
			return err
		}
	}
	if o.Off > MaxObjectSize || o.Len > MaxObjectSize-o.Off || o.DestOff > MaxObjectSize || o.Len > MaxObjectSize-o.DestOff {
		return fmt.Errorf("range %d~%d is too large", o.Off, o.Len)
	}
	if o.Code == OpWrite && o.Len != uint64(o.Data.Len()) {
		return fmt.Errorf("length %d with %d bytes of data", o.Len, o.Data.Len())
	}
	if len(o.Value) > MaxValueLen {
		return fmt.Errorf("value of %d bytes", len(o.Value))
	}
	for i := range o.KVs {
		if kv := &o.KVs[i]; len(kv.Key) > MaxNameLen || len(kv.Value) > MaxValueLen {
			return fmt.Errorf("key of %d, value of %d bytes", len(kv.Key), len(kv.Value))
		}
	}
	return nil
}

func checkID(o object.ID) error {
	switch {
	case o.Max || o.IsMin():
		return fmt.Errorf("%v is a position, not an object", o)
	case len(o.Name) > MaxNameLen || len(o.Key) > MaxNameLen || len(o.Namespace) > MaxNameLen:
		return fmt.Errorf("object name is too long")
	}
	return nil
}

// Canonical is o in the form in which stores keep it: a locator key that
// equals the name orders and hashes as none.
func Canonical(o object.ID) object.ID {
	if o.Key == o.Name {
		o.Key = ""
	}
	return o
}

var opNames = map[OpCode]string{
	OpTouch: "touch", OpWrite: "write", OpZero: "zero", OpTruncate: "truncate", OpRemove: "remove",
	OpSetAttr: "setattr", OpRmAttr: "rmattr", OpRmAttrs: "rmattrs", OpOmapSet: "omap-set",
	OpOmapRm: "omap-rm", OpOmapRmRange: "omap-rm-range", OpOmapClear: "omap-clear",
	OpOmapSetHeader: "omap-set-header", OpClone: "clone", OpCloneRange: "clone-range",
	OpRename: "rename", OpCreateColl: "create-collection", OpRemoveColl: "remove-collection",
	OpDropColl: "drop-collection",
}

func (c OpCode) String() string {
	if s := opNames[c]; s != "" {
		return s
	}
	return fmt.Sprintf("op %d", uint8(c))
}
