package frame

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/wire"
)

// unhex is a byte string that is hex in JSON.
type unhex []byte

func (h *unhex) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// transcript is a capture of connections between stock daemons and clients.
type transcript struct {
	Connections []struct {
		Connecting, Accepting string
		Auth                  struct {
			Secret unhex `json:"connection_secret"`
		}
		Frames []struct {
			From  string
			Tag   string
			Bytes unhex
			Nonce unhex
			Plain []unhex `json:"plain_segments"`
		}
	}
}

func load(t testing.TB, name string) *json.Decoder {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return json.NewDecoder(z)
}

// feed gives b to r and returns the last event. It fails if b does not end with
// a frame.
func feed(r *Reader, b []byte) (Event, error) {
	for {
		n := copy(r.Need(), b)
		if n < len(r.Need()) {
			return More, io.ErrUnexpectedEOF
		}
		b = b[n:]
		ev, err := r.Filled()
		if err != nil {
			return ev, err
		}
		if ev == Announced {
			ev = r.Accept()
		}
		if ev != More {
			if len(b) > 0 {
				return ev, errors.New("bytes behind the frame")
			}
			return ev, nil
		}
	}
}

func joined(b *Batch) []byte { return bytes.Join(b.Slices(nil), nil) }

// Control frames of every tag seen decode, and encode to the same bytes.
func TestGoldenControlFrames(t *testing.T) {
	t.Parallel()
	dec := load(t, "control-frames.jsonl.gz")
	seen := make(map[Tag]int)
	for {
		var s struct {
			Tag   string
			Frame unhex
		}
		if err := dec.Decode(&s); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if s.Tag == "BANNER" {
			testBanner(t, s.Frame)
			continue
		}
		r := NewReader(Handshake)
		ev, err := feed(r, s.Frame)
		if err != nil || ev != Control || r.Tag().String() != s.Tag {
			t.Fatalf("%s: event %v, %v, %v", s.Tag, ev, r.Tag(), err)
		}
		if !bytes.Equal(r.Raw(), s.Frame) {
			t.Errorf("%s: Raw is not the frame", s.Tag)
		}
		p := NewPayload(r.Tag())
		if err := Decode(r.Tag(), r.Payload(), p); err != nil {
			t.Fatal(err)
		}
		var (
			e wire.Encoder
			b Batch
			w Writer
		)
		p.Encode(&e)
		w.Control(&b, r.Tag(), e.Bytes())
		if !bytes.Equal(joined(&b), s.Frame) {
			t.Errorf("%s encoded:\n%x, captured:\n%x", s.Tag, joined(&b), s.Frame)
		}
		seen[r.Tag()]++
	}
	if len(seen) < 16 {
		t.Errorf("only %d tags in the capture", len(seen))
	}
}

func testBanner(t *testing.T, raw []byte) {
	var r BannerReader
	for {
		n := copy(r.Need(), raw[len(r.Raw())-len(r.Need()):])
		if n == 0 {
			t.Fatal("banner wants more than was captured")
		}
		done, err := r.Filled()
		if err != nil {
			t.Fatal(err)
		}
		if done {
			break
		}
	}
	if !bytes.Equal(r.Raw(), raw) || len(raw) != len(Banner()) {
		t.Errorf("banner %q, captured %q", r.Raw(), raw)
	}
}

// Whole connections, in both modes: each frame decodes to the captured
// segments, and encodes to the captured bytes, ciphertext included.
func TestGoldenConnections(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"client-crc", "client-secure", "cephfs-crc", "cephfs-secure"} {
		var tr transcript
		if err := load(t, name+".json.gz").Decode(&tr); err != nil {
			t.Fatal(err)
		}
		secure, messages := 0, 0
		for _, c := range tr.Connections {
			// One reader and writer for each direction, by its sender.
			type direction struct {
				r *Reader
				w Writer
			}
			dirs := map[string]*direction{"C": {r: NewReader(Established)}, "S": {r: NewReader(Established)}}
			for i, f := range c.Frames {
				if f.Tag == "BANNER" {
					continue
				}
				d := dirs[f.From]
				if s := d.w.secure; s != nil && !bytes.Equal(s.nonce[:], f.Nonce) {
					t.Errorf("%s: frame %d: nonce %x, captured %x", name, i, s.nonce, f.Nonce)
				}
				ev, err := feed(d.r, f.Bytes)
				if err != nil || d.r.Tag().String() != f.Tag {
					t.Fatalf("%s: %s>%s frame %d %s: event %v, %v, %v", name, c.Connecting, c.Accepting, i, f.Tag, ev, d.r.Tag(), err)
				}
				var b Batch
				var segments [][]byte
				if ev == Message {
					messages++
					h := *d.r.Header()
					p := d.r.Take(nil)
					d.w.Message(&b, &h, p.Front, p.Middle, p.Data.Retain())
					segments = [][]byte{h.append(nil), p.Front, p.Middle, p.Data.Bytes()}
				} else {
					d.w.Control(&b, d.r.Tag(), d.r.Payload())
					segments = [][]byte{d.r.Payload()}
				}
				if !bytes.Equal(joined(&b), f.Bytes) {
					t.Fatalf("%s: frame %d %s encoded:\n%x, captured:\n%x", name, i, f.Tag, joined(&b), f.Bytes)
				}
				for j, plain := range f.Plain {
					secure++
					if !bytes.Equal(plain, segments[j]) {
						t.Errorf("%s: frame %d segment %d: %x, captured %x", name, i, j, segments[j], plain)
					}
				}
				if f.Tag == "AUTH_DONE" && len(c.Auth.Secret) > 0 {
					// The pair is named from the connecting end: it writes what
					// the accepting end reads.
					if err := Secure(dirs["S"].r, &dirs["C"].w, c.Auth.Secret, true); err != nil {
						t.Fatal(err)
					}
					if err := Secure(dirs["C"].r, &dirs["S"].w, c.Auth.Secret, false); err != nil {
						t.Fatal(err)
					}
				}
				d.r.Next()
			}
		}
		if messages < 10 || (secure > 0) != strings.HasSuffix(name, "-secure") {
			t.Errorf("%s: %d messages, %d secure segments", name, messages, secure)
		}
	}
}
