package nbd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
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
	maxDescriptors = 4096     // extents of a block status
)

// negotiationTime is how long a client may take to choose an export.
const negotiationTime = 30 * time.Second

// closingTime is how long the last connection waits for its device to close.
const closingTime = time.Minute

// Server serves exports to any number of connections.
type Server struct {
	Exports Exports
	// TLS, if set, is required of every client before it learns anything.
	TLS *tls.Config
	Log *slog.Logger // nil: slog.Default()

	mu   sync.Mutex
	open map[string]*export
}

// export is a device that connections share.
type export struct {
	name  string
	refs  int
	ready chan struct{} // closed when the rest is known
	dev   Device
	err   error
}

// Serve answers connections until the context ends, then closes them and the
// listener, and returns when all is closed. An error is the listener's.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	log := s.Log
	if log == nil {
		log = slog.Default()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { l.Close() })
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		nc, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if nc != nil {
				nc.Close()
			}
			return nil
		case err != nil:
			cancel()
			return fmt.Errorf("nbd: %w", err)
		}
		wg.Go(func() {
			stop := context.AfterFunc(ctx, func() { nc.Close() })
			defer stop()
			defer nc.Close()
			err := s.serve(ctx, nc)
			if err != nil && ctx.Err() == nil && !errors.Is(err, io.EOF) {
				log.Warn("nbd: connection ended", "client", nc.RemoteAddr(), "err", err)
			}
		})
	}
}

// serve is the life of one connection.
func (s *Server) serve(ctx context.Context, nc net.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := nc.SetDeadline(time.Now().Add(negotiationTime)); err != nil {
		return err
	}
	n := &negotiation{server: s, conn: nc}
	e, err := n.run(ctx)
	if err != nil || e == nil {
		return err
	}
	defer s.release(e)
	if err := n.conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	return newTransmission(n, e.dev).run(ctx)
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
	if e.err != nil {
		s.release(e)
		return nil, e.err
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
