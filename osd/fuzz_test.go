package osd

import (
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore/memstore"
	"github.com/pulpo-storage/pulpo/wire"
)

// copyInput is the input of copy-from.
func copyInput(name string, pool int64) []byte {
	var e wire.Encoder
	e.Str(name)
	object.Locator{Pool: pool, Hash: -1}.Encode(&e)
	return e.Bytes()
}

func FuzzDecode(f *testing.F) {
	f.Add(wire.Marshal(&superblock{FSID: fsid, UUID: disk, ID: 3, NewestMap: 9}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s, again superblock
		if wire.Unmarshal(b, &s) != nil {
			return
		}
		if err := wire.Unmarshal(wire.Marshal(&s), &again); err != nil || again != s {
			t.Fatalf("%+v became %+v, %v", s, again, err)
		}
	})
}

// What monitors send is decoded before it is believed.
func FuzzMaps(f *testing.F) {
	f.Add(uint32(1), []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, e uint32, inc, full []byte) {
		store := memstore.NewStepped()
		if err := Format(store, fsid, disk, 0); err != nil {
			t.Fatal(err)
		}
		o, err := New(Config{Options: config.New(entity.AuthName{Type: entity.OSD, ID: "0"}, "host")}, store, time.Unix(1, 0))
		if err != nil {
			t.Fatal(err)
		}
		o.Step(time.Unix(2, 0), MonMessage{&msg.OSDMap{FSID: fsid, Newest: e,
			Incrementals: map[uint32][]byte{e: inc}, Full: map[uint32][]byte{e: full}}})
	})
}
