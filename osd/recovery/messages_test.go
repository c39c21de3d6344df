package recovery

import (
	"reflect"
	"testing"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

type message interface {
	wire.Marshaler
	wire.Unmarshaler
}

func messages() []message {
	head, v := obj("a"), object.Version{Epoch: 3, Version: 9}
	at := Cursor{Begun: true, OmapDone: true, Omap: "k\x00", Data: 7}
	return []message{
		&Pull{Object: head.At(4), Version: v, At: at, Max: 1 << 20, There: []object.SnapID{2, object.NoSnap}},
		&PushReply{Object: head, Version: v, Next: at, Errno: errno.EIO},
		&Remove{Head: head, Objects: []object.ID{head.At(1), head}},
		&ScanRequest{From: after(head), Max: 512},
	}
}

func TestMessagesComeBack(t *testing.T) {
	t.Parallel()
	for _, m := range messages() {
		got := reflect.New(reflect.TypeOf(m).Elem()).Interface().(message)
		if err := wire.Unmarshal(wire.Marshal(m), got); err != nil || !reflect.DeepEqual(m, got) {
			t.Errorf("%#v became %#v, %v", m, got, err)
		}
	}
	for name, m := range map[string]message{
		"stranger":   &Remove{Head: obj("a"), Objects: []object.ID{obj("b")}},
		"no objects": &ScanRequest{Max: 0},
		"too many":   &ScanRequest{Max: maxScan + 1},
	} {
		got := reflect.New(reflect.TypeOf(m).Elem()).Interface().(message)
		if err := wire.Unmarshal(wire.Marshal(m), got); err == nil {
			t.Errorf("%s: %#v is taken", name, got)
		}
	}
}

func FuzzMessages(f *testing.F) {
	for i, m := range messages() {
		f.Add(uint8(i), wire.Marshal(m))
	}
	f.Fuzz(func(t *testing.T, which uint8, raw []byte) {
		list := messages()
		kind := reflect.TypeOf(list[int(which)%len(list)]).Elem()
		m, again := reflect.New(kind).Interface().(message), reflect.New(kind).Interface().(message)
		if wire.Unmarshal(raw, m) != nil {
			return
		}
		if err := wire.Unmarshal(wire.Marshal(m), again); err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("%#v became %#v, %v", m, again, err)
		}
	})
}
