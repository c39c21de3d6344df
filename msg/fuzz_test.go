package msg

import (
	"bytes"
	"errors"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
)

// FuzzDecode: any bytes either decode or are EBADMSG (EOPNOTSUPP for what is
// known but not served). What decodes has an encoding of its own, which decodes
// to the same again, payload included.
func FuzzDecode(f *testing.F) {
	for typ, s := range smallest(f) {
		f.Add(typ, s.Version, []byte(s.Front), []byte(s.Data))
	}
	for _, b := range internalBodies() {
		v, _ := b.Versions()
		f.Add(b.MsgType(), v, front(b), []byte(nil))
	}
	f.Fuzz(func(t *testing.T, typ, version uint16, in, data []byte) {
		if !Known(typ) {
			return
		}
		// Payload comes in parts of any size.
		cut := len(data) / 3
		b, err := Decode(typ, version, 0, in, buffer.List{buffer.Wrap(data[:cut]), buffer.Wrap(data[cut:])})
		if err != nil {
			if !errors.Is(err, errno.EBADMSG) && !errors.Is(err, errno.EOPNOTSUPP) {
				t.Fatalf("error without a number: %v", err)
			}
			return
		}
		once := front(b)
		newest, compat := b.Versions()
		again, err := Decode(typ, newest, compat, once, b.Payload())
		if err != nil {
			t.Fatalf("%T does not decode what it encodes: %v\n%x", b, err, once)
		}
		if twice := front(again); !bytes.Equal(once, twice) {
			t.Fatalf("%T encodes to\n%x, after another round to\n%x", b, once, twice)
		}
		if !bytes.Equal(b.Payload().Bytes(), again.Payload().Bytes()) {
			t.Fatalf("%T: the payload changed", b)
		}
	})
}

// smallest has the shortest sample of each type.
func smallest(t testing.TB) map[uint16]sample {
	m := map[uint16]sample{}
	for _, s := range allSamples(t) {
		if old, ok := m[s.Type]; !ok || len(s.Front)+len(s.Data) < len(old.Front)+len(old.Data) {
			m[s.Type] = s
		}
	}
	return m
}
