package nbd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/pulpo-storage/pulpo/errno"
)

// transmission is the second phase of a connection: one goroutine reads requests,
// one for each request answers it.
type transmission struct {
	conn       net.Conn
	link       *link // below TLS
	in         *bufio.Reader
	dev        Device
	structured bool
	meta       bool
	room       room  // of this connection
	all        *room // of the server

	out sync.Mutex // holds a reply together
}

func newTransmission(n *negotiation, l *link, d Device) *transmission {
	t := &transmission{conn: n.conn, link: l, in: bufio.NewReaderSize(n.conn, 64<<10), dev: d, structured: n.structured, meta: n.meta}
	t.room.init(maxInFlight)
	t.all = n.server.room()
	return t
}

// room is how many bytes of requests there may be yet.
type room struct {
	mu   sync.Mutex
	more sync.Cond
	free int64
}

func (r *room) init(n int64) {
	r.free = n
	r.more.L = &r.mu
}

func (r *room) take(n int64) {
	r.mu.Lock()
	for r.free < n {
		r.more.Wait()
	}
	r.free -= n
	r.mu.Unlock()
}

func (r *room) give(n int64) {
	r.mu.Lock()
	r.free += n
	r.mu.Unlock()
	r.more.Broadcast() // who is first may want more than there is
}

// run serves requests until the client disconnects, which is no error, and then
// waits for those under way.
func (t *transmission) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		var h [requestSize]byte
		if _, err := io.ReadFull(t.in, h[:]); err != nil {
			return err
		}
		r, err := parseRequest(&h)
		if err != nil || r.cmd == cmdDisconnect {
			return err
		}
		if r.cmd == cmdWrite && r.length > maxRequest {
			return fmt.Errorf("nbd: a write of %d bytes", r.length)
		}
		cost := int64(requestCost)
		if r.cmd == cmdBlockStatus {
			cost = statusCost
		}
		bad := t.check(r)
		if bad != nil && t.outside(r) && t.dev.Refresh(ctx) == nil {
			bad = t.check(r) // the device may have grown, and the client knows already
		}
		if bad != nil {
			if r.cmd == cmdWrite {
				if _, err := t.in.Discard(int(r.length)); err != nil {
					return err
				}
			}
			if err := t.fail(r, bad); err != nil {
				return err
			}
			continue
		}
		var data []byte
		if r.cmd == cmdRead || r.cmd == cmdWrite {
			cost += int64(r.length)
		}
		t.room.take(cost)
		t.all.take(cost)
		if r.cmd == cmdRead || r.cmd == cmdWrite {
			data = make([]byte, r.length)
		}
		if r.cmd == cmdWrite {
			if err := t.payload(data); err != nil {
				t.all.give(cost)
				return err
			}
		}
		wg.Go(func() {
			defer t.room.give(cost)
			defer t.all.give(cost)
			if err := t.do(ctx, r, data); err != nil {
				t.conn.Close() // the reader learns of it
			}
		})
	}
}

// payload reads the data of a write, which must come without long pauses.
func (t *transmission) payload(data []byte) error {
	for len(data) > 0 {
		if err := t.link.within(t.link.stall); err != nil {
			return err
		}
		n, err := io.ReadFull(t.in, data[:min(len(data), stallSize)])
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return t.link.within(0)
}

// check says what is wrong with a request.
func (t *transmission) check(r request) error {
	flags, known := allowed[r.cmd]
	switch {
	case !known, r.cmd == cmdBlockStatus && !t.meta:
		return fmt.Errorf("command %d is not known: %w", r.cmd, errno.EINVAL)
	case r.flags&^flags != 0, r.flags&cmdDF != 0 && !t.structured:
		return fmt.Errorf("flags %#x: %w", r.flags, errno.EINVAL)
	case r.cmd == cmdFlush:
		if r.off != 0 || r.length != 0 {
			return fmt.Errorf("a flush of a range: %w", errno.EINVAL)
		}
		return nil
	case r.length == 0:
		return fmt.Errorf("no bytes: %w", errno.EINVAL)
	case t.dev.ReadOnly() && (r.cmd == cmdWrite || r.cmd == cmdTrim || r.cmd == cmdWriteZeroes):
		return fmt.Errorf("read-only: %w", errno.EPERM)
	case t.outside(r):
		if r.cmd == cmdWrite || r.cmd == cmdWriteZeroes {
			return fmt.Errorf("beyond the end: %w", errno.ENOSPC)
		}
		return fmt.Errorf("beyond the end: %w", errno.EINVAL)
	case r.cmd == cmdRead && r.length > maxRequest:
		return fmt.Errorf("more than %d bytes: %w", maxRequest, errno.EINVAL)
	}
	return nil
}

// outside reports whether a request is for bytes behind the end.
func (t *transmission) outside(r request) bool {
	size := uint64(t.dev.Size())
	return r.off > size || uint64(r.length) > size-r.off
}

// do carries a request out and answers it. An error is the connection's.
func (t *transmission) do(ctx context.Context, r request, data []byte) error {
	off, n := int64(r.off), int64(r.length)
	var err error
	switch r.cmd {
	case cmdRead:
		if err = t.dev.ReadAt(ctx, data, off); err == nil {
			return t.data(r, data)
		}
	case cmdBlockStatus:
		var list []Extent
		if list, err = t.dev.Extents(ctx, off, n); err == nil && len(list) == 0 {
			err = errno.EIO
		}
		if err == nil {
			return t.status(r, list)
		}
	case cmdWrite:
		err = t.dev.WriteAt(ctx, data, off)
	case cmdTrim:
		err = t.dev.Trim(ctx, off, n)
	case cmdWriteZeroes:
		err = t.dev.WriteZeroes(ctx, off, n, r.flags&cmdNoHole == 0)
	case cmdFlush:
		err = t.dev.Flush(ctx)
	}
	if err == nil && r.flags&cmdFUA != 0 {
		err = t.dev.Flush(ctx)
	}
	if err != nil {
		return t.fail(r, err)
	}
	return t.done(r)
}

// send writes a reply.
func (t *transmission) send(parts ...[]byte) error {
	t.out.Lock()
	defer t.out.Unlock()
	b := net.Buffers(parts)
	_, err := b.WriteTo(t.conn)
	return err
}

func simple(r request, code uint32) []byte {
	b := make([]byte, 16)
	be.PutUint32(b, magicSimple)
	be.PutUint32(b[4:], code)
	be.PutUint64(b[8:], r.cookie)
	return b
}

// chunk is the head of the only chunk of a structured reply.
func chunk(r request, kind uint16, length int) []byte {
	b := make([]byte, 20, 28)
	be.PutUint32(b, magicStructured)
	be.PutUint16(b[4:], chunkDone)
	be.PutUint16(b[6:], kind)
	be.PutUint64(b[8:], r.cookie)
	be.PutUint32(b[16:], uint32(length))
	return b
}

func (t *transmission) done(r request) error { return t.send(simple(r, 0)) }

func (t *transmission) fail(r request, err error) error {
	code := codeOf(err)
	if !t.structured || r.cmd != cmdRead && r.cmd != cmdBlockStatus {
		return t.send(simple(r, code))
	}
	msg := err.Error()
	msg = msg[:min(len(msg), maxName)]
	b := be.AppendUint32(chunk(r, chunkError, 6+len(msg)), code)
	return t.send(be.AppendUint16(b, uint16(len(msg))), []byte(msg))
}

func (t *transmission) data(r request, data []byte) error {
	if !t.structured {
		return t.send(simple(r, 0), data)
	}
	return t.send(be.AppendUint64(chunk(r, chunkOffsetData, 8+len(data)), r.off), data)
}

// status tells of extents, neighbours of one kind as one, up to the request's end.
func (t *transmission) status(r request, list []Extent) error {
	var b []byte
	left := int64(r.length)
	for i := 0; i < len(list) && left > 0 && len(b) < 8*maxDescriptors; {
		n, hole := int64(0), list[i].Hole
		for ; i < len(list) && list[i].Hole == hole; i++ {
			n += list[i].Len
		}
		n = min(n, left)
		left -= n
		state := uint32(0)
		if hole {
			state = stateHole | stateZero
		}
		b = be.AppendUint32(be.AppendUint32(b, uint32(n)), state)
		if r.flags&cmdReqOne != 0 {
			break
		}
	}
	return t.send(be.AppendUint32(chunk(r, chunkBlockStatus, 4+len(b)), allocationID), b)
}
