package monclient

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msgr"
)

// account is the connecting side of authentication: *cephx.Client, or
// *cephx.NoneClient in a cluster that authenticates nobody.
type account interface {
	Login() cephx.ClientHandshake
	Connect(service entity.Type) cephx.ClientHandshake
	GlobalID() uint64
}

// Connect makes the connecting side of one connection (msgr.Authenticator): a
// login to a monitor, else the ticket for the peer's service.
func (c *Client) Connect(_ context.Context, peer entity.Type) (msgr.ClientAuth, error) {
	if peer != entity.Mon {
		return &handshake{h: c.account.Connect(peer), refused: c.renewSoon}, nil
	}
	c.mu.Lock()
	hunt := c.hunt
	c.mu.Unlock()
	if hunt == nil {
		return nil, fmt.Errorf("monclient: no login is wanted: %w", errno.ECANCELED)
	}
	return &handshake{h: c.account.Login(), claim: hunt.claim}, nil
}

// ConnectTo is Connect for connections besides the client's own session: to a
// monitor it logs in as another instance of the account.
func (c *Client) ConnectTo(ctx context.Context, peer entity.Type) (msgr.ClientAuth, error) {
	if peer != entity.Mon {
		return c.Connect(ctx, peer)
	}
	if c.cephx == nil {
		return &handshake{h: (&cephx.NoneClient{Name: c.cfg.Name}).Login()}, nil
	}
	other, err := cephx.NewClient(c.cfg.Name, c.cfg.Key, []entity.Type{entity.Mon}, cephx.Env{})
	if err != nil {
		return nil, err
	}
	return &handshake{h: other.Login()}, nil
}

// handshake is a cephx handshake in the messenger's terms.
type handshake struct {
	h       cephx.ClientHandshake
	claim   func() error // of logins: only one of a hunt comes to its end
	refused func()
}

func (a *handshake) Request(modes []msgr.Mode) (uint32, []byte, error) {
	m := make([]uint32, len(modes))
	for i := range modes {
		m[i] = uint32(modes[i])
	}
	method, payload, err := a.h.Request(m)
	if errors.Is(err, cephx.ErrNoTicket) && a.refused != nil {
		a.refused()
	}
	return method, payload, err
}

func (a *handshake) More(payload []byte) ([]byte, error) { return a.h.More(payload) }

func (a *handshake) Done(globalID uint64, mode msgr.Mode, payload []byte) (*msgr.AuthDone, error) {
	if a.claim != nil {
		if err := a.claim(); err != nil {
			return nil, err
		}
	}
	d, err := a.h.Done(globalID, uint32(mode), payload)
	if err != nil {
		return nil, err
	}
	return &msgr.AuthDone{GlobalID: d.GlobalID, Mode: msgr.Mode(d.Mode), SessionKey: d.SessionKey, ConnSecret: d.ConnSecret}, nil
}

func (a *handshake) BadMethod(b *msgr.BadMethod) bool {
	if a.refused != nil {
		a.refused()
	}
	return a.h.BadMethod(b.Method, b.Result, b.Methods)
}

// hunt is one search for a monitor.
type hunt struct{ won atomic.Bool }

var errLate = errors.New("monclient: another monitor was faster")

// claim makes the caller the one login of the hunt that counts: two logins that
// both end would leave the tickets of one client with the session of another.
func (h *hunt) claim() error {
	if h.won.Swap(true) {
		return errLate
	}
	return nil
}
