package rbd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd/calls"
)

// CloneOptions are what one can wish of a clone. What is zero in CreateOptions
// is as in the parent.
type CloneOptions struct {
	CreateOptions
	// Format is how the parent knows its clones. 1: by a list in each pool, and
	// the snapshot must be protected. 2: in its header, and the snapshot may be
	// removed; clients since Mimic know it. 0: 2, if the cluster requires such.
	Format int
}

// Clone makes an image that has the bytes of a snapshot and shares them until
// they are written. The parent is an image opened at the snapshot. EINVAL: the
// snapshot is not protected (format 1); EXDEV: it is in another namespace
// (format 1).
func Clone(ctx context.Context, parent *Image, pool *rados.Pool, name string, o CloneOptions) error {
	return fail("clone", poolName(pool)+"/"+name, clone(ctx, parent, pool, name, o))
}

func clone(ctx context.Context, parent *Image, pool *rados.Pool, name string, o CloneOptions) (err error) {
	if parent.snap == clsrbd.HeadSnap {
		return invalid("the parent is no snapshot")
	}
	if err := parent.Refresh(ctx); err != nil {
		return err
	}
	v, err := parent.current(ctx)
	if err != nil {
		return err
	}
	switch format := o.Format; {
	case format == 0:
		const mimic = 13
		if o.Format = 1; pool.Cluster().ClientRelease() >= mimic {
			o.Format = 2
		}
	case format != 1 && format != 2:
		return invalid("clones of format %d", format)
	}
	if o.Format == 1 && parent.pool.NamespaceName() != pool.NamespaceName() {
		return fmt.Errorf("a clone of format 1 in another namespace: %w", errno.EXDEV)
	}
	o.CreateOptions = o.CreateOptions.like(parent, v)
	if o.Features&v.features&Layering == 0 {
		return fmt.Errorf("parent and clone need the feature layering: %w", errno.ENOSYS)
	}
	if o.Format == 1 && v.snap(parent.snap).protection != clsrbd.Protected {
		return invalid("the snapshot is not protected")
	}
	r, err := newRecipe(pool, v.size, o.CreateOptions)
	if err != nil {
		return err
	}
	id, err := r.create(ctx, pool, name)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			if e := Remove(context.WithoutCancel(ctx), pool, name, nil); e != nil {
				err = errors.Join(err, e)
			}
		}
	}()
	spec := clsrbd.ParentSpec{Pool: parent.pool.ID(), Namespace: parent.pool.NamespaceName(), Image: parent.id, Snap: parent.snap}
	header := clsrbd.Header(id)
	if err := tell(ctx, pool, header, calls.AttachParent(spec, v.size, false)); err != nil {
		return err
	}
	if o.Format == 1 {
		if err := tell(ctx, pool, clsrbd.Children, calls.AddChild(spec, id)); err != nil {
			return err
		}
		// It may have been unprotected before the child was there to be seen.
		if p, err := ask(ctx, parent.pool, clsrbd.Header(parent.id), calls.GetProtection(parent.snap)); err != nil || p != clsrbd.Protected {
			return errors.Join(err, invalid("the snapshot is not protected any more"))
		}
	} else {
		if err := tell(ctx, pool, header, calls.SetOpFeatures(CloneChild, CloneChild)); err != nil {
			return err
		}
		child := clsrbd.ChildSpec{Pool: pool.ID(), Namespace: pool.NamespaceName(), Image: id}
		if err := tell(ctx, parent.pool, clsrbd.Header(parent.id), calls.AttachChild(parent.snap, child)); err != nil {
			return err
		}
	}
	return copyMetadata(ctx, parent, pool, id)
}

// leaveParent tells the parent that it has a clone less, if after the end of a
// snapshot, or of the image's own need of the parent (clsrbd.HeadSnap), nothing
// of the image needs it any more. When the image has forgotten the parent, which
// it must not outlive, forget removes what was kept for it.
func (img *Image) leaveParent(ctx context.Context, v *view, without uint64) (forget func(), err error) {
	forget = func() {}
	if !v.header.parent.Exists() || without != clsrbd.HeadSnap && v.header.overlap.Known {
		return forget, nil
	}
	needed := false
	for _, s := range v.snaps {
		if s.ID == without {
			needed = needed || !s.overlap.Known // it does not, so there is nothing to tell
		} else if s.overlap.Known && (without != clsrbd.HeadSnap || !v.has(DeepFlatten)) {
			needed = true
		}
	}
	if needed {
		return forget, nil
	}
	p := v.header.parent
	if v.opFeatures&CloneChild == 0 {
		p.Namespace = ""
		err := tell(ctx, img.pool, clsrbd.Children, calls.RemoveChild(p, img.id))
		if isMissing(err) {
			err = nil
		}
		return forget, err
	}
	pool, err := img.pool.Cluster().PoolByID(ctx, p.Pool)
	if isMissing(err) {
		return forget, nil
	}
	if err != nil {
		return forget, err
	}
	pool = pool.Namespace(p.Namespace)
	child := clsrbd.ChildSpec{Pool: img.pool.ID(), Namespace: img.pool.NamespaceName(), Image: img.id}
	if err := tell(ctx, pool, clsrbd.Header(p.Image), calls.DetachChild(p.Snap, child)); err != nil && !isMissing(err) {
		return forget, err
	}
	return func() { img.removeTrashed(ctx, pool, p) }, nil
}

// removeTrashed removes the parent's snapshot if it was removed before and only
// waited for its last clone, and the parent, if that waited for its last
// snapshot. Whoever does something with the parent later does it, too, so
// failing is no harm.
func (img *Image) removeTrashed(ctx context.Context, pool *rados.Pool, p clsrbd.ParentSpec) {
	s, err := ask(ctx, pool, clsrbd.Header(p.Image), calls.GetSnapshot(p.Snap))
	if err != nil || s.Namespace.Type != SnapTrashed || s.Children > 0 {
		return
	}
	err = func() error {
		parent, err := OpenID(ctx, pool, p.Image, OpenOptions{Log: img.log})
		if err != nil {
			return err
		}
		defer parent.Close(ctx)
		v, err := parent.current(ctx)
		if err != nil {
			return err
		}
		snap := v.snap(p.Snap)
		if snap == nil {
			return nil
		}
		if err := parent.removeOf(ctx, snap); err != nil {
			return err
		}
		if len(parent.view.Load().snaps) > 0 {
			return nil
		}
		if t, err := ask(ctx, pool, clsrbd.Trash, calls.GetTrash(p.Image)); err != nil || t.Source != clsrbd.TrashUserParent || t.State != clsrbd.TrashNormal {
			return nil
		}
		if err := parent.Close(ctx); err != nil {
			return err
		}
		return TrashRemove(ctx, pool, p.Image, false, nil)
	}()
	if err != nil {
		img.log.Warn("snapshot of the parent, which has no clones any more, is not removed", "parent", p.Image, "snapshot", p.Snap, "err", err)
	}
}

// Child is a clone of a snapshot.
type Child struct {
	PoolID    int64
	Pool      string
	Namespace string
	Name      string
	ID        string
	Trash     bool // it is in the trash
}

// Children lists the clones of the snapshot that the image is opened at, or else
// of all its snapshots.
func (img *Image) Children(ctx context.Context) ([]Child, error) {
	v, err := img.current(ctx)
	if err != nil {
		return nil, img.fail("list children", err)
	}
	var out []Child
	for _, s := range v.snaps {
		if img.snap != clsrbd.HeadSnap && img.snap != s.ID {
			continue
		}
		c, err := img.childrenOf(ctx, s.ID)
		if err != nil {
			return nil, img.fail("list children", err)
		}
		out = append(out, c...)
	}
	slices.SortFunc(out, func(a, b Child) int {
		return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}

func (img *Image) childrenOf(ctx context.Context, snap uint64) ([]Child, error) {
	specs, err := img.childrenV1(ctx, snap)
	if err != nil {
		return nil, err
	}
	v2, err := ask(ctx, img.pool, clsrbd.Header(img.id), calls.ListChildren(snap))
	if err != nil && !isMissing(err) && !isUnknown(err) {
		return nil, err
	}
	var out []Child
	for _, s := range append(specs, v2...) {
		c := Child{PoolID: s.Pool, Namespace: s.Namespace, ID: s.Image}
		pool, err := img.pool.Cluster().PoolByID(ctx, s.Pool)
		if isMissing(err) {
			continue // removed with all that was in it
		}
		if err != nil {
			return nil, err
		}
		pool = pool.Namespace(s.Namespace)
		c.Pool = pool.Name()
		c.Name, err = ask(ctx, pool, clsrbd.Directory, calls.GetImageName(s.Image))
		if isMissing(err) {
			var t clsrbd.TrashSpec
			t, err = ask(ctx, pool, clsrbd.Trash, calls.GetTrash(s.Image))
			c.Name, c.Trash = t.Name, true
		}
		if err != nil && !isMissing(err) {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// childrenV1 looks in all pools for clones of the first format.
func (img *Image) childrenV1(ctx context.Context, snap uint64) ([]clsrbd.ChildSpec, error) {
	spec := clsrbd.ParentSpec{Pool: img.pool.ID(), Image: img.id, Snap: snap}
	pools, err := img.pool.Cluster().Pools(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var out []clsrbd.ChildSpec
	ns := img.pool.NamespaceName()
	err = parallel(ctx, managing, uint64(len(pools)), func(ctx context.Context, i uint64) error {
		pool, err := img.pool.Cluster().PoolByID(ctx, pools[i].ID)
		if err != nil {
			if isMissing(err) {
				return nil
			}
			return err
		}
		ids, err := ask(ctx, pool.Namespace(ns), clsrbd.Children, calls.GetChildren(spec))
		if err != nil && !isMissing(err) {
			return fmt.Errorf("children in pool %s: %w", pools[i].Name, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, id := range ids {
			out = append(out, clsrbd.ChildSpec{Pool: pools[i].ID, Image: id, Namespace: ns})
		}
		return nil
	})
	return out, err
}
