package radoscmd

import (
	"context"
	"sync"
)

// parallel runs the jobs that each yields, n at a time, and returns the first
// error. After it, or at the end of ctx, no further job begins.
func parallel(ctx context.Context, n int, each func(yield func(func() error) bool) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	jobs := make(chan func() error)
	var work sync.WaitGroup
	for range n {
		work.Go(func() {
			for job := range jobs {
				if err := job(); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := each(func(job func() error) bool {
		select {
		case jobs <- job:
			return true
		case <-ctx.Done():
			return false
		}
	})
	close(jobs)
	work.Wait()
	if err != nil {
		return err
	}
	return context.Cause(ctx)
}
