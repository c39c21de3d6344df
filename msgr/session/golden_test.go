package session

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msgr/frame"
)

type unhex []byte

func (h *unhex) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

type capturedFrame struct {
	From  string
	Tag   string
	Bytes unhex
	Plain []unhex `json:"plain_segments"`
}

// payload is the segment of a control frame.
func (f *capturedFrame) payload() []byte {
	if len(f.Plain) > 0 {
		return f.Plain[0]
	}
	return f.Bytes[32 : len(f.Bytes)-4]
}

type capturedConn struct {
	Connecting, Accepting string
	Auth                  struct {
		Key    unhex `json:"session_key"`
		Secret unhex `json:"connection_secret"`
	}
	Frames []capturedFrame
}

// captured are the connections of a transcript that got as far as SERVER_IDENT.
func captured(t *testing.T, name string) []capturedConn {
	t.Helper()
	f, err := os.Open("../frame/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var tr struct{ Connections []capturedConn }
	if err := json.NewDecoder(z).Decode(&tr); err != nil {
		t.Fatal(err)
	}
	return tr.Connections
}

// find decodes the first frame of a tag.
func (c *capturedConn) find(t *testing.T, tag frame.Tag, p frame.Payload) {
	t.Helper()
	for i := range c.Frames {
		if f := &c.Frames[i]; f.Tag == tag.String() {
			if err := frame.Decode(tag, f.payload(), p); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no %v captured", tag)
}

// handshake are the frames of one side up to its ident.
func (c *capturedConn) handshake(from string) (frames []capturedFrame) {
	for _, f := range c.Frames {
		if f.From == from && f.Tag != "MESSAGE" {
			frames = append(frames, f)
		}
		if f.Tag == "SERVER_IDENT" {
			break
		}
	}
	return frames
}

// greeting are the banner and HELLO of one side. Ours need not be equal: it
// tells that it requires msgr2.1.
func (c *capturedConn) greeting(from string) (b []byte) {
	for _, f := range c.handshake(from)[:2] {
		b = append(b, f.Bytes...)
	}
	return b
}

// script plays the captured side of an authentication.
type script struct {
	t *testing.T
	c *capturedConn
}

func (s script) outcome() *AuthDone {
	var done frame.AuthDone
	s.c.find(s.t, frame.TagAuthDone, &done)
	return &AuthDone{GlobalID: done.GlobalID, Mode: Mode(done.Mode), SessionKey: s.c.Auth.Key, ConnSecret: s.c.Auth.Secret}
}

func (s script) expect(tag frame.Tag, payload []byte) error {
	var want frame.AuthMore
	s.c.find(s.t, tag, &want)
	if !bytes.Equal(payload, want.Payload) {
		return errors.New("other payload than captured")
	}
	return nil
}

type scriptServer struct{ script }

func (s scriptServer) Request(method uint32, modes []Mode, payload []byte) ([]byte, *AuthDone, error) {
	var want frame.AuthRequest
	s.c.find(s.t, frame.TagAuthRequest, &want)
	if method != want.Method || !bytes.Equal(payload, want.Payload) || modes[0] != s.outcome().Mode {
		return nil, nil, errors.New("other request than captured")
	}
	var more frame.AuthMore
	s.c.find(s.t, frame.TagAuthReplyMore, &more)
	return more.Payload, nil, nil
}

func (s scriptServer) More(payload []byte) ([]byte, *AuthDone, error) {
	var done frame.AuthDone
	s.c.find(s.t, frame.TagAuthDone, &done)
	return done.Payload, s.outcome(), s.expect(frame.TagAuthRequestMore, payload)
}

type scriptClient struct{ script }

func (s scriptClient) Request([]Mode) (uint32, []byte, error) {
	var p frame.AuthRequest
	s.c.find(s.t, frame.TagAuthRequest, &p)
	return p.Method, p.Payload, nil
}

func (s scriptClient) More(payload []byte) ([]byte, error) {
	var p frame.AuthMore
	s.c.find(s.t, frame.TagAuthRequestMore, &p)
	return p.Payload, s.expect(frame.TagAuthReplyMore, payload)
}

func (s scriptClient) Done(uint64, Mode, []byte) (*AuthDone, error) { return s.outcome(), nil }
func (scriptClient) BadMethod(*BadMethod) bool                      { return false }

func eachCaptured(t *testing.T, f func(t *testing.T, c *capturedConn)) {
	for _, name := range []string{"client-crc", "client-secure", "cephfs-crc", "cephfs-secure"} {
		conns := captured(t, name+".json.gz")
		for i := range conns {
			t.Run(name+" "+conns[i].Connecting+" "+conns[i].Accepting, func(t *testing.T) { f(t, &conns[i]) })
		}
	}
}

// In the place of a stock daemon we say what it said, signature and ciphertext
// included.
func TestGoldenAcceptor(t *testing.T) {
	t.Parallel()
	eachCaptured(t, func(t *testing.T, c *capturedConn) {
		var (
			request frame.AuthRequest
			hello   frame.Hello
			client  frame.ClientIdent
			ident   frame.ServerIdent
		)
		c.find(t, frame.TagAuthRequest, &request)
		c.find(t, frame.TagClientIdent, &client)
		c.find(t, frame.TagServerIdent, &ident)
		daemon, _ := entity.ParseType(c.Accepting)
		a := NewAcceptor(AcceptConfig{
			Name: entity.Name{Type: daemon, Num: ident.ID}, Addrs: ident.Addrs, Seen: hello.Seen, Features: ident.Supported,
			Terms: func(peer entity.Type) Terms {
				return Terms{Lossy: ident.Flags == frame.FlagLossy, Required: ident.Required, Modes: []Mode{ModeSecure, ModeCRC}}
			},
			Auth: func(peer entity.Type) ServerAuth { return scriptServer{script{t, c}} },
		})
		a.Out()
		a.txLog = c.greeting("S") // as if we had sent that
		var out []byte
		for _, f := range c.handshake("C") {
			for b := []byte(f.Bytes); len(b) > 0; {
				b = b[copy(a.Need(), b):]
				ask, err := a.Filled()
				if err != nil {
					t.Fatalf("%s: %v", f.Tag, err)
				}
				if ask == AskOpen {
					a.Open(ident.GlobalSeq, ident.Cookie)
				}
				out = append(out, a.Out()...)
			}
		}
		var want []byte
		for _, f := range c.handshake("S")[2:] {
			want = append(want, f.Bytes...)
		}
		if !bytes.Equal(out, want) {
			t.Errorf("sent\n%x, captured\n%x", out, want)
		}
		if a.Peer.String() != c.Connecting || a.Ident.Cookie != client.Cookie || a.state != accepted {
			t.Errorf("peer %v, cookie %#x, %v", a.Peer, a.Ident.Cookie, a.state)
		}
	})
}

// And in the place of a stock client what that said.
func TestGoldenConnector(t *testing.T) {
	t.Parallel()
	eachCaptured(t, func(t *testing.T, c *capturedConn) {
		var (
			request frame.AuthRequest
			client  frame.ClientIdent
			ident   frame.ServerIdent
		)
		c.find(t, frame.TagAuthRequest, &request)
		c.find(t, frame.TagClientIdent, &client)
		c.find(t, frame.TagServerIdent, &ident)
		daemon, _ := entity.ParseType(c.Accepting)
		var s State
		k := NewConnector(ConnectConfig{
			Name: entity.Name{Type: entity.Client, Num: -1}, Addrs: client.Addrs, Peer: daemon, Target: client.Target,
			Features:  client.Supported,
			Terms:     Terms{Lossy: client.Flags == frame.FlagLossy, Required: client.Required, Modes: modes(request.Modes)},
			Auth:      scriptClient{script{t, c}},
			GlobalSeq: func(uint64) uint64 { return client.GlobalSeq },
			Cookie:    func() uint64 { return client.Cookie },
		}, &s)
		k.Out()
		k.txLog = c.greeting("C")
		var out []byte
		var outcome Outcome
		for _, f := range c.handshake("S") {
			for b := []byte(f.Bytes); len(b) > 0; {
				b = b[copy(k.Need(), b):]
				var err error
				if outcome, err = k.Filled(); err != nil {
					t.Fatalf("%s: %v", f.Tag, err)
				}
				out = append(out, k.Out()...)
			}
		}
		var want []byte
		for _, f := range c.handshake("C")[2:] {
			want = append(want, f.Bytes...)
		}
		if !bytes.Equal(out, want) {
			t.Errorf("sent\n%x, captured\n%x", out, want)
		}
		if outcome != Opened || s.Lossy != (ident.Flags&1 == 1) || s.ServerCookie != ident.Cookie || s.Resumable() == s.Lossy {
			t.Errorf("outcome %v, %+v", outcome, s)
		}
	})
}
