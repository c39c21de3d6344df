package nbd

import (
	"net"
	"sync"
	"time"
)

// link is a connection to a client that has to keep moving: one that takes no
// bytes of a reply, or sends none of a write that it has begun, is given up, for
// there are buffers for it. It may be silent between requests.
type link struct {
	net.Conn
	stall time.Duration

	mu    sync.Mutex
	ended bool // nothing is read any more
}

// stallSize is how many bytes must pass within the time of a stall.
const stallSize = 256 << 10

func (l *link) Write(p []byte) (done int, err error) {
	for {
		if err := l.SetWriteDeadline(time.Now().Add(l.stall)); err != nil {
			return done, err
		}
		n, err := l.Conn.Write(p[done:min(len(p), done+stallSize)])
		if done += n; err != nil || done == len(p) {
			return done, err
		}
	}
}

// within sets the time for what is read next; 0: there is no limit.
func (l *link) within(d time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var t time.Time
	switch {
	case l.ended:
		t = time.Unix(1, 0)
	case d > 0:
		t = time.Now().Add(d)
	}
	return l.SetReadDeadline(t)
}

// end lets all reads fail from now on.
func (l *link) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.within(0)
}
