package objclass

import (
	"errors"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/wire"
)

func TestParse(t *testing.T) {
	t.Parallel()
	var e wire.Encoder
	m := e.Begin(3, 1)
	e.U32(7)
	e.Str("newer")
	e.End(m)
	e.Str("more")
	in := e.Bytes()
	var n uint32
	var version uint8
	known := func(d *wire.Decoder, v uint8) { n, version = d.U32(), v }
	if err := ParseStruct(in, "x", 2, known); err != nil || n != 7 || version != 3 {
		t.Errorf("%v, %d of version %d", err, n, version)
	}
	if err := ParseStruct(in[:8], "x", 2, known); !errors.Is(err, errno.EINVAL) {
		t.Errorf("too short: %v", err)
	}
	long := func(d *wire.Decoder) { d.Raw(len(in) + 1) }
	if err := Parse(in, long); !errors.Is(err, errno.EINVAL) {
		t.Errorf("input: %v", err)
	}
	if err := ParseStored(in, long); !errors.Is(err, errno.EIO) {
		t.Errorf("stored: %v", err)
	}
}

func TestTimeKey(t *testing.T) {
	t.Parallel()
	for want, at := range map[string]time.Time{
		"1_0000000000.000000_": {}, "1_1700000000.000123_": time.Unix(1700000000, 123999),
	} {
		if got := TimeKey(at); got != want {
			t.Errorf("%v: %s", at, got)
		}
	}
}
