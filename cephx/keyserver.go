package cephx

import (
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
)

// mintedID is the secret number of tickets that are made with the service's
// own account instead of a rotating secret, as between monitors, which must
// trust each other before there is a quorum that could rotate anything.
const mintedID = ^uint64(0)

// KeyServer is what the monitors know: accounts and rotating secrets
// (KeyServer in Ceph). The monitor's auth service replaces its content after
// each commit while handshakes of many connections read it; each handshake step
// sees one state.
type KeyServer struct {
	ttl   TTLs
	extra Keyring
	state atomic.Pointer[keyState]
}

type keyState struct {
	entities Keyring
	rotating Rotating
}

// NewKeyServer makes a key server that knows only the accounts in extra: those
// of the monitor's own keyring, which the quorum does not carry ("mon.").
func NewKeyServer(ttl TTLs, extra Keyring) *KeyServer {
	k := &KeyServer{ttl: ttl, extra: maps.Clone(extra)}
	k.state.Store(&keyState{})
	return k
}

// Replace sets the content. The key server keeps both maps: nobody may change
// them afterwards. One goroutine replaces.
func (k *KeyServer) Replace(entities Keyring, rotating Rotating) {
	k.state.Store(&keyState{entities, rotating})
}

// Entity returns an account.
func (k *KeyServer) Entity(name entity.AuthName) (Entity, bool) {
	return k.entity(k.state.Load(), name)
}

func (k *KeyServer) entity(s *keyState, name entity.AuthName) (Entity, bool) {
	if e, ok := s.entities[name]; ok {
		return e, true
	}
	e, ok := k.extra[name]
	return e, ok
}

// Secrets is the source of the secrets of a service, for a ServiceAcceptor
// that lives with the monitor.
func (k *KeyServer) Secrets(service entity.Type) SecretSource {
	return monSecrets{k, service}
}

type monSecrets struct {
	k       *KeyServer
	service entity.Type
}

func (m monSecrets) Secret(id uint64) (Key, bool) {
	s := m.k.state.Load()
	if id == mintedID {
		e, ok := m.k.entity(s, entity.AuthName{Type: m.service})
		return e.Key, ok && !e.Key.IsZero()
	}
	return s.rotating[m.service].Secret(id)
}

// issue makes a ticket for a service (_build_session_auth_info).
func (k *KeyServer) issue(s *keyState, env Env, service entity.Type, name entity.AuthName, globalID uint64) (grant, error) {
	now := env.now()
	secrets := s.rotating[service]
	id, secret, ok := secrets.current(now)
	if !ok {
		return grant{}, fmt.Errorf("cephx: no rotating secrets for %v: %w", service, errno.EIO)
	}
	// A ticket must not outlive the secrets: after the TTL was raised the ring
	// still has generations with the old one.
	ttl := max(min(k.ttl.of(service), secrets.last().Sub(now)), 0)
	info := ticketInfo{Name: name, GlobalID: globalID, Created: now, Expires: now.Add(ttl)}
	if service != entity.Auth && service != entity.Mon { // monitors look caps up
		e, ok := k.entity(s, name)
		if !ok {
			return grant{}, fmt.Errorf("cephx: %v has no account: %w", name, errno.EACCES)
		}
		info.Caps = e.Caps[service.String()]
	}
	return finishGrant(env, service, id, secret.Key, info, ttl)
}

// issueAll makes tickets for the services in a set. AUTH is left out: its
// ticket comes from a login only. So is a service without secrets; the client
// notices when it wants to connect there.
func (k *KeyServer) issueAll(s *keyState, env Env, services uint32, name entity.AuthName, globalID uint64) []grant {
	var grants []grant
	for bit := range 32 {
		service := uint32(1) << bit
		if services&service == 0 || service > 0xff || service == uint32(entity.Auth) {
			continue
		}
		if g, err := k.issue(s, env, entity.Type(service), name, globalID); err == nil {
			grants = append(grants, g)
		}
	}
	return grants
}

func finishGrant(env Env, service entity.Type, id uint64, secret Key, info ticketInfo, ttl time.Duration) (grant, error) {
	var err error
	if info.Key, err = env.key(); err != nil {
		return grant{}, err
	}
	return grant{
		Service:  service,
		Key:      info.Key,
		Validity: ttl,
		Ticket:   ticketBlob{SecretID: id, Blob: seal(secret, info)},
	}, nil
}

// Mint makes a ticket with which a monitor connects to a service on its own
// account, without logging in anywhere. Between monitors it is made with their
// shared key, else with the service's rotating secret.
func (k *KeyServer) Mint(env Env, service entity.Type, name entity.AuthName) (*Ticket, error) {
	s := k.state.Load()
	var g grant
	var err error
	now := env.now()
	if service == entity.Mon {
		secret, ok := k.Secrets(service).Secret(mintedID)
		if !ok {
			return nil, fmt.Errorf("cephx: no key of the monitors: %w", errno.EACCES)
		}
		ttl := k.ttl.of(service)
		g, err = finishGrant(env, service, mintedID, secret,
			ticketInfo{Name: name, Created: now, Expires: now.Add(ttl)}, ttl)
	} else {
		id, secret, ok := s.rotating[service].current(now)
		if !ok {
			return nil, fmt.Errorf("cephx: no rotating secrets for %v: %w", service, errno.EIO)
		}
		ttl := k.ttl.of(service)
		g, err = finishGrant(env, service, id, secret.Key,
			ticketInfo{Name: name, Created: now, Expires: now.Add(ttl), Caps: "allow *"}, ttl)
	}
	if err != nil {
		return nil, err
	}
	return newTicket(g, 0, now), nil
}
