package rbd

import "context"

// Abandon ends an image as a crash does: nothing more is written.
func (img *Image) Abandon() {
	img.end(errClosed)
	img.gate.end(errClosed)
	img.tasks.Wait()
	img.watching.Close(context.Background())
}
