package msg

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/wire"
)

// sample is a message captured between stock daemons and tools of 16.2.15.
type sample struct {
	Type, Version, Compat, Priority uint16
	Src                             string
	Kind                            string // op names, command prefix and the like
	Front, Data                     hexBytes
	// DataLen is the length of the data segment where only its beginning was kept.
	DataLen int `json:"data_len"`
}

type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// payload is the data segment; what was not kept of it is zeros.
func (s *sample) payload() buffer.List {
	b := make([]byte, max(len(s.Data), s.DataLen))
	copy(b, s.Data)
	return buffer.ListOf(b)
}

func samples(t testing.TB, file string) []sample {
	t.Helper()
	f, err := os.Open("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all []sample
	for dec := json.NewDecoder(bufio.NewReader(z)); dec.More(); {
		var s sample
		if err := dec.Decode(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func allSamples(t testing.TB) []sample {
	return append(samples(t, "osdop.jsonl.gz"), samples(t, "rest.jsonl.gz")...)
}

func (s *sample) decode(t testing.TB) Body {
	t.Helper()
	b, err := Decode(s.Type, s.Version, s.Compat, s.Front, s.payload())
	if err != nil {
		t.Fatalf("%d %s: %v", s.Type, s.Kind, err)
	}
	return b
}

func front(b Body) []byte {
	var e wire.Encoder
	b.EncodeFront(&e)
	return e.Bytes()
}

// What stock daemons and tools sent decodes, and encodes to the same bytes.
func TestGolden(t *testing.T) {
	t.Parallel()
	seen := map[uint16]int{}
	for i, s := range allSamples(t) {
		b, err := Decode(s.Type, s.Version, s.Compat, s.Front, s.payload())
		if err != nil {
			t.Errorf("sample %d of type %d %s: %v", i, s.Type, s.Kind, err)
			continue
		}
		seen[s.Type]++
		if v, c := b.Versions(); v != s.Version || c != s.Compat || b.MsgType() != s.Type {
			t.Errorf("%T: sent as type %d version %d compat %d, stock has %d, %d, %d", b, b.MsgType(), v, c, s.Type, s.Version, s.Compat)
		}
		if got := front(b); !bytes.Equal(got, s.Front) {
			t.Errorf("%T %s: encoded\n%x, want\n%x", b, s.Kind, got, s.Front)
		}
		if got, want := b.Payload().Bytes(), s.payload().Bytes(); !bytes.Equal(got, want) {
			t.Errorf("%T %s: payload of %d bytes became one of %d", b, s.Kind, len(want), len(got))
		}
	}
	for typ := range registry {
		if typ < TypeOSDBoot && typ != TypeMonSubscribeAck && seen[typ] == 0 {
			t.Errorf("type %d has no golden bytes", typ)
		}
	}
	if seen[TypeOSDOp] < 350 || seen[TypeMonCommand] < 500 {
		t.Errorf("only %d ops and %d commands", seen[TypeOSDOp], seen[TypeMonCommand])
	}
}

// The priority is that of the stock sender, which is not the same for all
// senders of a type.
func TestPriorities(t *testing.T) {
	t.Parallel()
	sent := map[uint16]map[uint16]bool{}
	for _, s := range allSamples(t) {
		if sent[s.Type] == nil {
			sent[s.Type] = map[uint16]bool{}
		}
		sent[s.Type][s.Priority] = true
	}
	for typ, prios := range sent {
		if b := registry[typ](); !prios[b.Priority()] {
			t.Errorf("%T is sent with priority %d, stock has %v", b, b.Priority(), prios)
		}
	}
}
