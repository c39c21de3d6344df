package rbd

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rados/striper"
	"github.com/pulpo-storage/pulpo/rbd/calls"
)

// CreateOptions are what one can wish of a new image.
type CreateOptions struct {
	// Order sets the size of objects, 2^Order bytes, 12 to 25; 0: 22 (4 MiB).
	Order uint8
	// Features; 0: DefaultFeatures. Striping and DataPool follow from the
	// fields below.
	Features Feature
	// StripeUnit in bytes and StripeCount, both or none.
	StripeUnit, StripeCount uint64
	// DataPool is the pool of the bytes; nil: that of the header.
	DataPool *rados.Pool
}

const (
	defaultOrder = 22
	minOrder     = 12
	maxOrder     = 25
	// maxPrefix is how long the kernel allows an object prefix to be
	// (RBD_MAX_BLOCK_NAME_PREFIX_LENGTH), maxID what follows for ids.
	maxPrefix = 43
	maxID     = 14
)

// recipe is an image that is going to be made: options, checked and complete.
type recipe struct {
	size     uint64
	order    uint8
	features Feature
	stripes  calls.Stripes // zero: none
	layout   striper.Layout
	dataPool *rados.Pool       // nil: that of the header
	parent   clsrbd.ParentSpec // of a clone
}

func newRecipe(pool *rados.Pool, size uint64, o CreateOptions) (*recipe, error) {
	r := &recipe{size: size, order: o.Order, features: o.Features, parent: clsrbd.NoParent}
	if r.order == 0 {
		r.order = defaultOrder
	}
	if r.order < minOrder || r.order > maxOrder {
		return nil, fmt.Errorf("objects of 2^%d bytes, not 2^%d to 2^%d: %w", r.order, minOrder, maxOrder, errno.EDOM)
	}
	if r.features == 0 {
		r.features = DefaultFeatures
	}
	r.features &^= Striping | DataPool
	if r.features&ObjectMap != 0 {
		r.features |= FastDiff
	}
	if err := checkFeatures(r.features); err != nil {
		return nil, err
	}
	r.layout = striper.Plain(1 << r.order)
	if (o.StripeUnit == 0) != (o.StripeCount == 0) {
		return nil, invalid("stripe unit %d, stripe count %d: both or none", o.StripeUnit, o.StripeCount)
	}
	if o.StripeUnit != 0 {
		r.layout.StripeUnit, r.layout.StripeCount = o.StripeUnit, o.StripeCount
		if o.StripeUnit < 512 {
			return nil, invalid("stripe unit of %d bytes, not at least 512", o.StripeUnit)
		}
		if err := r.layout.Check(); err != nil {
			return nil, err
		}
		if r.layout != striper.Plain(1<<r.order) {
			r.features |= Striping
			r.stripes = calls.Stripes{Unit: o.StripeUnit, Count: o.StripeCount}
		}
	}
	if r.features&ObjectMap != 0 && r.layout.Objects(size) > clsrbd.MaxObjects {
		return nil, invalid("%d objects, the object map has at most %d", r.layout.Objects(size), clsrbd.MaxObjects)
	}
	if o.DataPool != nil && o.DataPool.ID() != pool.ID() {
		r.dataPool = o.DataPool.Namespace(pool.NamespaceName())
		r.features |= DataPool
	}
	return r, nil
}

// Create makes an image of a size in bytes. EEXIST: the name is taken; EINVAL
// and EDOM: the options do not fit together.
func Create(ctx context.Context, pool *rados.Pool, name string, size uint64, o CreateOptions) error {
	spec := poolName(pool) + "/" + name
	r, err := newRecipe(pool, size, o)
	if err != nil {
		return fail("create", spec, err)
	}
	_, err = r.create(ctx, pool, name)
	return fail("create", spec, err)
}

// create makes the image and returns its id. The name is taken first, the header
// comes last: what was begun and not finished can be removed like an image.
func (r *recipe) create(ctx context.Context, pool *rados.Pool, name string) (id string, err error) {
	if name == "" {
		return "", invalid("no name")
	}
	if _, err := pool.Stat(ctx, clsrbd.FormerHeader(name)); !isMissing(err) {
		return "", taken(err)
	}
	if _, err := pool.Stat(ctx, clsrbd.IDObject(name)); !isMissing(err) {
		return "", taken(err)
	}
	data := pool
	if r.dataPool != nil {
		data = r.dataPool
	}
	if err := validatePool(ctx, data); err != nil {
		return "", err
	}
	// Undo in the reverse order what was done, as far as it goes.
	var undo []func(context.Context) error
	defer func() {
		if err != nil {
			ctx := context.WithoutCancel(ctx)
			for i := len(undo) - 1; i >= 0; i-- {
				if undo[i](ctx) != nil {
					return
				}
			}
		}
	}()
	id = newID(pool.Cluster().InstanceID())
	var dir rados.WriteOp
	if pool.NamespaceName() != "" {
		a := calls.AssertDirectory(calls.DirectoryReady)
		dir.Call(calls.Class, a.Method, a.In)
	}
	addWrite(&dir, calls.AddImage(name, id))
	if err := pool.Mutate(ctx, clsrbd.Directory, &dir); err != nil {
		return "", err
	}
	undo = append(undo, func(ctx context.Context) error {
		return tell(ctx, pool, clsrbd.Directory, calls.RemoveImage(name, id))
	})
	var byName rados.WriteOp
	byName.Create(true)
	addWrite(&byName, calls.SetID(id))
	if err := pool.Mutate(ctx, clsrbd.IDObject(name), &byName); err != nil {
		return "", err
	}
	undo = append(undo, func(ctx context.Context) error { return pool.Remove(ctx, clsrbd.IDObject(name)) })
	dataPool := int64(-1)
	prefix := clsrbd.DataPrefix(id, -1)
	if r.dataPool != nil {
		dataPool = r.dataPool.ID()
		prefix = clsrbd.DataPrefix(id, pool.ID())
	}
	if len(prefix) > maxPrefix {
		return "", invalid("object prefix %s is longer than %d bytes", prefix, maxPrefix)
	}
	if r.features&ObjectMap != 0 {
		err := tell(ctx, pool, clsrbd.ObjectMapName(id, clsrbd.HeadSnap), calls.ResizeObjectMap(r.layout.Objects(r.size), clsrbd.ObjectNonexistent))
		if err != nil {
			return "", err
		}
		undo = append(undo, func(ctx context.Context) error { return pool.Remove(ctx, clsrbd.ObjectMapName(id, clsrbd.HeadSnap)) })
	}
	var header rados.WriteOp
	header.Create(true)
	addWrite(&header, calls.Create(r.size, r.order, r.features, prefix, dataPool))
	if err := pool.Mutate(ctx, clsrbd.Header(id), &header); err != nil {
		return "", err
	}
	undo = append(undo, func(ctx context.Context) error { return pool.Remove(ctx, clsrbd.Header(id)) })
	if r.stripes.Unit != 0 { // on its own: a method does not see what the same sequence wrote to an omap
		if err := tell(ctx, pool, clsrbd.Header(id), calls.SetStripes(r.stripes)); err != nil {
			return "", err
		}
	}
	return id, nil
}

// taken is the error of a name under which there is something.
func taken(err error) error {
	if err == nil {
		return errno.EEXIST
	}
	return err
}

// newID makes the id of an image as librbd does: unique, for the cluster counts
// clients, and short enough for the kernel.
func newID(instance uint64) string {
	var b [4]byte
	rand.Read(b[:])
	id := fmt.Sprintf("%x%x", instance, binary.LittleEndian.Uint32(b[:]))
	return id[max(0, len(id)-maxID):]
}

// InitPool makes a pool ready for images: it says what the pool is for and makes
// sure that it can have snapshots of images. Create does the latter, too.
func InitPool(ctx context.Context, pool *rados.Pool, force bool) error {
	cmd := map[string]any{"prefix": "osd pool application enable", "pool": pool.Name(), "app": "rbd"}
	if force {
		cmd["yes_i_really_mean_it"] = true
	}
	_, err := pool.Cluster().Command(ctx, rados.ToMons(), cmd, nil)
	if err == nil {
		err = validatePool(ctx, pool.Namespace(""))
	}
	return fail("init", pool.Name(), err)
}

// validatePool makes sure, once for a pool, that it can keep self-managed
// snapshots, and notes that in an object. Otherwise the pool might get snapshots
// of its own, and images could not have any.
func validatePool(ctx context.Context, pool *rados.Pool) error {
	const note = "validate"
	data, err := pool.ReadFull(ctx, clsrbd.Info)
	if err != nil && !isMissing(err) {
		return err
	}
	if string(data) == clsrbd.Validated {
		return nil
	}
	snap, err := pool.CreateSelfManagedSnap(ctx)
	if err != nil {
		return fmt.Errorf("pool cannot have images: %w", err)
	}
	if err := pool.RemoveSelfManagedSnap(ctx, snap); err != nil {
		return err
	}
	// Pools that cannot overwrite (erasure coded) refuse the second of these.
	if err := pool.WriteFull(ctx, clsrbd.Info, []byte(note)); err != nil {
		return err
	}
	return pool.WriteFull(ctx, clsrbd.Info, []byte(clsrbd.Validated))
}
