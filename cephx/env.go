package cephx

import (
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// Env is where time and random bytes come from. The zero value is the system's
// clock and generator; machines and tests bring their own.
type Env struct {
	Now  func() time.Time
	Rand io.Reader
}

// At is an Env at one instant.
func At(now time.Time, rand io.Reader) Env {
	return Env{Now: func() time.Time { return now }, Rand: rand}
}

func (v Env) now() time.Time {
	if v.Now == nil {
		return time.Now()
	}
	return v.Now()
}

func (v Env) rand() io.Reader {
	if v.Rand == nil {
		return crand.Reader
	}
	return v.Rand
}

func (v Env) bytes(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(v.rand(), b); err != nil {
		return nil, fmt.Errorf("cephx: random bytes: %w", err)
	}
	return b, nil
}

// u64 is a random number that is not zero: zero means "none" in challenges.
func (v Env) u64() (uint64, error) {
	for {
		b, err := v.bytes(8)
		if err != nil {
			return 0, err
		}
		if n := binary.LittleEndian.Uint64(b); n != 0 {
			return n, nil
		}
	}
}

func (v Env) key() (Key, error) { return NewKey(v.now(), v.rand()) }
