package msgr

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pulpo-storage/pulpo/entity"
)

// proxy stands between a dialler and a server, which publishes the proxy's
// address as its own.
type proxy struct {
	t testing.TB
	l net.Listener

	up, down atomic.Pointer[func(b []byte) bool] // sees all bytes and may change them; false: cut

	mu    sync.Mutex
	to    string
	conns []net.Conn
	wg    sync.WaitGroup
}

func newProxy(t testing.TB, server *node) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, l: l, to: server.addrs[0].AP.String()}
	server.addrs = entity.AddrVec{{Type: entity.AddrMsgr2, Nonce: 77, AP: l.Addr().(*net.TCPAddr).AddrPort()}}
	server.SetAddrs(server.addrs)
	p.wg.Go(p.serve)
	t.Cleanup(func() {
		l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) serve() {
	for {
		a, err := p.l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		to := p.to
		p.mu.Unlock()
		b, err := net.Dial("tcp", to)
		if err != nil {
			a.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, a, b)
		p.mu.Unlock()
		p.wg.Go(func() { p.pump(b, a, &p.up) })
		p.wg.Go(func() { p.pump(a, b, &p.down) })
	}
}

func (p *proxy) pump(to, from net.Conn, hook *atomic.Pointer[func([]byte) bool]) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 8<<10)
	for {
		n, err := from.Read(buf)
		if f := hook.Load(); f != nil && n > 0 && !(*f)(buf[:n]) {
			return
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// cut breaks all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}
