package frame

import (
	"bytes"
	"io"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/wire"
)

// drive reads frames from a stream until it ends or fails. Memory must follow
// the bytes that came, whatever was announced.
func drive(t *testing.T, r *Reader, stream []byte) {
	total := len(stream)
	defer r.Drop()
	for {
		if held := r.body.Len() + r.data.Len() + len(r.scratch); held > 4*total+bodyStep+2*scratchStep+1024 {
			t.Fatalf("%d bytes held for a stream of %d", held, total)
		}
		n := copy(r.Need(), stream)
		if n < len(r.Need()) {
			return
		}
		stream = stream[n:]
		ev, err := r.Filled()
		if err != nil {
			return
		}
		if ev == Announced {
			ev = r.Accept()
		}
		switch ev {
		case Message:
			p := r.Take(nil)
			if got := int64(len(p.Front) + len(p.Middle) + p.Data.Len()); got != r.Size() {
				t.Fatalf("segments of %d bytes, announced %d", got, r.Size())
			}
			p.Body.Release()
			p.Data.Release()
			r.Next()
		case Control:
			if p := NewPayload(r.Tag()); p != nil {
				Decode(r.Tag(), r.Payload(), p)
			}
			r.Next()
		case Aborted:
			r.Next()
		}
	}
}

func seeds(f *testing.F) {
	dec := load(f, "control-frames.jsonl.gz")
	for i := 0; ; i++ {
		var s struct {
			Tag   string
			Frame unhex
		}
		if err := dec.Decode(&s); err == io.EOF {
			break
		} else if err != nil {
			f.Fatal(err)
		}
		if i%8 == 0 && s.Tag != "BANNER" {
			f.Add([]byte(s.Frame))
		}
	}
	var (
		w Writer
		b Batch
	)
	w.Message(&b, &Header{Seq: 1, Type: 42}, fill(40), fill(3), buffer.ListOf(fill(50)))
	f.Add(joined(&b))
}

// FuzzReaderCRC reads arbitrary streams. Checksums are mended first, else
// nothing gets past them.
func FuzzReaderCRC(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, stream []byte) {
		drive(t, NewReader(Established), stream)
		drive(t, NewReader(Handshake), stream)
		drive(t, NewReader(Established), mend(stream))
	})
}

// mend sets the checksums of the first preamble and its segment 0.
func mend(stream []byte) []byte {
	b := bytes.Clone(stream)
	if len(b) < preambleLen {
		return b
	}
	put := func(at int, crc uint32) {
		var e wire.Encoder
		e.U32(crc)
		copy(b[at:], e.Bytes())
	}
	put(28, wire.CRC32C(0, b[:28]))
	var p preamble
	if p.parse(b) == nil {
		if end := preambleLen + int64(p.size[0]); end+4 <= int64(len(b)) {
			put(int(end), wire.CRC32C(^uint32(0), b[preambleLen:end]))
		}
	}
	return b
}

// FuzzReaderSecure seals arbitrary plaintext as an authenticated peer could,
// chunk by chunk as the preamble in it asks for.
func FuzzReaderSecure(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, plain []byte) {
		w, r := ends(t, true)
		chunk := func(n int) []byte {
			b := make([]byte, n+tagLen)
			plain = plain[copy(b[:n], plain):]
			w.secure.seal(b)
			return b
		}
		plain = mend(plain)
		var p preamble
		ok := len(plain) >= preambleLen && p.parse(plain) == nil
		stream := chunk(preambleLen + inlineLen)
		if ok {
			if rest := pad(int(p.size[0])) - inlineLen; rest > 0 && rest < 1<<20 {
				stream = append(stream, chunk(rest)...)
			}
			if n := pad(int(p.size[1])) + pad(int(p.size[2])) + pad(int(p.size[3])) + blockLen; p.n > 1 && n < 1<<20 {
				stream = append(stream, chunk(n)...)
			}
		}
		drive(t, r, stream)
		_, raw := ends(t, true)
		drive(t, raw, plain) // and what is not sealed at all
	})
}

// FuzzControl decodes payloads of every tag; what decodes must survive a round
// trip.
func FuzzControl(f *testing.F) {
	dec := load(f, "control-frames.jsonl.gz")
	for {
		var s struct{ Frame unhex }
		if err := dec.Decode(&s); err == io.EOF {
			break
		} else if err != nil {
			f.Fatal(err)
		}
		if len(s.Frame) > preambleLen+4 {
			f.Add(s.Frame[0], []byte(s.Frame[preambleLen:len(s.Frame)-4]))
		}
	}
	f.Fuzz(func(t *testing.T, tag byte, b []byte) {
		p := NewPayload(Tag(tag))
		if p == nil || Decode(Tag(tag), b, p) != nil {
			return
		}
		var once, twice wire.Encoder
		p.Encode(&once)
		q := NewPayload(Tag(tag))
		if err := Decode(Tag(tag), once.Bytes(), q); err != nil {
			t.Fatalf("%v: own encoding does not decode: %v", Tag(tag), err)
		}
		if q.Encode(&twice); !bytes.Equal(once.Bytes(), twice.Bytes()) {
			t.Fatalf("%v: %x encoded again: %x", Tag(tag), once.Bytes(), twice.Bytes())
		}
	})
}
