package rbd

import (
	"context"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd/calls"
)

// Metadata reads all metadata of the image: values by key, that users keep with
// it. Keys that begin with conf_ set options of librbd.
func (img *Image) Metadata(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	err := img.eachMetadata(ctx, func(page map[string][]byte) error {
		for k, v := range page {
			out[k] = string(v)
		}
		return nil
	})
	return out, img.fail("list metadata", err)
}

func (img *Image) eachMetadata(ctx context.Context, f func(map[string][]byte) error) error {
	const limit = 64
	for after := ""; ; {
		page, err := ask(ctx, img.pool, clsrbd.Header(img.id), calls.ListMetadata(after, limit))
		if err != nil {
			return err
		}
		for k := range page {
			after = max(after, k)
		}
		if len(page) > 0 {
			if err := f(page); err != nil {
				return err
			}
		}
		if len(page) < limit {
			return nil
		}
	}
}

// GetMetadata reads one value. ENOENT: there is none.
func (img *Image) GetMetadata(ctx context.Context, key string) (string, error) {
	v, err := ask(ctx, img.pool, clsrbd.Header(img.id), calls.GetMetadata(key))
	return string(v), img.fail("get metadata", err)
}

// SetMetadata sets a value.
func (img *Image) SetMetadata(ctx context.Context, key, value string) error {
	return img.changeMetadata(ctx, "set metadata", calls.SetMetadata(map[string][]byte{key: []byte(value)}))
}

// RemoveMetadata removes a value. ENOENT: there is none.
func (img *Image) RemoveMetadata(ctx context.Context, key string) error {
	if _, err := img.GetMetadata(ctx, key); err != nil {
		return img.fail("remove metadata", err)
	}
	return img.changeMetadata(ctx, "remove metadata", calls.RemoveMetadata(key))
}

func (img *Image) changeMetadata(ctx context.Context, what string, w calls.Write) error {
	if img.readOnly {
		return img.fail(what, errReadOnly)
	}
	err := tell(ctx, img.pool, clsrbd.Header(img.id), w)
	if err == nil {
		err = img.updated(ctx)
	}
	return img.fail(what, err)
}

// copyMetadata gives an image the metadata of another one.
func copyMetadata(ctx context.Context, from *Image, pool *rados.Pool, id string) error {
	return from.eachMetadata(ctx, func(page map[string][]byte) error {
		return tell(ctx, pool, clsrbd.Header(id), calls.SetMetadata(page))
	})
}
