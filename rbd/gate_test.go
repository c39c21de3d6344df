package rbd

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g gate
		ctx := t.Context()
		for range 2 {
			if g.enter(ctx) != nil {
				t.Fatal("an open gate does not let in")
			}
		}
		var closed, entered bool
		go func() {
			if err := g.close(ctx); err != nil {
				t.Error(err)
			}
			closed = true
		}()
		synctest.Wait()
		g.leave()
		go func() {
			if err := g.enter(ctx); err != nil {
				t.Error(err)
			}
			entered = true
		}()
		synctest.Wait()
		if closed || entered {
			t.Fatalf("closed %v while one is inside, entered %v while it is being shut", closed, entered)
		}
		g.leave()
		synctest.Wait()
		if !closed || entered {
			t.Fatalf("closed %v with nobody inside, entered %v", closed, entered)
		}
		if err := g.close(ctx); err != nil { // a second one
			t.Fatal(err)
		}
		g.open()
		synctest.Wait()
		if entered {
			t.Fatal("open when one of two has opened it")
		}
		g.open()
		synctest.Wait()
		if !entered {
			t.Fatal("shut for ever")
		}
	})
}

// TestGateCancel gives up waiting on either side.
func TestGateCancel(t *testing.T) {
	t.Parallel()
	var g gate
	gone, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if err := g.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.close(gone); err != why {
		t.Fatal(err)
	}
	if err := g.enter(t.Context()); err != nil {
		t.Fatal("an attempt to shut it has left it shut")
	}
	g.leave()
	g.leave()
	if err := g.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.enter(gone); err != why {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() { got <- g.enter(t.Context()) }()
	g.end(why)
	if err := <-got; err != why {
		t.Fatal(err)
	}
	g.open()
	if err := g.enter(t.Context()); err != why {
		t.Fatal(err)
	}
}
