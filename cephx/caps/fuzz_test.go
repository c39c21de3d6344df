package caps

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func seed(f *testing.F, service string) {
	file, err := os.Open("testdata/parse.jsonl.gz")
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(bufio.NewReader(file))
	if err != nil {
		f.Fatal(err)
	}
	for d := json.NewDecoder(z); d.More(); {
		var c parseCase
		if err := d.Decode(&c); err != nil {
			f.Fatal(err)
		}
		if c.Service == service {
			f.Add(c.Caps)
		}
	}
}

// checkError holds for every text: what was refused says where, and what it
// stopped at is the end of the text.
func checkError(t *testing.T, text string, err error) {
	if err == nil {
		return
	}
	_, after, ok := strings.Cut(err.Error(), "stopped at ")
	if !ok {
		if !strings.Contains(err.Error(), "during profile evaluation: ") {
			t.Fatalf("%q: %v", text, err)
		}
		return
	}
	if after == "end of '"+text+"'" {
		return
	}
	rest, ok := strings.CutSuffix(after, "' of '"+text+"'")
	if !ok || !strings.HasSuffix(text, rest[1:]) {
		t.Fatalf("%q: %v", text, err)
	}
}

func FuzzParseMon(f *testing.F) {
	seed(f, "mon")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMon(text, "client.x")
		checkError(t, text, err)
		if err == nil {
			m.AllowsFS("a", Read)
			if all := m.AllowAll(); all && !m.Allows("config-key", "x", nil, Read|Write|Exec, loopback) {
				t.Fatalf("%q allows all but not this", text)
			}
		}
	})
}

func FuzzParseOSD(f *testing.F) {
	seed(f, "osd")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseOSD(text)
		checkError(t, text, err)
		if err == nil {
			r := &OSDRequest{Pool: "p", Object: "o", Write: true, Classes: []ClassCall{{Class: "x", Method: "y", Write: true}}}
			if got := c.Allows(r, loopback); c.AllowAll() && !got {
				t.Fatalf("%q allows all but not this", text)
			}
		}
	})
}

func FuzzParseMgr(f *testing.F) {
	seed(f, "mgr")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMgr(text)
		checkError(t, text, err)
		if err == nil {
			m.Allows("pg", "m", "c", map[string]string{"a": "b"}, Read, loopback)
		}
	})
}

func FuzzParseMDS(f *testing.F) {
	seed(f, "mds")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseMDS(text)
		checkError(t, text, err)
		if err == nil {
			r := &MDSRequest{Path: "a/b", Access: MayRead | MayWrite}
			if got := c.Allows(r, loopback); c.AllowAll() && !got {
				t.Fatalf("%q allows all but not this", text)
			}
		}
	})
}
