package msgr

import (
	"testing"
	"testing/synctest"
)

func TestBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100 << 10)
		never := make(chan struct{})
		in := make(chan string, 10)
		enter := func(name string, n int64, stop chan struct{}) {
			go func() {
				if b.take(n, stop) {
					in <- name
				} else {
					in <- name + " gave up"
				}
			}()
			synctest.Wait()
		}
		want := func(names ...string) {
			t.Helper()
			synctest.Wait()
			for _, n := range names {
				select {
				case got := <-in:
					if got != n {
						t.Fatalf("%q came in, want %q", got, n)
					}
				default:
					t.Fatalf("%q is still waiting", n)
				}
			}
			if len(in) > 0 {
				t.Fatalf("%q came in too", <-in)
			}
		}
		enter("first", 60<<10, never)
		want("first")
		stop := make(chan struct{})
		enter("second", 70<<10, stop)
		enter("third", 10<<10, never)
		want() // it would fit, but comes after the second
		enter("small", 4<<10, never)
		want("small")
		close(stop)
		want("second gave up", "third")
		enter("fourth", 80<<10, never)
		enter("fifth", 40<<10, never)
		want()
		b.give(60 << 10)
		want("fourth")
		b.give(80 << 10)
		want("fifth")
		enter("huge", 1<<20, never)
		b.give(10 << 10)
		want()
		b.give(40 << 10)
		want("huge") // alone
		b.give(1 << 20)
		b.give(4 << 10)
		if n := b.Held(); n != 0 {
			t.Fatalf("%d bytes are held in the end", n)
		}
		enter("sixth", 90<<10, never)
		enter("seventh", 50<<10, never)
		want("sixth")
		b.SetLimit(140 << 10)
		want("seventh")
	})
}
