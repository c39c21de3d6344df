package rbd

import (
	"context"
	"sync"
)

// width is how many objects one call works on at a time. What is in flight in
// all is bounded by package rados.
const width = 32

// parallel runs f for 0 to n-1, up to width at a time, in no order. The first
// error ends the context of the others; it is returned when all have ended.
func parallel(ctx context.Context, width int, n uint64, f func(ctx context.Context, i uint64) error) error {
	if n == 1 {
		return f(ctx, 0)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	slots := make(chan struct{}, width)
	for i := range n {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			wg.Wait()
			return context.Cause(ctx)
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := f(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
