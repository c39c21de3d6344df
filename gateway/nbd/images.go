package nbd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd"
)

// Images are the images of a pool (a namespace of it) by their names, and their
// snapshots as image@snapshot, which cannot be written. An image with the feature
// takes its exclusive lock when it is first written, and gives it up to whom else
// wants to write.
type Images struct {
	Pool     *rados.Pool
	Names    []string // what may be had; none: all images and snapshots
	ReadOnly bool
	// Cache has images keep writes back until a client flushes, or writes with FUA;
	// nil: writes are durable when they are answered. All connections to an image
	// share it.
	Cache *rbd.CacheOptions
	Log   *slog.Logger // nil: nothing is logged
}

// List names the images.
func (x *Images) List(ctx context.Context) ([]string, error) {
	if len(x.Names) > 0 {
		return x.Names, nil
	}
	list, err := rbd.List(ctx, x.Pool)
	var names []string
	for _, e := range list {
		names = append(names, e.Name)
	}
	return names, err
}

// Open opens an image, or a snapshot. The empty name is the only one that may be
// had.
func (x *Images) Open(ctx context.Context, name string) (Device, error) {
	switch {
	case name == "" && len(x.Names) == 1:
		name = x.Names[0]
	case name == "":
		return nil, fmt.Errorf("which image? %w", errno.ENOENT)
	case len(x.Names) > 0 && !slices.Contains(x.Names, name):
		return nil, fmt.Errorf("image %s: %w", name, errno.ENOENT)
	}
	image, snapshot, _ := strings.Cut(name, "@")
	img, err := rbd.Open(ctx, x.Pool, image, rbd.OpenOptions{ReadOnly: x.ReadOnly || snapshot != "", Snapshot: snapshot, Cache: x.Cache, Log: x.Log})
	if err != nil {
		return nil, err
	}
	return &imageDevice{img}, nil
}

// imageDevice is an image as a device.
type imageDevice struct{ *rbd.Image }

func (d *imageDevice) BlockSize() uint32 { return 4096 }

func (d *imageDevice) ReadAt(ctx context.Context, p []byte, off int64) error {
	_, err := d.Image.ReadAt(ctx, p, off)
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("the image has shrunk: %w", errno.EINVAL)
	}
	return err
}

func (d *imageDevice) WriteAt(ctx context.Context, p []byte, off int64) error {
	_, err := d.Image.WriteAt(ctx, p, off)
	return d.beyond(err, off, int64(len(p)))
}

// beyond is the error of a write behind the end, if the image has shrunk
// meanwhile.
func (d *imageDevice) beyond(err error, off, n int64) error {
	if errors.Is(err, errno.EINVAL) && off+n > d.Size() {
		return fmt.Errorf("the image has shrunk: %w", errno.ENOSPC)
	}
	return err
}

func (d *imageDevice) Trim(ctx context.Context, off, n int64) error { return d.Discard(ctx, off, n) }

// WriteZeroes frees what it can either way: images have no space of their own.
func (d *imageDevice) WriteZeroes(ctx context.Context, off, n int64, _ bool) error {
	return d.beyond(d.Image.WriteZeroes(ctx, off, n), off, n)
}

func (d *imageDevice) Extents(ctx context.Context, off, n int64) ([]Extent, error) {
	found, err := d.Image.Extents(ctx, off, n)
	list := make([]Extent, 0, len(found))
	for _, e := range found {
		list = append(list, Extent{Len: e.Length, Hole: !e.Data})
	}
	return list, err
}
