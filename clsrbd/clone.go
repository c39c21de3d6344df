package clsrbd

import "github.com/pulpo-storage/pulpo/wire"

// ParentSpec names the snapshot that an image is a clone of
// (cls::rbd::ParentImageSpec).
type ParentSpec struct {
	Pool      int64
	Namespace string // of the pool
	Image     string // id
	Snap      uint64
}

// NoParent is the ParentSpec of an image that is no clone.
var NoParent = ParentSpec{Pool: -1, Snap: HeadSnap}

// Exists reports whether there is a parent.
func (p *ParentSpec) Exists() bool { return p.Pool >= 0 && p.Image != "" && p.Snap != HeadSnap }

// Encode appends the parent (version 1).
func (p *ParentSpec) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.S64(p.Pool)
	e.Str(p.Namespace)
	e.Str(p.Image)
	e.U64(p.Snap)
	e.End(m)
}

// Decode is the inverse of Encode.
func (p *ParentSpec) Decode(d *wire.Decoder) {
	env := d.Begin("ParentImageSpec", 1)
	*p = ParentSpec{Pool: d.S64(), Namespace: d.Str(), Image: d.Str(), Snap: d.U64()}
	d.End(env)
}

// ChildSpec names a clone (cls::rbd::ChildImageSpec).
type ChildSpec struct {
	Pool      int64
	Image     string // id
	Namespace string // of the pool
}

// Encode appends the clone (version 2).
func (c *ChildSpec) Encode(e *wire.Encoder) {
	m := e.Begin(2, 1)
	e.S64(c.Pool)
	e.Str(c.Image)
	e.Str(c.Namespace)
	e.End(m)
}

// Decode is the inverse of Encode; version 1 knew no namespaces.
func (c *ChildSpec) Decode(d *wire.Decoder) {
	env := d.Begin("ChildImageSpec", 2)
	*c = ChildSpec{Pool: d.S64(), Image: d.Str()}
	if env.Version >= 2 {
		c.Namespace = d.Str()
	}
	d.End(env)
}

// GroupSpec names a group of images (cls::rbd::GroupSpec).
type GroupSpec struct {
	Pool int64
	ID   string
}

// Exists reports whether it names one.
func (g *GroupSpec) Exists() bool { return g.Pool != -1 && g.ID != "" }

// Encode appends the group (version 1).
func (g *GroupSpec) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.S64(g.Pool)
	e.Str(g.ID)
	e.End(m)
}

// Decode is the inverse of Encode.
func (g *GroupSpec) Decode(d *wire.Decoder) {
	env := d.Begin("GroupSpec", 1)
	*g = GroupSpec{Pool: d.S64(), ID: d.Str()}
	d.End(env)
}
