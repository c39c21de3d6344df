package node

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// AdminSocket serves a daemon's admin socket (AdminSocket in Ceph): a client
// connects, sends one command as JSON ended by a zero byte, and gets a length
// in network byte order and the output. It is what "ceph daemon" talks to.
type AdminSocket struct {
	ln   net.Listener
	do   func(cmd []byte) ([]byte, error)
	log  *slog.Logger
	path string

	mu    sync.Mutex
	conns map[net.Conn]bool
	done  bool
	wg    sync.WaitGroup
}

// maxAdminCommand bounds what a client of an admin socket may send.
const maxAdminCommand = 1 << 20

// ListenAdmin makes the socket and serves it until Close. do runs one command;
// it may be called concurrently.
func ListenAdmin(path string, do func(cmd []byte) ([]byte, error), log *slog.Logger) (*AdminSocket, error) {
	// The directory is locked, so a socket that is there is of a process that died.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	a := &AdminSocket{ln: ln, do: do, log: log, path: path, conns: map[net.Conn]bool{}}
	a.wg.Go(a.serve)
	return a, nil
}

func (a *AdminSocket) serve() {
	for {
		c, err := a.ln.Accept()
		if err != nil {
			return
		}
		a.mu.Lock()
		if a.done {
			a.mu.Unlock()
			c.Close()
			return
		}
		a.conns[c] = true
		a.mu.Unlock()
		a.wg.Go(func() {
			a.answer(c)
			c.Close()
			a.mu.Lock()
			delete(a.conns, c)
			a.mu.Unlock()
		})
	}
}

func (a *AdminSocket) answer(c net.Conn) {
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReaderSize(c, 4096)
	var cmd []byte
	for {
		b, err := r.ReadByte()
		if err != nil || len(cmd) > maxAdminCommand {
			return
		}
		// Old clients end a command with a newline.
		if b == 0 || b == '\n' && len(cmd) > 0 && cmd[0] != '{' {
			break
		}
		cmd = append(cmd, b)
	}
	out, err := a.do(cmd)
	if err != nil && len(out) == 0 {
		out = []byte("ERROR: " + err.Error() + "\n")
	}
	c.SetWriteDeadline(time.Now().Add(30 * time.Second))
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(out))), out...)); err != nil {
		a.log.Debug("admin socket: answer not delivered", "err", err)
	}
}

// Close ends all conversations and removes the socket.
func (a *AdminSocket) Close() error {
	a.mu.Lock()
	a.done = true
	for c := range a.conns {
		c.Close()
	}
	a.mu.Unlock()
	err := a.ln.Close()
	a.wg.Wait()
	return err
}
