package rbd

import (
	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// A clone begins as the snapshot of another image, its parent. What it has not
// written itself it reads from there, up to the overlap of the two. The overlap
// is zero or gone once the clone was flattened, but while snapshots of the clone
// still need the parent, it stays known.

var parentMethods = objclass.Class{
	"parent_get":         {Flags: rd, Call: getParentSpec},
	"parent_overlap_get": {Flags: rd, Call: getOverlap},
	"parent_attach":      {Flags: rd | wr, Call: attachParent},
	"parent_detach":      {Flags: rd | wr, Call: detachParent},

	// Of before there were namespaces.
	"get_parent":    {Flags: rd, Call: getOldParent},
	"set_parent":    {Flags: rd | wr, Call: setOldParent},
	"remove_parent": {Flags: rd | wr, Call: removeOldParent},
}

// parent is what a clone keeps of its parent (cls_rbd_parent).
type parent struct {
	clsrbd.ParentSpec
	overlap optional // bytes; lacks once the clone was flattened
}

var noParent = parent{ParentSpec: clsrbd.NoParent}

func (p *parent) Encode(e *wire.Encoder) {
	m := e.Begin(2, 2)
	e.S64(p.Pool)
	e.Str(p.Namespace)
	e.Str(p.Image)
	e.U64(p.Snap)
	p.overlap.encode(e)
	e.End(m)
}

func (p *parent) Decode(d *wire.Decoder) {
	*p = noParent
	env := d.Begin("cls_rbd_parent", 2)
	p.Pool = d.S64()
	if env.Version >= 2 {
		p.Namespace = d.Str()
	}
	p.Image = d.Str()
	p.Snap = d.U64()
	if env.Version >= 2 {
		p.overlap = decodeOptional(d)
	} else {
		p.overlap = optional{true, d.U64()}
	}
	d.End(env)
}

// readParent returns noParent and ENOENT if there is none.
func readParent(c objclass.Context) (parent, error) {
	p := noParent
	err := readKey(c, "parent", p.Decode)
	if err != nil {
		p = noParent
	}
	return p, err
}

func writeParent(c objclass.Context, p parent) error { return writeKey(c, "parent", p.Encode) }

// layered tells whether an image has the feature that clones need. It hides all
// errors, as Ceph does here: an image whose features cannot be read has no
// parent.
func layered(c objclass.Context) bool { return requireFeature(c, clsrbd.Layering) == nil }

// getParentSpec returns ParentImageSpec.
func getParentSpec(c objclass.Context, _ []byte) ([]byte, error) {
	if err := exists(c); err != nil {
		return nil, err
	}
	p := noParent
	if layered(c) {
		var err error
		if p, err = readParent(c); isMissing(err) {
			// A snapshot of long ago may have one of its own.
			err = eachSnapshot(c, func(s *snapshot) error {
				if s.parent.Exists() {
					p = s.parent
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		} else if err != nil {
			return nil, err
		}
	}
	return wire.Marshal(&p.ParentSpec), nil
}

// getOverlap takes u64 snapshot or head and returns optional u64 bytes.
func getOverlap(c objclass.Context, in []byte) ([]byte, error) {
	id, err := parseU64(in)
	if err != nil {
		return nil, err
	}
	var o optional
	switch {
	case !layered(c):
	case id == head:
		p, err := readParent(c)
		if _, err := present(err); err != nil {
			return nil, err
		}
		o = p.overlap
	default:
		s, err := readSnapshot(c, id)
		if err != nil {
			return nil, err
		}
		if o = s.overlap; !o.set && s.parent.Exists() {
			o = s.parent.overlap
		}
	}
	return encoded(o.encode), nil
}

// attachParent takes ParentImageSpec, u64 overlap, bool reattach: whether a
// parent that there is shall be replaced.
func attachParent(c objclass.Context, in []byte) ([]byte, error) {
	var p parent
	reattach := false
	if err := objclass.Parse(in, func(d *wire.Decoder) {
		p.ParentSpec.Decode(d)
		p.overlap = optional{true, d.U64()}
		if d.Left() > 0 {
			reattach = d.Bool()
		}
	}); err != nil {
		return nil, err
	}
	return nil, attach(c, p, reattach)
}

func attach(c objclass.Context, p parent, reattach bool) error {
	if err := exists(c); err != nil {
		return err
	}
	if err := requireFeature(c, clsrbd.Layering); err != nil {
		return err
	}
	if !p.Exists() || p.overlap.n == 0 {
		return errno.EINVAL
	}
	old, err := readParent(c)
	found, err := present(err)
	if err != nil {
		return err
	}
	if found && !reattach && (old.overlap.set || old.ParentSpec != p.ParentSpec) {
		return errno.EEXIST
	}
	size, err := readU64(c, "size")
	if err != nil {
		return err
	}
	p.overlap.n = min(p.overlap.n, size)
	return writeParent(c, p)
}

func detachParent(c objclass.Context, _ []byte) ([]byte, error) { return nil, detach(c, false) }

// detach is the end of flattening. If the image has deep-flatten, its snapshots
// were flattened, too. EXDEV if an old client cannot know the namespace of the
// parent.
func detach(c objclass.Context, old bool) error {
	if err := exists(c); err != nil {
		return err
	}
	features, err := readU64(c, "features")
	if isMissing(err) || err == nil && clsrbd.Feature(features)&clsrbd.Layering == 0 {
		return errno.ENOEXEC
	}
	if err != nil {
		return err
	}
	p, err := readParent(c)
	switch {
	case err != nil:
		return err
	case old && p.Namespace != "":
		return errno.EXDEV
	case !p.overlap.set:
		return errno.ENOENT
	}
	needed, err := anySnapshot(c, func(s *snapshot) bool { return s.hasParent() })
	if err != nil {
		return err
	}
	if needed && clsrbd.Feature(features)&clsrbd.DeepFlatten != 0 {
		needed = false
		if err := eachSnapshot(c, func(s *snapshot) error {
			if !s.hasParent() {
				return nil
			}
			s.parent, s.overlap = noParent, optional{}
			return writeSnapshot(c, s.id, s)
		}); err != nil {
			return err
		}
	}
	if needed {
		p.overlap = optional{}
		return writeParent(c, p)
	}
	if err := removeKey(c, "parent"); err != nil {
		return err
	}
	return setOpFeatures(c, 0, clsrbd.CloneChild)
}

// getOldParent takes u64 snapshot or head and returns s64 pool, string image,
// u64 snapshot, u64 overlap. EXDEV if the parent is in a namespace.
func getOldParent(c objclass.Context, in []byte) ([]byte, error) {
	id, err := parseU64(in)
	if err != nil {
		return nil, err
	}
	if err := exists(c); err != nil {
		return nil, err
	}
	p := noParent
	if layered(c) {
		p, err = readParent(c)
		if _, err := present(err); err != nil {
			return nil, err
		}
		if p.Namespace != "" {
			return nil, errno.EXDEV
		}
		if id != head {
			if p, err = parentOfSnapshot(c, id, p); err != nil {
				return nil, err
			}
		}
	}
	return encoded(func(e *wire.Encoder) {
		e.S64(p.Pool)
		e.Str(p.Image)
		e.U64(p.Snap)
		e.U64(p.overlap.n)
	}), nil
}

// parentOfSnapshot returns the parent that an image with this parent had at a
// snapshot; none for a snapshot that does not exist.
func parentOfSnapshot(c objclass.Context, id uint64, p parent) (parent, error) {
	s, err := readSnapshot(c, id)
	if isMissing(err) {
		return noParent, nil
	}
	switch {
	case err != nil:
		return noParent, err
	case s.parent.Exists():
		return s.parent, nil
	case !s.overlap.set:
		return noParent, nil
	case !p.Exists():
		return noParent, errno.EINVAL
	}
	p.overlap = s.overlap
	return p, nil
}

// setOldParent takes s64 pool, string image, u64 snapshot, u64 overlap.
func setOldParent(c objclass.Context, in []byte) ([]byte, error) {
	var p parent
	if err := objclass.Parse(in, func(d *wire.Decoder) {
		p.Pool, p.Image, p.Snap = d.S64(), d.Str(), d.U64()
		p.overlap = optional{true, d.U64()}
	}); err != nil {
		return nil, err
	}
	return nil, attach(c, p, false)
}

func removeOldParent(c objclass.Context, _ []byte) ([]byte, error) { return nil, detach(c, true) }
