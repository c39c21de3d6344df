package nbd

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// script is a connection to a client that says what it has to say, whatever the
// answers.
type script struct {
	net.Conn
	in *bytes.Reader
}

func (s *script) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error)      { return len(p), nil }
func (s *script) Close() error                     { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

func FuzzConnection(f *testing.F) {
	hello := be.AppendUint32(nil, fixed)
	opt := func(b []byte, o option, data []byte) []byte {
		b = be.AppendUint64(b, magicOption)
		b = be.AppendUint32(be.AppendUint32(b, uint32(o)), uint32(len(data)))
		return append(b, data...)
	}
	req := func(b []byte, c command, off uint64, n uint32) []byte {
		b = be.AppendUint16(be.AppendUint16(be.AppendUint32(b, magicRequest), 0), uint16(c))
		return be.AppendUint32(be.AppendUint64(be.AppendUint64(b, 1), off), n)
	}
	f.Add(opt(opt(hello, optStructuredReply, nil), optSetMeta, metas("m", contextAllocation)))
	b := opt(opt(hello, optList, nil), optGo, named("m", infoName, infoBlockSize))
	f.Add(append(req(req(req(b, cmdRead, 1, 2), cmdBlockStatus, 0, 100), cmdWrite, 0, 3), "abc"...))
	f.Add(req(opt(hello, optExportName, []byte("m")), cmdFlush, 0, 0))
	f.Fuzz(func(t *testing.T, in []byte) {
		m := newMemory(1000)
		s := &Server{Exports: shelf{"m": m}}
		if err := s.serve(t.Context(), &script{in: bytes.NewReader(in)}); err == nil && len(in) < 20 {
			t.Fatal("no error")
		} else if errors.Is(err, io.ErrNoProgress) {
			t.Fatal(err)
		}
		if len(s.open) != 0 {
			t.Fatal("the export is open")
		}
	})
}
