package msgr

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/wire"
)

// MethodNone is the authentication method that proves nothing
// (CEPH_AUTH_NONE).
const MethodNone = 1

// Request kinds: the first byte of a payload. Both go on alike.
const (
	noneAuthorizer = 1  // to a daemon
	noneLogin      = 10 // to a monitor
)

// NoneAuth is an Authenticator that believes what the peer says. It cannot do
// secure mode, for which there is no key. The identity of an accepted peer is
// its entity.AuthName.
type NoneAuth struct {
	Name     entity.AuthName // connecting side: who we say we are
	GlobalID uint64          // and our id; 0: the peer gives us one

	last atomic.Uint64 // id given out
}

func (a *NoneAuth) Accept(entity.Type, entity.Addr) ServerAuth { return noneServer{a} }

func (a *NoneAuth) Connect(_ context.Context, peer entity.Type) (ClientAuth, error) {
	return noneClient{a, peer}, nil
}

type noneServer struct{ *NoneAuth }

func (s noneServer) Request(method uint32, modes []Mode, payload []byte) ([]byte, *AuthDone, error) {
	if method != MethodNone || !slices.Contains(modes, ModeCRC) {
		return nil, nil, &BadMethod{
			Method: method, Result: errno.Code(errno.EOPNOTSUPP), Methods: []uint32{MethodNone}, Modes: []Mode{ModeCRC},
		}
	}
	var name entity.AuthName
	d := wire.NewDecoder(payload)
	if kind := d.U8(); kind != noneLogin && kind != noneAuthorizer {
		d.Failf("request of kind %d", kind)
	}
	name.Decode(d)
	id := d.U64()
	if err := d.Finish(); err != nil {
		return nil, nil, fmt.Errorf("none request: %w", err)
	}
	if id == 0 {
		id = s.last.Add(1)
	}
	return nil, &AuthDone{GlobalID: id, Mode: ModeCRC, Identity: name}, nil
}

func (noneServer) More([]byte) ([]byte, *AuthDone, error) {
	return nil, nil, fmt.Errorf("none: %w: there is no second step", errno.EPROTO)
}

type noneClient struct {
	*NoneAuth
	peer entity.Type
}

func (c noneClient) Request(modes []Mode) (uint32, []byte, error) {
	var e wire.Encoder
	if c.peer == entity.Mon {
		e.U8(noneLogin)
	} else {
		e.U8(noneAuthorizer)
	}
	c.Name.Encode(&e)
	e.U64(c.GlobalID)
	return MethodNone, e.Bytes(), nil
}

func (noneClient) More([]byte) ([]byte, error) {
	return nil, fmt.Errorf("none: %w: there is no second step", errno.EPROTO)
}

func (noneClient) Done(id uint64, mode Mode, _ []byte) (*AuthDone, error) {
	return &AuthDone{GlobalID: id, Mode: mode}, nil
}

func (noneClient) BadMethod(*BadMethod) bool { return false }
