package rbd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd/calls"
)

// The trash has images that nobody finds by name: those that a user moved there,
// to have them back until some time, and those that are being removed. To be
// removed an image goes to the trash first, so that it is either whole or
// nowhere to be seen.

// TrashEntry is an image in the trash.
type TrashEntry struct {
	ID      string
	Name    string // it had
	Source  TrashSource
	Deleted time.Time
	Expires time.Time // it is not to be removed before
}

// TrashSource tells who moved an image to the trash.
type TrashSource = clsrbd.TrashSource

const (
	TrashUser       = clsrbd.TrashUser
	TrashMirroring  = clsrbd.TrashMirroring
	TrashMigration  = clsrbd.TrashMigration
	TrashRemoving   = clsrbd.TrashRemoving // it was not removed to the end
	TrashUserParent = clsrbd.TrashUserParent
)

// TrashList lists the trash of a pool (a namespace of it), by id.
func TrashList(ctx context.Context, pool *rados.Pool) ([]TrashEntry, error) {
	var out []TrashEntry
	for after := ""; ; after = out[len(out)-1].ID {
		page, err := ask(ctx, pool, clsrbd.Trash, calls.ListTrash(after, listPage))
		if err != nil && !isMissing(err) {
			return nil, fail("list trash of", poolName(pool), err)
		}
		begin := len(out)
		for id, t := range page {
			out = append(out, TrashEntry{id, t.Name, t.Source, t.Deleted, t.Deferred})
		}
		slices.SortFunc(out[begin:], func(a, b TrashEntry) int { return strings.Compare(a.ID, b.ID) })
		if len(page) < listPage {
			return out, nil
		}
	}
}

// TrashMove moves an image to the trash and returns its id. It is not to be
// removed for the time given.
func TrashMove(ctx context.Context, pool *rados.Pool, name string, keep time.Duration) (string, error) {
	id, err := imageID(ctx, pool, name)
	if err == nil {
		err = trashMove(ctx, pool, name, id, clsrbd.TrashUser, keep)
	}
	return id, fail("move to trash", poolName(pool)+"/"+name, err)
}

func trashMove(ctx context.Context, pool *rados.Pool, name, id string, source TrashSource, keep time.Duration) error {
	now := time.Now()
	t := clsrbd.TrashSpec{Source: source, Name: name, Deleted: now, Deferred: now.Add(keep), State: clsrbd.TrashMoving}
	if source == TrashRemoving {
		t.State = clsrbd.TrashNormal
	}
	if err := tell(ctx, pool, clsrbd.Trash, calls.AddTrash(id, t)); err != nil {
		return err
	}
	if err := pool.Remove(ctx, clsrbd.IDObject(name)); err != nil && !isMissing(err) {
		return err
	}
	if err := tell(ctx, pool, clsrbd.Directory, calls.RemoveImage(name, id)); err != nil && !isMissing(err) {
		return err
	}
	if t.State == clsrbd.TrashNormal {
		return nil
	}
	return tell(ctx, pool, clsrbd.Trash, calls.SetTrashState(id, clsrbd.TrashNormal, clsrbd.TrashMoving))
}

// TrashRestore makes an image from the trash one again, by a name, or with an
// empty one by that which it had. EEXIST: the name is taken; EINVAL: it is half
// removed.
func TrashRestore(ctx context.Context, pool *rados.Pool, id, name string) error {
	return fail("restore", poolName(pool)+"/"+id, trashRestore(ctx, pool, id, name))
}

func trashRestore(ctx context.Context, pool *rados.Pool, id, name string) error {
	t, err := ask(ctx, pool, clsrbd.Trash, calls.GetTrash(id))
	if err != nil {
		return err
	}
	if t.Source != TrashUser && t.Source != TrashUserParent {
		return invalid("the image is not there by a user's will")
	}
	if t.State != clsrbd.TrashNormal && t.State != clsrbd.TrashRestoring {
		return fmt.Errorf("the image is being moved: %w", errno.EBUSY)
	}
	if name == "" {
		name = t.Name
	}
	if err := tell(ctx, pool, clsrbd.Trash, calls.SetTrashState(id, clsrbd.TrashRestoring, t.State)); err != nil {
		return err
	}
	back := func(err error) error {
		tell(context.WithoutCancel(ctx), pool, clsrbd.Trash, calls.SetTrashState(id, clsrbd.TrashNormal, clsrbd.TrashRestoring))
		return err
	}
	var op rados.WriteOp
	op.Create(true)
	addWrite(&op, calls.SetID(id))
	if err := pool.Mutate(ctx, clsrbd.IDObject(name), &op); err != nil {
		if has, e := ask(ctx, pool, clsrbd.IDObject(name), calls.GetID()); e != nil || has != id {
			return back(err)
		}
	}
	if err := tell(ctx, pool, clsrbd.Directory, calls.AddImage(name, id)); err != nil {
		if has, e := ask(ctx, pool, clsrbd.Directory, calls.GetImageID(name)); e != nil || has != id {
			return back(err)
		}
	}
	if err := tell(ctx, pool, clsrbd.Trash, calls.RemoveTrash(id)); err != nil && !isMissing(err) {
		return err
	}
	return nil
}

// TrashRemove removes an image from the trash, with its bytes. EPERM: its time
// has not come, unless by force.
func TrashRemove(ctx context.Context, pool *rados.Pool, id string, force bool, progress Progress) error {
	return fail("remove from trash", poolName(pool)+"/"+id, trashRemove(ctx, pool, id, force, progress))
}

func trashRemove(ctx context.Context, pool *rados.Pool, id string, force bool, progress Progress) error {
	t, err := ask(ctx, pool, clsrbd.Trash, calls.GetTrash(id))
	if err != nil {
		return err
	}
	if !force && time.Now().Before(t.Deferred) {
		return fmt.Errorf("not to be removed before %s: %w", t.Deferred.Format(time.RFC3339), errno.EPERM)
	}
	if t.State != clsrbd.TrashNormal && t.State != clsrbd.TrashRemovingState {
		return fmt.Errorf("the image is being moved: %w", errno.EBUSY)
	}
	if err := removable(ctx, pool, id); err != nil && !isMissing(err) {
		return err
	}
	if err := tell(ctx, pool, clsrbd.Trash, calls.SetTrashState(id, clsrbd.TrashRemovingState, t.State)); err != nil {
		return err
	}
	if err := destroy(ctx, pool, id, progress); err != nil {
		tell(context.WithoutCancel(ctx), pool, clsrbd.Trash, calls.SetTrashState(id, clsrbd.TrashNormal, clsrbd.TrashRemovingState))
		return err
	}
	return nil
}
