package chaos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msgr/frame"
	"github.com/pulpo-storage/pulpo/wire"
)

// visitor is a kind of peer that is no good.
type visitor struct {
	name string
	says func(r *rand.Rand) []byte
	// thrown out: the daemon must end the connection by itself. The others only
	// keep it waiting and go away.
	thrownOut bool
}

var visitors = []visitor{
	{"silent", func(*rand.Rand) []byte { return nil }, false},
	{"random bytes", func(r *rand.Rand) []byte { return noise(r, 100+r.IntN(100_000)) }, true},
	{"http", func(*rand.Rand) []byte { return []byte("GET / HTTP/1.1\r\nHost: ceph\r\n\r\n") }, true},
	{"msgr1", func(*rand.Rand) []byte { return append([]byte("ceph v027"), make([]byte, 300)...) }, true},
	{"half a banner", func(r *rand.Rand) []byte { return frame.Banner()[:1+r.IntN(25)] }, false},
	{"a banner of 64 KiB", func(r *rand.Rand) []byte {
		return append([]byte("ceph v2\n\xff\xff"), noise(r, 4096)...)
	}, true},
	{"features of the future", func(*rand.Rand) []byte {
		b := []byte("ceph v2\n\x10\x00")
		b = binary.LittleEndian.AppendUint64(b, ^uint64(0))
		return binary.LittleEndian.AppendUint64(b, ^uint64(0))
	}, true},
	{"noise after the banner", func(r *rand.Rand) []byte { return append(frame.Banner(), noise(r, 5000)...) }, true},
	{"a hello of 4 GiB", func(r *rand.Rand) []byte {
		return append(append(frame.Banner(), preamble(byte(frame.TagHello), 1, 1<<32-1)...), noise(r, 10_000)...)
	}, true},
	{"a message before the login, of huge segments", func(r *rand.Rand) []byte {
		return append(append(hello(), preamble(byte(frame.TagMessage), 4, 41, 1<<31, 1<<31, 1<<32-1)...), noise(r, 10_000)...)
	}, true},
	{"a whole message before the login", func(r *rand.Rand) []byte {
		return frames(func(w *frame.Writer, b *frame.Batch) {
			w.Control(b, frame.TagHello, encoded(&frame.Hello{Type: entity.Client}))
			w.Message(b, &frame.Header{Seq: 1, Type: 42}, noise(r, 200), nil, buffer.List{})
		})
	}, true},
	{"200 segments", func(*rand.Rand) []byte { return append(hello(), preamble(2, 200, 10)...) }, true},
	{"an unknown tag", func(*rand.Rand) []byte { return append(hello(), preamble(99, 1, 10)...) }, true},
	{"a wrong checksum", func(*rand.Rand) []byte {
		b := append(hello(), login(noise(rand.New(rand.NewPCG(1, 1)), 40))...)
		b[len(b)-1] ^= 1
		return b
	}, true},
	{"hello and nothing more", func(*rand.Rand) []byte { return hello() }, false},
	{"half a login", func(r *rand.Rand) []byte {
		b := append(hello(), login(noise(r, 40))...)
		return b[:len(b)-5]
	}, false},
	{"a login of noise", func(r *rand.Rand) []byte { return append(hello(), login(noise(r, 1+r.IntN(8000)))...) }, false},
	{"a login with a huge length in it", func(*rand.Rand) []byte {
		return append(hello(), frames(func(w *frame.Writer, b *frame.Batch) {
			w.Control(b, frame.TagAuthRequest, []byte{2, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0})
		})...)
	}, true},
	{"a session without a login", func(*rand.Rand) []byte {
		return append(hello(), frames(func(w *frame.Writer, b *frame.Batch) {
			w.Control(b, frame.TagClientIdent, encoded(&frame.ClientIdent{GlobalSeq: 1, Cookie: 1}))
		})...)
	}, true},
	{"somebody else's session", func(*rand.Rand) []byte {
		return append(hello(), frames(func(w *frame.Writer, b *frame.Batch) {
			w.Control(b, frame.TagSessionReconnect, encoded(&frame.Reconnect{ClientCookie: 1, ServerCookie: 2, GlobalSeq: 3}))
		})...)
	}, true},
}

// preamble announces segments of any number and size, with the right checksum.
func preamble(tag, segments byte, sizes ...uint32) []byte {
	b := []byte{tag, segments}
	for i := range 4 {
		var n uint32
		if i < len(sizes) {
			n = sizes[i]
		}
		b = binary.LittleEndian.AppendUint32(b, n)
		b = append(b, 8, 0)
	}
	b = append(b, 0, 0)
	return binary.LittleEndian.AppendUint32(b, wire.CRC32C(0, b))
}

func frames(put func(*frame.Writer, *frame.Batch)) []byte {
	var w frame.Writer
	var b frame.Batch
	put(&w, &b)
	var all []byte
	for _, s := range b.Slices(nil) {
		all = append(all, s...)
	}
	b.Reset()
	return all
}

func encoded(p frame.Payload) []byte {
	var e wire.Encoder
	p.Encode(&e)
	return e.Bytes()
}

func hello() []byte {
	return append(frame.Banner(), frames(func(w *frame.Writer, b *frame.Batch) {
		w.Control(b, frame.TagHello, encoded(&frame.Hello{Type: entity.Client}))
	})...)
}

func login(blob []byte) []byte {
	return frames(func(w *frame.Writer, b *frame.Batch) {
		w.Control(b, frame.TagAuthRequest, encoded(&frame.AuthRequest{Method: 2, Modes: []uint32{2, 1}, Payload: blob}))
	})
}

// visit is one connection. It ends with an error if the daemon is not there or
// keeps a connection it must end.
func (v *visitor) visit(addr string, r *rand.Rand) error {
	d := net.Dialer{Timeout: patience}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if r.IntN(2) == 0 {
		// Go away with a reset.
		c.(*net.TCPConn).SetLinger(0)
	}
	c.SetDeadline(time.Now().Add(patience))
	// The daemon may end the connection before it has read all of it.
	c.Write(v.says(r))
	if !v.thrownOut {
		// Its first bytes prove that somebody serves this connection.
		if _, err := io.ReadFull(c, make([]byte, 8)); err != nil && !closed(err) {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		return nil
	}
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%s: still connected after %v", v.name, patience)
	}
	return nil
}

// closed: a daemon may throw out whom it likes, such as the eldest of a crowd.
func closed(err error) bool { return !errors.Is(err, os.ErrDeadlineExceeded) }
