package session

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func take(o *Outbox[string], n int) (got []string) {
	for range n {
		m, seq, _, ok := o.Next()
		if !ok {
			break
		}
		got = append(got, fmt.Sprintf("%d:%s", seq, m))
	}
	return got
}

func TestOutboxLossy(t *testing.T) {
	t.Parallel()
	var o Outbox[string]
	o.Push("a")
	o.Push("b")
	if got := take(&o, 3); !slices.Equal(got, []string{"1:a", "2:b"}) {
		t.Errorf("took %v", got)
	}
	if o.Unsent()+o.Unacked() != 0 {
		t.Error("a lossy session keeps what was sent")
	}
}

// A replay begins behind what the peer has, under the old numbers, and goes on
// with what was not sent yet.
func TestOutboxReplay(t *testing.T) {
	t.Parallel()
	var o Outbox[string]
	o.Keep(true)
	for _, m := range []string{"a", "b", "c", "d", "e"} {
		o.Push(m)
	}
	take(&o, 4)
	var dropped []string
	drop := func(m string) { dropped = append(dropped, m) }
	o.Acked(1, drop)
	o.Acked(1, drop) // again
	if o.Unacked() != 3 || o.Unsent() != 1 {
		t.Errorf("%d unacked, %d unsent", o.Unacked(), o.Unsent())
	}
	for seq, want := range map[uint64]bool{0: false, 1: true, 2: true, 4: true, 5: false} {
		if o.CanReplay(seq) != want {
			t.Errorf("CanReplay(%d) = %v", seq, !want)
		}
	}
	o.Replay(2, drop)
	if got := take(&o, 9); !slices.Equal(got, []string{"3:c", "4:d", "5:e"}) {
		t.Errorf("took %v", got)
	}
	if !slices.Equal(dropped, []string{"a", "b"}) {
		t.Errorf("dropped %v", dropped)
	}
	o.Acked(99, drop) // no more than was sent
	if o.Unacked() != 0 || !o.CanReplay(5) || o.CanReplay(6) {
		t.Error("an acknowledgement of what was not sent did harm")
	}
}

// A new session gets what the old one did not acknowledge, numbered from 1.
func TestOutboxRestart(t *testing.T) {
	t.Parallel()
	var o Outbox[string]
	o.Keep(true)
	for _, m := range []string{"a", "b", "c"} {
		o.Push(m)
	}
	take(&o, 2)
	o.Acked(1, func(string) {})
	o.Restart()
	if got := take(&o, 9); !slices.Equal(got, []string{"1:b", "2:c"}) {
		t.Errorf("took %v", got)
	}
	o.Clear(func(string) {})
	if o.Unsent()+o.Unacked() != 0 || o.seq != 0 {
		t.Error("not empty after Clear")
	}
}

// However a connection is lost and acknowledgements come, the receiver gets
// each message once and in order.
func TestOutboxExactlyOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var (
			o        Outbox[int]
			receiver State
			pushed   int
			got      []int
			flying   [][2]int // seq, message
			held     = make(map[int]bool)
		)
		o.Keep(true)
		drop := func(m int) {
			if !held[m] {
				t.Fatalf("message %d given out twice", m)
			}
			delete(held, m)
		}
		deliver := func(n int) {
			for _, f := range flying[:n] {
				if receiver.Receive(uint64(f[0])) {
					got = append(got, f[1])
				}
			}
			flying = flying[n:]
		}
		lose := func() {
			flying = nil
			if !o.CanReplay(receiver.InSeq) {
				t.Fatalf("cannot replay from %d", receiver.InSeq)
			}
			o.Replay(receiver.InSeq, drop)
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(*rapid.T) { held[pushed] = true; o.Push(pushed); pushed++ },
			"send": func(*rapid.T) {
				if m, seq, _, ok := o.Next(); ok {
					flying = append(flying, [2]int{int(seq), m})
				}
			},
			"deliver": func(t *rapid.T) { deliver(rapid.IntRange(0, len(flying)).Draw(t, "n")) },
			"ack":     func(t *rapid.T) { o.Acked(uint64(rapid.IntRange(0, int(receiver.InSeq)).Draw(t, "seq")), drop) },
			"lose":    func(*rapid.T) { lose() },
			"": func(t *rapid.T) {
				if o.Unsent()+o.Unacked() != len(held) {
					t.Fatalf("%d messages in the outbox, %d not given out", o.Unsent()+o.Unacked(), len(held))
				}
			},
		})
		lose()
		for o.Unsent() > 0 {
			m, seq, _, _ := o.Next()
			flying = append(flying, [2]int{int(seq), m})
		}
		deliver(len(flying))
		for i, m := range got {
			if m != i {
				t.Fatalf("received %v", got)
			}
		}
		if len(got) != pushed {
			t.Fatalf("received %d of %d", len(got), pushed)
		}
	})
}
