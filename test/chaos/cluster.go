package chaos

import (
	"context"
	"errors"
	"fmt"

	"github.com/pulpo-storage/pulpo/rados"
)

// Pool is a pool of a cluster as a [Store].
type Pool struct{ *rados.Pool }

// Mutate implements [Store].
func (p Pool) Mutate(ctx context.Context, object string, op *Op) error {
	var w rados.WriteOp
	for _, s := range op.Steps {
		s.add(&w)
	}
	return p.Pool.Mutate(ctx, object, &w)
}

// Read implements [Store]: all parts in one operation.
func (p Pool) Read(ctx context.Context, object string) (*State, error) {
	var op rados.ReadOp
	stat := op.Stat()
	data := op.Read(0, 0)
	xattrs := op.Xattrs()
	header := op.OmapHeader()
	omap := op.OmapValues("", "", 1024)
	if err := p.Query(ctx, object, &op); err != nil {
		if errors.Is(err, rados.ErrNotFound) {
			return &State{}, nil
		}
		return nil, err
	}
	if stat.Size != uint64(len(data.Data)) {
		return nil, fmt.Errorf("stat says %d bytes, read %d", stat.Size, len(data.Data))
	}
	if omap.More {
		return nil, fmt.Errorf("more than %d omap entries", len(omap.Entries))
	}
	s := &State{Exists: true, Data: data.Data, Header: string(header.Data)}
	for k, v := range xattrs.Xattrs {
		setXattr{k, string(v)}.apply(s)
	}
	for _, e := range omap.Entries {
		omapSet{map[string]string{e.Key: string(e.Value)}}.apply(s)
	}
	return s, nil
}

// Names lists the objects.
func (p Pool) Names(ctx context.Context) ([]string, error) {
	var names []string
	for o, err := range p.Objects(ctx) {
		if err != nil {
			return nil, err
		}
		names = append(names, o.Name)
	}
	return names, nil
}
