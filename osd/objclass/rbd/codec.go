package rbd

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// parse decodes the input of a method. Bytes after what the method wants are
// left unread, as Ceph does: a newer client may send more.
func parse(in []byte, fields func(d *wire.Decoder)) error {
	d := wire.NewDecoder(in)
	fields(d)
	if err := d.Err(); err != nil {
		return fmt.Errorf("%w: %w", err, errno.EINVAL)
	}
	return nil
}

// encoded is what f encodes, on its own.
func encoded(f func(e *wire.Encoder)) []byte {
	var e wire.Encoder
	f(&e)
	return e.Bytes()
}

// exists returns ENOENT if there is no object (check_exists).
func exists(c objclass.Context) error {
	_, _, err := c.Stat()
	return err
}

// isMissing tells whether err says that something is not there.
func isMissing(err error) bool { return errors.Is(err, errno.ENOENT) }

// readKey decodes the value of an omap key (read_key): ENOENT if there is none,
// EIO if it does not decode.
func readKey(c objclass.Context, key string, fields func(d *wire.Decoder)) error {
	b, err := c.OmapValue(key)
	if err != nil {
		return err
	}
	return decodeValue(key, b, fields)
}

// decodeValue decodes what was stored under a key; EIO if it is damaged.
func decodeValue(key string, b []byte, fields func(d *wire.Decoder)) error {
	d := wire.NewDecoder(b)
	fields(d)
	if err := d.Err(); err != nil {
		return fmt.Errorf("omap key %q: %w: %w", key, err, errno.EIO)
	}
	return nil
}

// writeKey sets an omap key (write_key).
func writeKey(c objclass.Context, key string, fields func(e *wire.Encoder)) error {
	return c.SetOmap([]objclass.Entry{{Key: key, Value: encoded(fields)}})
}

// removeKey removes an omap key, which may be missing (remove_key).
func removeKey(c objclass.Context, key string) error {
	if err := c.RemoveOmapKeys([]string{key}); err != nil && !isMissing(err) {
		return err
	}
	return nil
}

// readU64 is readKey of a number.
func readU64(c objclass.Context, key string) (v uint64, err error) {
	err = readKey(c, key, func(d *wire.Decoder) { v = d.U64() })
	return v, err
}

func writeU64(c objclass.Context, key string, v uint64) error {
	return writeKey(c, key, func(e *wire.Encoder) { e.U64(v) })
}

// readString is readKey of a string.
func readString(c objclass.Context, key string) (v string, err error) {
	err = readKey(c, key, func(d *wire.Decoder) { v = d.Str() })
	return v, err
}

func writeString(c objclass.Context, key, v string) error {
	return writeKey(c, key, func(e *wire.Encoder) { e.Str(v) })
}

// pageSize is how many keys are listed at once (RBD_MAX_KEYS_READ).
const pageSize = 64

// each calls f for all entries whose keys begin with a prefix, in order, until f
// fails. Keys that equal the prefix are left out, as Ceph lists from behind it.
func each(c objclass.Context, prefix string, f func(e objclass.Entry) error) error {
	for after, more := prefix, true; more; {
		var page []objclass.Entry
		var err error
		if page, more, err = c.OmapList(after, prefix, pageSize); err != nil {
			return err
		}
		for _, e := range page {
			if err := f(e); err != nil {
				return err
			}
		}
		if len(page) == 0 {
			break
		}
		after = page[len(page)-1].Key
	}
	return nil
}

// keep is a copy for an omap or attribute: the input of a call is borrowed.
func keep(b []byte) []byte { return slices.Clone(b) }

// validID tells whether an image id has only letters and digits (is_valid_id).
func validID(id string) bool {
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return id != ""
}
