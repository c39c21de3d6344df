package rbd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
)

// ahead is how many pieces of an image are read or written at a time when it is
// read or written from one end to the other.
const ahead = 10

// maxPiece bounds the bytes of a piece; sets of objects may be larger.
const maxPiece = 32 << 20

// piece is a range of bytes with the bytes, or zeros.
type piece struct {
	DiffExtent
	data []byte // nil if there are none
}

// stream compares as Diff does and calls f for the ranges that differ, with
// their bytes, cut at the ends of objects, or with stripes of sets of objects. It
// reads ahead.
func (img *Image) stream(ctx context.Context, o DiffOptions, f func(piece) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type reading struct {
		piece
		done chan error
	}
	pieces := make(chan *reading, ahead)
	var readers sync.WaitGroup
	var diffErr error
	readers.Go(func() {
		defer close(pieces)
		diffErr = img.diff(ctx, o, func(x DiffExtent) error {
			size := int64(min(img.layout.ObjectSize*img.layout.StripeCount, maxPiece))
			for x.Length > 0 {
				n := min(x.Length, size-x.Offset%size)
				r := &reading{piece{DiffExtent{x.Offset, n, x.Exists}, nil}, make(chan error, 1)}
				x.Offset += n
				x.Length -= n
				select {
				case pieces <- r: // full if ahead readings are not used yet
				case <-ctx.Done():
					return context.Cause(ctx)
				}
				if !r.Exists {
					r.done <- nil
					continue
				}
				readers.Go(func() {
					r.data = make([]byte, r.Length)
					_, err := img.ReadAt(ctx, r.data, r.Offset)
					if errors.Is(err, io.EOF) {
						err = io.ErrUnexpectedEOF // the image was made smaller
					}
					r.done <- err
				})
			}
			return nil
		})
	})
	var err error
	for r := range pieces {
		if err != nil {
			continue
		}
		if err = <-r.done; err == nil {
			err = f(r.piece)
		}
		if err != nil {
			cancel(err)
		}
	}
	readers.Wait()
	if err == nil {
		err = diffErr
	}
	return err
}

// writers write to an image, several pieces at a time, and keep the first error.
type writers struct {
	img   *Image
	ctx   context.Context
	end   context.CancelCauseFunc
	slots chan struct{}
	wg    sync.WaitGroup
}

func (img *Image) writers(ctx context.Context) *writers {
	ctx, cancel := context.WithCancelCause(ctx)
	return &writers{img: img, ctx: ctx, end: cancel, slots: make(chan struct{}, ahead)}
}

// add begins to write a piece, whose bytes must not be changed any more. It
// returns the error of one before.
func (w *writers) add(p piece) error {
	select {
	case w.slots <- struct{}{}:
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	}
	w.wg.Go(func() {
		defer func() { <-w.slots }()
		if err := w.write(p); err != nil {
			w.end(err)
		}
	})
	return nil
}

func (w *writers) write(p piece) error {
	if p.data == nil {
		return w.img.WriteZeroes(w.ctx, p.Offset, p.Length)
	}
	_, err := w.img.WriteAt(w.ctx, p.data, p.Offset)
	return err
}

// addSparse is add for a place where there are zeros: blocks of zeros are not
// written.
func (w *writers) addSparse(p piece) error {
	for begin, data := range used(p.data) {
		x := DiffExtent{p.Offset + int64(begin), int64(len(data)), true}
		if err := w.add(piece{x, data}); err != nil {
			return err
		}
	}
	return nil
}

// wait waits for all writes and returns the first error.
func (w *writers) wait() error {
	w.wg.Wait()
	err := context.Cause(w.ctx)
	w.end(nil)
	return err
}

// used walks the runs of blocks that are not all zeros, with their offsets.
func used(p []byte) func(func(int, []byte) bool) {
	return func(yield func(int, []byte) bool) {
		for at := 0; at < len(p); {
			begin := at
			for at < len(p) && !isZero(p[at:min(at+zeroBlock, len(p))]) {
				at = min(at+zeroBlock, len(p))
			}
			if at > begin && !yield(begin, p[begin:at:at]) {
				return
			}
			if at < len(p) {
				at = min(at+zeroBlock, len(p))
			}
		}
	}
}

// zeroBlock is how large a run of zeros is that is not worth keeping.
const zeroBlock = 4096

var zeros [zeroBlock]byte

func isZero(p []byte) bool {
	for len(p) > 0 {
		n := min(len(p), zeroBlock)
		if !bytes.Equal(p[:n], zeros[:n]) {
			return false
		}
		p = p[n:]
	}
	return true
}
