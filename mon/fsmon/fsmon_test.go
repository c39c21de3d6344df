package fsmon

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/wire"
)

// The message that a stock monitor of a new cluster sent.
func TestGolden(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/fsmap-fresh.hex")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSpace(string(text))
	s := New(nil)
	bodies, next := s.Publish(nil, "fsmap", 0)
	if len(bodies) != 1 || next != 2 {
		t.Fatalf("%v, %d", bodies, next)
	}
	var e wire.Encoder
	bodies[0].EncodeFront(&e)
	if got := hex.EncodeToString(e.Bytes()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if bodies, next := s.Publish(nil, "fsmap", 2); bodies != nil || next != 2 {
		t.Errorf("%v, %d", bodies, next)
	}
	if b, _ := s.Publish(nil, "fsmap.user", 0); len(b) != 1 || b[0].(*msg.FSMapUser).Epoch != 1 {
		t.Errorf("%v", b)
	}
}
