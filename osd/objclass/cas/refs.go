package cas

import (
	"slices"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// byObject is the form of chunk_refs_t that the methods write. Ceph's code has
// others for when there are too many references, but no method that uses them.
const byObject = 1

// refs is who refers to a chunk (chunk_refs_t).
type refs struct {
	objects []object.ID // sorted; each as often as it refers
}

func (r *refs) get(o object.ID) {
	i, _ := slices.BinarySearchFunc(r.objects, o, object.ID.Compare)
	r.objects = slices.Insert(r.objects, i, o)
}

func (r *refs) put(o object.ID) bool {
	i, ok := slices.BinarySearchFunc(r.objects, o, object.ID.Compare)
	if ok {
		r.objects = slices.Delete(r.objects, i, i+1)
	}
	return ok
}

func (r *refs) empty() bool { return len(r.objects) == 0 }

func (r refs) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.U8(byObject)
	n := e.Begin(1, 1)
	wire.EncodeSlice(e, r.objects, func(o object.ID) { o.Encode(e) })
	e.End(n)
	e.End(m)
}

func (r *refs) Decode(d *wire.Decoder) {
	env := d.Begin("chunk_refs_t", 1)
	if t := d.U8(); t != byObject {
		d.Failf("references of type %d", t)
	}
	list := d.Begin("chunk_refs_by_object_t", 1)
	r.objects = wire.DecodeSlice(d, 6, func() (o object.ID) { o.Decode(d); return o })
	d.End(list)
	d.End(env)
}
