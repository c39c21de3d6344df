package pg

import (
	"bytes"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/pglog"
	"github.com/pulpo-storage/pulpo/wire"
)

type peerBody interface {
	wire.Marshaler
	wire.Unmarshaler
}

// peerBodies are one of each, filled.
func peerBodies() []peerBody {
	i := Info{PG: gangPG, LastUpdate: object.Version{Epoch: 4, Version: 9}, LastBackfill: object.MaxID, History: History{EpochCreated: 3}}
	v := func(n uint64) object.Version { return object.Version{Epoch: 4, Version: n} }
	var m pglog.Missing
	m.Add(object.New(1, "", "", "o"), v(9), v(3))
	entry := &Entry{Kind: EntryModify, Object: object.New(1, "", "", "o"), Version: v(9), Prior: v(3)}
	return []peerBody{
		&queryBody{What: queryMissing, Since: v(3)},
		&notifyBody{Info: i, Past: pglog.PastIntervals{List: []pglog.Interval{{First: 1, Last: 2, Acting: []int32{0, 1}}}},
			Promises: []promiseBody{{To: 1, UpFrom: 3, Left: time.Second}}, Answer: true},
		&logBody{What: queryLog, Info: i, Part: pglog.Part{Tail: v(8), Head: v(9), Entries: []*Entry{entry}}, Missing: m, Activate: true, Lease: time.Second},
		&infoBody{Info: i, Activated: true},
		&opBody{Token: 7, Prior: v(8), Txn: []byte("steps")},
		&opReplyBody{Token: 7, Result: -28},
		&leaseBody{Ask: 5, Lease: time.Second},
	}
}

func TestPeerBodiesRoundTrip(t *testing.T) {
	t.Parallel()
	for i, b := range peerBodies() {
		raw := wire.Marshal(b)
		got := peerBodies()[i]
		if err := decodePeer(raw, got); err != nil {
			t.Errorf("%T: %v", b, err)
		}
		if again := wire.Marshal(got); !bytes.Equal(raw, again) {
			t.Errorf("%T is %x, came back as %x", b, raw, again)
		}
		if decodePeer(raw[:len(raw)-1], got) == nil {
			t.Errorf("%T decodes though its end is missing", b)
		}
	}
}

func FuzzPeerBodies(f *testing.F) {
	for i, b := range peerBodies() {
		f.Add(i, wire.Marshal(b))
	}
	f.Fuzz(func(t *testing.T, i int, raw []byte) {
		bodies := peerBodies()
		b := bodies[uint(i)%uint(len(bodies))]
		if decodePeer(raw, b) != nil {
			return
		}
		once := wire.Marshal(b)
		again := peerBodies()[uint(i)%uint(len(bodies))]
		if err := decodePeer(once, again); err != nil {
			t.Fatalf("%T does not decode what it encodes: %v", b, err)
		}
		if twice := wire.Marshal(again); !bytes.Equal(once, twice) {
			t.Fatalf("%T is %x, after another round %x", b, once, twice)
		}
	})
}
