package nbd

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestModel sends random requests, good and bad, to a small device over two
// connections of different kinds, and compares with an array of bytes.
func TestModel(t *testing.T) {
	t.Parallel()
	const size = 5000
	s := &Server{Exports: shelf{"m": newMemory(size)}}
	addr := serve(t, s)
	var clients []*client
	for _, structured := range []bool{false, true} {
		c := connect(t, addr, fixed)
		if structured {
			c.want(repAck, optStructuredReply, nil)
			c.want(repAck, optSetMeta, metas("m", contextAllocation))
		}
		c.want(repAck, optGo, named("m"))
		c.structured = structured
		clients = append(clients, c)
	}
	want := make([]byte, size)
	rapid.Check(t, func(t *rapid.T) {
		c := clients[rapid.IntRange(0, 1).Draw(t, "client")]
		cmd := rapid.SampledFrom([]command{cmdRead, cmdWrite, cmdTrim, cmdWriteZeroes, cmdBlockStatus, cmdFlush}).Draw(t, "command")
		off, n := rapid.Uint64Range(0, size+100).Draw(t, "offset"), rapid.Uint32Range(0, 2000).Draw(t, "length")
		flags := rapid.SampledFrom([]uint16{0, 0, cmdFUA, cmdNoHole, cmdDF, cmdReqOne}).Draw(t, "flags")
		var data []byte
		if cmd == cmdWrite {
			data = bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, int(n))
		}
		inside := n > 0 && off+uint64(n) <= size
		good := flags&^allowed[cmd] == 0 && (flags != cmdDF || c.structured)
		code := uint32(0)
		switch {
		case cmd == cmdBlockStatus && !c.structured, !good:
			code = 22
		case cmd == cmdFlush && (off != 0 || n != 0), cmd != cmdFlush && n == 0:
			code = 22
		case cmd != cmdFlush && !inside && (cmd == cmdWrite || cmd == cmdWriteZeroes):
			code = 28
		case cmd != cmdFlush && !inside:
			code = 22
		}
		a := c.ask(cmd, flags, off, n, data)
		if a.code != code {
			t.Fatalf("%v, want error %d", a, code)
		}
		if code != 0 {
			return
		}
		switch cmd {
		case cmdWrite:
			copy(want[off:], data)
		case cmdTrim, cmdWriteZeroes:
			clear(want[off : off+uint64(n)])
		case cmdRead:
			got := a.data
			if c.structured {
				got = got[8:]
			}
			if !bytes.Equal(got, want[off:][:n]) {
				t.Fatal("other bytes")
			}
		case cmdBlockStatus:
			end := off + uint64(n)
			for b := a.data[4:]; len(b) > 0; b = b[8:] {
				l := uint64(be.Uint32(b))
				if l == 0 || off+l > end {
					t.Fatalf("an extent of %d bytes at %d, end %d", l, off, end)
				}
				if part := want[off:][:l]; be.Uint32(b[4:])&stateZero != 0 && !bytes.Equal(part, make([]byte, l)) {
					t.Fatalf("no hole at %d", off)
				}
				off += l
			}
			if flags&cmdReqOne == 0 && off != end || flags&cmdReqOne != 0 && len(a.data) != 12 {
				t.Fatalf("ends at %d, not %d, with %d bytes", off, end, len(a.data))
			}
		}
	})
}
