package calls

import (
	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/wire"
)

// Clones. The child's header names the parent. Who the children of a snapshot
// are stands, in the first format, in clsrbd.Children of every pool that has
// some; in the second, in the parent's header.

// GetParent asks a header for the image's parent.
func GetParent() Read[clsrbd.ParentSpec] {
	return read("parent_get", nil, func(d *wire.Decoder) (p clsrbd.ParentSpec) {
		p.Decode(d)
		return p
	})
}

// Overlap is how many bytes a clone shares with its parent at most.
type Overlap struct {
	Known bool // there is a parent, now or at the snapshot
	Bytes uint64
}

// GetOverlap asks for it, now (clsrbd.HeadSnap) or at a snapshot.
func GetOverlap(snap uint64) Read[Overlap] {
	return read("parent_overlap_get", u64(snap), func(d *wire.Decoder) Overlap {
		if !d.Bool() {
			return Overlap{}
		}
		return Overlap{true, d.U64()}
	})
}

// AttachParent makes an image a clone; if it is one of that parent already,
// reattach must say that this is meant.
func AttachParent(p clsrbd.ParentSpec, overlap uint64, reattach bool) Write {
	return write("parent_attach", func(e *wire.Encoder) {
		p.Encode(e)
		e.U64(overlap)
		e.Bool(reattach)
	})
}

// DetachParent ends that, for the image as it is; snapshots keep their overlap.
func DetachParent() Write { return write("parent_detach", nil) }

func childKey(e *wire.Encoder, p clsrbd.ParentSpec) {
	e.S64(p.Pool)
	e.Str(p.Image)
	e.U64(p.Snap)
}

// AddChild notes a clone of the first format, in clsrbd.Children of its pool.
func AddChild(p clsrbd.ParentSpec, child string) Write {
	return write("add_child", func(e *wire.Encoder) { childKey(e, p); e.Str(child) })
}

// RemoveChild is its inverse. ENOENT: it is not there.
func RemoveChild(p clsrbd.ParentSpec, child string) Write {
	return write("remove_child", func(e *wire.Encoder) { childKey(e, p); e.Str(child) })
}

// GetChildren asks clsrbd.Children for the ids of clones in its pool. ENOENT:
// there are none.
func GetChildren(p clsrbd.ParentSpec) Read[[]string] {
	return read("get_children", func(e *wire.Encoder) { childKey(e, p) }, func(d *wire.Decoder) []string { return wire.DecodeSlice(d, 4, d.Str) })
}

// AttachChild notes a clone of the second format, in the parent's header.
func AttachChild(snap uint64, c clsrbd.ChildSpec) Write {
	return write("child_attach", func(e *wire.Encoder) { e.U64(snap); c.Encode(e) })
}

// DetachChild is its inverse. The last one frees a snapshot in the trash.
func DetachChild(snap uint64, c clsrbd.ChildSpec) Write {
	return write("child_detach", func(e *wire.Encoder) { e.U64(snap); c.Encode(e) })
}

// ListChildren asks a header for the clones of a snapshot. ENOENT: none.
func ListChildren(snap uint64) Read[[]clsrbd.ChildSpec] {
	return read("children_list", u64(snap), func(d *wire.Decoder) []clsrbd.ChildSpec {
		return wire.DecodeSlice(d, 22, func() (c clsrbd.ChildSpec) {
			c.Decode(d)
			return c
		})
	})
}

// CopyUp writes what the parent has at the place of a data object, unless the
// object exists already.
func CopyUp(data []byte) Write { return Write{"copyup", data} }

// Extent is a run of bytes in an object.
type Extent struct{ Offset, Length uint64 }

// SparseCopyUp is CopyUp of extents, in ascending order; data has their bytes,
// one after the other.
func SparseCopyUp(extents []Extent, data []byte) Write {
	return write("sparse_copyup", func(e *wire.Encoder) {
		wire.EncodeSlice(e, extents, func(x Extent) { e.U64(x.Offset); e.U64(x.Length) })
		e.Blob(data)
	})
}
