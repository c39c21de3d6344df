// Package wire is the lowest layer of the protocol: little-endian primitives,
// strings, containers and versioned struct envelopes (Ceph's include/encoding.h).
//
// An [Encoder] appends to a byte slice and never fails. A [Decoder] reads from
// a byte slice and keeps its first error with the offset where it happened; all
// later reads return zero values, so the decoding of a body reads straight down
// and the error is checked once, at the end. No length read from the input is
// trusted: it is compared with the bytes that are left before anything is
// allocated for it.
//
// Types that travel implement Encode(*Encoder) and Decode(*Decoder), side by
// side in one file. See doc/protocol/wire.md.
//
// No compatibility promise.
package wire

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"slices"
	"time"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CRC32C is ceph_crc32c: CRC-32C with a raw register value as seed and without
// the final inversion. Seeds in use are 0 (frame preambles) and 0xffffffff.
func CRC32C(seed uint32, b []byte) uint32 {
	return ^crc32.Update(^seed, castagnoli, b)
}

// Marshaler is a type that encodes itself.
type Marshaler interface{ Encode(*Encoder) }

// Unmarshaler is a type that decodes itself; errors stay in the decoder.
type Unmarshaler interface{ Decode(*Decoder) }

// Marshal returns the encoding of v.
func Marshal(v Marshaler) []byte {
	var e Encoder
	v.Encode(&e)
	return e.Bytes()
}

// Unmarshal decodes all of b into v; bytes left over are an error.
func Unmarshal(b []byte, v Unmarshaler) error {
	d := NewDecoder(b)
	v.Decode(d)
	return d.Finish()
}

// Encoder appends encoded values to a buffer. The zero value is ready.
type Encoder struct{ b []byte }

// NewEncoder returns an encoder that appends to b.
func NewEncoder(b []byte) *Encoder { return &Encoder{b: b} }

// Bytes returns what was encoded; it stays valid until the next call.
func (e *Encoder) Bytes() []byte { return e.b }

// Len is the number of bytes encoded so far.
func (e *Encoder) Len() int { return len(e.b) }

// Reset forgets the content and keeps the space.
func (e *Encoder) Reset() { e.b = e.b[:0] }

func (e *Encoder) U8(v uint8)   { e.b = append(e.b, v) }
func (e *Encoder) U16(v uint16) { e.b = binary.LittleEndian.AppendUint16(e.b, v) }
func (e *Encoder) U32(v uint32) { e.b = binary.LittleEndian.AppendUint32(e.b, v) }
func (e *Encoder) U64(v uint64) { e.b = binary.LittleEndian.AppendUint64(e.b, v) }
func (e *Encoder) S8(v int8)    { e.U8(uint8(v)) }
func (e *Encoder) S16(v int16)  { e.U16(uint16(v)) }
func (e *Encoder) S32(v int32)  { e.U32(uint32(v)) }
func (e *Encoder) S64(v int64)  { e.U64(uint64(v)) }
func (e *Encoder) F32(v float32) {
	e.U32(math.Float32bits(v))
}
func (e *Encoder) F64(v float64) { e.U64(math.Float64bits(v)) }

// Bool encodes one byte, 0 or 1.
func (e *Encoder) Bool(v bool) {
	if v {
		e.U8(1)
	} else {
		e.U8(0)
	}
}

// Raw appends b without a length.
func (e *Encoder) Raw(b []byte) { e.b = append(e.b, b...) }

// Str encodes a string: u32 length, bytes.
func (e *Encoder) Str(s string) {
	e.U32(uint32(len(s)))
	e.b = append(e.b, s...)
}

// Blob encodes a bufferlist: u32 length, bytes.
func (e *Encoder) Blob(b []byte) {
	e.U32(uint32(len(b)))
	e.b = append(e.b, b...)
}

// Nested encodes v as a bufferlist, in place.
func (e *Encoder) Nested(v Marshaler) {
	at := len(e.b)
	e.U32(0)
	v.Encode(e)
	binary.LittleEndian.PutUint32(e.b[at:], uint32(len(e.b)-at-4))
}

// Time encodes utime_t: u32 seconds, u32 nanoseconds since 1970. The zero
// time is 0, 0.
func (e *Encoder) Time(t time.Time) {
	if t.IsZero() {
		e.U64(0)
		return
	}
	e.U32(uint32(t.Unix()))
	e.U32(uint32(t.Nanosecond()))
}

// Duration encodes a span in the form of utime_t.
func (e *Encoder) Duration(d time.Duration) {
	e.U32(uint32(d / time.Second))
	e.U32(uint32(d % time.Second))
}

// Begin opens a struct envelope (ENCODE_START): u8 version, u8 compat, u32
// length. It returns the mark to pass to End.
func (e *Encoder) Begin(version, compat uint8) (mark int) {
	e.U8(version)
	e.U8(compat)
	mark = len(e.b)
	e.U32(0)
	return mark
}

// End closes the envelope opened at mark by filling in its length.
func (e *Encoder) End(mark int) {
	binary.LittleEndian.PutUint32(e.b[mark:], uint32(len(e.b)-mark-4))
}

// EncodeSlice encodes a vector: u32 count, then each element.
func EncodeSlice[T any](e *Encoder, s []T, f func(T)) {
	e.U32(uint32(len(s)))
	for _, v := range s {
		f(v)
	}
}

// EncodeMap encodes a map in ascending key order: u32 count, then each pair.
func EncodeMap[K cmp.Ordered, V any](e *Encoder, m map[K]V, f func(K, V)) {
	e.U32(uint32(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		f(k, m[k])
	}
}

// EncodeMapFunc is EncodeMap for keys that bring their own order.
func EncodeMapFunc[K comparable, V any](e *Encoder, m map[K]V, cmp func(a, b K) int, f func(K, V)) {
	e.U32(uint32(len(m)))
	for _, k := range slices.SortedFunc(maps.Keys(m), cmp) {
		f(k, m[k])
	}
}

// Errors of decoding; they come wrapped with the offset and the struct.
var (
	ErrShort    = errors.New("input ends too early")
	ErrTrailing = errors.New("bytes left over")
	ErrVersion  = errors.New("encoding is too new")
	ErrValue    = errors.New("bad value")
)

// Decoder reads encoded values from a byte slice.
type Decoder struct {
	b    []byte // all of the input
	off  int    // next byte
	end  int    // end of the innermost envelope
	err  error
	path string // name of the innermost envelope
}

// NewDecoder returns a decoder over b, which it neither keeps after use nor
// changes. Byte slices it returns alias b.
func NewDecoder(b []byte) *Decoder { return &Decoder{b: b, end: len(b)} }

// Err is the first error.
func (d *Decoder) Err() error { return d.err }

// Fail records err, unless there was one before.
func (d *Decoder) Fail(err error) {
	if d.err == nil {
		where := d.path
		if where != "" {
			where = " in " + where
		}
		d.err = fmt.Errorf("decode%s at byte %d: %w", where, d.off, err)
	}
}

// Failf records a bad value.
func (d *Decoder) Failf(format string, args ...any) {
	d.Fail(fmt.Errorf("%w: "+format, append([]any{ErrValue}, args...)...))
}

// Finish returns the first error; input that was not consumed is one.
func (d *Decoder) Finish() error {
	if d.err == nil && d.off != d.end {
		d.Fail(fmt.Errorf("%w: %d", ErrTrailing, d.end-d.off))
	}
	return d.err
}

// Left is the number of bytes to the end of the innermost envelope.
func (d *Decoder) Left() int {
	if d.err != nil {
		return 0
	}
	return d.end - d.off
}

// Offset is the number of bytes consumed.
func (d *Decoder) Offset() int { return d.off }

// Raw returns the next n bytes, aliasing the input; nil after an error.
func (d *Decoder) Raw(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n < 0 || n > d.end-d.off {
		d.Fail(fmt.Errorf("%w: %d bytes wanted, %d left", ErrShort, n, d.end-d.off))
		return nil
	}
	b := d.b[d.off : d.off+n : d.off+n]
	d.off += n
	return b
}

// Skip passes over n bytes.
func (d *Decoder) Skip(n int) { d.Raw(n) }

func (d *Decoder) U8() uint8 {
	if b := d.Raw(1); b != nil {
		return b[0]
	}
	return 0
}
func (d *Decoder) U16() uint16 {
	if b := d.Raw(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}
func (d *Decoder) U32() uint32 {
	if b := d.Raw(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}
func (d *Decoder) U64() uint64 {
	if b := d.Raw(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}
func (d *Decoder) S8() int8     { return int8(d.U8()) }
func (d *Decoder) S16() int16   { return int16(d.U16()) }
func (d *Decoder) S32() int32   { return int32(d.U32()) }
func (d *Decoder) S64() int64   { return int64(d.U64()) }
func (d *Decoder) F32() float32 { return math.Float32frombits(d.U32()) }
func (d *Decoder) F64() float64 { return math.Float64frombits(d.U64()) }
func (d *Decoder) Bool() bool   { return d.U8() != 0 }

// Blob returns a bufferlist, aliasing the input.
func (d *Decoder) Blob() []byte { return d.Raw(d.Count(1)) }

// Str returns a string.
func (d *Decoder) Str() string { return string(d.Blob()) }

// Count reads a u32 element count and fails if the elements, at least size
// bytes each, cannot be in what is left of the input. Use it before making
// room for them.
func (d *Decoder) Count(size int) int {
	n := d.U32()
	if d.err == nil && uint64(n)*uint64(max(size, 1)) > uint64(d.end-d.off) {
		d.Fail(fmt.Errorf("%w: %d elements of at least %d bytes, %d bytes left", ErrShort, n, size, d.end-d.off))
		return 0
	}
	return int(n)
}

// Time reads utime_t; 0, 0 is the zero time. The result is in UTC.
func (d *Decoder) Time() time.Time {
	sec, nsec := d.U32(), d.U32()
	if sec == 0 && nsec == 0 {
		return time.Time{}
	}
	return time.Unix(int64(sec), int64(nsec)).UTC()
}

// Duration reads a span in the form of utime_t.
func (d *Decoder) Duration() time.Duration {
	sec, nsec := d.U32(), d.U32()
	return time.Duration(sec)*time.Second + time.Duration(nsec)
}

// Envelope is an open struct envelope.
type Envelope struct {
	Version uint8 // struct_v of the writer
	Compat  uint8 // struct_compat: the oldest decoder that understands it
	end     int   // where the body ends
	outer   int   // end of the enclosing envelope
	path    string
}

// Begin opens a struct envelope (DECODE_START). A writer whose compat version
// is above version, the newest this decoder knows, is an error.
func (d *Decoder) Begin(name string, version uint8) Envelope {
	env := Envelope{outer: d.end, path: d.path}
	env.Version = d.U8()
	env.Compat = d.U8()
	n := d.Count(1)
	env.end = d.off + n
	if d.err != nil {
		return env
	}
	d.path = name
	if env.Compat > version {
		d.Fail(fmt.Errorf("%w: needs a decoder of version %d, this is %d", ErrVersion, env.Compat, version))
		return env
	}
	d.end = env.end
	return env
}

// End closes env, skipping what a newer writer appended.
func (d *Decoder) End(env Envelope) {
	if d.err != nil {
		return
	}
	d.off = env.end
	d.end = env.outer
	d.path = env.path
}

// Nested returns a decoder over a bufferlist. Its error must be handed back
// with Join.
func (d *Decoder) Nested() *Decoder { return NewDecoder(d.Blob()) }

// Join takes over the error of a nested decoder, which must have consumed all.
func (d *Decoder) Join(n *Decoder) {
	if err := n.Finish(); err != nil && d.err == nil {
		d.err = err
	}
}

// DecodeSlice decodes a vector whose elements take at least size bytes each.
// An empty vector is nil.
func DecodeSlice[T any](d *Decoder, size int, f func() T) []T {
	n := d.Count(size)
	if n == 0 {
		return nil
	}
	s := make([]T, 0, n)
	for range n {
		if d.err != nil {
			return nil
		}
		s = append(s, f())
	}
	return s
}

// DecodeMap decodes a map whose pairs take at least size bytes each. The map
// is never nil.
func DecodeMap[K comparable, V any](d *Decoder, size int, f func() (K, V)) map[K]V {
	n := d.Count(size)
	m := make(map[K]V, n)
	for range n {
		if d.err != nil {
			break
		}
		k, v := f()
		m[k] = v
	}
	return m
}
