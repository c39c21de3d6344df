package clsrbd

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/pulpo-storage/pulpo/wire"
)

// TestBitVector compares with a slice of bytes under random changes.
func TestBitVector(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v, model := &BitVector{}, []uint8{}
		element := rapid.Uint8Range(0, 3)
		t.Repeat(map[string]func(*rapid.T){
			"resize": func(t *rapid.T) {
				n, x := rapid.Uint64Range(0, 300).Draw(t, "n"), element.Draw(t, "x")
				v.Resize(n, x)
				for uint64(len(model)) < n {
					model = append(model, x)
				}
				model = model[:n]
			},
			"set": func(t *rapid.T) {
				if len(model) > 0 {
					i, x := rapid.IntRange(0, len(model)-1).Draw(t, "i"), element.Draw(t, "x")
					v.Set(uint64(i), x)
					model[i] = x
				}
			},
			"": func(t *rapid.T) {
				if v.Len() != uint64(len(model)) {
					t.Fatalf("length %d, want %d", v.Len(), len(model))
				}
				fresh := NewBitVector(v.Len())
				for i, x := range model {
					if v.Get(uint64(i)) != x {
						t.Fatalf("element %d is %d, want %d", i, v.Get(uint64(i)), x)
					}
					fresh.Set(uint64(i), x)
				}
				if !fresh.Equal(v) {
					t.Fatal("bits behind the end")
				}
				for _, encode := range []func(*wire.Encoder){v.Encode, v.EncodeDisk} {
					var e wire.Encoder
					var again BitVector
					encode(&e)
					if err := wire.Unmarshal(e.Bytes(), &again); err != nil || !again.Equal(v) {
						t.Fatalf("%x: %v", e.Bytes(), err)
					}
				}
			},
		})
	})
}

func TestBitVectorBlocks(t *testing.T) {
	t.Parallel()
	v := NewBitVector(perByte*crcBlock*2 + 1)
	v.Set(v.Len()-1, 3)
	var e wire.Encoder
	v.EncodeDisk(&e)
	var again BitVector
	if err := wire.Unmarshal(e.Bytes(), &again); err != nil || !again.Equal(v) {
		t.Fatal(err)
	}
	if want := 4 + 14 + 2*crcBlock + 1 + 4 + 4 + 4 + 3*4; e.Len() != want {
		t.Fatalf("%d bytes, want %d", e.Len(), want)
	}
	if c := v.Clone(); !c.Equal(v) {
		t.Error("a copy differs")
	} else if c.Set(0, 1); v.Get(0) != 0 || c.Equal(v) {
		t.Error("a copy shares its bytes")
	}
}

// TestBitVectorIsBounded tries a header that promises more than there is.
func TestBitVectorIsBounded(t *testing.T) {
	t.Parallel()
	b := bytes.Repeat([]byte{0xff}, 64)
	copy(b, unhex(t, "0e000000010108000000ffffffffffffffff"))
	if err := wire.Unmarshal(b, new(BitVector)); err == nil {
		t.Fatal("2^64-1 elements in 46 bytes")
	}
}
