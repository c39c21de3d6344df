package cephx

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/wire"
)

// Generations is how many secrets a service has at a time (KEY_ROTATE_NUM):
// the previous one, for tickets still in use; the current one, for new tickets;
// the next one, so that every daemon has it before the first ticket needs it.
const Generations = 3

// Services are the services with rotating secrets.
var Services = []entity.Type{entity.Auth, entity.Mon, entity.OSD, entity.MDS, entity.Mgr}

// ExpiringKey is one generation (ExpiringCryptoKey).
type ExpiringKey struct {
	Key     Key
	Expires time.Time
}

// Secrets are the rotating secrets of one service (RotatingSecrets). A value
// that was handed out is not changed any more.
type Secrets struct {
	ByID  map[uint64]ExpiringKey
	MaxID uint64 // only grows
}

// Secret returns the secret with a number.
func (s Secrets) Secret(id uint64) (Key, bool) {
	k, ok := s.ByID[id]
	return k.Key, ok
}

// ids are the numbers, oldest first.
func (s Secrets) ids() []uint64 { return slices.Sorted(maps.Keys(s.ByID)) }

// current is the generation that new tickets are made with: the second oldest,
// or the one after it if that has expired since nobody rotated in time.
func (s Secrets) current(now time.Time) (id uint64, k ExpiringKey, ok bool) {
	ids := s.ids()
	if len(ids) == 0 {
		return 0, ExpiringKey{}, false
	}
	i := min(1, len(ids)-1)
	if s.ByID[ids[i]].Expires.Before(now) && i+1 < len(ids) {
		i++
	}
	return ids[i], s.ByID[ids[i]], true
}

// last is when the newest generation expires: no ticket may live longer.
func (s Secrets) last() time.Time { return s.ByID[s.MaxID].Expires }

// Due is when the next rotation is needed; the zero time for at once.
func (s Secrets) Due() time.Time {
	if len(s.ByID) < Generations {
		return time.Time{}
	}
	// It is asked for at every step of a monitor: the second oldest, without a list.
	oldest, second := uint64(math.MaxUint64), uint64(math.MaxUint64)
	for id := range s.ByID {
		if id < oldest {
			oldest, second = id, oldest
		} else {
			second = min(second, id)
		}
	}
	return s.ByID[second].Expires
}

// rotate adds generations until nothing is due. The loop ends: each new
// generation expires later than now.
func (s Secrets) rotate(now time.Time, ttl time.Duration, rand io.Reader) (Secrets, bool, error) {
	changed := false
	for s.Due().IsZero() || !s.Due().After(now) {
		if !changed {
			s.ByID = maps.Clone(s.ByID)
			changed = true
		}
		if s.ByID == nil {
			s.ByID = map[uint64]ExpiringKey{}
		}
		k, err := NewKey(now, rand)
		if err != nil {
			return s, false, err
		}
		expires := now.Add(ttl)
		if len(s.ByID) > 0 {
			if t := s.last(); t.After(expires) {
				expires = t
			}
			expires = expires.Add(ttl)
		}
		s.MaxID++
		s.ByID[s.MaxID] = ExpiringKey{k, expires}
		if ids := s.ids(); len(ids) > Generations {
			delete(s.ByID, ids[0])
		}
	}
	return s, changed, nil
}

func (s Secrets) Encode(e *wire.Encoder) {
	e.U8(1)
	wire.EncodeMap(e, s.ByID, func(id uint64, k ExpiringKey) {
		e.U64(id)
		e.U8(1)
		k.Key.Encode(e)
		e.Time(k.Expires)
	})
	e.U64(s.MaxID)
}

func (s *Secrets) Decode(d *wire.Decoder) {
	version(d, "RotatingSecrets", 1)
	s.ByID = wire.DecodeMap(d, 29, func() (id uint64, k ExpiringKey) {
		id = d.U64()
		version(d, "ExpiringCryptoKey", 1)
		k.Key.Decode(d)
		k.Expires = d.Time()
		return id, k
	})
	s.MaxID = d.U64()
}

// TTLs are how long tickets live, and with them the generations of secrets.
type TTLs struct {
	Auth    time.Duration // auth_mon_ticket_ttl; 0: 72 h
	Service time.Duration // auth_service_ticket_ttl; 0: 1 h
}

func (t TTLs) of(service entity.Type) time.Duration {
	if service == entity.Auth {
		if t.Auth <= 0 {
			return 72 * time.Hour
		}
		return t.Auth
	}
	if t.Service <= 0 {
		return time.Hour
	}
	return t.Service
}

// Rotating are the rotating secrets of all services. A value that was handed
// out is not changed any more.
type Rotating map[entity.Type]Secrets

// Rotate returns the secrets as they should be at now, and whether that is a
// change: services without secrets get all generations, services whose current
// one has expired the next ones. The result depends on nothing but the
// arguments. One monitor calls it and commits the result through the quorum,
// so that all of them hand out the same tickets.
func (r Rotating) Rotate(now time.Time, ttl TTLs, rand io.Reader) (Rotating, bool, error) {
	out := maps.Clone(r)
	if out == nil {
		out = Rotating{}
	}
	changed := false
	for _, service := range Services {
		s, c, err := out[service].rotate(now, ttl.of(service), rand)
		if err != nil {
			return r, false, fmt.Errorf("cephx: rotate secrets of %v: %w", service, err)
		}
		out[service] = s
		changed = changed || c
	}
	if !changed {
		return r, false, nil
	}
	return out, true, nil
}

// Due is when the next rotation is needed; the zero time for at once.
func (r Rotating) Due() time.Time {
	var due time.Time
	for i, service := range Services {
		if t := r[service].Due(); i == 0 || t.Before(due) {
			due = t
		}
	}
	return due
}

func (r Rotating) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	wire.EncodeMap(e, r, func(service entity.Type, s Secrets) {
		e.U32(uint32(service))
		s.Encode(e)
	})
	e.End(m)
}

func (r *Rotating) Decode(d *wire.Decoder) {
	env := d.Begin("rotating secrets", 1)
	*r = wire.DecodeMap(d, 17, func() (service entity.Type, s Secrets) {
		service = entity.Type(d.U32())
		s.Decode(d)
		return service, s
	})
	d.End(env)
}

// SecretSource finds the secret a ticket was made with, for any goroutine.
type SecretSource interface {
	Secret(id uint64) (Key, bool)
}

// SecretRing holds the rotating secrets a daemon has fetched (RotatingKeyRing).
// Handshakes read it while a newer set replaces it.
type SecretRing struct{ set atomic.Pointer[Secrets] }

// Secret is that of the set as it is now.
func (r *SecretRing) Secret(id uint64) (Key, bool) {
	if s := r.set.Load(); s != nil {
		return s.Secret(id)
	}
	return Key{}, false
}

// Set replaces the set. An older one is refused: a late answer must not bring
// back what was rotated out.
func (r *SecretRing) Set(s Secrets) error {
	for {
		old := r.set.Load()
		if old != nil && s.MaxID < old.MaxID {
			return errors.New("cephx: rotating secrets are older than those at hand")
		}
		if r.set.CompareAndSwap(old, &s) {
			return nil
		}
	}
}

// Stale reports whether a newer set should be fetched: there is none yet, or
// its current generation expires within the margin (need_new_secrets).
func (r *SecretRing) Stale(now time.Time, margin time.Duration) bool {
	s := r.set.Load()
	return s == nil || !s.Due().After(now.Add(margin))
}
