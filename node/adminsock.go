package node

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
)

// AdminSocket serves a daemon's admin socket (AdminSocket in Ceph): a client
// connects, sends one command as JSON ended by a zero byte or a newline, and gets
// a length in network byte order and the output. It is what "ceph daemon" talks
// to.
//
// doc/protocol/admin.md#conversation
//
// Whoever may open the socket has all rights, so only its owner may.
type AdminSocket struct {
	ln  net.Listener
	dir *os.File // of a socket with a long path; its listener's name leads through it
	do  func(cmd []byte) ([]byte, error)
	log *slog.Logger

	mu    sync.Mutex
	conns map[net.Conn]bool
	done  bool
	wg    sync.WaitGroup
}

const (
	// maxAdminCommand bounds what a client of an admin socket may send.
	maxAdminCommand = 1 << 20
	// maxAdminClients bounds the conversations; more of them wait in the
	// listener's queue.
	maxAdminClients = 64
	// maxSocketPath is what fits into a sockaddr_un, with the zero at its end.
	maxSocketPath = 107
)

// Limits for a client to send its command and to fetch the output.
const (
	adminReadTime  = 10 * time.Second
	adminWriteTime = 30 * time.Second
)

// ListenAdmin makes the socket and serves it until Close. do runs one command;
// it may be called concurrently.
func ListenAdmin(path string, do func(cmd []byte) ([]byte, error), log *slog.Logger) (*AdminSocket, error) {
	// The directory is locked, so a socket that is there is of a process that died.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	a := &AdminSocket{do: do, log: log, conns: map[net.Conn]bool{}}
	name := path
	if len(path) > maxSocketPath {
		// The kernel finds the directory by a short name for it; a client does the
		// same, or goes there first.
		dir, err := os.Open(filepath.Dir(path))
		if err != nil {
			return nil, fmt.Errorf("admin socket: %w", err)
		}
		a.dir = dir
		name = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	}
	var err error
	if a.ln, err = net.Listen("unix", name); err != nil {
		a.dir.Close()
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		a.ln.Close()
		a.dir.Close()
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	a.wg.Go(a.serve)
	return a, nil
}

func (a *AdminSocket) serve() {
	slots := make(chan struct{}, maxAdminClients)
	for {
		slots <- struct{}{}
		c, err := a.ln.Accept()
		if err != nil {
			a.mu.Lock()
			done := a.done
			a.mu.Unlock()
			if done {
				return
			}
			// Out of file descriptors, most likely; the socket must outlive that.
			a.log.Warn("admin socket: accept", "err", err)
			time.Sleep(100 * time.Millisecond)
			<-slots
			continue
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
			<-slots
		})
	}
}

func (a *AdminSocket) answer(c net.Conn) {
	c.SetReadDeadline(time.Now().Add(adminReadTime))
	cmd, err := readAdminCommand(bufio.NewReader(c))
	if err != nil {
		a.log.Debug("admin socket: no command", "err", err)
		return
	}
	out, err := a.do(cmd)
	if err != nil {
		out = append(adminError(err), out...)
	}
	c.SetWriteDeadline(time.Now().Add(adminWriteTime))
	answer := net.Buffers{binary.BigEndian.AppendUint32(nil, uint32(len(out))), out}
	if _, err := answer.WriteTo(c); err != nil {
		a.log.Debug("admin socket: answer not delivered", "err", err)
	}
}

// readAdminCommand reads up to the end of a command, which it leaves out.
func readAdminCommand(r *bufio.Reader) ([]byte, error) {
	var cmd []byte
	for {
		b, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		if b == 0 || b == '\n' {
			return cmd, nil
		}
		if len(cmd) == maxAdminCommand {
			return nil, fmt.Errorf("command of more than %d bytes: %w", maxAdminCommand, errno.E2BIG)
		}
		cmd = append(cmd, b)
	}
}

// adminError is what stands before the output of a command that failed.
func adminError(err error) []byte {
	code := errno.Code(err)
	words := errno.Error(code).Error()
	// The number is in the first line; the second one has what is said beyond it.
	more := strings.TrimSuffix(strings.TrimSuffix(err.Error(), words), ": ")
	return fmt.Appendf(nil, "ERROR: (%d) %s\n%s\n", -code, words, more)
}

// Close ends all conversations, waits for the commands that run and removes the
// socket.
func (a *AdminSocket) Close() error {
	a.mu.Lock()
	if a.done {
		a.mu.Unlock()
		a.wg.Wait()
		return nil
	}
	a.done = true
	for c := range a.conns {
		c.Close()
	}
	a.mu.Unlock()
	err := a.ln.Close()
	a.wg.Wait()
	a.dir.Close()
	return err
}
