package nbd

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"
)

// client is the other side, as plain as can be; what it cannot do ends the test.
type client struct {
	t          *testing.T
	conn       net.Conn
	structured bool
	cookie     uint64
}

// patience is how long anything may take.
const patience = 2 * time.Minute

// serve runs a server until the test ends and returns its address.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	s.Log = slog.New(slog.DiscardHandler)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(s.open) != 0 {
			t.Errorf("%d exports are open after the end", len(s.open))
		}
	})
	return l.Addr().String()
}

func connect(t *testing.T, addr string, flags uint32) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	c := &client{t: t, conn: conn}
	h := c.read(18)
	if be.Uint64(h) != magicServer || be.Uint64(h[8:]) != magicOption || be.Uint16(h[16:]) != 3 {
		t.Fatalf("greeting %x", h)
	}
	c.write(be.AppendUint32(nil, flags))
	return c
}

func (c *client) read(n int) []byte {
	c.t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c.conn, b); err != nil {
		c.t.Fatal(err)
	}
	return b
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// ended fails the test unless the server has closed the connection.
func (c *client) ended() {
	c.t.Helper()
	if n, err := c.conn.Read(make([]byte, 1)); err == nil {
		c.t.Fatalf("%d more bytes", n)
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		c.t.Fatal("the server keeps the connection")
	}
}

func (c *client) sendOption(opt option, data []byte) {
	c.t.Helper()
	b := be.AppendUint64(nil, magicOption)
	b = be.AppendUint32(b, uint32(opt))
	b = be.AppendUint32(b, uint32(len(data)))
	c.write(append(b, data...))
}

// option sends an option and returns what comes before the last reply, and that.
func (c *client) option(opt option, data []byte) (got [][]byte, last reply) {
	c.t.Helper()
	c.sendOption(opt, data)
	for {
		h := c.read(20)
		if be.Uint64(h) != magicReply || option(be.Uint32(h[8:])) != opt {
			c.t.Fatalf("reply %x to option %d", h, opt)
		}
		body := c.read(int(be.Uint32(h[16:])))
		last = reply(be.Uint32(h[12:]))
		if last == repAck || last&repErr != 0 {
			return got, last
		}
		got = append(got, body)
	}
}

// want sends an option that must end with a certain reply.
func (c *client) want(want reply, opt option, data []byte) [][]byte {
	c.t.Helper()
	got, last := c.option(opt, data)
	if last != want {
		c.t.Fatalf("option %d: %#x, want %#x", opt, last, want)
	}
	return got
}

func (c *client) secure(conf *tls.Config) {
	c.t.Helper()
	c.want(repAck, optStartTLS, nil)
	c.conn = tls.Client(c.conn, conf)
}

func named(name string, infos ...uint16) []byte {
	b := append(be.AppendUint32(nil, uint32(len(name))), name...)
	b = be.AppendUint16(b, uint16(len(infos)))
	for _, i := range infos {
		b = be.AppendUint16(b, i)
	}
	return b
}

func metas(name string, queries ...string) []byte {
	b := append(be.AppendUint32(nil, uint32(len(name))), name...)
	b = be.AppendUint32(b, uint32(len(queries)))
	for _, q := range queries {
		b = append(be.AppendUint32(b, uint32(len(q))), q...)
	}
	return b
}

// send sends a request and returns its cookie.
func (c *client) send(cmd command, flags uint16, off uint64, length uint32, data []byte) uint64 {
	c.t.Helper()
	c.cookie++
	b := be.AppendUint32(nil, magicRequest)
	b = be.AppendUint16(b, flags)
	b = be.AppendUint16(b, uint16(cmd))
	b = be.AppendUint64(b, c.cookie)
	b = be.AppendUint64(b, off)
	b = be.AppendUint32(b, length)
	c.write(append(b, data...))
	return c.cookie
}

// answer is a reply to a request.
type answer struct {
	cookie uint64
	code   uint32
	kind   uint16 // of the chunk; simple replies have none
	data   []byte
}

// receive reads a reply; reads tells how many bytes come with a simple one.
func (c *client) receive(reads int) answer {
	c.t.Helper()
	switch magic := be.Uint32(c.read(4)); magic {
	case magicSimple:
		h := c.read(12)
		a := answer{cookie: be.Uint64(h[4:]), code: be.Uint32(h)}
		if a.code == 0 {
			a.data = c.read(reads)
		}
		return a
	case magicStructured:
		h := c.read(16)
		if be.Uint16(h)&chunkDone == 0 {
			c.t.Fatal("a reply in several chunks")
		}
		a := answer{cookie: be.Uint64(h[4:]), kind: be.Uint16(h[2:]), data: c.read(int(be.Uint32(h[12:])))}
		if a.kind == chunkError {
			a.code = be.Uint32(a.data)
		}
		return a
	default:
		c.t.Fatalf("reply with magic %#x", magic)
		panic("unreachable")
	}
}

// ask sends a request and waits for its answer.
func (c *client) ask(cmd command, flags uint16, off uint64, length uint32, data []byte) answer {
	c.t.Helper()
	cookie := c.send(cmd, flags, off, length, data)
	reads := 0
	if cmd == cmdRead {
		reads = int(length)
	}
	a := c.receive(reads)
	if a.cookie != cookie {
		c.t.Fatalf("answer to %d, not to %d", a.cookie, cookie)
	}
	return a
}

func (a answer) String() string {
	return fmt.Sprintf("error %d, kind %d, %d bytes", a.code, a.kind, len(a.data))
}
