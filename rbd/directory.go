package rbd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd/calls"
	"github.com/pulpo-storage/pulpo/rbd/notify"
	"github.com/pulpo-storage/pulpo/wire"
)

// listPage is how many entries are asked for at once.
const listPage = 1024

// Entry is an image in a listing.
type Entry struct{ Name, ID string }

// List lists the images of a pool (a namespace of it), by name.
func List(ctx context.Context, pool *rados.Pool) ([]Entry, error) {
	var out []Entry
	for after := ""; ; after = out[len(out)-1].Name {
		page, err := ask(ctx, pool, clsrbd.Directory, calls.ListImages(after, listPage))
		if err != nil && !isMissing(err) {
			return nil, fail("list", poolName(pool), err)
		}
		begin := len(out)
		for name, id := range page {
			out = append(out, Entry{name, id})
		}
		slices.SortFunc(out[begin:], func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
		if len(page) < listPage {
			return out, nil
		}
	}
}

// Rename gives an image another name. EEXIST: it is taken.
func Rename(ctx context.Context, pool *rados.Pool, from, to string) error {
	return fail("rename", poolName(pool)+"/"+from, func() error {
		id, err := imageID(ctx, pool, from)
		if err != nil {
			return err
		}
		if err := rename(ctx, pool, id, from, to); err != nil {
			return err
		}
		update := wire.Marshal(&notify.Message{Op: notify.HeaderUpdate})
		if _, err := pool.Notify(ctx, clsrbd.Header(id), update, notifyTimeout); !errors.Is(err, errno.ETIMEDOUT) {
			return err
		}
		return nil
	}())
}

func rename(ctx context.Context, pool *rados.Pool, id, from, to string) error {
	if to == "" {
		return invalid("no name")
	}
	if _, err := pool.Stat(ctx, clsrbd.FormerHeader(to)); !isMissing(err) {
		return taken(err)
	}
	var op rados.WriteOp
	op.Create(true)
	addWrite(&op, calls.SetID(id))
	if err := pool.Mutate(ctx, clsrbd.IDObject(to), &op); err != nil {
		return err
	}
	if err := tell(ctx, pool, clsrbd.Directory, calls.RenameImage(from, to, id)); err != nil {
		pool.Remove(context.WithoutCancel(ctx), clsrbd.IDObject(to))
		return err
	}
	if err := pool.Remove(ctx, clsrbd.IDObject(from)); err != nil && !isMissing(err) {
		return err
	}
	return nil
}

// rename is the operation that other clients ask for.
func (img *Image) rename(ctx context.Context, m *notify.Message) error {
	name, err := imageName(ctx, img.pool, img.id)
	if err != nil {
		return err
	}
	if err := rename(ctx, img.pool, img.id, name, m.Name); err != nil {
		return err
	}
	return img.updated(ctx)
}

// CreateNamespace makes a namespace for images in a pool. EEXIST: it is there.
func CreateNamespace(ctx context.Context, pool *rados.Pool, name string) error {
	return fail("create namespace", pool.Name()+"/"+name, func() error {
		if name == "" {
			return invalid("no name")
		}
		if err := tell(ctx, pool.Namespace(""), clsrbd.Namespaces, calls.AddNamespace(name)); err != nil {
			return err
		}
		return tell(ctx, pool.Namespace(name), clsrbd.Directory, calls.SetDirectory(calls.DirectoryReady))
	}())
}

// RemoveNamespace removes a namespace. EBUSY: it has images, in the trash maybe;
// ENOENT: there is none.
func RemoveNamespace(ctx context.Context, pool *rados.Pool, name string) error {
	return fail("remove namespace", pool.Name()+"/"+name, func() error {
		if name == "" {
			return invalid("no name")
		}
		in := pool.Namespace(name)
		names, err := Namespaces(ctx, pool)
		if err != nil {
			return err
		}
		if !slices.Contains(names, name) {
			return errno.ENOENT
		}
		// From now on it gets no images.
		err = tell(ctx, in, clsrbd.Directory, calls.SetDirectory(calls.DirectoryAddDisabled))
		if err != nil && !isMissing(err) {
			return err
		}
		trash, err := TrashList(ctx, in)
		if err == nil && len(trash) > 0 {
			err = fmt.Errorf("%d images in the trash: %w", len(trash), errno.EBUSY)
		}
		if err != nil {
			tell(context.WithoutCancel(ctx), in, clsrbd.Directory, calls.SetDirectory(calls.DirectoryReady))
			return err
		}
		for _, o := range []string{clsrbd.Trash, clsrbd.Children, clsrbd.GroupDirectory, clsrbd.Mirroring, clsrbd.Info, clsrbd.Directory} {
			if err := in.Remove(ctx, o); err != nil && !isMissing(err) {
				return err
			}
		}
		return tell(ctx, pool.Namespace(""), clsrbd.Namespaces, calls.RemoveNamespace(name))
	}())
}

// Namespaces lists the namespaces of a pool, sorted.
func Namespaces(ctx context.Context, pool *rados.Pool) ([]string, error) {
	var out []string
	for after := ""; ; after = out[len(out)-1] {
		page, err := ask(ctx, pool.Namespace(""), clsrbd.Namespaces, calls.ListNamespaces(after, listPage))
		if err != nil && !isMissing(err) {
			return nil, fail("list namespaces of", pool.Name(), err)
		}
		out = append(out, page...)
		if len(page) < listPage {
			return out, nil
		}
	}
}
