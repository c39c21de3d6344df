package journal

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// newClass asks for a tag of a class of its own (TAG_CLASS_NEW).
const newClass = ^uint64(0)

// tag is cls::journal::Tag.
type tag struct {
	tid, class uint64
	data       []byte // of those who write
}

func (t tag) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.U64(t.tid)
	e.U64(t.class)
	e.Blob(t.data)
	e.End(m)
}

func (t *tag) Decode(d *wire.Decoder) {
	env := d.Begin("Tag", 1)
	t.tid = d.U64()
	t.class = d.U64()
	t.data = slices.Clone(d.Blob())
	d.End(env)
}

func tagKey(tid uint64) string { return fmt.Sprintf(tagPrefix+"%016x", tid) }

// eachTag calls f for all tags in order, until it says that it has enough.
func eachTag(c objclass.Context, f func(key string, t tag) (enough bool, err error)) error {
	const page = 64
	for after, more := tagPrefix, true; more; {
		var list []objclass.Entry
		var err error
		if list, more, err = c.OmapList(after, tagPrefix, page); err != nil {
			return err
		}
		for _, e := range list {
			var t tag
			if err := objclass.ParseStored(e.Value, t.Decode); err != nil {
				return fmt.Errorf("%s: %w", e.Key, err)
			}
			if enough, err := f(e.Key, t); enough || err != nil {
				return err
			}
			after = e.Key
		}
		more = more && len(list) > 0
	}
	return nil
}

// expireTags removes the tags that nobody needs: of each class those before the
// last one that is not newer than what the slowest client is done with. Clients
// that are disconnected do not count. As long as one has not committed anything,
// all are kept.
func expireTags(c objclass.Context) error {
	least := uint64(maxTID)
	for after, more := "", true; more; {
		list, m, err := c.OmapList(after, clientPrefix, clientBatch)
		if err != nil {
			return err
		}
		for _, e := range list {
			after = e.Key
			var cl client
			if err := objclass.ParseStored(e.Value, cl.Decode); err != nil {
				return fmt.Errorf("%s: %w", e.Key, err)
			}
			if cl.state == disconnected {
				continue
			}
			if len(cl.position) == 0 {
				return nil
			}
			least = min(least, cl.position.minTag())
		}
		more = m && len(list) > 0
	}
	if least == maxTID {
		return nil
	}
	var old []tag
	needed := map[uint64]uint64{} // by class
	err := eachTag(c, func(key string, t tag) (bool, error) {
		if tid, err := strconv.ParseUint(key[len(tagPrefix):], 16, 64); err != nil || tid != t.tid {
			return false, fmt.Errorf("%s is tag %d: %w", key, t.tid, errno.EINVAL)
		}
		needed[t.class] = t.tid
		old = append(old, t)
		return t.tid >= least, nil
	})
	if err != nil {
		return err
	}
	var gone []string
	for _, t := range old {
		if t.tid < needed[t.class] {
			gone = append(gone, tagKey(t.tid))
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return c.RemoveOmapKeys(gone)
}

func getTag(c objclass.Context, in []byte) ([]byte, error) {
	var tid uint64
	if err := objclass.Parse(in, func(d *wire.Decoder) { tid = d.U64() }); err != nil {
		return nil, err
	}
	var t tag
	if err := read(c, tagKey(tid), t.Decode); err != nil {
		return nil, err
	}
	return wire.Marshal(t), nil
}

// tagCreate begins a new epoch. The number must be the next one: who else made a
// tag meanwhile wins.
func tagCreate(c objclass.Context, in []byte) ([]byte, error) {
	var t tag
	if err := objclass.Parse(in, func(d *wire.Decoder) { t.tid, t.class, t.data = d.U64(), d.U64(), d.Blob() }); err != nil {
		return nil, err
	}
	if err := free(c, tagKey(t.tid)); err != nil {
		return nil, err
	}
	next, err := readU64(c, nextTagTIDKey)
	if err != nil {
		return nil, err
	}
	if t.tid != next {
		return nil, fmt.Errorf("tag %d, but %d is the next: %w", t.tid, next, errno.ESTALE)
	}
	class, err := readU64(c, nextTagClassKey)
	if err != nil {
		return nil, err
	}
	if t.class == newClass {
		t.class = class
		if err := writeU64(c, nextTagClassKey, class+1); err != nil {
			return nil, err
		}
	} else if t.class >= class {
		return nil, fmt.Errorf("tag of class %d, but %d is the next: %w", t.class, class, errno.EINVAL)
	}
	if err := expireTags(c); err != nil {
		return nil, err
	}
	if err := writeU64(c, nextTagTIDKey, t.tid+1); err != nil {
		return nil, err
	}
	return nil, write(c, tagKey(t.tid), t.Encode)
}

// tagList answers with the tags that a client still needs: from the last of each
// class that is not newer than what it is done with. It may be of one class only.
func tagList(c objclass.Context, in []byte) ([]byte, error) {
	var after, limit, class uint64
	var id string
	var oneClass bool
	err := objclass.Parse(in, func(d *wire.Decoder) {
		after, limit, id, oneClass = d.U64(), d.U64(), d.Str(), d.Bool()
		if oneClass {
			class = d.U64()
		}
	})
	if err != nil {
		return nil, err
	}
	cl, err := readClient(c, id)
	if err != nil {
		return nil, err
	}
	needed := map[uint64]uint64{}
	if least := cl.position.minTag(); least != maxTID {
		err := eachTag(c, func(_ string, t tag) (bool, error) {
			needed[t.class] = t.tid
			return t.tid >= least, nil
		})
		if err != nil {
			return nil, err
		}
	}
	var list []tag
	err = eachTag(c, func(_ string, t tag) (bool, error) {
		if after != 0 && t.tid <= after {
			return false, nil
		}
		if t.tid >= needed[t.class] && (!oneClass || t.class == class) {
			list = append(list, t)
		}
		return uint64(len(list)) >= limit, nil
	})
	if err != nil && !errors.Is(err, errno.ENOENT) {
		return nil, err
	}
	return encode(func(e *wire.Encoder) { wire.EncodeSlice(e, list, func(t tag) { t.Encode(e) }) }), nil
}
