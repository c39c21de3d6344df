package nbd

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"
)

// Limits of what a client may ask for.
const (
	maxName        = 4096     // bytes of an export's name
	maxOption      = 64 << 10 // bytes of an option's data
	maxOptions     = 1000     // options of a negotiation
	maxRequest     = 32 << 20 // bytes of a request
	maxInFlight    = 64 << 20 // bytes of a connection's requests
	requestCost    = 4 << 10  // that a request counts for at least
	statusCost     = 1 << 20  // that a block status counts for
	maxDescriptors = 4096     // extents of a block status
)

// What a Server takes for options that are not set.
const (
	defaultConnections = 256
	defaultNegotiation = 30 * time.Second
	defaultStall       = time.Minute
	defaultGrace       = 10 * time.Second
	defaultMemory      = 1 << 30
)

// closingTime is how long the last connection waits for its device to close.
const closingTime = time.Minute

// Server serves exports to connections of any number of listeners.
type Server struct {
	Exports Exports
	// TLS, if set, is required of every client before it learns anything.
	TLS *tls.Config
	Log *slog.Logger // nil: slog.Default()

	// Connections is how many there may be at a time, of all listeners; more are
	// closed at once. 0: 256.
	Connections int
	// Negotiation is how long a client may take to choose an export; 0: 30 s.
	Negotiation time.Duration
	// Stall is how long a client may leave a reply where it is, or a write that it
	// has begun; 0: a minute.
	Stall time.Duration
	// Grace is how long requests may take after the server's end; 0: 10 s.
	Grace time.Duration
	// Memory is how many bytes the requests of all connections may have in flight,
	// at least 64 MiB; 0: 1 GiB.
	Memory int64

	mu     sync.Mutex
	open   map[string]*export
	conns  int
	memory *room
}

// room is what all connections share.
func (s *Server) room() *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.memory == nil {
		s.memory = &room{}
		s.memory.init(max(maxInFlight, cmp.Or(s.Memory, defaultMemory)))
	}
	return s.memory
}

// export is a device that connections share.
type export struct {
	name  string
	refs  int
	ready chan struct{} // closed when the rest is known
	dev   Device
	err   error
}

// Serve answers connections until the context ends. Then it closes the listener,
// takes no more requests, answers those under way or lets them fail after the
// time of grace, and returns when all is closed. An error is the listener's. It
// may be called for several listeners.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	log := s.Log
	if log == nil {
		log = slog.Default()
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	context.AfterFunc(ctx, func() { l.Close() })
	for {
		nc, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if nc != nil {
				nc.Close()
			}
			return nil
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ECONNABORTED):
			log.Warn("nbd: no connection", "err", err)
			select {
			case <-time.After(100 * time.Millisecond): // others end meanwhile
			case <-ctx.Done():
			}
			continue
		case err != nil:
			return fmt.Errorf("nbd: %w", err)
		case !s.enter():
			log.Debug("nbd: too many connections", "client", nc.RemoteAddr())
			nc.Close()
			continue
		}
		wg.Go(func() {
			defer s.leave()
			defer nc.Close()
			err := s.serve(ctx, nc)
			if err != nil && ctx.Err() == nil && !errors.Is(err, io.EOF) {
				log.Warn("nbd: connection ended", "client", nc.RemoteAddr(), "err", err)
			}
		})
	}
}

// enter counts a connection, unless there are too many.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns >= cmp.Or(s.Connections, defaultConnections) {
		return false
	}
	s.conns++
	return true
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns--
}

// serve is the life of one connection. When the server ends, ctx does; work goes
// on until the time of grace is over.
func (s *Server) serve(ctx context.Context, nc net.Conn) error {
	work, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	lk := &link{Conn: nc, stall: cmp.Or(s.Stall, defaultStall)}
	stop := context.AfterFunc(ctx, func() {
		lk.end()
		select {
		case <-time.After(cmp.Or(s.Grace, defaultGrace)):
			abort()
			nc.Close()
		case <-work.Done():
		}
	})
	defer stop()
	negotiation := &negotiation{server: s, conn: lk}
	if err := lk.within(cmp.Or(s.Negotiation, defaultNegotiation)); err != nil {
		return err
	}
	e, err := negotiation.run(work)
	if err != nil || e == nil {
		return err
	}
	defer s.release(e)
	if err := lk.within(0); err != nil {
		return err
	}
	return newTransmission(negotiation, lk, e.dev).run(work)
}

// acquire opens an export, or joins those who have it open. The caller releases
// it.
func (s *Server) acquire(ctx context.Context, name string) (*export, error) {
	s.mu.Lock()
	e := s.open[name]
	if e != nil {
		e.refs++
		s.mu.Unlock()
		select {
		case <-e.ready:
		case <-ctx.Done():
			s.release(e)
			return nil, ctx.Err()
		}
	} else {
		e = &export{name: name, refs: 1, ready: make(chan struct{})}
		if s.open == nil {
			s.open = map[string]*export{}
		}
		s.open[name] = e
		s.mu.Unlock()
		// Others may wait for it when this client has gone.
		e.dev, e.err = s.Exports.Open(context.WithoutCancel(ctx), name)
		close(e.ready)
	}
	err := e.err
	if err == nil {
		// Others may have it open, from before it was resized.
		err = e.dev.Refresh(ctx)
	}
	if err != nil {
		s.release(e)
		return nil, err
	}
	return e, nil
}

// release ends one use of an export; the last one closes its device.
func (s *Server) release(e *export) {
	s.mu.Lock()
	e.refs--
	last := e.refs == 0
	if last {
		delete(s.open, e.name)
	}
	s.mu.Unlock()
	if !last {
		return
	}
	<-e.ready
	if e.err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), closingTime)
		defer cancel()
		e.dev.Close(ctx)
	}
}
