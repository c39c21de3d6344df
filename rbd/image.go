package rbd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rados/striper"
	"github.com/pulpo-storage/pulpo/rbd/calls"
	"github.com/pulpo-storage/pulpo/rbd/writeback"
)

// Image is an open image, or a snapshot of one. It is for concurrent use.
type Image struct {
	// What never changes while it is open.
	pool     *rados.Pool // of the header
	data     *rados.Pool // of the bytes
	name     string      // when it was opened
	id       string
	snap     uint64 // that it was opened at, or clsrbd.HeadSnap
	readOnly bool
	layout   striper.Layout
	prefix   string
	log      *slog.Logger

	// The header, as far as this client knows it. Who is told that it changed
	// raises told; who reads it again sets known to what told was before.
	view       atomic.Pointer[view]
	told       atomic.Uint64
	known      atomic.Uint64
	refreshing semaphore
	lineage    *lineage

	// Of images open for writing.
	gate     gate
	objects  objectLocks
	managing semaphore     // of operations that must not meet each other
	atMost   atomic.Uint64 // size that the image seems to have while it shrinks
	owner    *ownership
	remote   *requests
	cache    *writeback.Cache // nil: writes are durable when they return
	// keepsBack is set when the cache may keep writes back.
	keepsBack atomic.Bool
	touched   atomic.Int64  // when the header's time of modification was set; Unix seconds
	kick      chan struct{} // the header should be read; capacity 1

	life  context.Context // until Close
	end   context.CancelCauseFunc
	tasks sync.WaitGroup // goroutines; Close waits for them

	mu       sync.Mutex
	changed  chan struct{} // closed when view changes
	watching *rados.Watch  // the newest one, of images open for writing
	closing  bool
}

// view is a header as I/O sees it: at the snapshot that the image was opened at.
// It does not change.
type view struct {
	*header
	size    uint64
	overlap uint64            // bytes that come from the parent where there is no object
	parent  *Image            // nil if there is no overlap anywhere
	gone    bool              // the snapshot was removed
	objects *clsrbd.BitVector // of a snapshot: what exists; nil: not known
	read    *rados.Pool
	write   *rados.Pool
}

// OpenOptions are what one can wish of Open. The zero value opens for reading
// and writing.
type OpenOptions struct {
	// ReadOnly promises not to write: others need not care for this client, and
	// it is not told of changes.
	ReadOnly bool
	// Snapshot, a name, or SnapshotID, if not 0, open the image as it was then,
	// for reading.
	Snapshot   string
	SnapshotID uint64
	Cache      *CacheOptions // nil: writes are durable when they return
	Log        *slog.Logger  // nil: nothing is logged
}

// Open opens an image by its name. ENOENT: there is none, or not the snapshot;
// ENOSYS: it has features that are not known here.
func Open(ctx context.Context, pool *rados.Pool, name string, o OpenOptions) (*Image, error) {
	id, err := imageID(ctx, pool, name)
	if err != nil {
		return nil, fail("open", poolName(pool)+"/"+name, err)
	}
	return open(ctx, pool, name, id, o)
}

// OpenID opens an image by its id, which may be in the trash.
func OpenID(ctx context.Context, pool *rados.Pool, id string, o OpenOptions) (*Image, error) {
	name, err := imageName(ctx, pool, id)
	if err != nil {
		return nil, fail("open", poolName(pool)+"/"+id, err)
	}
	return open(ctx, pool, name, id, o)
}

func open(ctx context.Context, pool *rados.Pool, name, id string, o OpenOptions) (*Image, error) {
	img := &Image{
		pool: pool, name: name, id: id, snap: clsrbd.HeadSnap, log: o.Log,
		readOnly:   o.ReadOnly || o.Snapshot != "" || o.SnapshotID != 0,
		refreshing: newSemaphore(), lineage: newLineage(), managing: newSemaphore(), changed: make(chan struct{}), kick: make(chan struct{}, 1),
	}
	img.atMost.Store(noLimit)
	img.owner, img.remote = newOwnership(img), newRequests()
	img.life, img.end = context.WithCancelCause(context.Background())
	if img.log == nil {
		img.log = slog.New(slog.DiscardHandler)
	}
	img.log = img.log.With("image", img.Spec())
	if err := img.begin(ctx, o); err != nil {
		spec := img.Spec()
		if o.Snapshot != "" {
			spec += "@" + o.Snapshot
		}
		return nil, fail("open", spec, err)
	}
	return img, nil
}

func (img *Image) begin(ctx context.Context, o OpenOptions) error {
	h, err := loadHeader(ctx, img.pool, img.id, img.readOnly, nil, nil)
	if err != nil {
		return err
	}
	if !img.readOnly {
		if h.has(Journaling) {
			return fmt.Errorf("writing with a journal: %w", errno.EOPNOTSUPP)
		}
	}
	if img.layout, err = h.layout(); err != nil {
		return err
	}
	img.prefix, img.data = h.prefix, img.pool
	if h.dataPool >= 0 {
		p, err := img.pool.Cluster().PoolByID(ctx, h.dataPool)
		if err != nil {
			return err
		}
		img.data = p.Namespace(img.pool.NamespaceName())
	}
	switch {
	case o.SnapshotID != 0:
		img.snap = o.SnapshotID
		if h.snap(img.snap) == nil {
			return fmt.Errorf("snapshot %d: %w", img.snap, errno.ENOENT)
		}
	case o.Snapshot != "":
		s := h.snapNamed(o.Snapshot)
		if s == nil {
			return fmt.Errorf("snapshot: %w", errno.ENOENT)
		}
		img.snap = s.ID
	}
	if err := img.show(ctx, h); err != nil || img.readOnly {
		return err
	}
	if err := img.makeCache(o.Cache); err != nil {
		return err
	}
	if err := img.watch(ctx); err != nil {
		return err
	}
	img.told.Add(1) // it may have changed before the watch was there
	img.startCache()
	return nil
}

// show makes a header the one that I/O sees from now on.
func (img *Image) show(ctx context.Context, h *header) error {
	v := &view{header: h, size: min(h.size, img.atMost.Load()), read: img.data, write: img.data.SnapContext(h.snapc.Seq, h.snapc.Snaps)}
	overlap := h.overlap
	if img.snap != clsrbd.HeadSnap {
		v.read = img.data.AtSnap(img.snap)
		if s := h.snap(img.snap); s != nil {
			v.size, overlap = s.Size, s.overlap
			v.objects = img.snapObjectMap(ctx, h, s)
		} else {
			v.size, v.gone = 0, true
		}
	}
	needed := overlap.Known && overlap.Bytes > 0
	if needed {
		v.overlap = overlap.Bytes
	}
	if needed && h.parent.Exists() {
		old := img.view.Load()
		if old != nil && old.parent != nil && old.header.parent == h.parent {
			v.parent = old.parent
		} else if p, err := img.openParent(ctx, h.parent); err == nil {
			v.parent = p
		} else {
			return fmt.Errorf("parent: %w", err)
		}
	}
	img.view.Store(v)
	img.mu.Lock()
	close(img.changed)
	img.changed = make(chan struct{})
	img.mu.Unlock()
	return nil
}

func (img *Image) openParent(ctx context.Context, p clsrbd.ParentSpec) (*Image, error) {
	pool, err := img.pool.Cluster().PoolByID(ctx, p.Pool)
	if err != nil {
		return nil, err
	}
	return OpenID(ctx, pool.Namespace(p.Namespace), p.Image, OpenOptions{SnapshotID: p.Snap, Log: img.log})
}

// current is the view of the newest header that this client was told of.
func (img *Image) current(ctx context.Context) (*view, error) {
	if img.life.Err() != nil {
		return nil, errClosed
	}
	if img.told.Load() != img.known.Load() {
		if err := img.refresh(ctx); err != nil {
			return nil, err
		}
	}
	v := img.view.Load()
	if v.gone {
		return nil, fmt.Errorf("the snapshot was removed: %w", errno.ENOENT)
	}
	return v, nil
}

// refresh reads the header again, unless somebody does already.
func (img *Image) refresh(ctx context.Context) error {
	if err := img.refreshing.acquire(ctx); err != nil {
		return err
	}
	defer img.refreshing.release()
	told := img.told.Load()
	if told == img.known.Load() {
		return nil
	}
	h := img.view.Load().header
	if !img.unchanged(ctx) {
		var err error
		if h, err = loadHeader(ctx, img.pool, img.id, img.readOnly, h, img.lineage); err != nil {
			return fmt.Errorf("header: %w", err)
		}
		img.log.Debug("header was read", "version", h.version, "snapshots", len(h.snaps), "read", h.read)
	}
	if err := img.show(ctx, h); err != nil {
		return err
	}
	img.lineage.forget(h.version)
	img.known.Store(told)
	return nil
}

// Refresh reads the header, for a client that is not told of changes.
func (img *Image) Refresh(ctx context.Context) error {
	img.told.Add(1)
	return img.fail("refresh", img.refresh(ctx))
}

// Close ends the use of the image: the lock is given back once writes under way
// are done. What is called later fails, as does a second Close.
func (img *Image) Close(ctx context.Context) error {
	if img.readOnly {
		img.end(errClosed)
		return nil
	}
	img.mu.Lock()
	again := img.closing
	img.closing = true
	img.mu.Unlock()
	if again {
		return img.fail("close", errClosed)
	}
	img.settle(ctx) // while it can be tried again; what is left is told of by endCache
	img.gate.end(errClosed)
	err := errors.Join(img.endCache(ctx), img.owner.release(ctx))
	img.end(errClosed)
	img.mu.Lock()
	w := img.watching
	img.mu.Unlock()
	if e := w.Close(ctx); e != nil && w.Err() == nil {
		err = errors.Join(err, e)
	}
	done := make(chan struct{})
	go func() { img.tasks.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		err = errors.Join(err, context.Cause(ctx))
	}
	return img.fail("close", err)
}

var (
	errClosed   = errors.New("image is closed")
	errReadOnly = fmt.Errorf("opened for reading: %w", errno.EROFS)
)

func (img *Image) fail(op string, err error) error { return fail(op, img.Spec(), err) }

// Spec is how the image is called: pool/name, pool/namespace/name, and
// @snapshot if it is opened at one.
func (img *Image) Spec() string {
	s := poolName(img.pool) + "/" + img.name
	if v := img.view.Load(); v != nil && img.snap != clsrbd.HeadSnap {
		if snap := v.snap(img.snap); snap != nil {
			return s + "@" + snap.Name
		}
		return fmt.Sprintf("%s@%d", s, img.snap)
	}
	return s
}

// Name is the image's name when it was opened.
func (img *Image) Name() string { return img.name }

// ID is what its objects are named by; it never changes.
func (img *Image) ID() string { return img.id }

// Pool is where its header is.
func (img *Image) Pool() *rados.Pool { return img.pool }

// Size is the image's size in bytes, as far as this client knows: it changes if
// somebody resizes the image (Changed).
func (img *Image) Size() int64 { return int64(img.view.Load().size) }

// ReadOnly reports whether the image cannot be written by this handle.
func (img *Image) ReadOnly() bool { return img.readOnly }

// Changed returns a channel that is closed when this client learns of the next
// change of the header: of the size, snapshots, parent, features or flags.
func (img *Image) Changed() <-chan struct{} {
	img.mu.Lock()
	defer img.mu.Unlock()
	return img.changed
}

// Info tells about an image.
type Info struct {
	ID          string
	Size        uint64 // bytes; at the snapshot, if it is opened at one
	Order       uint8  // objects have 2^Order bytes
	Objects     uint64
	ObjectSize  uint64
	StripeUnit  uint64
	StripeCount uint64
	Prefix      string // of the names of data objects
	Features    clsrbd.Feature
	OpFeatures  clsrbd.OpFeature
	Flags       clsrbd.Flag
	DataPool    string // empty: that of the header
	Parent      *Parent
	Group       clsrbd.GroupSpec
	Created     time.Time
	Accessed    time.Time
	Modified    time.Time
}

// Parent is the snapshot that an image is a clone of.
type Parent struct {
	clsrbd.ParentSpec
	Overlap uint64 // bytes that are shared, at most
}

// Info tells about the image, as far as this client knows.
func (img *Image) Info() Info {
	v := img.view.Load()
	i := Info{
		ID: img.id, Size: v.size, Order: v.order, ObjectSize: img.layout.ObjectSize, StripeUnit: img.layout.StripeUnit, StripeCount: img.layout.StripeCount,
		Objects: img.layout.Objects(v.size), Prefix: img.prefix, Features: v.features, OpFeatures: v.opFeatures, Flags: v.flags,
		Group: v.group, Created: v.created, Accessed: v.accessed, Modified: v.modified,
	}
	if v.dataPool >= 0 {
		i.DataPool = img.data.Name()
	}
	if s := v.snap(img.snap); s != nil {
		i.Flags = s.flags
	}
	overlap := v.header.overlap
	if s := v.snap(img.snap); s != nil {
		overlap = s.overlap
	}
	if overlap.Known && v.header.parent.Exists() {
		i.Parent = &Parent{v.header.parent, overlap.Bytes}
	}
	return i
}

// object is the name of a data object.
func (img *Image) object(n uint64) string { return clsrbd.DataObject(img.prefix, n) }

// imageID looks a name up.
func imageID(ctx context.Context, pool *rados.Pool, name string) (string, error) {
	if name == "" {
		return "", invalid("no name")
	}
	id, err := ask(ctx, pool, clsrbd.IDObject(name), calls.GetID())
	if !isMissing(err) {
		return id, err
	}
	if _, e := pool.Stat(ctx, clsrbd.FormerHeader(name)); e == nil {
		return "", fmt.Errorf("images of format 1: %w", errno.EOPNOTSUPP)
	}
	return "", err
}

// imageName is the name of an id, which an image in the trash keeps.
func imageName(ctx context.Context, pool *rados.Pool, id string) (string, error) {
	name, err := ask(ctx, pool, clsrbd.Directory, calls.GetImageName(id))
	if !isMissing(err) {
		return name, err
	}
	t, err := ask(ctx, pool, clsrbd.Trash, calls.GetTrash(id))
	return t.Name, err
}
