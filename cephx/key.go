package cephx

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/pulpo-storage/pulpo/wire"
)

// KeySize is the size of a secret (AES-128).
const KeySize = 16

const (
	keyNone = 0 // CEPH_CRYPTO_NONE
	keyAES  = 1 // CEPH_CRYPTO_AES
)

// Key is a secret with its time of creation (CryptoKey). The zero value is no
// key. It does not print: use Base64 where the secret itself is meant.
type Key struct {
	Created time.Time
	secret  [KeySize]byte
	set     bool
}

// NewKey makes a key of random bytes.
func NewKey(now time.Time, rand io.Reader) (Key, error) {
	k := Key{Created: now, set: true}
	if _, err := io.ReadFull(rand, k.secret[:]); err != nil {
		return Key{}, fmt.Errorf("make key: %w", err)
	}
	return k, nil
}

// KeyOf makes a key of a known secret.
func KeyOf(created time.Time, secret [KeySize]byte) Key {
	return Key{Created: created, secret: secret, set: true}
}

// ParseKey reads the text form, base64 of the encoding.
func ParseKey(s string) (Key, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return Key{}, fmt.Errorf("bad key: %w", err)
	}
	var k Key
	if err := wire.Unmarshal(b, &k); err != nil {
		return Key{}, fmt.Errorf("bad key: %w", err)
	}
	if !k.set {
		return Key{}, fmt.Errorf("bad key: it is empty")
	}
	return k, nil
}

// Base64 is the text form, as in keyrings: the secret itself.
func (k Key) Base64() string { return base64.StdEncoding.EncodeToString(wire.Marshal(k)) }

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return !k.set }

// Equal reports whether the secrets are the same. Not for proofs: the time it
// takes depends on the secrets.
func (k Key) Equal(o Key) bool { return k.set == o.set && k.secret == o.secret }

// Secret returns a copy of the secret bytes; nil without a key.
func (k Key) Secret() []byte {
	if !k.set {
		return nil
	}
	return append([]byte(nil), k.secret[:]...)
}

// Format keeps the secret out of whatever prints the key, with any verb.
func (k Key) Format(f fmt.State, _ rune) {
	if k.set {
		io.WriteString(f, "(key)")
	} else {
		io.WriteString(f, "(no key)")
	}
}

// LogValue keeps the secret out of logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(k)) }

func (k Key) Encode(e *wire.Encoder) {
	if !k.set {
		e.U16(keyNone)
		e.Time(k.Created)
		e.U16(0)
		return
	}
	e.U16(keyAES)
	e.Time(k.Created)
	e.U16(KeySize)
	e.Raw(k.secret[:])
}

func (k *Key) Decode(d *wire.Decoder) {
	*k = Key{}
	kind := d.U16()
	k.Created = d.Time()
	n := int(d.U16())
	b := d.Raw(n)
	switch {
	case d.Err() != nil:
	case kind == keyNone && n == 0:
	case kind == keyAES && n == KeySize:
		k.secret = [KeySize]byte(b)
		k.set = true
	default:
		d.Failf("key of type %d with %d bytes", kind, n)
	}
}
