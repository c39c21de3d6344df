package rbd

import (
	"context"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd/calls"
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
