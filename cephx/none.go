package cephx

import (
	"errors"
	"sync/atomic"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/wire"
)

// NoneClient is the connecting side in a cluster that authenticates nobody
// (auth_client_required = none): it says its name and is believed. There are no
// session keys, so signatures are zero and connections are in crc mode.
type NoneClient struct {
	Name     entity.AuthName
	globalID atomic.Uint64
}

// GlobalID is the id of this client instance; 0 before the first login.
func (c *NoneClient) GlobalID() uint64 { return c.globalID.Load() }

// Login makes the handshake of a connection to a monitor.
func (c *NoneClient) Login() ClientHandshake { return &noneClient{c, true} }

// Connect makes the handshake of a connection to a service.
func (c *NoneClient) Connect(entity.Type) ClientHandshake { return &noneClient{c, false} }

type noneClient struct {
	c     *NoneClient
	login bool
}

func (h *noneClient) Request([]uint32) (uint32, []byte, error) {
	var e wire.Encoder
	if h.login {
		e.U8(authModeMon)
	} else {
		e.U8(authModeAuthorizer)
	}
	h.c.Name.Encode(&e)
	e.U64(h.c.GlobalID())
	return MethodNone, e.Bytes(), nil
}

func (h *noneClient) More([]byte) ([]byte, error) {
	return nil, errors.New("cephx: peer wants more than method none has")
}

func (h *noneClient) Done(globalID uint64, mode uint32, _ []byte) (*Done, error) {
	if h.login {
		h.c.globalID.Store(globalID)
	}
	return &Done{GlobalID: globalID, Mode: mode}, nil
}

func (h *noneClient) BadMethod(uint32, int32, []uint32) bool { return false }
