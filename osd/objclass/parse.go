package objclass

import (
	"fmt"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/wire"
)

// Parse decodes the input of a method. EINVAL: it is too short for what fields
// reads. Bytes after that are left unread, as Ceph does: a newer client may send
// more.
func Parse(in []byte, fields func(d *wire.Decoder)) error { return parse(errno.EINVAL, in, fields) }

// ParseStruct is Parse of fields in an envelope, of which versions up to a number
// are known; v is the one that came.
func ParseStruct(in []byte, name string, version uint8, fields func(d *wire.Decoder, v uint8)) error {
	return Parse(in, func(d *wire.Decoder) {
		env := d.Begin(name, version)
		fields(d, env.Version)
		d.End(env)
	})
}

// ParseStored decodes what a class wrote before. EIO: it is damaged.
func ParseStored(b []byte, fields func(d *wire.Decoder)) error { return parse(errno.EIO, b, fields) }

func parse(no errno.Errno, b []byte, fields func(d *wire.Decoder)) error {
	d := wire.NewDecoder(b)
	fields(d)
	if err := d.Err(); err != nil {
		return fmt.Errorf("%w: %w", err, no)
	}
	return nil
}

// TimePrefix is what all keys of [TimeKey] begin with, and no others of the omap.
const TimePrefix = "1_"

// TimeKey is what the omap keys of a time begin with, in the order of times:
// 1_SECONDS.MICROSECONDS_ (get_time_key of the classes log and timeindex).
func TimeKey(t time.Time) string {
	if t.IsZero() {
		t = time.Unix(0, 0)
	}
	return fmt.Sprintf(TimePrefix+"%010d.%06d_", t.Unix(), t.Nanosecond()/1000)
}
