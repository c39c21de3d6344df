package mon

import (
	"reflect"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
)

// samples has one message of each kind, with all fields set.
func samples(t testing.TB) []peerBody {
	at := time.Unix(1763700000, 123456789).UTC()
	body := carry(&msg.MonGetVersion{Handle: 4, What: "osdmap"})
	body.data = []byte("data")
	kv := map[string]string{"k": "v"}
	return []peerBody{
		&raftBytes{[]byte("raft")},
		&chunk{1, 2, 3, []byte("part")},
		&got{1, 2},
		&forward{tid: 7, low: 5, mtid: 9, body: body, from: who{
			session: 3, name: entity.Name{Type: entity.Client, Num: -1}, auth: entity.AuthName{Type: entity.Client, ID: "admin"},
			addrs: addrs(t, "v2:127.0.0.1:3300/0"), globalID: 4117, features: 1 << 60, host: "h", opened: at, caps: kv,
		}},
		&answered{tid: 7, session: 3, close: true, body: body},
		&sessionGone{3},
		&sessionList{[]uint64{3, 4}},
		&ping{seq: 1, term: 2, time: at, names: []string{"a", "b"}, since: at},
		&pong{seq: 1, sent: at, time: at, self: report{
			addrs: addrs(t, "v2:127.0.0.1:3300/0"), metadata: kv, total: 2, avail: 1,
			mgr: Manager{Name: "x", Addrs: addrs(t, "v2:127.0.0.1:6800/1"), Features: 5, Metadata: kv},
		}},
		&join{"d", addrs(t, "v2:127.0.0.1:3303/0"), entity.UUID{1}},
		&welcome{instance: entity.UUID{1}, raftID: 4, raw: []byte("map"), ids: map[string]uint64{"a": 1}},
		&wantIDs{},
		&idRange{1, 2},
		&logLines{[]msg.LogEntry{{Name: entity.AuthName{Type: entity.Mon, ID: "b"}, Stamp: at, Seq: 1, Message: "m", Channel: "audit"}}},
	}
}

func TestPeerMessages(t *testing.T) {
	t.Parallel()
	kinds := map[peerKind]bool{}
	for _, b := range samples(t) {
		kinds[b.kind()] = true
		raw := encodePeer(42, b)
		boot, back, err := decodePeer(raw)
		if err != nil || boot != 42 || !reflect.DeepEqual(back, b) {
			t.Errorf("%T: %v\n got %+v\nwant %+v", b, err, back, b)
		}
		for n := range raw {
			if _, _, err := decodePeer(raw[:n]); err == nil {
				t.Errorf("%T: %d of %d bytes decode", b, n, len(raw))
			}
		}
	}
	if len(kinds) != len(peerBodies) {
		t.Errorf("%d of %d kinds have a sample", len(kinds), len(peerBodies))
	}
}

// A monitor survives whatever its peers send; what decodes is encoded again.
func FuzzPeer(f *testing.F) {
	for _, b := range samples(f) {
		f.Add(encodePeer(42, b))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		boot, b, err := decodePeer(raw)
		if err != nil {
			return
		}
		if _, _, err := decodePeer(encodePeer(boot, b)); err != nil {
			t.Errorf("%T: %v", b, err)
		}
	})
}
