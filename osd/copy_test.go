package osd

import (
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// copyInput is the input of copy-from.
func copyInput(name string, pool int64) []byte {
	var e wire.Encoder
	e.Str(name)
	object.Locator{Pool: pool, Hash: -1}.Encode(&e)
	return e.Bytes()
}
