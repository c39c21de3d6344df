package authmon

import (
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
)

// Accounts of join tokens.
//
// A token lets a new host make daemons for a while. Its account says in its name
// until when, client.join.UNIXTIME.RANDOM, and the leading monitor removes it then.
// Ceph knows no accounts that end; a name is what all its tools can show and make.

// JoinPrefix is how the ids of such accounts begin.
const JoinPrefix = "join."

// expiryOf returns when an account ends; zero for never.
func expiryOf(n entity.AuthName) time.Time {
	rest, ok := strings.CutPrefix(n.ID, JoinPrefix)
	if !ok || n.Type != entity.Client {
		return time.Time{}
	}
	at, _, ok := strings.Cut(rest, ".")
	sec, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || sec <= 0 {
		return time.Time{}
	}
	return time.Unix(sec, 0)
}

func firstExpiry(all cephx.Keyring) (first time.Time) {
	for n := range all {
		if at := expiryOf(n); !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

const expireRetry = 10 * time.Second

// expire stages the removal of accounts whose time is over.
func (m *Service) expire(now time.Time) {
	for n := range m.entities {
		if at := expiryOf(n); !at.IsZero() && !now.Before(at) {
			m.Remove(n)
		}
	}
	// The commit sets the next one; if none comes, this is tried again.
	m.expiry = now.Add(expireRetry)
}
