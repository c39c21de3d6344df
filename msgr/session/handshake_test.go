package session

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msgr/frame"
	"github.com/pulpo-storage/pulpo/wire"
)

// plainAuth authenticates in one step.
type plainAuth struct {
	key      string
	unsigned bool
	refuse   int // this many requests are refused
	results  []int32
	err      error
}

func (a *plainAuth) done(mode Mode) *AuthDone {
	d := &AuthDone{GlobalID: 4100, Mode: mode, ConnSecret: make([]byte, frame.SecretLen)}
	if !a.unsigned {
		d.SessionKey = []byte(a.key)
	}
	return d
}

type plainServer struct{ *plainAuth }

func (a plainServer) Request(method uint32, modes []Mode, _ []byte) ([]byte, *AuthDone, error) {
	if a.err != nil {
		return nil, nil, a.err
	}
	if a.refuse > 0 {
		a.refuse--
		return nil, nil, fmt.Errorf("wrong key: %w", &BadMethod{Method: method, Result: -13, Methods: []uint32{2}, Modes: modes})
	}
	return []byte("welcome"), a.done(modes[0]), nil
}
func (plainServer) More([]byte) ([]byte, *AuthDone, error) { return nil, nil, errors.New("no more") }

type plainClient struct{ *plainAuth }

func (a plainClient) Request([]Mode) (uint32, []byte, error) { return 2, []byte("hello"), nil }
func (a plainClient) More([]byte) ([]byte, error)            { return nil, errors.New("no more") }
func (a plainClient) Done(_ uint64, mode Mode, _ []byte) (*AuthDone, error) {
	return a.done(mode), nil
}
func (a plainClient) BadMethod(b *BadMethod) bool {
	a.results = append(a.results, b.Result)
	return true
}

var (
	serverAddr = addr("v2:192.168.0.1:6800/77")
	clientAddr = addr("any:192.168.0.2:0/4711")
)

func addr(s string) entity.Addr {
	a, err := entity.ParseAddr(s, entity.AddrMsgr2)
	if err != nil {
		panic(err)
	}
	return a
}

// pair is both ends of a handshake, without a network between.
type pair struct {
	a          *Acceptor
	c          *Connector
	ac         AcceptConfig
	cc         ConnectConfig
	sauth      *plainAuth
	cauth      *plainAuth
	terms      Terms // of the accepting side
	state      State // of the connecting side
	answer     func(a *Acceptor, ask Ask)
	seq        uint64
	tamper     func(from string, n int, b []byte)
	sent       map[string]int
	outcome    Outcome
	aErr, cErr error
}

func newPair() *pair {
	p := &pair{
		sauth: &plainAuth{key: "key"}, cauth: &plainAuth{key: "key"}, sent: make(map[string]int),
		terms: Terms{Lossy: true, Modes: []Mode{ModeCRC, ModeSecure}},
	}
	p.ac = AcceptConfig{
		Name: entity.Name{Type: entity.OSD, Num: 3}, Addrs: entity.AddrVec{serverAddr}, Features: 0xff,
		Terms: func(entity.Type) Terms { return p.terms },
		Auth:  func(entity.Type) ServerAuth { return plainServer{p.sauth} },
	}
	p.cc = ConnectConfig{
		Name: entity.Name{Type: entity.Client, Num: -1}, Addrs: entity.AddrVec{clientAddr}, Peer: entity.OSD,
		Target: serverAddr, Features: 0xf0f, Terms: Terms{Modes: []Mode{ModeCRC}}, Auth: plainClient{p.cauth},
		GlobalSeq: func(atLeast uint64) uint64 { p.seq = max(p.seq, atLeast) + 1; return p.seq },
		Cookie:    func() uint64 { return 0xc00c1e + p.seq },
	}
	p.answer = func(a *Acceptor, ask Ask) {
		switch ask {
		case AskOpen:
			a.Open(1, 0x5e55)
		case AskResume:
			a.Resume(10)
		}
	}
	return p
}

// run lets the ends talk until both are done, one has failed or nobody has
// anything to say.
func (p *pair) run() {
	p.a, p.c = NewAcceptor(p.ac), NewConnector(p.cc, &p.state)
	var toA, toC []byte
	move := func(from string, in, out []byte) []byte {
		if len(out) > 0 {
			out = slices.Clone(out)
			if p.tamper != nil {
				p.tamper(from, p.sent[from], out)
			}
			p.sent[from] += len(out)
		}
		return append(in, out...)
	}
	for p.aErr == nil && p.cErr == nil && (p.outcome == Pending || p.a.state != accepted) {
		toC = move("S", toC, p.a.Out())
		toA = move("C", toA, p.c.Out())
		switch {
		case p.a.state != accepted && len(toA) >= len(p.a.Need()):
			n := copy(p.a.Need(), toA)
			toA = toA[n:]
			var ask Ask
			ask, p.aErr = p.a.Filled()
			if ask != AskNothing {
				p.answer(p.a, ask)
			}
		case p.outcome == Pending && len(toC) >= len(p.c.Need()):
			n := copy(p.c.Need(), toC)
			toC = toC[n:]
			p.outcome, p.cErr = p.c.Filled()
		default:
			return // one waits for ever
		}
	}
}

func (p *pair) wantOutcome(t *testing.T, want Outcome) {
	t.Helper()
	if p.aErr != nil || p.cErr != nil || p.outcome != want {
		t.Fatalf("outcome %v, want %v; accepting: %v, connecting: %v", p.outcome, want, p.aErr, p.cErr)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{ModeCRC, ModeSecure} {
		p := newPair()
		p.cc.Terms.Modes = []Mode{mode, ModeCRC}
		p.run()
		p.wantOutcome(t, Opened)
		if p.a.Done.Mode != mode || p.c.Done.Mode != mode || (p.c.Done.Mode == ModeSecure) != (mode == ModeSecure) {
			t.Errorf("modes %v, %v, want %v", p.a.Done.Mode, p.c.Done.Mode, mode)
		}
		if p.a.Features() != 0xf || p.c.Features() != 0xf {
			t.Errorf("features %#x, %#x", p.a.Features(), p.c.Features())
		}
		if !p.state.Lossy || p.a.Ident.GlobalID != 4100 || p.c.Ident.ID != 3 {
			t.Errorf("lossy %v, gid %d, id %d", p.state.Lossy, p.a.Ident.GlobalID, p.c.Ident.ID)
		}
	}
}

// To a monitor the global id is -1: monitors give it.
func TestOpenMonitor(t *testing.T) {
	t.Parallel()
	p := newPair()
	p.ac.Name.Type, p.cc.Peer = entity.Mon, entity.Mon
	p.run()
	p.wantOutcome(t, Opened)
	if p.a.Ident.GlobalID != -1 {
		t.Errorf("gid %d, want -1", p.a.Ident.GlobalID)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		change func(p *pair)
		a, c   error  // which side says what
		text   string // in it
	}{
		"wrong target": {
			change: func(p *pair) { p.cc.Target.Nonce++ },
			a:      ErrProtocol, text: "wants to reach",
		},
		"not who was dialled": {
			change: func(p *pair) {
				p.ac.Addrs = entity.AddrVec{addr("v2:192.168.0.9:6800/1"), serverAddr}
				p.ac.Addrs[1].Type = 1
			},
			a: ErrProtocol, text: "wants to reach",
		},
		"peer of another type": {
			change: func(p *pair) { p.cc.Peer = entity.MDS },
			c:      ErrProtocol, text: "peer is of type osd",
		},
		"unknown type": {
			change: func(p *pair) { p.cc.Name.Type = 64 },
			a:      ErrProtocol, text: "peer of type",
		},
		"no address": {
			change: func(p *pair) { p.cc.Addrs = nil },
			a:      ErrProtocol, text: "without an address",
		},
		"missing features": {
			change: func(p *pair) { p.terms.Required = 0x8001 },
			c:      MissingFeatures(0x8000),
		},
		"missing features of the peer": {
			change: func(p *pair) { p.cc.Terms.Required = 0x100 },
			c:      MissingFeatures(0x100),
		},
		"no common mode": {
			change: func(p *pair) { p.terms.Modes = []Mode{ModeSecure} },
			c:      errno.EOPNOTSUPP,
		},
		"wrong key at the accepting side": {
			change: func(p *pair) { p.sauth.key = "other" },
			a:      ErrSignature,
		},
		"authentication fails": {
			change: func(p *pair) { p.sauth.err = errno.EIO },
			a:      errno.EIO,
		},
		"refused for ever": {
			change: func(p *pair) { p.sauth.refuse = 9 },
			c:      errno.EACCES,
		},
	} {
		t.Run(what, func(t *testing.T) {
			p := newPair()
			c.change(p)
			p.run()
			err, want := p.aErr, c.a
			if c.c != nil {
				err, want = p.cErr, c.c
			}
			if !errors.Is(err, want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("accepting: %v, connecting: %v; want %v with %q", p.aErr, p.cErr, want, c.text)
			}
			if p.outcome != Pending {
				t.Errorf("session established")
			}
		})
	}
}

// A refused client may try again on the same connection, say with a new ticket,
// twice.
func TestRetryAuthentication(t *testing.T) {
	t.Parallel()
	p := newPair()
	p.sauth.refuse = 2
	p.run()
	p.wantOutcome(t, Opened)
	if !slices.Equal(p.cauth.results, []int32{-13, -13}) {
		t.Errorf("refusals %v", p.cauth.results)
	}
}

// Whatever a bit is flipped in before AUTH_DONE, the signatures show it or the
// frame is bad; and no bit of an encrypted handshake can be flipped.
func TestTamperedHandshake(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"C", "S"} {
		clean := newPair()
		clean.cc.Terms.Modes = []Mode{ModeSecure}
		clean.run()
		clean.wantOutcome(t, Opened)
		for at := range clean.sent[from] {
			p := newPair()
			p.cc.Terms.Modes = []Mode{ModeSecure}
			p.tamper = func(f string, n int, b []byte) {
				if f == from && at >= n && at < n+len(b) {
					b[at-n] ^= 1 << (at % 8)
				}
			}
			p.run()
			if p.aErr == nil && p.cErr == nil && p.outcome == Opened && p.a.state == accepted {
				t.Fatalf("byte %d from %s flipped, and nobody noticed", at, from)
			}
		}
	}
}

// Frames out of their order end the connection.
func TestUnexpected(t *testing.T) {
	t.Parallel()
	for tag := frame.TagHello; tag <= frame.TagAck; tag++ {
		if tag == frame.TagHello || tag == frame.TagMessage {
			continue
		}
		a := NewAcceptor(newPair().ac)
		var (
			b frame.Batch
			w frame.Writer
			e wire.Encoder
		)
		frame.NewPayload(tag).Encode(&e)
		b.Banner()
		w.Control(&b, tag, e.Bytes())
		stream, _ := b.Contiguous()
		var err error
		for err == nil && len(stream) > 0 {
			stream = stream[copy(a.Need(), stream):]
			_, err = a.Filled()
		}
		if !errors.Is(err, ErrProtocol) {
			t.Errorf("%v in place of HELLO: %v", tag, err)
		}
	}
}

// A peer that never comes to the end of its authentication is cut off.
func TestUnauthenticatedBytes(t *testing.T) {
	t.Parallel()
	p := newPair()
	a := NewAcceptor(p.ac)
	p.sauth.refuse = 1 << 30
	var (
		b frame.Batch
		w frame.Writer
	)
	send := func(tag frame.Tag, payload frame.Payload) (err error) {
		var e wire.Encoder
		payload.Encode(&e)
		w.Control(&b, tag, e.Bytes())
		stream, _ := b.Contiguous()
		for err == nil && len(stream) > 0 {
			stream = stream[copy(a.Need(), stream):]
			_, err = a.Filled()
		}
		b.Reset()
		return err
	}
	b.Banner()
	if err := send(frame.TagHello, &frame.Hello{Type: entity.Client}); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		err := send(frame.TagAuthRequest, &frame.AuthRequest{Modes: []uint32{1}, Payload: make([]byte, 12<<10)})
		if err != nil {
			if i != 2 || !errors.Is(err, ErrProtocol) {
				t.Errorf("request %d: %v", i, err)
			}
			return
		}
	}
	t.Error("ten large requests were let through")
}

func resumable() State {
	return State{ClientCookie: 0xc00c1e, ServerCookie: 0x5e55, GlobalSeq: 5, ConnectSeq: 1, InSeq: 7}
}

func TestResume(t *testing.T) {
	t.Parallel()
	p := newPair()
	p.terms.Lossy = false
	p.state = resumable()
	p.run()
	p.wantOutcome(t, Resumed)
	r := p.a.Reconnect
	if r.ClientCookie != 0xc00c1e || r.ServerCookie != 0x5e55 || r.GlobalSeq != 6 || r.ConnectSeq != 2 || r.MsgSeq != 7 {
		t.Errorf("SESSION_RECONNECT %+v", r)
	}
	if p.c.PeerSeq != 10 || p.c.WasReset {
		t.Errorf("peer has %d, reset %v", p.c.PeerSeq, p.c.WasReset)
	}
}

// SESSION_RETRY and SESSION_RETRY_GLOBAL are answered with higher numbers on the
// same connection.
func TestResumeRetry(t *testing.T) {
	t.Parallel()
	p := newPair()
	p.terms.Lossy = false
	p.state = resumable()
	turn := 0
	p.answer = func(a *Acceptor, ask Ask) {
		switch turn++; turn {
		case 1:
			a.Retry(20)
		case 2:
			a.RetryGlobal(30)
		default:
			a.Resume(10)
		}
	}
	p.run()
	p.wantOutcome(t, Resumed)
	if r := p.a.Reconnect; r.ConnectSeq <= 20 || r.GlobalSeq <= 30 {
		t.Errorf("SESSION_RECONNECT %+v", r)
	}
}

// After SESSION_RESET a new session is opened on the same connection.
func TestResumeReset(t *testing.T) {
	t.Parallel()
	p := newPair()
	p.terms.Lossy = false
	p.state = resumable()
	p.answer = func(a *Acceptor, ask Ask) {
		if ask == AskResume {
			a.Reset()
		} else {
			a.Open(1, 0x5e56)
		}
	}
	p.run()
	p.wantOutcome(t, Opened)
	if !p.c.WasReset || !p.c.Full || p.state.ServerCookie != 0x5e56 || p.state.InSeq != 0 || p.a.Ident.Cookie == 0xc00c1e {
		t.Errorf("reset %v %v, %+v, cookie %#x", p.c.WasReset, p.c.Full, p.state, p.a.Ident.Cookie)
	}
}

// A peer that answers without end is left.
func TestResumeEndless(t *testing.T) {
	t.Parallel()
	p := newPair()
	p.terms.Lossy = false
	p.state = resumable()
	p.answer = func(a *Acceptor, ask Ask) { a.Retry(a.Reconnect.ConnectSeq) }
	p.run()
	if !errors.Is(p.cErr, ErrProtocol) {
		t.Errorf("connecting: %v", p.cErr)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	p := newPair()
	p.answer = func(a *Acceptor, ask Ask) { a.send(frame.TagWait, &frame.Empty{}) }
	p.run()
	if !errors.Is(p.cErr, ErrWait) {
		t.Errorf("connecting: %v", p.cErr)
	}
}

// FuzzAcceptor and FuzzConnector let a stranger say anything, with correct
// checksums: the input is a sequence of tag, length, payload.
func FuzzAcceptor(f *testing.F) { fuzzEnd(f, true) }

func FuzzConnector(f *testing.F) { fuzzEnd(f, false) }

func fuzzEnd(f *testing.F, accepting bool) {
	enc := func(tag frame.Tag, p frame.Payload) []byte {
		var e wire.Encoder
		p.Encode(&e)
		return append([]byte{byte(tag), byte(e.Len())}, e.Bytes()...)
	}
	if accepting {
		f.Add(slices.Concat(
			enc(frame.TagHello, &frame.Hello{Type: entity.Client, Seen: serverAddr}),
			enc(frame.TagAuthRequest, &frame.AuthRequest{Method: 1, Modes: []uint32{1}}),
			enc(frame.TagAuthSignature, &frame.Signature{}),
			enc(frame.TagClientIdent, &frame.ClientIdent{Addrs: entity.AddrVec{clientAddr}, Target: serverAddr})))
		f.Add(slices.Concat(
			enc(frame.TagHello, &frame.Hello{Type: entity.OSD, Seen: serverAddr}),
			enc(frame.TagAuthRequest, &frame.AuthRequest{Method: 1, Modes: []uint32{1}}),
			enc(frame.TagAuthSignature, &frame.Signature{}),
			enc(frame.TagSessionReconnect, &frame.Reconnect{Addrs: entity.AddrVec{clientAddr}})))
	} else {
		for _, last := range [][]byte{
			enc(frame.TagServerIdent, &frame.ServerIdent{Addrs: entity.AddrVec{serverAddr}}),
			enc(frame.TagSessionReconnectOK, new(frame.Number)),
			enc(frame.TagSessionReset, &frame.Reset{}),
			enc(frame.TagSessionRetry, new(frame.Number)),
		} {
			f.Add(slices.Concat(
				enc(frame.TagHello, &frame.Hello{Type: entity.OSD, Seen: clientAddr}),
				enc(frame.TagAuthDone, &frame.AuthDone{Mode: 1}),
				enc(frame.TagAuthSignature, &frame.Signature{}), last))
		}
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		p := newPair()
		p.terms.Lossy = false
		p.sauth, p.cauth = &plainAuth{unsigned: true}, &plainAuth{unsigned: true} // else no input gets past the signature
		p.cc.Auth = plainClient{p.cauth}
		p.state = resumable()
		a, c := NewAcceptor(p.ac), NewConnector(p.cc, &p.state)
		a.Out()
		c.Out()
		need, filled := a.Need, func() (bool, error) {
			ask, err := a.Filled()
			if ask != AskNothing {
				p.answer(a, ask)
			}
			return a.state == accepted, err
		}
		if !accepting {
			need, filled = c.Need, func() (bool, error) { out, err := c.Filled(); return out != Pending, err }
		}
		var (
			b frame.Batch
			w frame.Writer
		)
		b.Banner()
		for len(script) >= 2 {
			tag, n := frame.Tag(script[0]), min(int(script[1]), len(script)-2)
			w.Control(&b, tag, script[2:2+n])
			script = script[2+n:]
		}
		stream, _ := b.Contiguous()
		for len(stream) >= len(need()) {
			stream = stream[copy(need(), stream):]
			if done, err := filled(); done || err != nil {
				return
			}
		}
	})
}
