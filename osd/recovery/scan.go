package recovery

import (
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/wire"
)

// Digest is an object of a collection and which version of it is there.
type Digest struct {
	ID      object.ID
	Version object.Version
}

// Interval is what a copy of a group has in [Begin, End) (BackfillInterval). No
// unit, a head with its clones, is partly in it.
type Interval struct {
	Begin, End object.ID // End is before a unit, or object.MaxID where nothing follows
	Objects    []Digest  // in order
}

// after is the first position behind all versions of an object.
func after(head object.ID) object.ID {
	if head.Max || head.IsMin() {
		return head
	}
	return head.At(object.SnapDir)
}

// Scan reads the interval of up to about max objects that begins at a position. A
// unit of more than max objects is read as a whole. version tells which version of
// an object there is.
func Scan(store objstore.Store, c objstore.Coll, from object.ID, max int, version func(object.ID) (object.Version, error)) (Interval, error) {
	in := Interval{Begin: from, End: object.MaxID}
	if pool := (object.ID{Pool: c.PG.Pool}); from.Compare(pool) < 0 {
		from = pool // below are temporary objects
	}
	ids, next, err := store.List(c, from, max)
	for err == nil && !next.Max && len(ids) > 0 && next.Head() == ids[len(ids)-1].Head() {
		// The last unit is cut. It waits for the next interval, unless it is alone.
		first := slices.IndexFunc(ids, func(id object.ID) bool { return id.Head() == next.Head() })
		if first > 0 {
			ids, next = ids[:first], ids[first]
			break
		}
		var more []object.ID
		more, next, err = store.List(c, next, max)
		ids = append(ids, more...)
	}
	if err != nil {
		return in, fmt.Errorf("scan from %v: %w", from, err)
	}
	if in.End = next; !next.Max {
		in.End = next.At(0) // clones that are made of it later come before it
	}
	for _, id := range ids {
		if id.Name == "" {
			continue // the group's own object
		}
		v, err := version(id)
		if err != nil {
			return in, fmt.Errorf("scan: version of %v: %w", id, err)
		}
		in.Objects = append(in.Objects, Digest{id, v})
	}
	return in, nil
}

// unit returns the digests of the first unit.
func (in *Interval) unit() []Digest {
	for i, d := range in.Objects {
		if d.ID.Head() != in.Objects[0].ID.Head() {
			return in.Objects[:i]
		}
	}
	return in.Objects
}

// find returns the place of an object, or where it belongs.
func (in *Interval) find(id object.ID) (int, bool) {
	return slices.BinarySearchFunc(in.Objects, id, func(d Digest, id object.ID) int { return d.ID.Compare(id) })
}

// set notes that an object has a new version.
func (in *Interval) set(id object.ID, v object.Version) {
	i, ok := in.find(id)
	if !ok {
		in.Objects = slices.Insert(in.Objects, i, Digest{ID: id})
	}
	in.Objects[i].Version = v
}

// drop notes that an object is gone.
func (in *Interval) drop(id object.ID) {
	if i, ok := in.find(id); ok {
		in.Objects = slices.Delete(in.Objects, i, i+1)
	}
}

// check says what is wrong with an interval that another OSD has sent.
func (in *Interval) check() error {
	if in.Begin.Compare(in.End) >= 0 {
		return fmt.Errorf("interval from %v to %v: %w", in.Begin, in.End, errno.EINVAL)
	}
	last := in.Begin
	for i, d := range in.Objects {
		if c := d.ID.Compare(last); c < 0 || c == 0 && i > 0 || d.ID.Compare(in.End) >= 0 || d.ID.Name == "" {
			return fmt.Errorf("%v after %v in an interval to %v: %w", d.ID, last, in.End, errno.EINVAL)
		}
		last = d.ID
	}
	if n := len(in.Objects); n > 0 && !in.End.Max && in.Objects[n-1].ID.Head() == in.End.Head() {
		return fmt.Errorf("interval ends within %v: %w", in.End, errno.EINVAL)
	}
	return nil
}

const intervalVersion = 1

func (in *Interval) Encode(e *wire.Encoder) {
	m := e.Begin(intervalVersion, 1)
	in.Begin.Encode(e)
	in.End.Encode(e)
	wire.EncodeSlice(e, in.Objects, func(d Digest) { d.ID.Encode(e); d.Version.Encode(e) })
	e.End(m)
}

// Decode reads what Encode has written, and refuses what is not in order.
func (in *Interval) Decode(d *wire.Decoder) {
	env := d.Begin("recovery.Interval", intervalVersion)
	in.Begin.Decode(d)
	in.End.Decode(d)
	in.Objects = wire.DecodeSlice(d, 6+12, func() (o Digest) { o.ID.Decode(d); o.Version.Decode(d); return o })
	if d.Err() == nil {
		if err := in.check(); err != nil {
			d.Fail(err)
		}
	}
	d.End(env)
}
