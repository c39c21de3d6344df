package msgr

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
)

// Messages of all shapes go there and back, unchanged and in order.
func TestLoopback(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{ModeCRC, ModeSecure} {
		for _, policy := range []Policy{{Lossy: true}, {Lossy: false}} {
			t.Run(fmt.Sprintf("%v/lossy=%v", mode, policy.Lossy), func(t *testing.T) {
				t.Parallel()
				testLoopback(t, mode, policy)
			})
		}
	}
}

func testLoopback(t *testing.T, mode Mode, policy Policy) {
	server := newServer(t, Config{Modes: only(mode), Policy: func(entity.Type) Policy { return policy }})
	server.echo = true
	client := newClient(t, Config{Modes: only(mode), Policy: func(entity.Type) Policy { return policy }})
	c := client.dial(t, server)
	sizes := []int{0, 1, 15, 16, 17, 48, 4095, 4096, 8191, 8192, 40_000, 65_536, 300_000, 4 << 20, 9 << 20}
	for i, n := range sizes {
		data := buffer.List{buffer.Wrap(pattern(n, i))}
		if n > 100 { // of several parts
			data = buffer.List{data[0].Slice(0, 10), data[0].Slice(10, n/2), data[0].Slice(n/2, n)}
		}
		err := c.Send(&Message{Type: 42, TID: uint64(i), Front: pattern(n/3, i), Data: data})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range sizes {
		m := client.want(t, "message").m
		if m.Type != 43 || m.TID != uint64(i) || m.Seq != uint64(i+1) {
			t.Fatalf("message %d: type %d, tid %d, seq %d", i, m.Type, m.TID, m.Seq)
		}
		if !bytes.Equal(m.Front, pattern(n/3, i)) || !bytes.Equal(m.Data.Bytes(), pattern(n, i)) {
			t.Fatalf("message %d came back different", i)
		}
		m.Release()
	}
	server.want(t, "opened")
	c.Close()
	if e := client.want(t, "closed"); e.err != nil {
		t.Errorf("closed with %v after Close", e.err)
	}
	if policy.Lossy {
		server.want(t, "closed")
	}
}

// pattern is n bytes that tell where they come from.
func pattern(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + seed)
	}
	return b
}
