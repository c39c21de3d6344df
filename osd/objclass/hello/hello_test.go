package hello

import (
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
)

func TestHello(t *testing.T) {
	t.Parallel()
	o, c := classtest.New(), Class()
	if got := o.Call(t, c, "say_hello", nil, 0); string(got) != "Hello, world!" {
		t.Errorf("%q", got)
	}
	o.Call(t, c, "say_hello", []byte(strings.Repeat("x", 101)), -22)
	o.Call(t, c, "turn_it_to_11", nil, -2)
	o.Call(t, c, "record_hello", []byte("bob"), 0)
	o.Call(t, c, "record_hello", []byte("bob"), -17)
	if got := o.Call(t, c, "replay", nil, 0); string(got) != "Hello, bob!" {
		t.Errorf("%q", got)
	}
	if got := string(o.Attrs["said_by"]); !strings.HasPrefix(got, "client.4123 ") {
		t.Errorf("said by %q", got)
	}
	o.Call(t, c, "turn_it_to_11", nil, 0)
	if got := o.Call(t, c, "replay", nil, 0); string(got) != "HELLO, BOB!" {
		t.Errorf("%q", got)
	}
}
