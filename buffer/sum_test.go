package buffer

import (
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"
)

// plain is wire.CRC32C.
func plain(seed uint32, b []byte) uint32 { return ^crc32.Update(^seed, castagnoli, b) }

func random(n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestSumsMakeTheChecksumOfTheWhole(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, SumPiece - 1, SumPiece, SumPiece + 1, 3 * SumPiece, 20*SumPiece + 77} {
		r := Wrap(random(n))
		with := r.Summed()
		for _, seed := range []uint32{0, ^uint32(0), 0x12345678} {
			want := plain(seed, r.Bytes())
			if got := r.CRC32C(seed); got != want {
				t.Errorf("%d bytes, seed %#x: %#x without sums, want %#x", n, seed, got, want)
			}
			if got := with.CRC32C(seed); got != want {
				t.Errorf("%d bytes, seed %#x: %#x with sums, want %#x", n, seed, got, want)
			}
		}
	}
}

func TestSumsOfSlices(t *testing.T) {
	t.Parallel()
	r := Wrap(random(5*SumPiece + 100)).Summed()
	for _, i := range []int{0, 1, SumPiece, 2 * SumPiece, 5 * SumPiece} {
		for _, j := range []int{i, i + 1, 4 * SumPiece, 4*SumPiece + 5, 5 * SumPiece, 5*SumPiece + 100} {
			if j < i {
				continue
			}
			s := r.Slice(i, j)
			if got, want := s.CRC32C(7), plain(7, s.Bytes()); got != want {
				t.Errorf("bytes %d to %d: %#x, want %#x", i, j, got, want)
			}
			if i%SumPiece == 0 && !slices.Equal(s.Sums(), Wrap(s.Bytes()).Summed().Sums()) {
				t.Errorf("bytes %d to %d: sums are lost", i, j)
			}
		}
	}
}

func BenchmarkCRC32C(b *testing.B) {
	for name, r := range map[string]Ref{"bytes": Wrap(random(4 << 20)), "sums": Wrap(random(4 << 20)).Summed()} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(4 << 20)
			for b.Loop() {
				r.CRC32C(0)
			}
		})
	}
}
