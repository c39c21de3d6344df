package node

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func someToken() *Token {
	return &Token{
		FSID: "3f6e0b0a-53a8-4d0c-8f4d-0d5d8c3a7a11", Mons: []string{"10.0.0.1:3300", "[fd00::2]:3300"},
		Name: "client.join.1763745600.x", Key: "AQAk6h9ndaYSLBAABnmFXr+mOPeAa2Dgtbq6vw==",
		Expires: time.Unix(1763745600, 0).UTC(), Options: map[string]string{"osd_pool_default_size": "1"},
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	want := someToken()
	text := want.String()
	if strings.ContainsAny(text, " \n'\"$") {
		t.Errorf("a shell would split %q", text)
	}
	got, err := ParseToken(text + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != text || got.Mons[1] != want.Mons[1] || !got.Expires.Equal(want.Expires) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if err := got.Check(want.Expires.Add(-time.Second)); err != nil {
		t.Error(err)
	}
	if err := got.Check(want.Expires); !errors.Is(err, ErrTokenExpired) {
		t.Errorf("at its end: %v", err)
	}
	for name, spoil := range map[string]func(*Token){
		"fsid":       func(t *Token) { t.FSID = "x" },
		"account":    func(t *Token) { t.Name = "nobody" },
		"key":        func(t *Token) { t.Key = "AAAA" },
		"monitors":   func(t *Token) { t.Mons = nil },
		"an ip:port": func(t *Token) { t.Mons[0] = "host" },
	} {
		bad := someToken()
		spoil(bad)
		if _, err := ParseToken(bad.String()); !errors.Is(err, ErrBadToken) || !strings.Contains(err.Error(), name) {
			t.Errorf("a bad %s: %v", name, err)
		}
	}
	for _, text := range []string{"", "pulpo1-", "pulpo1-e30", "pulpo2-" + text[7:], text[:len(text)-9], strings.Repeat("A", maxToken+1)} {
		if _, err := ParseToken(text); !errors.Is(err, ErrBadToken) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func FuzzToken(f *testing.F) {
	f.Add(someToken().String())
	f.Add("pulpo1-e30")
	f.Fuzz(func(t *testing.T, text string) {
		tok, err := ParseToken(text)
		if err != nil {
			return
		}
		again, err := ParseToken(tok.String())
		if err != nil || again.String() != tok.String() {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
