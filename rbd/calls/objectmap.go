package calls

import (
	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/wire"
)

// Methods of clsrbd.ObjectMapName(id, snap).

// LoadObjectMap asks for the whole map.
func LoadObjectMap() Read[*clsrbd.BitVector] {
	return read("object_map_load", nil, func(d *wire.Decoder) *clsrbd.BitVector {
		v := new(clsrbd.BitVector)
		v.Decode(d)
		return v
	})
}

// SaveObjectMap replaces it.
func SaveObjectMap(v *clsrbd.BitVector) Write { return write("object_map_save", v.Encode) }

// ResizeObjectMap changes its length; new objects get the state. ESTALE: it
// became shorter where there are objects.
func ResizeObjectMap(objects uint64, state clsrbd.ObjectState) Write {
	return write("object_map_resize", func(e *wire.Encoder) { e.U64(objects); e.U8(state) })
}

// AnyState, as what is expected, is met by every state.
const AnyState = -1

// UpdateObjectMap sets the state of objects from begin on and before end, those
// that have the expected one. ERANGE: the map is shorter.
func UpdateObjectMap(begin, end uint64, state clsrbd.ObjectState, expected int) Write {
	return write("object_map_update", func(e *wire.Encoder) {
		e.U64(begin)
		e.U64(end)
		e.U8(state)
		e.Bool(expected >= 0)
		if expected >= 0 {
			e.U8(uint8(expected))
		}
	})
}

// CleanObjectMap makes all objects that exist clean, for a snapshot was made.
func CleanObjectMap() Write { return write("object_map_snap_add", nil) }

// MergeObjectMap makes dirty those objects that were dirty in the map of a
// snapshot which is being removed: what changed since the one before it.
func MergeObjectMap(removed *clsrbd.BitVector) Write {
	return write("object_map_snap_remove", removed.Encode)
}
