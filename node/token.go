package node

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
)

// Token is what a new host needs to make daemons of a cluster: where its monitors
// are and a key that may do that for a while and little else. It is a secret.
type Token struct {
	FSID string `json:"fsid"`
	// Mons are addresses of monitors, ADDR:PORT.
	Mons    []string  `json:"mons"`
	Name    string    `json:"name"` // of the account
	Key     string    `json:"key"`
	Expires time.Time `json:"expires"`
	// Options are those of the cluster's identity.
	Options map[string]string `json:"options,omitempty"`
}

// tokenPrefix marks a token, with the number of its format.
const tokenPrefix = "pulpo1-"

// maxToken bounds a token's text.
const maxToken = 64 << 10

// Errors of tokens.
var (
	ErrBadToken     = errors.New("this is no join token")
	ErrTokenExpired = errors.New("the join token has expired")
)

// String is the token as it is handed over: one word.
func (t *Token) String() string {
	b, err := json.Marshal(t)
	if err != nil {
		panic("BUG: a token does not encode: " + err.Error())
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// ParseToken reads a token and checks that each part of it can be used.
func ParseToken(text string) (*Token, error) {
	text = strings.TrimSpace(text)
	body, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok || len(text) > maxToken {
		return nil, ErrBadToken
	}
	b, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadToken, err)
	}
	var t Token
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&t); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadToken, err)
	}
	bad := func(what string, err error) (*Token, error) {
		return nil, fmt.Errorf("%w: %s: %w", ErrBadToken, what, err)
	}
	if _, err := entity.ParseUUID(t.FSID); err != nil {
		return bad("fsid", err)
	}
	if _, err := entity.ParseAuthName(t.Name); err != nil {
		return bad("account", err)
	}
	if _, err := cephx.ParseKey(t.Key); err != nil {
		return bad("key", err)
	}
	if len(t.Mons) == 0 {
		return bad("monitors", errors.New("there are none"))
	}
	for _, m := range t.Mons {
		if _, err := netip.ParseAddrPort(m); err != nil {
			return bad("monitors", err)
		}
	}
	return &t, nil
}

// Check refuses a token whose time is over.
func (t *Token) Check(now time.Time) error {
	if !now.Before(t.Expires) {
		return fmt.Errorf("%w, at %v", ErrTokenExpired, t.Expires.Format(time.RFC3339))
	}
	return nil
}
