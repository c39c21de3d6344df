package cephx

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/wire"
)

func TestRotate(t *testing.T) {
	t.Parallel()
	start := time.Unix(1700000000, 0)
	r, changed, err := Rotating(nil).Rotate(start, TTLs{}, chacha(1))
	must(t, err)
	if !changed || len(r) != len(Services) {
		t.Fatalf("first rotation: %v", r)
	}
	for service, s := range r {
		ttl := TTLs{}.of(service)
		if s.MaxID != 3 || !slices.Equal(s.ids(), []uint64{1, 2, 3}) {
			t.Errorf("%v: ids %v", service, s.ids())
		}
		// As a stock monitor begins: see the captured secrets.
		for id, k := range s.ByID {
			if want := start.Add(time.Duration(id) * ttl); !k.Expires.Equal(want) {
				t.Errorf("%v: generation %d expires at %v, want %v", service, id, k.Expires, want)
			}
		}
		if id, _, _ := s.current(start); id != 2 {
			t.Errorf("%v: new tickets are of generation %d", service, id)
		}
	}
	if !r.Due().Equal(start.Add(2 * time.Hour)) {
		t.Errorf("due at %v", r.Due())
	}
	if again, changed, err := r.Rotate(start.Add(2*time.Hour-1), TTLs{}, chacha(2)); err != nil || changed || len(again) != len(r) {
		t.Errorf("rotated before it was due: %v", err)
	}
	before := wire.Marshal(r)
	next, changed, err := r.Rotate(start.Add(2*time.Hour), TTLs{}, chacha(2))
	must(t, err)
	if s := next[entity.OSD]; !changed || !slices.Equal(s.ids(), []uint64{2, 3, 4}) || s.MaxID != 4 || !s.last().Equal(start.Add(4*time.Hour)) {
		t.Errorf("second rotation: %v", next[entity.OSD])
	}
	if s := next[entity.Auth]; s.MaxID != 3 {
		t.Error("AUTH secrets rotated with the others")
	}
	equal(t, "the set that was handed out", wire.Marshal(r), before)

	// After a long sleep all generations are new.
	far, _, err := r.Rotate(start.Add(1000*time.Hour), TTLs{}, chacha(3))
	must(t, err)
	if s := far[entity.OSD]; s.Due().Before(start.Add(1001*time.Hour)) || s.ByID[s.ids()[0]].Key.Equal(r[entity.OSD].ByID[3].Key) && len(s.ids()) != 3 {
		t.Errorf("after a long sleep: %v", s)
	}

	// The same arguments, the same secrets: on any monitor.
	same, _, err := r.Rotate(start.Add(2*time.Hour), TTLs{}, chacha(2))
	must(t, err)
	equal(t, "rotation", wire.Marshal(same), wire.Marshal(next))

	if _, _, err := Rotating(nil).Rotate(start, TTLs{}, bytes.NewReader(make([]byte, 20))); err == nil {
		t.Error("rotated without randomness")
	}
}

// Rotated at any times, there are three generations, the current one is not
// expired, and no id comes back.
func TestRotateHoldsInvariants(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1700000000, 0)
		rand := chacha(1)
		var r Rotating
		var keys [][]byte
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(10*time.Hour)).Draw(t, "sleep")))
			ttl := TTLs{Service: time.Duration(rapid.Int64Range(int64(time.Second), int64(2*time.Hour)).Draw(t, "ttl"))}
			old := r
			var err error
			if r, _, err = r.Rotate(now, ttl, rand); err != nil {
				t.Fatal(err)
			}
			for service, s := range r {
				if len(s.ByID) != Generations || !s.Due().After(now) || s.MaxID < old[service].MaxID || s.ids()[2] != s.MaxID {
					t.Fatalf("%v: %v", service, s)
				}
				_, k, ok := s.current(now)
				if !ok || k.Expires.Before(now) {
					t.Fatalf("%v: current generation expired at %v, now is %v", service, k.Expires, now)
				}
				var last time.Time
				for _, id := range s.ids() {
					if s.ByID[id].Expires.Before(last) {
						t.Fatalf("%v: generation %d expires before the one it follows", service, id)
					}
					last = s.ByID[id].Expires
					if was, ok := old[service].ByID[id]; ok && was != s.ByID[id] {
						t.Fatalf("%v: generation %d changed", service, id)
					}
				}
			}
			if k := r[entity.OSD].ByID[r[entity.OSD].MaxID].Key.Secret(); !slices.ContainsFunc(keys, func(b []byte) bool { return bytes.Equal(b, k) }) {
				keys = append(keys, k)
			}
		}
	})
}

// current outlives a monitor that did not rotate in time.
func TestCurrentSkipsExpired(t *testing.T) {
	t.Parallel()
	at := func(h int) time.Time { return time.Unix(1700000000, 0).Add(time.Duration(h) * time.Hour) }
	s := Secrets{ByID: map[uint64]ExpiringKey{5: {Expires: at(1)}, 6: {Expires: at(2)}, 7: {Expires: at(3)}}, MaxID: 7}
	for hours, want := range map[int]uint64{0: 6, 2: 6, 3: 7, 9: 7} {
		if id, _, ok := s.current(at(hours)); !ok || id != want {
			t.Errorf("after %d hours: generation %d, want %d", hours, id, want)
		}
	}
	if _, _, ok := (Secrets{}).current(at(0)); ok {
		t.Error("a current secret among none")
	}
	one := Secrets{ByID: map[uint64]ExpiringKey{9: {Expires: at(1)}}, MaxID: 9}
	if id, _, ok := one.current(at(5)); !ok || id != 9 {
		t.Error("the only generation is not the current one")
	}
}

// A ticket does not outlive the secrets after the administrator raised the TTL.
func TestTicketLifeIsCapped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.keys.ttl.Service = 24 * time.Hour
	c := w.client("client.admin")
	w.login(c)
	ticket, _ := c.Ticket(entity.OSD)
	if !ticket.Expires().Equal(w.rotating[entity.OSD].last()) {
		t.Errorf("ticket expires at %v, its secrets at %v", ticket.Expires(), w.rotating[entity.OSD].last())
	}
}

func TestStateEncoding(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var rotating Rotating
	must(t, wire.Unmarshal(wire.Marshal(w.rotating), &rotating))
	equal(t, "rotating secrets", wire.Marshal(rotating), wire.Marshal(w.rotating))
	var ring Keyring
	must(t, wire.Unmarshal(wire.Marshal(w.ring), &ring))
	if ring.Text() != w.ring.Text() || len(ring) != len(w.ring) {
		t.Errorf("keyring changed:\n%s\n%s", ring.Text(), w.ring.Text())
	}
	var e Entity
	must(t, wire.Unmarshal(wire.Marshal(w.ring[name(t, "osd.0")]), &e))
	if e.Caps["mon"] != "allow profile osd" || !e.Key.Equal(w.ring[name(t, "osd.0")].Key) {
		t.Errorf("entity changed: %v", e)
	}
	b := wire.Marshal(w.rotating)
	for n := range b {
		var r Rotating
		if err := wire.Unmarshal(b[:n], &r); !errors.Is(err, wire.ErrShort) {
			t.Fatalf("%d of %d bytes: %v", n, len(b), err)
		}
	}
}
