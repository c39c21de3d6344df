package nbd

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"
)

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// TestConnections fills a server: one client more is turned away, another may
// come when one has gone. A client that says nothing goes when its time is over.
func TestConnections(t *testing.T) {
	t.Parallel()
	addr := serve(t, &Server{Exports: shelf{"m": newMemory(1000)}, Connections: 2, Negotiation: 500 * time.Millisecond})
	c := connect(t, addr, fixed)
	c.want(repAck, optGo, named("m"))
	silent := connect(t, addr, fixed)
	if n, err := dial(t, addr).Read(make([]byte, 18)); err == nil {
		t.Fatalf("a third client got %d bytes", n)
	}
	silent.ended()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if _, err := io.ReadFull(dial(t, addr), make([]byte, 18)); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if a := c.ask(cmdRead, 0, 0, 10, nil); a.code != 0 { // it has all the time
		t.Error(a)
	}
}

// TestGarbage has thousands of clients that talk nonsense or hang up, and counts
// what is left of them.
func TestGarbage(t *testing.T) {
	t.Parallel()
	s := &Server{Exports: shelf{"m": newMemory(1000)}}
	addr := serve(t, s)
	before := runtime.NumGoroutine()
	for i := range 2000 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		switch i % 3 {
		case 0:
			conn.Write(bytes.Repeat([]byte{byte(i)}, 100))
		case 1:
			conn.Write(be.AppendUint32(be.AppendUint32(be.AppendUint64([]byte{0, 0, 0, 3}, magicOption), uint32(optGo)), 1<<31))
		}
		conn.Close()
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		left := s.conns
		s.mu.Unlock()
		if left == 0 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%d connections and %d goroutines are left, there were %d", left, runtime.NumGoroutine(), before)
		}
	}
	c := connect(t, addr, fixed)
	c.want(repAck, optGo, named("m"))
}

// TestSlow has clients that ask for much and take nothing, or begin a write and
// do not end it. They are given up, and others are served then.
func TestSlow(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	addr := serve(t, &Server{Exports: shelf{"m": newMemory(size)}, Memory: 1, Stall: 200 * time.Millisecond})
	for range 2 {
		c := connect(t, addr, fixed)
		c.want(repAck, optGo, named("m"))
		for range 16 { // four times what there is room for
			c.send(cmdRead, 0, 0, size, nil)
		}
		w := connect(t, addr, fixed)
		w.want(repAck, optGo, named("m"))
		w.send(cmdWrite, 0, 0, size, make([]byte, 100))
		w.ended()
	}
	c := connect(t, addr, fixed)
	c.want(repAck, optGo, named("m"))
	if a := c.ask(cmdRead, 0, 0, size, nil); a.code != 0 {
		t.Error(a)
	}
}

// held is a device whose writes wait until they are let go, or their context
// ends.
type held struct {
	*memory
	begun, free chan struct{}
}

func (h *held) WriteAt(ctx context.Context, p []byte, off int64) error {
	h.begun <- struct{}{}
	select {
	case <-h.free:
		return h.memory.WriteAt(ctx, p, off)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

type one struct{ Device }

func (o one) List(context.Context) ([]string, error)       { return nil, nil }
func (o one) Open(context.Context, string) (Device, error) { return o.Device, nil }

// TestEnd ends a server of two listeners with a write under way, which is
// answered if it ends in time, and else fails.
func TestEnd(t *testing.T) {
	t.Parallel()
	for _, inTime := range []bool{true, false} {
		h := &held{newMemory(1000), make(chan struct{}, 1), make(chan struct{})}
		s := &Server{Exports: one{h}, Log: slog.New(slog.DiscardHandler), Grace: time.Hour}
		if !inTime {
			s.Grace = 50 * time.Millisecond
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 2)
		var clients []*client
		for range 2 {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go func() { done <- s.Serve(ctx, l) }()
			c := connect(t, l.Addr().String(), fixed)
			c.want(repAck, optGo, named("m"))
			clients = append(clients, c)
		}
		clients[0].send(cmdWrite, 0, 5, 3, []byte("abc"))
		<-h.begun
		cancel()
		clients[1].ended()
		if inTime {
			close(h.free)
			if a := clients[0].receive(0); a.code != 0 {
				t.Error(a)
			}
		}
		if inTime {
			clients[0].ended()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if !h.closed || bytes.Equal(h.data[5:8], []byte("abc")) != inTime {
			t.Errorf("in time %v: closed %v, data %q", inTime, h.closed, h.data[5:8])
		}
	}
}
