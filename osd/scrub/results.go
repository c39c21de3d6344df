package scrub

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// Results is what a scrub found inconsistent, for those who ask
// (Scrub::Store). It lives until the next scrub begins, or the group's primary
// changes.
type Results struct {
	objects []BadObject // by resultOrder
	snaps   []BadSnaps
	// Dropped counts what there was no room for.
	Dropped int
}

// maxResults bounds what is kept of each kind. Who has more has another problem.
const maxResults = 4096

// AddObjects keeps inconsistent objects.
func (r *Results) AddObjects(all []BadObject) {
	r.objects, r.Dropped = keep(r.objects, all, r.Dropped, func(b BadObject) object.ID { return b.ID })
}

// AddSnaps keeps inconsistent sets of clones.
func (r *Results) AddSnaps(all []BadSnaps) {
	r.snaps, r.Dropped = keep(r.snaps, all, r.Dropped, func(b BadSnaps) object.ID { return b.ID })
}

func keep[T any](list, more []T, dropped int, id func(T) object.ID) ([]T, int) {
	for _, b := range more {
		if len(list) == maxResults {
			dropped++
			continue
		}
		i, _ := slices.BinarySearchFunc(list, b, func(a, b T) int { return resultOrder(id(a), id(b)) })
		list = slices.Insert(list, i, b)
	}
	return list, dropped
}

// resultOrder is that of the names, since a client says by name where to go on,
// and leaves the locator key out.
func resultOrder(a, b object.ID) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name), cmp.Compare(a.Snap, b.Snap), strings.Compare(a.Key, b.Key))
}

// Ask is a client's question for results (scrub_ls_arg_t).
type Ask struct {
	Interval uint32 // epoch in which the interval began whose results it wants; 0: any
	Snaps    bool   // sets of clones, else objects
	After    object.ID
	Max      uint64
}

func (a *Ask) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.U32(a.Interval)
	e.U32(uint32(b2i(a.Snaps)))
	e.Str(a.After.Name)
	e.Str(a.After.Namespace)
	e.U64(uint64(a.After.Snap))
	e.U64(a.Max)
	e.End(m)
}

func (a *Ask) Decode(d *wire.Decoder) {
	env := d.Begin("scrub_ls_arg_t", 1)
	a.Interval = d.U32()
	a.Snaps = d.U32() != 0
	a.After.Name = d.Str()
	a.After.Namespace = d.Str()
	a.After.Snap = object.SnapID(d.U64())
	a.Max = d.U64()
	d.End(env)
}

// maxAnswer bounds the results in one answer.
const maxAnswer = 1024

// Answer makes the reply to a question (scrub_ls_result_t), in the interval that
// began in an epoch. EAGAIN: the client asked about
// another one; ENOENT: there was no scrub.
func (r *Results) Answer(a *Ask, interval uint32) ([]byte, error) {
	if a.Interval != 0 && a.Interval != interval {
		return nil, errno.EAGAIN
	}
	if r == nil {
		return nil, errno.ENOENT
	}
	var e wire.Encoder
	m := e.Begin(1, 1)
	e.U32(interval)
	n := min(a.Max, maxAnswer)
	if a.Snaps {
		encodeAfter(&e, r.snaps, a.After, n, func(b *BadSnaps) object.ID { return b.ID })
	} else {
		encodeAfter(&e, r.objects, a.After, n, func(b *BadObject) object.ID { return b.ID })
	}
	e.End(m)
	return e.Bytes(), nil
}

func encodeAfter[T any, P interface {
	*T
	wire.Marshaler
}](e *wire.Encoder, list []T, after object.ID, n uint64, id func(*T) object.ID) {
	from := 0
	if after.Name != "" {
		from, _ = slices.BinarySearchFunc(list, after, func(b T, after object.ID) int {
			x := id(&b)
			x.Key = ""
			if resultOrder(x, after) <= 0 {
				return -1
			}
			return 1
		})
	}
	list = list[from:]
	list = list[:min(uint64(len(list)), n)]
	e.U32(uint32(len(list)))
	for i := range list {
		e.Blob(wire.Marshal(P(&list[i])))
	}
}
