package clsrbd

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/pulpo-storage/pulpo/wire"
)

// TestBitVectorPart changes a range of a vector on disk by its part, and in
// memory.
func TestBitVectorPart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(1, 5*perByte*crcBlock).Draw(t, "n")
		from := rapid.Uint64Range(0, n-1).Draw(t, "from")
		to := rapid.Uint64Range(from+1, n).Draw(t, "to")
		v := &BitVector{}
		v.Resize(n, rapid.Uint8Range(0, 3).Draw(t, "x"))
		var e wire.Encoder
		v.EncodeDisk(&e)
		disk := e.Bytes()

		if got := DecodeBitVectorLen(wire.NewDecoder(disk[:BitVectorHeader])); got != n {
			t.Fatalf("length %d, want %d", got, n)
		}
		p := PartOf(n, from, to)
		data, sums := disk[p.DataOff:p.DataOff+p.DataLen], disk[p.SumsOff:p.SumsOff+p.SumsLen]
		part, err := p.Decode(bytes.Clone(data), sums)
		if err != nil {
			t.Fatal(err)
		}
		x := rapid.Uint8Range(0, 3).Draw(t, "new")
		for i := from; i < to; i++ {
			part.Set(i-p.First, x)
			v.Set(i, x)
		}
		d, s := p.Encode(part)
		copy(data, d)
		copy(sums, s)
		var got BitVector
		if err := wire.Unmarshal(disk, &got); err != nil {
			t.Fatal(err)
		}
		if !got.Equal(v) {
			t.Fatal("another vector")
		}

		data[rapid.IntRange(0, len(data)-1).Draw(t, "damaged")] ^= 1
		if _, err := p.Decode(data, sums); err == nil {
			t.Fatal("damaged data was not noticed")
		}
		if _, err := p.Decode(data[1:], sums); err == nil {
			t.Fatal("lack of data was not noticed")
		}
	})
}
