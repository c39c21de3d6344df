package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	at := time.Unix(1700000000, 123456789).UTC()
	var e Encoder
	m := e.Begin(3, 2)
	e.U8(1)
	e.U16(2)
	e.U32(3)
	e.U64(4)
	e.S64(-5)
	e.F64(0.5)
	e.F32(0.25)
	e.Bool(true)
	e.Str("six")
	e.Time(at)
	e.Time(time.Time{})
	e.Duration(90 * time.Millisecond)
	EncodeMap(&e, map[string]uint8{"b": 2, "a": 1}, func(k string, v uint8) { e.Str(k); e.U8(v) })
	e.End(m)

	d := NewDecoder(e.Bytes())
	env := d.Begin("test", 3)
	if d.U8() != 1 || d.U16() != 2 || d.U32() != 3 || d.U64() != 4 || d.S64() != -5 || d.F64() != 0.5 ||
		d.F32() != 0.25 || !d.Bool() || d.Str() != "six" || !d.Time().Equal(at) || !d.Time().IsZero() ||
		d.Duration() != 90*time.Millisecond {
		t.Error("a value changed on the way")
	}
	var keys string
	DecodeMap(d, 5, func() (string, uint8) { k := d.Str(); keys += k; return k, d.U8() })
	if keys != "ab" {
		t.Errorf("map was written in the order %q", keys)
	}
	d.End(env)
	if err := d.Finish(); err != nil {
		t.Error(err)
	}
}

func TestEnvelopeSkipsWhatANewerWriterAdded(t *testing.T) {
	t.Parallel()
	var e Encoder
	m := e.Begin(9, 1)
	e.U8(7)
	e.Str("unknown to version 1")
	e.End(m)
	e.U8(8)
	d := NewDecoder(e.Bytes())
	env := d.Begin("s", 1)
	got := d.U8()
	d.End(env)
	if after := d.U8(); got != 7 || after != 8 || d.Finish() != nil || env.Version != 9 {
		t.Errorf("read %d then %d, version %d, %v", got, after, env.Version, d.Err())
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		in   []byte
		read func(d *Decoder)
		want error
	}{
		{"short", []byte{1, 2}, func(d *Decoder) { d.U32() }, ErrShort},
		{"string longer than the input", []byte{9, 0, 0, 0, 'x'}, func(d *Decoder) { _ = d.Str() }, ErrShort},
		{"count beyond the input", []byte{0xff, 0xff, 0xff, 0xff}, func(d *Decoder) { DecodeSlice(d, 8, d.U64) }, ErrShort},
		{"envelope beyond the input", []byte{1, 1, 5, 0, 0, 0, 1}, func(d *Decoder) { d.Begin("s", 1) }, ErrShort},
		{"read past the envelope", []byte{1, 1, 1, 0, 0, 0, 1, 2, 3, 4}, func(d *Decoder) { d.Begin("s", 1); d.U32() }, ErrShort},
		{"compat too new", []byte{3, 2, 0, 0, 0, 0}, func(d *Decoder) { d.Begin("s", 1) }, ErrVersion},
		{"left over", []byte{1}, func(*Decoder) {}, ErrTrailing},
	} {
		d := NewDecoder(c.in)
		c.read(d)
		if err := d.Finish(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestFirstErrorStays(t *testing.T) {
	t.Parallel()
	d := NewDecoder([]byte{1, 1, 1, 0, 0, 0, 7})
	d.Begin("thing_t", 1)
	d.U64()
	d.Failf("later")
	if err := d.Err(); !errors.Is(err, ErrShort) || !strings.Contains(err.Error(), "thing_t") {
		t.Errorf("error is %v", err)
	}
	if d.U8() != 0 || d.Left() != 0 {
		t.Error("reads go on after an error")
	}
}

func TestCRC32C(t *testing.T) {
	t.Parallel()
	// The preamble of a stock HELLO frame ends with the crc of its first 28 bytes.
	pre := []byte{1, 1, 0x22, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if CRC32C(0xffffffff, nil) != 0xffffffff || CRC32C(0, bytes.Repeat([]byte{0}, 28)) != 0 {
		t.Error("the seed is the register's value and is not inverted")
	}
	if a, b := CRC32C(CRC32C(0, pre[:9]), pre[9:]), CRC32C(0, pre); a != b {
		t.Errorf("in two steps %#x, in one %#x", a, b)
	}
}
