package nbd

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
)

const fixed = 3 // client flags: fixed newstyle, no zeroes

func TestNegotiation(t *testing.T) {
	t.Parallel()
	addr := serve(t, &Server{Exports: shelf{"disk": newMemory(1 << 20), "other": newMemory(5), "fixed": &memory{data: make([]byte, 10), written: make([]bool, 1), ro: true}}})
	c := connect(t, addr, fixed)

	var names []string
	for _, b := range c.want(repAck, optList, nil) {
		names = append(names, string(b[4:]))
	}
	if fmt.Sprint(names) != "[disk fixed other]" {
		t.Errorf("list: %q", names)
	}
	c.want(repErrInvalid, optList, []byte("x"))
	c.want(repErrUnsup, 4, nil)
	c.want(repErrUnsup, 77, []byte("data"))
	c.want(repErrPolicy, optStartTLS, nil)
	c.want(repErrUnknown, optInfo, named("nosuch"))
	c.want(repErrInvalid, optInfo, []byte("\x00\x00\x00\x09abc"))
	c.want(repErrInvalid, optInfo, append(named("disk"), 0))
	c.want(repErrTooBig, optInfo, make([]byte, maxOption+1))
	c.want(repErrInvalid, optSetMeta, metas("disk", contextAllocation)) // structured replies come first
	c.want(repErrInvalid, optStructuredReply, []byte("x"))

	info := c.want(repAck, optInfo, named("fixed", infoName, infoBlockSize, infoName, 99))
	if len(info) != 3 || be.Uint64(info[0][2:]) != 10 || be.Uint16(info[0][10:])&flagReadOnly == 0 || string(info[1][2:]) != "fixed" ||
		be.Uint32(info[2][2:]) != 1 || be.Uint32(info[2][6:]) != block || be.Uint32(info[2][10:]) != maxRequest {
		t.Errorf("info: %x", info)
	}

	c.want(repAck, optStructuredReply, nil)
	for _, q := range []struct {
		opt     option
		queries []string
		want    int
	}{
		{optListMeta, nil, 1}, {optListMeta, []string{"base:"}, 1}, {optListMeta, []string{"qemu:"}, 0}, {optListMeta, []string{"x", contextAllocation}, 1},
		{optSetMeta, nil, 0}, {optSetMeta, []string{"base:"}, 0}, {optSetMeta, []string{contextAllocation, "qemu:x"}, 1},
	} {
		if got := c.want(repAck, q.opt, metas("disk", q.queries...)); len(got) != q.want {
			t.Errorf("option %d of %q: %d contexts, want %d", q.opt, q.queries, len(got), q.want)
		}
	}
	c.want(repErrUnknown, optSetMeta, metas("nosuch", contextAllocation))
	c.want(repErrInvalid, optSetMeta, metas("disk", contextAllocation)[:20])
	c.want(repAck, optGo, named("disk"))
	if a := c.ask(cmdBlockStatus, 0, 0, 1<<20, nil); a.kind != chunkBlockStatus {
		t.Errorf("block status: %v", a)
	}

	c = connect(t, addr, fixed)
	c.want(repAck, optAbort, nil)
	c.ended()
	c = connect(t, addr, 1<<7|fixed)
	c.ended()
	c = connect(t, addr, fixed)
	c.write(make([]byte, 16))
	c.ended()
	c = connect(t, addr, fixed)
	c.sendOption(optExportName, []byte("nosuch"))
	c.ended()

	// The old way, with and without 124 zeros.
	for flags, n := range map[uint32]int{1: 134, 3: 10} {
		c = connect(t, addr, flags)
		c.sendOption(optExportName, []byte("other"))
		if b := c.read(n); be.Uint64(b) != 5 || be.Uint16(b[8:])&flagHasFlags == 0 {
			t.Errorf("export %x", b)
		}
		if a := c.ask(cmdRead, 0, 1, 4, nil); a.code != 0 || len(a.data) != 4 {
			t.Errorf("read: %v", a)
		}
		// Nobody asked for the allocation.
		if a := c.ask(cmdBlockStatus, 0, 0, 5, nil); a.code != 22 {
			t.Errorf("block status: %v", a)
		}
	}
}

// TestRequests does each thing that can be done, well and badly, with simple and
// with structured replies.
func TestRequests(t *testing.T) {
	t.Parallel()
	for _, structured := range []bool{false, true} {
		m := newMemory(10000)
		ro := newMemory(100)
		ro.ro = true
		addr := serve(t, &Server{Exports: shelf{"": m, "ro": ro}})
		open := func(name string) *client {
			c := connect(t, addr, fixed)
			if structured {
				c.want(repAck, optStructuredReply, nil)
				c.want(repAck, optSetMeta, metas(name, contextAllocation))
			}
			c.want(repAck, optGo, named(name))
			return c
		}
		c := open("")
		want := func(code uint32, cmd command, flags uint16, off uint64, length uint32, data []byte) []byte {
			t.Helper()
			a := c.ask(cmd, flags, off, length, data)
			if a.code != code {
				t.Errorf("structured %v: command %d flags %#x of [%d,+%d): %v, want error %d", structured, cmd, flags, off, length, a, code)
			}
			if cmd == cmdRead && code == 0 && structured {
				if a.kind != chunkOffsetData || be.Uint64(a.data) != off {
					t.Errorf("read at %d: %v", off, a)
				}
				return a.data[8:]
			}
			return a.data
		}
		want(0, cmdWrite, 0, 1000, 600, bytes.Repeat([]byte{7}, 600))
		if got := want(0, cmdRead, 0, 990, 620, nil); !bytes.Equal(got, append(append(make([]byte, 10), bytes.Repeat([]byte{7}, 600)...), make([]byte, 10)...)) {
			t.Errorf("read %x", got)
		}
		flushed := m.flushes()
		want(0, cmdWrite, cmdFUA, 9999, 1, []byte{1})
		want(0, cmdTrim, cmdFUA, 1024, 512, nil)
		want(0, cmdWriteZeroes, cmdFUA, 0, 10, nil)
		want(0, cmdFlush, 0, 0, 0, nil)
		if n := m.flushes() - flushed; n != 4 {
			t.Errorf("%d flushes", n)
		}
		want(0, cmdWriteZeroes, cmdNoHole, 4096, 512, nil)

		want(28, cmdWrite, 0, 9999, 2, []byte{1, 2})
		want(28, cmdWriteZeroes, 0, 1<<63, 2, nil)
		want(22, cmdRead, 0, 10000, 1, nil)
		want(22, cmdRead, 0, 1<<64-1, 2, nil)
		want(22, cmdTrim, 0, 9000, 2000, nil)
		want(22, cmdRead, 0, 0, 0, nil)
		want(22, cmdWrite, 0, 0, 0, nil)
		want(22, cmdFlush, 0, 5, 0, nil)
		want(22, cmdFlush, cmdFUA, 0, 0, nil)
		want(22, cmdRead, cmdFUA, 0, 1, nil)
		want(22, cmdWrite, 1<<9, 0, 3, []byte("bad"))
		want(22, 5, 0, 0, 1, nil)
		want(22, 99, 0, 0, 1, nil)
		if structured {
			want(0, cmdRead, cmdDF, 0, 100, nil)
			got := want(0, cmdBlockStatus, 0, 0, 10000, nil)
			// Written: blocks 1 (1000 to 1023), 2 was trimmed, 3 (1536 to 1599), 8
			// without a hole, and the last.
			var list [][2]uint32
			for b := got[4:]; len(b) > 0; b = b[8:] {
				list = append(list, [2]uint32{be.Uint32(b), be.Uint32(b[4:])})
			}
			if s := fmt.Sprint(list); be.Uint32(got) != allocationID || s != "[[512 3] [512 0] [512 3] [512 0] [2048 3] [512 0] [5120 3] [272 0]]" {
				t.Errorf("block status %v", s)
			}
			if got := want(0, cmdBlockStatus, cmdReqOne, 1700, 5000, nil); len(got) != 12 || be.Uint32(got[4:]) != 2048-1700 {
				t.Errorf("one block status %x", got)
			}
			want(22, cmdBlockStatus, 0, 9000, 2000, nil)
		} else {
			want(22, cmdRead, cmdDF, 0, 100, nil)
			want(22, cmdBlockStatus, 0, 0, 100, nil)
		}
		for err, code := range map[error]uint32{errno.EIO: 5, errno.ENOSPC: 28, errors.New("odd"): 5, fmt.Errorf("x: %w", errno.EBLOCKLISTED): 1} {
			m.mu.Lock()
			m.fail = err
			m.mu.Unlock()
			want(code, cmdRead, 0, 0, 10, nil)
			want(code, cmdWrite, 0, 0, 1, []byte{1})
			want(code, cmdFlush, 0, 0, 0, nil)
		}
		m.mu.Lock()
		m.fail = nil
		m.mu.Unlock()
		c.send(cmdDisconnect, 0, 0, 0, nil)
		c.ended()

		c = open("ro")
		want(1, cmdWrite, 0, 0, 1, []byte{1})
		want(1, cmdTrim, 0, 0, 1, nil)
		want(1, cmdWriteZeroes, 0, 0, 1, nil)
		want(0, cmdRead, 0, 0, 100, nil)
		c.send(cmdWrite, 0, 0, maxRequest+1, nil)
		c.ended()
		c = open("ro")
		c.write(make([]byte, requestSize))
		c.ended()
	}
}

// TestManyAtOnce has several connections to one export with many requests in
// flight, and finds what they wrote. The device is closed when the last has gone.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	const size, each, conns = 1 << 20, 64, 4
	m := newMemory(size * conns)
	s := &Server{Exports: shelf{"m": m}}
	addr := serve(t, s)
	var all []*client
	for i := range conns {
		c := connect(t, addr, fixed)
		c.want(repAck, optGo, named("m"))
		all = append(all, c)
		go func() {
			for k := range each {
				n := size / each
				c.send(cmdWrite, 0, uint64(i*size+k*n), uint32(n), bytes.Repeat([]byte{byte(i*each + k)}, n))
			}
		}()
	}
	for _, c := range all {
		seen := map[uint64]bool{}
		for range each {
			a := c.receive(0)
			if a.code != 0 || seen[a.cookie] {
				t.Fatalf("%+v", a)
			}
			seen[a.cookie] = true
		}
	}
	for k := range conns * each {
		n := size / each
		if a := all[0].ask(cmdRead, 0, uint64(k*n), uint32(n), nil); !bytes.Equal(a.data, bytes.Repeat([]byte{byte(k)}, n)) {
			t.Fatalf("block %d differs", k)
		}
	}
	for _, c := range all {
		c.send(cmdDisconnect, 0, 0, 0, nil)
		c.ended()
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		m.mu.Lock()
		closed := m.closed
		m.mu.Unlock()
		if closed {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the device is open though nobody uses it")
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"nbd"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	m := newMemory(1000)
	addr := serve(t, &Server{Exports: shelf{"m": m}, TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}})

	c := connect(t, addr, fixed)
	for _, opt := range []option{optList, optGo, optInfo, optStructuredReply, optSetMeta, 99} {
		c.want(repErrTLSReqd, opt, named("m"))
	}
	c.want(repErrInvalid, optStartTLS, []byte("x"))
	c.secure(&tls.Config{RootCAs: roots, ServerName: "nbd"})
	c.want(repErrInvalid, optStartTLS, nil)
	if got := c.want(repAck, optList, nil); len(got) != 1 {
		t.Errorf("list: %q", got)
	}
	c.want(repAck, optGo, named("m"))
	if a := c.ask(cmdWrite, 0, 0, 3, []byte("abc")); a.code != 0 {
		t.Errorf("write: %v", a)
	}
	if a := c.ask(cmdRead, 0, 0, 3, nil); string(a.data) != "abc" {
		t.Errorf("read: %v", a)
	}
	c = connect(t, addr, fixed)
	c.sendOption(optExportName, []byte("m"))
	c.ended()
}
