package rbd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rbd/calls"
	"github.com/pulpo-storage/pulpo/rbd/notify"
)

// Snapshot is a snapshot of an image.
type Snapshot struct {
	ID        uint64
	Name      string
	Type      SnapType
	Size      uint64 // of the image, then; bytes
	Created   time.Time
	Protected bool // it may be cloned in the first format, and not be removed
	Flags     Flag
	Children  uint32 // clones of the second format
	// TrashName is the name of a snapshot in the trash before it was removed;
	// it is there as long as it has clones.
	TrashName string
}

// SnapType tells who made a snapshot and what for.
type SnapType = clsrbd.SnapType

const (
	SnapUser    = clsrbd.SnapUser
	SnapGroup   = clsrbd.SnapGroup
	SnapTrashed = clsrbd.SnapTrashed
	SnapMirror  = clsrbd.SnapMirror
)

func (s *snapshot) public() Snapshot {
	return Snapshot{
		ID: s.ID, Name: s.Name, Type: s.Namespace.Type, Size: s.Size, Created: s.Created, Flags: s.flags, Children: s.Children,
		Protected: s.protection != clsrbd.Unprotected, TrashName: s.Namespace.Trash.Name,
	}
}

// Snapshots lists the snapshots, oldest first, those in the trash and of others
// than users too.
func (img *Image) Snapshots(ctx context.Context) ([]Snapshot, error) {
	v, err := img.current(ctx)
	if err != nil {
		return nil, img.fail("list snapshots", err)
	}
	out := make([]Snapshot, 0, len(v.snaps))
	for i := range v.snaps {
		out = append(out, v.snaps[i].public())
	}
	return out, nil
}

// Snapshot finds a snapshot that a user made, by its name.
func (img *Image) Snapshot(ctx context.Context, name string) (Snapshot, error) {
	s, err := img.userSnap(ctx, name)
	if err != nil {
		return Snapshot{}, img.fail("look up snapshot", err)
	}
	return s.public(), nil
}

func (img *Image) userSnap(ctx context.Context, name string) (*snapshot, error) {
	v, err := img.current(ctx)
	if err != nil {
		return nil, err
	}
	s := v.snapNamed(name)
	if s == nil {
		return nil, fmt.Errorf("snapshot %s: %w", name, errno.ENOENT)
	}
	return s, nil
}

// CreateSnapshot makes a snapshot of the image as it is: of all writes that have
// returned, and of those under way or not. EEXIST: the name is taken; EDQUOT:
// there may be no more.
func (img *Image) CreateSnapshot(ctx context.Context, name string) error {
	if name == "" {
		return img.fail("create snapshot", invalid("no name"))
	}
	m := notify.Message{Op: notify.SnapCreate, Name: name}
	return img.fail("create snapshot", img.manage(ctx, img.operation(&m), nil))
}

// Flags of SnapCreate messages.
const (
	skipQuiesce         = 1
	ignoreQuiesceErrors = 2
)

func (img *Image) createSnapshot(ctx context.Context, m *notify.Message) error {
	if err := img.managing.acquire(ctx); err != nil {
		return err
	}
	defer img.managing.release()
	v, err := img.current(ctx)
	if err != nil {
		return err
	}
	for _, s := range v.snaps {
		if s.Name == m.Name && s.Namespace.Type == m.Namespace.Type {
			return errno.EEXIST
		}
	}
	if m.SnapFlags&skipQuiesce == 0 {
		q := notify.Message{Op: notify.Quiesce, Request: img.remote.newID(img.client())}
		if err := img.quiesce(ctx, &q); err != nil && m.SnapFlags&ignoreQuiesceErrors == 0 {
			return fmt.Errorf("quiesce: %w", err)
		}
		defer func() {
			q.Op = notify.Unquiesce
			img.tasks.Go(func() { img.say(context.WithoutCancel(img.life), &q) })
		}()
	}
	if err := img.shut(ctx); err != nil {
		return err
	}
	err = img.addSnapshot(context.WithoutCancel(ctx), m) // not half of it
	if err == nil {
		img.told.Add(1)
		err = img.refresh(ctx) // the first write to pass the gate keeps the snapshot
	}
	img.gate.open()
	if err != nil {
		return err
	}
	return img.updated(ctx)
}

// quiesce asks all who have the image open to finish what they are about to
// write (a guest's file system may be behind it).
func (img *Image) quiesce(ctx context.Context, m *notify.Message) error {
	const attempts = 10 // rbd_quiesce_notification_attempts
	for i := 1; ; i++ {
		replies, err := img.tellAll(ctx, m)
		switch {
		case err == nil:
			for _, r := range replies {
				if err := errno.Error(r.Result); err != nil && !errors.Is(err, errno.EOPNOTSUPP) {
					return err
				}
			}
			return nil
		case i == attempts || !errors.Is(err, errno.ETIMEDOUT):
			return err
		}
	}
}

// addSnapshot takes an id and adds the snapshot to the header. Nobody writes
// meanwhile.
func (img *Image) addSnapshot(ctx context.Context, m *notify.Message) error {
	for {
		id, err := img.data.CreateSelfManagedSnap(ctx)
		if err != nil {
			return err
		}
		err = img.tellSnap(ctx, id, calls.AddSnapshot(id, m.Name, m.Namespace))
		if err == nil {
			return img.snapshotObjectMap(ctx, id)
		}
		if e := img.data.RemoveSelfManagedSnap(ctx, id); e != nil {
			img.log.Warn("snapshot id is lost", "id", id, "err", e)
		}
		if !errors.Is(err, errno.ESTALE) { // somebody had a newer one
			return err
		}
	}
}

// RemoveSnapshot removes a snapshot. While it has clones of the second format it
// stays, out of sight. EBUSY: it is protected.
func (img *Image) RemoveSnapshot(ctx context.Context, name string) error {
	m := notify.Message{Op: notify.SnapRemove, Name: name}
	return img.fail("remove snapshot", img.manage(ctx, img.operation(&m), nil))
}

func (img *Image) removeSnapshot(ctx context.Context, m *notify.Message) error {
	if err := img.managing.acquire(ctx); err != nil {
		return err
	}
	defer img.managing.release()
	v, err := img.current(ctx)
	if err != nil {
		return err
	}
	var snap *snapshot
	for i := range v.snaps {
		if s := &v.snaps[i]; s.Name == m.Name && s.Namespace.Type == m.Namespace.Type {
			snap = s
		}
	}
	if snap == nil {
		return fmt.Errorf("snapshot %s: %w", m.Name, errno.ENOENT)
	}
	return img.removeSnap(ctx, v, snap)
}

// removeOf is RemoveSnapshot of any snapshot.
func (img *Image) removeOf(ctx context.Context, s *snapshot) error {
	m := notify.Message{Op: notify.SnapRemove, Name: s.Name, Namespace: s.Namespace}
	return img.manage(ctx, img.operation(&m), nil)
}

func (img *Image) removeSnap(ctx context.Context, v *view, snap *snapshot) error {
	if snap.protection != clsrbd.Unprotected {
		return fmt.Errorf("snapshot %s is protected: %w", snap.Name, errno.EBUSY)
	}
	id := snap.ID
	if snap.Namespace.Type != SnapTrashed {
		// From now on nobody finds it by its name, and no clones are made.
		if err := img.tellSnap(ctx, id, calls.TrashSnapshot(id)); err != nil && !isUnknown(err) {
			return err
		}
	}
	now, err := ask(ctx, img.pool, clsrbd.Header(img.id), calls.GetSnapshot(id))
	if err != nil {
		return err
	}
	if now.Children > 0 {
		return img.updated(ctx)
	}
	if err := img.mergeObjectMap(ctx, v, id); err != nil {
		return err
	}
	forget, err := img.leaveParent(ctx, v, id)
	if err != nil {
		return err
	}
	if err := img.data.RemoveSelfManagedSnap(ctx, id); err != nil && !isMissing(err) {
		return err
	}
	if err := img.tellSnap(ctx, id, calls.RemoveSnapshot(id)); err != nil {
		return err
	}
	forget()
	return img.updated(ctx)
}

// RenameSnapshot gives a snapshot another name. EEXIST: it is taken.
func (img *Image) RenameSnapshot(ctx context.Context, from, to string) error {
	const what = "rename snapshot"
	if to == "" {
		return img.fail(what, invalid("no name"))
	}
	s, err := img.userSnap(ctx, from)
	if err != nil {
		return img.fail(what, err)
	}
	m := notify.Message{Op: notify.SnapRename, SnapID: s.ID, Name: to}
	return img.fail(what, img.manage(ctx, img.operation(&m), nil))
}

func (img *Image) renameSnapshot(ctx context.Context, m *notify.Message) error {
	v, err := img.current(ctx)
	if err != nil {
		return err
	}
	if v.snapNamed(m.Name) != nil {
		return errno.EEXIST
	}
	if err := img.tellSnap(ctx, m.SnapID, calls.RenameSnapshot(m.SnapID, m.Name)); err != nil {
		return err
	}
	return img.updated(ctx)
}

// ProtectSnapshot makes a snapshot ready for clones of the first format: it
// cannot be removed then. EBUSY: it is protected.
func (img *Image) ProtectSnapshot(ctx context.Context, name string) error {
	m := notify.Message{Op: notify.SnapProtect, Name: name}
	return img.fail("protect snapshot", img.manage(ctx, img.operation(&m), nil))
}

func (img *Image) protectSnapshot(ctx context.Context, m *notify.Message) error {
	s, err := img.userSnap(ctx, m.Name)
	if err != nil {
		return err
	}
	if !img.view.Load().has(Layering) {
		return fmt.Errorf("the image has not the feature layering: %w", errno.ENOSYS)
	}
	if s.protection == clsrbd.Protected {
		return fmt.Errorf("snapshot %s is protected: %w", s.Name, errno.EBUSY)
	}
	if err := img.tellSnap(ctx, s.ID, calls.SetProtection(s.ID, clsrbd.Protected)); err != nil {
		return err
	}
	return img.updated(ctx)
}

// UnprotectSnapshot is the inverse of ProtectSnapshot. EBUSY: there are clones
// of the first format; EINVAL: it is not protected.
func (img *Image) UnprotectSnapshot(ctx context.Context, name string) error {
	m := notify.Message{Op: notify.SnapUnprotect, Name: name}
	return img.fail("unprotect snapshot", img.manage(ctx, img.operation(&m), nil))
}

func (img *Image) unprotectSnapshot(ctx context.Context, m *notify.Message) error {
	s, err := img.userSnap(ctx, m.Name)
	if err != nil {
		return err
	}
	if s.protection == clsrbd.Unprotected {
		return invalid("snapshot %s is not protected", s.Name)
	}
	// No clones are made from now on, so the search finds all.
	if err := img.tellSnap(ctx, s.ID, calls.SetProtection(s.ID, clsrbd.Unprotecting)); err != nil {
		return err
	}
	children, err := img.childrenV1(ctx, s.ID)
	state := clsrbd.Unprotected
	if err == nil && len(children) > 0 {
		err = fmt.Errorf("snapshot %s has %d clones: %w", s.Name, len(children), errno.EBUSY)
	}
	if err != nil {
		state = clsrbd.Protected
	}
	if e := img.tellSnap(context.WithoutCancel(ctx), s.ID, calls.SetProtection(s.ID, state)); err == nil {
		err = e
	}
	if e := img.updated(ctx); err == nil {
		err = e
	}
	return err
}

// NoLimit is the limit of images that may have any number of snapshots.
const NoLimit = math.MaxUint64

// SnapshotLimit is how many snapshots the image may have.
func (img *Image) SnapshotLimit(ctx context.Context) (uint64, error) {
	n, err := ask(ctx, img.pool, clsrbd.Header(img.id), calls.GetSnapshotLimit())
	return n, img.fail("get snapshot limit", err)
}

// SetSnapshotLimit sets that. ERANGE: there are more already.
func (img *Image) SetSnapshotLimit(ctx context.Context, n uint64) error {
	if img.readOnly {
		return img.fail("set snapshot limit", errReadOnly)
	}
	return img.fail("set snapshot limit", tell(ctx, img.pool, clsrbd.Header(img.id), calls.SetSnapshotLimit(n)))
}
