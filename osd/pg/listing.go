package pg

import (
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// Requests to the group itself: listing its objects. A listing of a pool goes
// from group to group in the order of their bit-reversed seeds, which is the
// order of the objects; the answer that ends a group names the position where
// the next begins. doc/protocol/osd.md

// groupRequest runs the operations of a request to the group (do_pg_op).
func (p *PG) groupRequest(now time.Time, r *Request) {
	result := int32(0)
	ops := r.Op.Ops
	for i := range ops {
		ops[i].Result = 0
		var err error
		result, err = p.groupOp(r, &ops[i])
		if err != nil {
			result = errno.Code(err)
			break
		}
	}
	reply := p.reply(r, result)
	setVersions(reply, p.info.LastUpdate, p.info.LastUserVersion)
	p.answer(r, reply, p.nextToken)
}

func (p *PG) groupOp(r *Request, op *msg.Op) (int32, error) {
	in := op.In.Bytes()
	var filter objectFilter
	switch op.Code {
	case msg.OpPGNLSFilter, msg.OpPGLSFilter:
		d := wire.NewDecoder(in)
		d.Str() // class and method of long ago
		d.Str()
		f, err := decodeFilter(d)
		if err != nil {
			return 0, err
		}
		filter, in = f, in[d.Offset():]
	case msg.OpPGNLS, msg.OpPGLS:
	case msg.OpPGHitsetLs:
		out(op, []byte{0, 0, 0, 0})
		return 0, nil
	case msg.OpScrubLS:
		return 0, p.scrubList(op)
	case msg.OpPGHitsetGet:
		return 0, errno.ENOENT
	default:
		return 0, errno.EINVAL
	}
	if r.Op.SnapID != object.NoSnap {
		return 0, errno.EINVAL
	}
	d := wire.NewDecoder(in)
	var from object.ID
	from.Decode(d)
	if d.Err() != nil {
		return 0, errno.EINVAL
	}
	named := op.Code == msg.OpPGNLS || op.Code == msg.OpPGNLSFilter
	begin, end := bounds(p.id.PG, p.pool.PGNum)
	if named && !from.IsMin() && (!from.Max && from.Compare(end) >= 0 || from.Compare(begin) < 0) {
		return 0, errno.EINVAL
	}
	namespace := r.Op.Locator.Namespace
	l, err := p.list(from, int(min(op.U64(0), p.env.Config.MaxList)), func(id object.ID) (bool, error) {
		if namespace != id.Namespace && !(named && namespace == object.AllNamespaces) {
			return false, nil
		}
		if filter == nil {
			return true, nil
		}
		return filter(p, id)
	})
	if err != nil {
		return 0, err
	}
	next := l.next
	if l.complete && named {
		next = end
	}
	var e wire.Encoder
	m := e.Begin(1, 1)
	next.Encode(&e)
	wire.EncodeSlice(&e, l.ids, func(id object.ID) {
		if named {
			e.Str(id.Namespace)
		}
		e.Str(id.Name)
		e.Str(id.Key)
	})
	e.End(m)
	out(op, e.Bytes())
	if l.complete {
		return 1, nil
	}
	return 0, nil
}

// bounds returns the first position of a group and that after its last.
func bounds(pg object.PG, pgNum uint32) (begin, end object.ID) {
	begin = object.ID{Pool: pg.Pool, Hash: pg.Seed}
	shared := splitBits(pg.Seed, pgNum)
	rev := uint64(bits.Reverse32(pg.Seed)) | (1<<32-1)>>shared
	if rev++; rev > 1<<32-1 {
		return begin, object.MaxID
	}
	return begin, object.ID{Pool: pg.Pool, Hash: bits.Reverse32(uint32(rev)), Snap: object.NoSnap}
}

// splitBits is the number of low bits of the hash that the group's objects
// share (pg_t::get_split_bits).
func splitBits(seed, pgNum uint32) uint {
	// n bits number the groups, or more than there are; the others have not been
	// split yet.
	n := uint(bits.Len32(pgNum))
	if seed%(1<<(n-1)) < pgNum%(1<<(n-1)) {
		return n
	}
	return n - 1
}

type page struct {
	ids      []object.ID
	next     object.ID
	complete bool // there is nothing more in the group
}

// list returns of the next n objects those that are wanted, and where to go on.
func (p *PG) list(from object.ID, n int, want func(object.ID) (bool, error)) (page, error) {
	if pool := (object.ID{Pool: p.id.Pool}); from.Compare(pool) < 0 {
		from = pool // below are objects that are arriving
	}
	all, next, err := p.env.Store.List(p.coll, from, n+1)
	if err != nil {
		return page{}, broken(err)
	}
	all = slices.DeleteFunc(all, func(id object.ID) bool { return id.Name == "" })
	if len(all) > n {
		next = all[n]
		all = all[:n]
	}
	l := page{next: next, complete: next.Max}
	for _, id := range all {
		if id.Snap != object.NoSnap {
			continue
		}
		ok, err := want(id)
		if err != nil {
			return page{}, err
		}
		if ok {
			l.ids = append(l.ids, id)
		}
	}
	return l, nil
}

// objectFilter chooses among the objects of a listing (PGLSFilter).
type objectFilter func(p *PG, id object.ID) (bool, error)

// decodeFilter reads the filter "plain": an attribute has a value. Filters of
// classes are unknown here.
func decodeFilter(d *wire.Decoder) (objectFilter, error) {
	kind := d.Str()
	if d.Err() != nil {
		return nil, errno.EINVAL
	}
	switch {
	case kind == "parent":
		// It looked into directories as they were in 2012.
		return nil, errno.EOPNOTSUPP
	case kind != "plain" && !strings.Contains(kind, "."):
		return nil, errno.EINVAL
	case kind != "plain":
		return nil, errno.ENOENT
	}
	attr, value := d.Str(), d.Str()
	if d.Err() != nil {
		return nil, errno.EINVAL
	}
	return func(p *PG, id object.ID) (bool, error) {
		v, err := p.env.Store.Attr(p.coll, id, attr)
		switch errno.Code(err) {
		case 0:
			return string(v) == value, nil
		case -int32(errno.ENODATA), -int32(errno.ENOENT):
			return false, nil
		}
		return false, err
	}, nil
}
