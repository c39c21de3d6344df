package msgr

import (
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
)

// BenchmarkRoundTrip4K sends messages with 4 KiB of data to a peer that sends
// them back: 1 at a time, and 16. An op is a message there and back.
func BenchmarkRoundTrip4K(b *testing.B) {
	for _, mode := range []Mode{ModeCRC, ModeSecure} {
		for _, depth := range []int{1, 16} {
			b.Run(mode.String()+"/"+string(rune('0'+depth/10))+string(rune('0'+depth%10)), func(b *testing.B) {
				benchmarkRoundTrip(b, mode, depth, 4096)
			})
		}
	}
}

func BenchmarkRoundTrip4M(b *testing.B) {
	for _, mode := range []Mode{ModeCRC, ModeSecure} {
		b.Run(mode.String(), func(b *testing.B) { benchmarkRoundTrip(b, mode, 4, 4<<20) })
	}
}

func benchmarkRoundTrip(b *testing.B, mode Mode, depth, size int) {
	server := newServer(b, Config{Modes: only(mode)})
	server.echo = true
	client := newClient(b, Config{Modes: only(mode)})
	tokens := make(chan struct{}, depth)
	client.onRecv = func(c *Conn, m *Message) {
		if m.Data.Len() != size {
			b.Errorf("%d bytes came back", m.Data.Len())
		}
		m.Release()
		<-tokens
	}
	c := client.dial(b, server)
	data := make([]byte, size)
	front := make([]byte, 150)
	b.SetBytes(int64(2 * size))
	b.ReportAllocs()
	for b.Loop() {
		tokens <- struct{}{}
		if err := c.Send(&Message{Type: 42, Front: front, Data: buffer.List{buffer.Wrap(data)}}); err != nil {
			b.Fatal(err)
		}
	}
	for range depth {
		tokens <- struct{}{}
	}
}
