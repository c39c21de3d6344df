package node

import (
	"context"
	"errors"
	"log/slog"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msgr"
)

// acceptor makes the accepting side of one connection; *cephx.MonAcceptor and
// *cephx.ServiceAcceptor are such.
type acceptor interface {
	Accept() cephx.ServerHandshake
}

// connector makes the connecting side, as rados/monclient does.
type connector interface {
	Connect(ctx context.Context, peer entity.Type) (msgr.ClientAuth, error)
}

// authenticator is both ends of a daemon's authentication, for its messenger.
type authenticator struct {
	acceptor
	connector
	log *slog.Logger
}

func (a *authenticator) Accept(peer entity.Type, addr entity.Addr) msgr.ServerAuth {
	return &serverAuth{h: a.acceptor.Accept(), peer: peer, addr: addr, log: a.log}
}

func (a *authenticator) Connect(ctx context.Context, peer entity.Type) (msgr.ClientAuth, error) {
	if a.connector == nil {
		return nil, errors.New("this daemon connects to nobody")
	}
	return a.connector.Connect(ctx, peer)
}

// serverAuth lets a cephx handshake speak to the messenger.
type serverAuth struct {
	h    cephx.ServerHandshake
	peer entity.Type
	addr entity.Addr
	log  *slog.Logger
}

func (s *serverAuth) Request(method uint32, modes []msgr.Mode, payload []byte) ([]byte, *msgr.AuthDone, error) {
	ms := make([]uint32, len(modes))
	for i, m := range modes {
		ms[i] = uint32(m)
	}
	return s.result(s.h.Request(method, ms, payload))
}

func (s *serverAuth) More(payload []byte) ([]byte, *msgr.AuthDone, error) {
	return s.result(s.h.More(payload))
}

func (s *serverAuth) result(reply []byte, done *cephx.Done, err error) ([]byte, *msgr.AuthDone, error) {
	var no *cephx.Refusal
	if errors.As(err, &no) {
		s.log.Warn("authentication refused", "peer", s.peer, "addr", s.addr, "refusal", no)
		return nil, nil, &msgr.BadMethod{
			Method: no.Method, Result: -int32(no.Errno), Methods: no.Methods,
			Modes: []msgr.Mode{msgr.ModeSecure, msgr.ModeCRC},
		}
	}
	if err != nil || done == nil {
		return reply, nil, err
	}
	return reply, &msgr.AuthDone{
		GlobalID: done.GlobalID, Mode: msgr.Mode(done.Mode), SessionKey: done.SessionKey,
		ConnSecret: done.ConnSecret, Identity: done.Identity,
	}, nil
}
