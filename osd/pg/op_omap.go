package pg

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/wire"
)

// Operations on the omap. Those that read an object without one answer with
// nothing.

// omapPage gives the entries after a key that match a prefix, as many as one
// request may have. put says how many bytes an entry takes in the answer.
func (x *execution) omapPage(after, prefix string, limit uint64, put func(k string, v []byte) int) (n uint32, more bool, err error) {
	cfg := x.pg.env.Config
	limit = min(limit, cfg.MaxOmapEntries)
	if !x.exists {
		return 0, false, nil
	}
	// The keys after this one begin with it and a zero byte.
	from := after + "\x00"
	if after == "" {
		from = ""
	}
	if prefix > after {
		from = prefix
	}
	size := 0
	err = x.omapScan(from, func(k string, v []byte) bool {
		switch {
		case after != "" && k <= after:
			return true
		case after == "" && k == "" && prefix == "":
			return true // upper_bound of nothing leaves out the empty key
		case !strings.HasPrefix(k, prefix):
			return false
		case uint64(n) >= limit || size >= cfg.MaxOmapBytes:
			more = true
			return false
		}
		size += put(k, v)
		n++
		return true
	})
	return n, more, broken(err)
}

func (x *execution) opOmapGetKeys(op *msg.Op) error {
	d := wire.NewDecoder(op.In.Bytes())
	after, limit := d.Str(), d.U64()
	if d.Err() != nil {
		return errno.EINVAL
	}
	return x.answerPage(op, after, "", limit, func(e *wire.Encoder, k string, _ []byte) { e.Str(k) })
}

func (x *execution) opOmapGetVals(op *msg.Op) error {
	d := wire.NewDecoder(op.In.Bytes())
	after, limit, prefix := d.Str(), d.U64(), d.Str()
	if d.Err() != nil {
		return errno.EINVAL
	}
	return x.answerPage(op, after, prefix, limit, func(e *wire.Encoder, k string, v []byte) { e.Str(k); e.Blob(v) })
}

func (x *execution) answerPage(op *msg.Op, after, prefix string, limit uint64, put func(e *wire.Encoder, k string, v []byte)) error {
	var list, e wire.Encoder
	n, more, err := x.omapPage(after, prefix, limit, func(k string, v []byte) int {
		was := list.Len()
		put(&list, k, v)
		return list.Len() - was
	})
	if err != nil {
		return err
	}
	e.U32(n)
	e.Raw(list.Bytes())
	e.Bool(more)
	out(op, e.Bytes())
	x.didRead(e.Len())
	return nil
}

func (x *execution) opOmapGetHeader(op *msg.Op) error {
	h, err := x.omapHeader()
	if err != nil {
		return broken(err)
	}
	out(op, h)
	x.didRead(len(h))
	return nil
}

func (x *execution) opOmapGetByKeys(op *msg.Op) error {
	keys, err := decodeKeys(op)
	if err != nil {
		return err
	}
	m, err := x.omapGet(keys)
	if err != nil {
		return broken(err)
	}
	var e wire.Encoder
	wire.EncodeMap(&e, m, func(k string, v []byte) { e.Str(k); e.Blob(v) })
	out(op, e.Bytes())
	x.didRead(e.Len())
	return nil
}

func decodeKeys(op *msg.Op) ([]string, error) {
	d := wire.NewDecoder(op.In.Bytes())
	keys := wire.DecodeSlice(d, 4, d.Str)
	if d.Err() != nil {
		return nil, errno.EINVAL
	}
	return keys, nil
}

// opOmapCmp fails unless each of the given entries compares as it should; a
// missing one is empty.
func (x *execution) opOmapCmp(op *msg.Op) error {
	if err := x.mustExist(); err != nil {
		return err
	}
	type want struct {
		value []byte
		how   int32
	}
	d := wire.NewDecoder(op.In.Bytes())
	wants := wire.DecodeMap(d, 12, func() (string, want) { return d.Str(), want{d.Blob(), d.S32()} })
	if d.Err() != nil {
		return errno.EINVAL
	}
	keys := slices.Sorted(maps.Keys(wants))
	have, err := x.omapGet(keys)
	if err != nil {
		return broken(err)
	}
	x.didRead(0)
	for _, k := range keys {
		c := bytes.Compare(have[k], wants[k].value)
		var holds bool
		switch wants[k].how {
		case msg.CmpEQ:
			holds = c == 0
		case msg.CmpGT:
			holds = c > 0
		case msg.CmpLT:
			holds = c < 0
		default:
			return errno.EINVAL
		}
		if !holds {
			return errno.ECANCELED
		}
	}
	return nil
}

func (x *execution) opOmapSetVals(op *msg.Op) error {
	d := wire.NewDecoder(op.In.Bytes())
	kvs := wire.DecodeSlice(d, 8, func() objstore.KV { return objstore.KV{Key: d.Str(), Value: slices.Clone(d.Blob())} })
	if d.Err() != nil {
		return errno.EINVAL
	}
	return x.putOmap(kvs)
}

// putOmap keeps kvs.
func (x *execution) putOmap(kvs []objstore.KV) error {
	size := 0
	for i := range kvs {
		if len(kvs[i].Key) > objstore.MaxNameLen {
			return errno.ENAMETOOLONG
		}
		size += len(kvs[i].Key) + len(kvs[i].Value)
	}
	x.create()
	if len(kvs) > 0 {
		x.setOmap(kvs)
	}
	x.markOmap()
	x.wrote(uint64(size))
	return nil
}

func (x *execution) opOmapSetHeader(op *msg.Op) error {
	x.putOmapHeader(append([]byte{}, op.In.Bytes()...))
	return nil
}

// putOmapHeader keeps h.
func (x *execution) putOmapHeader(h []byte) {
	x.create()
	x.setOmapHeader(h)
	x.markOmap()
	x.wrote(0)
}

func (x *execution) opOmapClear(*msg.Op) error { return x.dropOmap() }

func (x *execution) dropOmap() error {
	if err := x.mustExist(); err != nil {
		return err
	}
	if x.info.Flags&ObjectOmap != 0 {
		x.clearOmap()
		x.info.Flags &^= ObjectOmap
		x.stats.OmapObjects--
	}
	x.wrote(0)
	return nil
}

func (x *execution) opOmapRmKeys(op *msg.Op) error {
	if err := x.mustExist(); err != nil {
		return err
	}
	keys, err := decodeKeys(op)
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		x.removeOmap(keys)
	}
	x.wrote(0)
	return nil
}

func (x *execution) opOmapRmKeyRange(op *msg.Op) error {
	if err := x.mustExist(); err != nil {
		return err
	}
	d := wire.NewDecoder(op.In.Bytes())
	from, to := d.Str(), d.Str()
	if d.Err() != nil {
		return errno.EINVAL
	}
	x.removeRange(from, to)
	return nil
}

// removeRange removes the keys of [from, to). An empty end is the end here, not
// the lack of one.
func (x *execution) removeRange(from, to string) {
	if from < to {
		x.removeOmapRange(from, to)
	}
	x.wrote(0)
}
