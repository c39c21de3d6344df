package rados

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"iter"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/rados/objecter"
	"github.com/pulpo-storage/pulpo/wire"
)

// ObjectEntry is an object in a listing.
type ObjectEntry struct {
	Namespace string
	Name      string
	Locator   string // key that places it; empty: its name
}

// Cursor is a position in a listing. The zero value is the beginning. It stays
// good over changes of the pool, of its placement groups too.
type Cursor struct{ at *object.ID }

// End reports whether nothing follows.
func (c Cursor) End() bool { return c.at != nil && c.at.Max }

// MarshalText makes the cursor a text, to go on from in another process.
func (c Cursor) MarshalText() ([]byte, error) {
	if c.at == nil {
		return nil, nil
	}
	return []byte(base64.RawURLEncoding.EncodeToString(wire.Marshal(*c.at))), nil
}

// UnmarshalText is the inverse of MarshalText.
func (c *Cursor) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		c.at = nil
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("rados: bad cursor: %w", err)
	}
	var at object.ID
	if err := wire.Unmarshal(b, &at); err != nil {
		return fmt.Errorf("rados: bad cursor: %w", err)
	}
	c.at = &at
	return nil
}

// listBatch is how many objects are asked for at a time.
const listBatch = 1024

// Objects walks all objects of the handle's namespace as it is now, whatever the
// snapshot of the handle: those that only snapshots keep may be among them. With
// AllNamespaces it walks those of the pool. They come in the order of their
// hashes. Objects that are created or removed meanwhile may be seen or not;
// others are seen once. The walk ends at the first error.
func (p *Pool) Objects(ctx context.Context) iter.Seq2[ObjectEntry, error] {
	return func(yield func(ObjectEntry, error) bool) {
		for at := (Cursor{}); !at.End(); {
			entries, next, err := p.List(ctx, at, listBatch)
			if err != nil {
				yield(ObjectEntry{}, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			at = next
		}
	}
}

// List lists up to limit objects from a cursor on, and returns the cursor to go
// on from. There may be few, even none, before the end, since each call asks
// one placement group.
func (p *Pool) List(ctx context.Context, from Cursor, limit int) ([]ObjectEntry, Cursor, error) {
	fail := func(err error) ([]ObjectEntry, Cursor, error) {
		return nil, from, &Error{Op: "list", Pool: p.name, Err: err}
	}
	if from.End() {
		return nil, from, nil
	}
	at := object.MinID
	if from.at != nil {
		at = *from.at
	}
	op := msg.Op{Code: msg.OpPGNLS, In: buffer.Wrap(wire.Marshal(at))}
	op.PutU64(0, uint64(max(limit, 1)))
	op.PutU32(8, p.c.Epoch())
	done, err := p.c.objects.Do(ctx, &objecter.Op{
		// The cursor's hash says which placement group goes on.
		Locator: object.Locator{Pool: p.id, Namespace: p.ns, Hash: int64(at.Hash)},
		Ops:     []msg.Op{op},
		Flags:   msg.FlagRead | msg.FlagPGOp | p.flags,
		Snap:    object.NoSnap,
	})
	if err != nil {
		return fail(closedError(err))
	}
	defer done.Data.Release()
	rep := done.Reply
	if rep.Result < 0 {
		return fail(resultError(rep.Result))
	}
	if len(rep.Ops) != 1 {
		return fail(fmt.Errorf("%w: reply of %d steps", errno.EBADMSG, len(rep.Ops)))
	}
	entries, next, err := decodeListing(bytes.Clone(rep.Ops[0].Out.Bytes()))
	if err != nil {
		return fail(err)
	}
	// A cursor that does not advance would be asked for again forever.
	if next.Compare(at) <= 0 {
		return fail(fmt.Errorf("%w: listing goes from %v to %v", errno.EBADMSG, at, next))
	}
	return entries, Cursor{&next}, nil
}

// decodeListing reads a pg_nls_response_t.
func decodeListing(b []byte) (entries []ObjectEntry, next object.ID, err error) {
	d := wire.NewDecoder(b)
	env := d.Begin("pg_nls_response_t", 1)
	next.Decode(d)
	entries = wire.DecodeSlice(d, 12, func() ObjectEntry {
		e := ObjectEntry{Namespace: d.Str(), Name: d.Str(), Locator: d.Str()}
		return e
	})
	d.End(env)
	if err := d.Finish(); err != nil {
		return nil, object.ID{}, fmt.Errorf("%w: %w", errno.EBADMSG, err)
	}
	return entries, next, nil
}
