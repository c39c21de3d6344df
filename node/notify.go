package node

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"net"
	"os"
	"strings"
	"sync"
)

// What a daemon tells whoever started it, systemd or "pulpo up --processes", goes
// as datagrams of lines NAME=VALUE to the socket that NOTIFY_SOCKET names
// (sd_notify(3)):
//
//	READY=1     it runs: its store is open and it answers; it may still wait for
//	            monitors or a quorum
//	STATUS=...  what it is doing, for people: "booting", "active"; or why it ends
//	STOPPING=1  it ends in order

// Notifier tells the starter of this process. The zero value tells nobody.
type Notifier struct{ conn net.Conn }

// NewNotifier finds the starter, if it wants to be told.
func NewNotifier() *Notifier {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return &Notifier{}
	}
	conn, err := net.Dial("unixgram", name)
	if err != nil {
		return &Notifier{} // it is only for information
	}
	return &Notifier{conn}
}

// Notify tells assignments, such as READY=1.
func (n *Notifier) Notify(lines ...string) {
	if n.conn == nil {
		return
	}
	for i, l := range lines {
		lines[i] = strings.ReplaceAll(l, "\n", "; ")
	}
	n.conn.Write([]byte(strings.Join(lines, "\n")))
}

// listener is the starter's end, for one process after the other.
type notifyListener struct {
	name string // for NOTIFY_SOCKET
	conn *net.UnixConn
	wg   sync.WaitGroup
	seen chan struct{} // a flush came by
}

// flushMark is a datagram of the listener's own: what was sent before it has been
// heard when it comes out of the socket.
var flushMark = []byte("X_FLUSH=1")

// listenNotify calls heard for each assignment. The socket is in the abstract
// name space, so it leaves no file and has no long path.
func listenNotify(heard func(name, value string)) (*notifyListener, error) {
	var b [12]byte
	rand.Read(b[:])
	n := &notifyListener{name: "@pulpo-" + hex.EncodeToString(b[:]), seen: make(chan struct{})}
	var err error
	if n.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: n.name, Net: "unixgram"}); err != nil {
		return nil, err
	}
	n.wg.Go(func() {
		buf := make([]byte, 4096)
		for {
			size, err := n.conn.Read(buf)
			if err != nil {
				return
			}
			if bytes.Equal(buf[:size], flushMark) {
				n.seen <- struct{}{}
				continue
			}
			for line := range strings.Lines(string(buf[:size])) {
				if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
					heard(name, value)
				}
			}
		}
	})
	return n, nil
}

// flush returns when all that a process sent before its end has been heard.
func (n *notifyListener) flush() {
	if c, err := net.Dial("unixgram", n.name); err == nil {
		defer c.Close()
		if _, err := c.Write(flushMark); err == nil {
			<-n.seen
		}
	}
}

func (n *notifyListener) close() {
	n.conn.Close()
	n.wg.Wait()
}
