package session

import (
	"testing"

	"github.com/pulpo-storage/pulpo/msgr/frame"
)

func TestReceive(t *testing.T) {
	t.Parallel()
	var s State
	for i, c := range []struct {
		seq  uint64
		want bool
	}{{1, true}, {2, true}, {2, false}, {1, false}, {3, true}, {5, true}, {4, false}} {
		if got := s.Receive(c.seq); got != c.want {
			t.Errorf("%d: seq %d: %v", i, c.seq, got)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	session := State{ClientCookie: 1, ServerCookie: 2, PeerGlobalSeq: 10, ConnectSeq: 3, InSeq: 8}
	good := frame.Reconnect{ClientCookie: 1, ServerCookie: 2, GlobalSeq: 11, ConnectSeq: 4}
	for what, c := range map[string]struct {
		change func(*State, *frame.Reconnect)
		want   Verdict
		at     uint64
	}{
		"good":                {func(*State, *frame.Reconnect) {}, Accept, 0},
		"same numbers":        {func(_ *State, r *frame.Reconnect) { r.GlobalSeq, r.ConnectSeq = 10, 3 }, Accept, 0},
		"other client cookie": {func(_ *State, r *frame.Reconnect) { r.ClientCookie++ }, Reset, 0},
		"other server cookie": {func(_ *State, r *frame.Reconnect) { r.ServerCookie++ }, Reset, 0},
		"lossy":               {func(s *State, _ *frame.Reconnect) { s.Lossy = true }, Reset, 0},
		"late connection":     {func(_ *State, r *frame.Reconnect) { r.GlobalSeq = 9 }, RetryGlobal, 10},
		"late attempt":        {func(_ *State, r *frame.Reconnect) { r.ConnectSeq = 2 }, Retry, 3},
	} {
		s, r := session, good
		c.change(&s, &r)
		if got, at := s.Judge(&r); got != c.want || at != c.at {
			t.Errorf("%s: %v %d, want %v %d", what, got, at, c.want, c.at)
		}
	}
	session.Resume(&good)
	if session.PeerGlobalSeq != 11 || session.ConnectSeq != 4 || session.InSeq != 8 {
		t.Errorf("resumed: %+v", session)
	}
}

func TestMeet(t *testing.T) {
	t.Parallel()
	s := State{ClientCookie: 1, PeerGlobalSeq: 10}
	for what, c := range map[string]struct {
		cookie, seq uint64
		connected   bool
		want        Meeting
	}{
		"same session again":              {1, 11, true, Replaced},
		"same session, late":              {1, 9, true, Stale},
		"same session, lost":              {1, 9, false, Replaced},
		"another session":                 {2, 11, true, Apart},
		"another session instead of lost": {2, 11, false, Replaced},
	} {
		if got := s.Meet(&frame.ClientIdent{Cookie: c.cookie, GlobalSeq: c.seq}, c.connected); got != c.want {
			t.Errorf("%s: %v, want %v", what, got, c.want)
		}
	}
}
