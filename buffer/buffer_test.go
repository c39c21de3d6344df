package buffer

import (
	"bytes"
	"testing"
)

func TestCounting(t *testing.T) {
	before := Held()
	r := Alloc(5000)
	if Held()-before != 8192 {
		t.Errorf("%d bytes held", Held()-before)
	}
	part := r.Slice(10, 20).Retain()
	r.Release()
	if Held() == before {
		t.Error("the block went while a part was retained")
	}
	part.Release()
	if Held() != before {
		t.Errorf("%d bytes held after the last release", Held()-before)
	}
	defer func() {
		if recover() == nil {
			t.Error("one release too many went unnoticed")
		}
	}()
	part.Release()
}

func TestSizes(t *testing.T) {
	for _, n := range []int{0, 1, 512, 513, MaxPooled, MaxPooled + 1} {
		r := Alloc(n)
		if r.Len() != n {
			t.Errorf("%d bytes instead of %d", r.Len(), n)
		}
		r.Release()
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	l := List{Wrap([]byte("abc")), Wrap(nil), Wrap([]byte("defg"))}
	for i := 0; i <= 7; i++ {
		for j := i; j <= 7; j++ {
			got := l.Slice(i, j)
			if want := []byte("abcdefg")[i:j]; !bytes.Equal(got.Bytes(), want) || got.Len() != len(want) {
				t.Errorf("bytes %d to %d are %q, want %q", i, j, got.Bytes(), want)
			}
		}
	}
}
