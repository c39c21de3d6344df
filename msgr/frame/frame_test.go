package frame

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
)

var secret = bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 8)

// ends returns a writer and the reader of what it writes.
func ends(t testing.TB, secure bool) (*Writer, *Reader) {
	w, r := new(Writer), NewReader(Established)
	if secure {
		if err := Secure(new(Reader), w, secret, true); err != nil {
			t.Fatal(err)
		}
		if err := Secure(r, new(Writer), secret, false); err != nil {
			t.Fatal(err)
		}
	}
	return w, r
}

func fill(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*13 + i>>8)
	}
	return b
}

// Messages of all shapes come through, in a stream of several.
func TestMessages(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		w, r := ends(t, secure)
		for i, s := range [][3]int{
			{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {16, 16, 16}, {100, 0, 4096}, {33, 77, 100_000},
			{9 << 20, 0, 0}, {0, 0, 20 << 20}, {9 << 20, 5, 9 << 20},
		} {
			h := Header{Seq: uint64(i), TID: 7, Type: 42, Priority: 63, Version: 8, Compat: 3, AckSeq: 9, DataOff: 5}
			data := buffer.List{buffer.Wrap(fill(s[2] / 2)), buffer.Wrap(fill(s[2] - s[2]/2))}
			want := data.Bytes()
			var b Batch
			w.Message(&b, &h, fill(s[0]), fill(s[1]), data)
			stream := joined(&b)
			if len(stream) != b.Len() {
				t.Fatalf("batch of %d bytes says %d", len(stream), b.Len())
			}
			ev, err := feed(r, stream)
			if err != nil || ev != Message {
				t.Fatalf("secure %v, %v: event %v, %v", secure, s, ev, err)
			}
			if *r.Header() != h || r.Size() != int64(s[0]+s[1]+s[2]) {
				t.Errorf("secure %v, %v: header %+v, size %d", secure, s, *r.Header(), r.Size())
			}
			p := r.Take(nil)
			if !bytes.Equal(p.Front, fill(s[0])) || !bytes.Equal(p.Middle, fill(s[1])) || !bytes.Equal(p.Data.Bytes(), want) {
				t.Errorf("secure %v, %v: segments differ", secure, s)
			}
			p.Body.Release()
			p.Data.Release()
			r.Next()
		}
	}
}

// A flipped bit anywhere in a secure frame is found before anything of it is
// handed out.
func TestFlippedBitSecure(t *testing.T) {
	t.Parallel()
	encode := func(f func(*Writer, *Batch)) []byte {
		w, _ := ends(t, true)
		var b Batch
		f(w, &b)
		return joined(&b)
	}
	for name, stream := range map[string][]byte{
		"ack":        encode(func(w *Writer, b *Batch) { w.Control(b, TagAck, make([]byte, 8)) }),
		"long ident": encode(func(w *Writer, b *Batch) { w.Control(b, TagClientIdent, fill(130)) }),
		"bare":       encode(func(w *Writer, b *Batch) { w.Message(b, &Header{Seq: 1}, nil, nil, nil) }),
		"message": encode(func(w *Writer, b *Batch) {
			w.Message(b, &Header{Seq: 1}, fill(20), fill(3), buffer.ListOf(fill(70)))
		}),
	} {
		for i := range stream {
			_, r := ends(t, true)
			bad := bytes.Clone(stream)
			bad[i] ^= 1 << (i % 8)
			if ev, err := feed(r, bad); !errors.Is(err, ErrTag) {
				t.Fatalf("%s: byte %d flipped: event %v, %v", name, i, ev, err)
			}
			r.Drop()
		}
	}
}

// In crc mode as well, but for the bits that nobody reads.
func TestFlippedBitCRC(t *testing.T) {
	t.Parallel()
	var (
		w Writer
		b Batch
	)
	w.Message(&b, &Header{Seq: 1}, fill(20), fill(3), buffer.ListOf(fill(70)))
	stream := joined(&b)
	status := len(stream) - epilogueLen
	for i := range stream {
		for bit := range 8 {
			bad := bytes.Clone(stream)
			bad[i] ^= 1 << bit
			_, err := feed(NewReader(Established), bad)
			if unread := i == status && bit >= 4; (err == nil) != unread {
				t.Fatalf("byte %d bit %d flipped: %v", i, bit, err)
			}
		}
	}
}

// The secure stream has an order: a frame that is repeated, left out or taken
// from the other direction does not open.
func TestSecureOrder(t *testing.T) {
	t.Parallel()
	w, r := ends(t, true)
	var one, two Batch
	w.Control(&one, TagAck, make([]byte, 8))
	w.Control(&two, TagAck, make([]byte, 8))
	if _, err := feed(r, joined(&two)); !errors.Is(err, ErrTag) {
		t.Errorf("second frame first: %v", err)
	}
	_, r = ends(t, true)
	if _, err := feed(r, joined(&one)); err != nil {
		t.Fatal(err)
	}
	r.Next()
	if _, err := feed(r, joined(&one)); !errors.Is(err, ErrTag) {
		t.Errorf("first frame twice: %v", err)
	}
	own := NewReader(Established)
	if err := Secure(own, new(Writer), secret, true); err != nil {
		t.Fatal(err)
	}
	if _, err := feed(own, joined(&one)); !errors.Is(err, ErrTag) {
		t.Errorf("own frame reflected: %v", err)
	}
}

// What a frame announces is held against the limits before there is memory for
// it, and what is announced and does not come costs little.
func TestLimits(t *testing.T) {
	t.Parallel()
	announce := func(l Limits, tag Tag, sizes ...uint32) (*Reader, error) {
		p := preamble{tag: tag, n: len(sizes)}
		copy(p.size[:], sizes)
		b := p.append(nil)
		if tag == TagMessage {
			var whole Batch
			new(Writer).Message(&whole, &Header{}, nil, nil, nil)
			b = append(b, joined(&whole)[preambleLen:]...)
		}
		r := NewReader(l)
		for len(b) > 0 {
			b = b[copy(r.Need(), b):]
			ev, err := r.Filled()
			if err != nil {
				return r, err
			}
			if ev == Announced {
				r.Accept()
			}
		}
		return r, nil
	}
	for _, c := range []struct {
		l     Limits
		tag   Tag
		sizes []uint32
		want  error
	}{
		{Handshake, TagHello, []uint32{16<<10 + 1}, ErrLimit},
		{Handshake, TagAuthRequest, []uint32{1<<32 - 1}, ErrLimit},
		{Handshake, TagMessage, []uint32{41}, ErrFrame},
		{Established, TagMessage, []uint32{40}, ErrFrame},
		{Established, TagMessage, []uint32{41, 1<<32 - 1}, ErrLimit},
		{Established, TagMessage, []uint32{41, 0, 1<<32 - 1}, ErrLimit},
		{Established, TagMessage, []uint32{41, 0, 0, 130 << 20}, ErrLimit},
		{Established, TagAck, []uint32{8, 8}, ErrFrame},
		{Established, 0, []uint32{8}, ErrFrame},
		{Established, 21, []uint32{8}, ErrFrame},
	} {
		if _, err := announce(c.l, c.tag, c.sizes...); !errors.Is(err, c.want) {
			t.Errorf("%v of %v: %v, want %v", c.tag, c.sizes, err, c.want)
		}
	}
	for _, sizes := range [][]uint32{{41, 64 << 20}, {41, 0, 0, 128 << 20}} {
		r, err := announce(Established, TagMessage, sizes...)
		if err != nil || len(r.Need()) > bodyStep {
			t.Errorf("%v announced: %d bytes set aside, %v", sizes, len(r.Need()), err)
		}
		r.Drop()
	}
	r, err := announce(Handshake, TagAuthRequest, 16<<10)
	if err != nil || len(r.scratch) > 2*scratchStep {
		t.Errorf("AUTH_REQUEST announced: %d bytes set aside, %v", len(r.scratch), err)
	}
}

// A frame that its sender gave up is dropped, checksums and all, and the next
// one is read.
func TestAborted(t *testing.T) {
	t.Parallel()
	var (
		w Writer
		b Batch
	)
	w.Message(&b, &Header{Seq: 1}, fill(20), nil, buffer.ListOf(fill(70)))
	stream := joined(&b)
	epilogue := stream[len(stream)-epilogueLen:]
	clear(epilogue)
	epilogue[0] = statusAborted
	r := NewReader(Established)
	if ev, err := feed(r, stream); ev != Aborted || err != nil {
		t.Fatalf("event %v, %v", ev, err)
	}
	r.Next()
	b.Reset()
	w.Message(&b, &Header{Seq: 2}, fill(20), nil, nil)
	if ev, err := feed(r, joined(&b)); ev != Message || err != nil {
		t.Fatalf("next frame: event %v, %v", ev, err)
	}
	epilogue[0] = 5
	if _, err := feed(NewReader(Established), stream); !errors.Is(err, ErrFrame) {
		t.Errorf("late status 5: %v", err)
	}
}

// Large parts are in a batch by reference, and held until it is reset.
func TestBatchReferences(t *testing.T) {
	var (
		w Writer
		b Batch
	)
	before := buffer.Held()
	w.Message(&b, &Header{}, nil, nil, buffer.List{buffer.Copy(fill(ByReference))})
	w.Message(&b, &Header{}, nil, nil, buffer.List{buffer.Copy(fill(ByReference - 1))})
	if _, ok := b.Contiguous(); ok || len(b.refs) != 1 {
		t.Errorf("%d parts by reference, want 1", len(b.refs))
	}
	if held := buffer.Held() - before; held != ByReference {
		t.Errorf("%d bytes held, want %d", held, ByReference)
	}
	b.Reset()
	if held := buffer.Held() - before; held != 0 || b.Len() != 0 {
		t.Errorf("%d bytes held, %d left after Reset", held, b.Len())
	}
}

func TestBannerRefused(t *testing.T) {
	t.Parallel()
	good := Banner()
	for what, raw := range map[string][]byte{
		"msgr1":          []byte("ceph v027 and so on and so on"),
		"http":           []byte("GET / HTTP/1.1\r\nHost: localhost\r\n"),
		"short payload":  append([]byte("ceph v2\n"), 15, 0),
		"long payload":   append([]byte("ceph v2\n"), 255, 255),
		"only msgr2.0":   append(append([]byte{}, good[:10]...), make([]byte, 16)...),
		"needs features": append(append([]byte{}, good[:18]...), 2, 0, 0, 0, 0, 0, 0, 0),
	} {
		var r BannerReader
		var done bool
		var err error
		for off := 0; err == nil && !done; {
			n := copy(r.Need(), raw[off:])
			off += n
			done, err = r.Filled()
		}
		if !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v, done %v", what, err, done)
		}
	}
	var newer BannerReader // a longer payload is read and its tail ignored
	long := append(append([]byte("ceph v2\n"), 20, 0), append(bytes.Clone(good[10:]), 9, 9, 9, 9)...)
	copy(newer.Need(), long)
	newer.Filled()
	copy(newer.Need(), long[bannerHead:])
	if done, err := newer.Filled(); !done || err != nil {
		t.Errorf("longer banner: %v, %v", done, err)
	}
}

func ExampleReader() {
	var (
		b Batch
		w Writer
	)
	w.Control(&b, TagAck, []byte{3, 0, 0, 0, 0, 0, 0, 0})
	stream, _ := b.Contiguous()

	r := NewReader(Established)
	for len(stream) > 0 {
		stream = stream[copy(r.Need(), stream):]
		if ev, err := r.Filled(); err != nil || ev == Control {
			var seq Number
			Decode(r.Tag(), r.Payload(), &seq)
			fmt.Println(r.Tag(), seq, err)
			r.Next()
		}
	}
	// Output: ACK 3 <nil>
}
