package cephx

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/wire"
)

func TestSealRoundTrip(t *testing.T) {
	t.Parallel()
	k := KeyOf(time.Time{}, [16]byte{1, 2, 3})
	for n := range 70 {
		in := sealedString(bytes.Repeat([]byte{byte(n)}, n))
		b := seal(k, in)
		if len(b)%16 != 0 || len(b) <= sealHeader+4+n || len(b) > sealHeader+4+n+16 {
			t.Errorf("%d bytes sealed are %d", n, len(b))
		}
		var out sealedString
		must(t, open(k, b, &out))
		equal(t, "opened", out, in)
		for i := range b {
			bad := bytes.Clone(b)
			bad[i] ^= 0x10
			if i < 16 || i >= len(b)-32 { // the blocks with magic and padding
				var out sealedString
				if err := open(k, bad, &out); err == nil && bytes.Equal(out, in) {
					t.Errorf("byte %d of %d flipped and nothing noticed", i, len(b))
				}
			}
		}
	}
	var out sealedString
	for _, bad := range [][]byte{nil, make([]byte, 15), make([]byte, 16), make([]byte, 32), seal(KeyOf(time.Time{}, [16]byte{9}), out)} {
		if err := open(k, bad, &out); !errors.Is(err, ErrSeal) {
			t.Errorf("%x opened: %v", bad, err)
		}
	}
	if err := open(Key{}, seal(k, out), &out); !errors.Is(err, ErrSeal) {
		t.Errorf("opened without a key: %v", err)
	}
}

// From doc/protocol/cephx.md: the length in front counts, the last four bytes
// do not. The values are of a captured login.
func TestProof(t *testing.T) {
	t.Parallel()
	k, err := ParseKey(someKey)
	must(t, err)
	if got := proof(k, 0xb52d3bcc84afb5a5, 0x6c2ab0ef9ce36aec); got != 0xb0761f899cd9a891 {
		t.Errorf("proof %#x", got)
	}
}

// A bare value and one with its length in front are different things.
func TestSealForms(t *testing.T) {
	t.Parallel()
	k := KeyOf(time.Time{}, [16]byte{7})
	var e wire.Encoder
	sealTo(&e, k, authChallenge(1))
	if got, want := hex.EncodeToString(e.Bytes()), "20000000"+hex.EncodeToString(seal(k, authChallenge(1))); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var ch authChallenge
	if err := open(k, e.Bytes(), &ch); !errors.Is(err, ErrSeal) {
		t.Errorf("opened with the length: %v", err)
	}
}
