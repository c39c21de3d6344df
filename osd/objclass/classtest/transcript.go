package classtest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
)

// Hex is bytes that travel as hexadecimal digits.
type Hex []byte

func (h Hex) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

func (h *Hex) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// State is all that is in an object; nil: there is none.
type State struct {
	Data   Hex            `json:"data,omitempty"`
	Header Hex            `json:"header,omitempty"`
	Omap   Omap           `json:"omap,omitempty"`
	Attrs  map[string]Hex `json:"attrs,omitempty"`
}

// Omap is an object's omap. In JSON, a key that is no UTF-8 is "hex:" and its
// digits.
type Omap map[string]Hex

const hexKey = "hex:"

func (m Omap) MarshalJSON() ([]byte, error) {
	text := make(map[string]Hex, len(m))
	for k, v := range m {
		if !utf8.ValidString(k) || strings.HasPrefix(k, hexKey) {
			k = hexKey + hex.EncodeToString([]byte(k))
		}
		text[k] = v
	}
	return json.Marshal(text)
}

func (m *Omap) UnmarshalJSON(b []byte) error {
	var text map[string]Hex
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	*m = make(Omap, len(text))
	for k, v := range text {
		if digits, ok := strings.CutPrefix(k, hexKey); ok {
			b, err := hex.DecodeString(digits)
			if err != nil {
				return err
			}
			k = string(b)
		}
		(*m)[k] = v
	}
	return nil
}

// Step is one thing done to an object and what came of it. The caller begins or
// ends to watch it, or calls a method; else the object is made to be what After
// says.
type Step struct {
	Object  string `json:"object"`
	Watch   bool   `json:"watch,omitempty"`
	Unwatch bool   `json:"unwatch,omitempty"`
	Method  string `json:"method,omitempty"`
	In      Hex    `json:"in,omitempty"`
	Result  int32  `json:"result,omitempty"`
	Out     Hex    `json:"out,omitempty"`
	After   *State `json:"after,omitempty"` // of a method that writes and succeeds
}

// Transcript is calls of the methods of one class and what a stock OSD made of
// them; test/classes records it.
type Transcript struct {
	At    time.Time `json:"at"`     // when that was
	Who   uint64    `json:"client"` // who called
	Steps []Step    `json:"-"`
}

// Write writes a transcript, compressed: a line of the header, a line per step.
func (t *Transcript) Write(w io.Writer) error {
	z := gzip.NewWriter(w)
	e := json.NewEncoder(z)
	if err := e.Encode(t); err != nil {
		return err
	}
	for _, s := range t.Steps {
		if err := e.Encode(s); err != nil {
			return err
		}
	}
	return z.Close()
}

// ReadTranscript reads a file of Write.
func ReadTranscript(path string) (*Transcript, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(z)
	t := new(Transcript)
	if err := d.Decode(t); err != nil {
		return nil, err
	}
	for {
		var s Step
		if err := d.Decode(&s); err == io.EOF {
			return t, nil
		} else if err != nil {
			return nil, err
		}
		t.Steps = append(t.Steps, s)
	}
}

// Mask blots out what differs between two runs of the same calls, if both are
// masked: times near at, the number and address of the client who, uuids. The
// length stays.
func Mask(b []byte, at time.Time, who uint64) []byte {
	b = slices.Clone(b)
	// entity_inst_t of a client: type, number, address in the form of MSG_ADDR2.
	inst := binary.LittleEndian.AppendUint64([]byte{byte(entity.Client)}, who)
	inst = append(inst, 1, 1, 1)
	for i := 0; ; {
		n := bytes.Index(b[i:], inst)
		if n < 0 || len(b)-i-n < 32 {
			break
		}
		i += n
		clear(b[i+1 : i+9])   // number
		clear(b[i+20 : i+24]) // nonce
		clear(b[i+30 : i+32]) // port
		i += 32
	}
	for i := 0; i+8 <= len(b); i++ {
		sec, nsec := binary.LittleEndian.Uint32(b[i:]), binary.LittleEndian.Uint32(b[i+4:])
		if d := time.Duration(int64(sec)-at.Unix()) * time.Second; d.Abs() < time.Hour && nsec < 1e9 {
			clear(b[i : i+8])
			i += 7
		}
	}
	return uuids.ReplaceAll(b, []byte("uuuuuuuu-uuuu-4uuu-uuuu-uuuuuuuuuuuu"))
}

var uuids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

// Masked is a state with Mask done to all of it, in words.
func (s *State) Masked(at time.Time, who uint64) string {
	if s == nil {
		return "no object"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "data %x, header %x", Mask(s.Data, at, who), Mask(s.Header, at, who))
	for _, m := range []map[string]Hex{s.Omap, s.Attrs} {
		lines := make([]string, 0, len(m))
		for k, v := range m {
			lines = append(lines, fmt.Sprintf("\n    %q %x", Mask([]byte(k), at, who), Mask(v, at, who)))
		}
		slices.Sort(lines)
		b.WriteString(strings.Join(lines, "") + "\n   ")
	}
	return b.String()
}

// State returns what is in the object.
func (o *Object) State() *State {
	if !o.Exists {
		return nil
	}
	s := &State{Data: o.Bytes, Header: o.Header, Omap: map[string]Hex{}, Attrs: map[string]Hex{}}
	for k, v := range o.KV {
		s.Omap[k] = v
	}
	for k, v := range o.Attrs {
		s.Attrs[k] = v
	}
	return s
}

// SetState makes the object be as s says.
func (o *Object) SetState(s *State) {
	o.Exists, o.Bytes, o.Header = s != nil, nil, nil
	clear(o.KV)
	clear(o.Attrs)
	if s == nil {
		return
	}
	o.Bytes, o.Header = s.Data, s.Header
	for k, v := range s.Omap {
		o.KV[k] = v
	}
	for k, v := range s.Attrs {
		o.Attrs[k] = v
	}
}

// Replay does all that is in a transcript and expects the same results, answers
// and objects. A method that only reads is not called on an object that does not
// exist: the OSD does not get that far.
func Replay(t *testing.T, path string, class objclass.Class) {
	tr, err := ReadTranscript(path)
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]*Object{}
	for i, s := range tr.Steps {
		o := objects[s.Object]
		if o == nil {
			o = New()
			o.Time, o.Client.Num = tr.At, int64(tr.Who)
			objects[s.Object] = o
		}
		switch {
		case s.Watch:
			o.Watching = []objclass.Watcher{{Name: o.Client, Addr: o.Addr}}
			continue
		case s.Unwatch:
			o.Watching = nil
			continue
		case s.Method == "":
			o.SetState(s.After)
			continue
		}
		m, ok := class[s.Method]
		if !ok {
			t.Fatalf("step %d: no method %s", i, s.Method)
		}
		if !o.Exists && m.Flags&objclass.Write == 0 {
			continue
		}
		out, err := o.try(m, s.In)
		mask := func(b []byte) []byte { return Mask(b, tr.At, tr.Who) }
		if code := errno.Code(err); code != s.Result || err == nil && !bytes.Equal(mask(out), mask(s.Out)) {
			t.Errorf("step %d: %s %s %x:\n got %d %x (%v)\nwant %d %x", i, s.Object, s.Method, s.In, code, out, err, s.Result, s.Out)
		}
		if s.Result >= 0 && m.Flags&objclass.Write != 0 {
			if got, want := o.State().Masked(tr.At, tr.Who), s.After.Masked(tr.At, tr.Who); got != want {
				t.Errorf("step %d: %s %s %x: the object is then\n got %s\nwant %s", i, s.Object, s.Method, s.In, got, want)
			}
		}
	}
	if len(tr.Steps) == 0 {
		t.Error("an empty transcript")
	}
}

// Fuzz calls the methods of a class with inputs and stored values that no client
// would make: none may panic, and an error has a number. The transcripts of a
// pattern give it something to begin with.
func Fuzz(f *testing.F, class objclass.Class, pattern string) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		f.Fatal(err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		tr, err := ReadTranscript(file)
		if err != nil {
			f.Fatal(err)
		}
		states := map[string]*State{}
		for _, s := range tr.Steps {
			call := s.Method + " " + string(s.In)
			if st := states[s.Object]; st != nil && s.Method != "" && s.Result >= 0 && !seen[call] {
				seen[call] = true
				f.Add(s.Method, []byte(s.In), "", []byte(st.Data))
				for k, v := range st.Omap {
					f.Add(s.Method, []byte(s.In), k, []byte(v))
					break
				}
			}
			if s.After != nil {
				states[s.Object] = s.After
			}
		}
	}
	f.Fuzz(func(t *testing.T, method string, in []byte, key string, value []byte) {
		m, ok := class[method]
		if !ok {
			t.Skip()
		}
		o := New()
		o.Exists = true
		if key == "" {
			o.Bytes = slices.Clone(value)
		} else {
			o.KV[key] = slices.Clone(value)
		}
		if _, err := m.Call(o, in); err != nil && errno.Code(err) >= 0 {
			t.Errorf("%s: error without a number: %v", method, err)
		}
	})
}

// try calls a method; one that fails has no effect.
func (o *Object) try(m objclass.Method, in []byte) ([]byte, error) {
	before := *o
	before.Attrs, before.KV = maps.Clone(o.Attrs), maps.Clone(o.KV)
	out, err := m.Call(o, in)
	if err != nil {
		*o = before // as the OSD does
	}
	return out, err
}
