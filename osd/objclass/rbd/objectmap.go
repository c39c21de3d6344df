package rbd

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// An object map says of each data object of an image, or of a snapshot, whether
// there is anything. Clients skip what is not there, tell how much space is used,
// and see what changed since a snapshot without looking.

var objectMapMethods = objclass.Class{
	"object_map_load":        {Flags: rd, Call: loadMap},
	"object_map_save":        {Flags: rd | wr, Call: saveMap},
	"object_map_resize":      {Flags: rd | wr, Call: resizeMap},
	"object_map_update":      {Flags: rd | wr, Call: updateMap},
	"object_map_snap_add":    {Flags: rd | wr, Call: addSnapToMap},
	"object_map_snap_remove": {Flags: rd | wr, Call: removeSnapFromMap},
}

// readMap returns an empty map and ENOENT if there is none, EINVAL if it is
// damaged.
func readMap(c objclass.Context) (*clsrbd.BitVector, error) {
	v := new(clsrbd.BitVector)
	size, _, err := c.Stat()
	if err != nil {
		return v, err
	}
	if size == 0 {
		return v, errno.ENOENT
	}
	b, err := c.Read(0, size)
	if err != nil {
		return v, err
	}
	if err := objclass.Parse(b, v.Decode); err != nil {
		return v, fmt.Errorf("object map: %w", err)
	}
	return v, nil
}

func writeMap(c objclass.Context, v *clsrbd.BitVector) error {
	return c.WriteFull(encoded(v.EncodeDisk))
}

// loadMap returns BitVector.
func loadMap(c objclass.Context, _ []byte) ([]byte, error) {
	v, err := readMap(c)
	if err != nil {
		return nil, err
	}
	return wire.Marshal(v), nil
}

// saveMap takes BitVector.
func saveMap(c objclass.Context, in []byte) ([]byte, error) {
	var v clsrbd.BitVector
	if err := objclass.Parse(in, v.Decode); err != nil {
		return nil, err
	}
	return nil, writeMap(c, &v)
}

// resizeMap takes u64 objects, u8 state of new ones; what is cut off must be in
// that state (ESTALE).
func resizeMap(c objclass.Context, in []byte) ([]byte, error) {
	var n uint64
	var state uint8
	if err := objclass.Parse(in, func(d *wire.Decoder) { n, state = d.U64(), d.U8() }); err != nil {
		return nil, err
	}
	if n > clsrbd.MaxObjects {
		return nil, errno.EINVAL
	}
	v, err := readMap(c)
	if _, err := present(err); err != nil {
		return nil, err
	}
	for i := n; i < v.Len(); i++ {
		if v.Get(i) != state {
			return nil, errno.ESTALE
		}
	}
	v.Resize(n, state)
	return nil, writeMap(c, v)
}

// change is one of a map: what is in one of the old states gets the new one.
type change struct {
	from, to uint64 // objects, half open
	state    uint8
	old      optional // only what is in this state, exists standing for clean too
}

func (x *change) Decode(d *wire.Decoder) {
	x.from, x.to, x.state = d.U64(), d.U64(), d.U8()
	if x.old.set = d.Bool(); x.old.set {
		x.old.n = uint64(d.U8())
	}
}

func (x *change) applies(state uint8) bool {
	return state != x.state && (!x.old.set || uint64(state) == x.old.n || x.old.n == uint64(clsrbd.ObjectExists) && state == clsrbd.ObjectExistsClean)
}

// updateMap takes u64 from, u64 to, u8 state, optional u8 old state. It touches
// only the blocks with these objects: a map may have megabytes, and each write
// to a new object comes by here.
func updateMap(c objclass.Context, in []byte) ([]byte, error) {
	var x change
	if err := objclass.Parse(in, x.Decode); err != nil {
		return nil, err
	}
	if err := exists(c); err != nil {
		return nil, err
	}
	header, err := c.Read(0, clsrbd.BitVectorHeader)
	if err != nil {
		return nil, err
	}
	var n uint64
	if err := objclass.Parse(header, func(d *wire.Decoder) { n = clsrbd.DecodeBitVectorLen(d) }); err != nil {
		return nil, fmt.Errorf("object map: %w", err)
	}
	if x.from >= x.to || x.to > n {
		return nil, errno.ERANGE
	}
	p := clsrbd.PartOf(n, x.from, x.to)
	data, err := c.Read(p.DataOff, p.DataLen)
	if err != nil {
		return nil, err
	}
	sums, err := c.Read(p.SumsOff, p.SumsLen)
	if err != nil {
		return nil, err
	}
	v, err := p.Decode(data, sums)
	if err != nil {
		return nil, fmt.Errorf("object map: %w: %w", err, errno.EINVAL)
	}
	changed := false
	for i := x.from - p.First; i < x.to-p.First; i++ {
		if x.applies(v.Get(i)) {
			v.Set(i, x.state)
			changed = true
		}
	}
	if !changed {
		return nil, nil
	}
	data, sums = p.Encode(v)
	if err := c.Write(p.DataOff, data); err != nil {
		return nil, err
	}
	return nil, c.Write(p.SumsOff, sums)
}

// replace gives the elements of a map for which f is true a new state.
func replace(c objclass.Context, v *clsrbd.BitVector, state clsrbd.ObjectState, f func(i uint64, old clsrbd.ObjectState) bool) error {
	changed := false
	for i := range v.Len() {
		if f(i, v.Get(i)) {
			v.Set(i, state)
			changed = true
		}
	}
	if !changed {
		return nil
	}
	return writeMap(c, v)
}

// addSnapToMap makes all objects clean: from now on the map shows what was
// written since the snapshot.
func addSnapToMap(c objclass.Context, _ []byte) ([]byte, error) {
	v, err := readMap(c)
	if err != nil {
		return nil, err
	}
	return nil, replace(c, v, clsrbd.ObjectExistsClean, func(_ uint64, old clsrbd.ObjectState) bool { return old == clsrbd.ObjectExists })
}

// removeSnapFromMap takes BitVector, the map of a snapshot that is removed: what
// was written before it and is clean since counts as written after the snapshot
// before it.
func removeSnapFromMap(c objclass.Context, in []byte) ([]byte, error) {
	var snap clsrbd.BitVector
	if err := objclass.Parse(in, snap.Decode); err != nil {
		return nil, err
	}
	v, err := readMap(c)
	if err != nil {
		return nil, err
	}
	return nil, replace(c, v, clsrbd.ObjectExists, func(i uint64, old clsrbd.ObjectState) bool {
		return old == clsrbd.ObjectExistsClean && (i >= snap.Len() || snap.Get(i) == clsrbd.ObjectExists)
	})
}
