package diskstore

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/pulpo-storage/pulpo/object"
)

// Keys in Pebble begin with a letter for what they are. Numbers in keys are
// big-endian, so that their order is that of the bytes.
const (
	keyState      = 'S' // state, of the last batch
	keyCheckpoint = 'C' // checkpoint
	keyBitmap     = 'b' // u64 chunk -> bitmap chunk
	keyColl       = 'c' // u64 number -> encoded objstore.Coll
	keyOnode      = 'o' // u64 collection, object -> onode
	keySegment    = 's' // u64 nid, u64 number -> segment
	keyOmap       = 'm' // u64 nid, omap key -> omap value
	keyRefs       = 'r' // u64 chunk -> reference counts
	keySweep      = 'w' // there if there are records and blocks that nobody has any more
)

func numKey(kind byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 9), kind), n)
}

func segmentKey(dst []byte, nid, no uint64) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, keySegment), nid)
	return binary.BigEndian.AppendUint64(dst, no)
}

func omapKey(dst []byte, nid uint64, key string) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, keyOmap), nid)
	return append(dst, key...)
}

// onodeKey orders as object.ID.Compare does.
//
//	u64 pool, sign bit flipped; u32 hash, bits reversed; namespace; effective key;
//	then 2 if the name is the effective key, else 1 (less) or 3 (more) and the name;
//	u64 snapshot
func onodeKey(dst []byte, coll uint64, o *object.ID) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, keyOnode), coll)
	if o.Max {
		return append(dst, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	}
	dst = binary.BigEndian.AppendUint64(dst, uint64(o.Pool)^1<<63)
	dst = binary.BigEndian.AppendUint32(dst, bits.Reverse32(o.Hash))
	dst = appendString(dst, o.Namespace)
	switch {
	case o.Key == "" || o.Key == o.Name:
		dst = append(appendString(dst, o.Name), 2)
	case o.Name < o.Key:
		dst = appendString(append(appendString(dst, o.Key), 1), o.Name)
	default:
		dst = appendString(append(appendString(dst, o.Key), 3), o.Name)
	}
	return binary.BigEndian.AppendUint64(dst, uint64(o.Snap))
}

// appendString appends s so that no encoding is a prefix of another and order
// is kept: a zero byte becomes 0 1, the end is 0 0.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = append(dst, s[i])
		if s[i] == 0 {
			dst = append(dst, 1)
		}
	}
	return append(dst, 0, 0)
}

var errKey = errors.New("malformed key")

// decodeOnodeKey is the inverse of onodeKey.
func decodeOnodeKey(k []byte) (coll uint64, o object.ID, err error) {
	if len(k) < 1+8+8+4 || k[0] != keyOnode {
		return 0, o, errKey
	}
	coll = binary.BigEndian.Uint64(k[1:])
	o.Pool = int64(binary.BigEndian.Uint64(k[9:]) ^ 1<<63)
	o.Hash = bits.Reverse32(binary.BigEndian.Uint32(k[17:]))
	k = k[21:]
	var ok1, ok2, ok3 bool
	o.Namespace, k, ok1 = cutString(k)
	o.Key, k, ok2 = cutString(k)
	if !ok1 || !ok2 || len(k) == 0 {
		return 0, o, errKey
	}
	mark := k[0]
	k = k[1:]
	ok3 = true
	switch mark {
	case 2:
		o.Name, o.Key = o.Key, ""
	case 1, 3:
		if o.Name, k, ok3 = cutString(k); o.Key == "" || o.Name == o.Key || (o.Name < o.Key) != (mark == 1) {
			ok3 = false
		}
	default:
		ok3 = false
	}
	if !ok3 || len(k) != 8 {
		return 0, o, errKey
	}
	o.Snap = object.SnapID(binary.BigEndian.Uint64(k))
	return coll, o, nil
}

func cutString(k []byte) (s string, rest []byte, ok bool) {
	plain := true
	for i := 0; i+1 < len(k); i++ {
		if k[i] != 0 {
			continue
		}
		if k[i+1] == 0 {
			if plain {
				return string(k[:i]), k[i+2:], true
			}
			b := make([]byte, 0, i)
			for j := 0; j < i; j++ {
				b = append(b, k[j])
				if k[j] == 0 {
					j++
				}
			}
			return string(b), k[i+2:], true
		}
		if k[i+1] != 1 {
			return "", nil, false
		}
		plain = false
		i++
	}
	return "", nil, false
}
