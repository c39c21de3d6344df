package command

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
)

func nothing(*Call) Reply { return Reply{} }

// What is published is what the stock release publishes, for what is served.
func TestDescribe(t *testing.T) {
	t.Parallel()
	all := stock()
	if len(all) != 584 {
		t.Fatalf("%d signatures", len(all))
	}
	tab := NewTable()
	tab.Read("osd dump", nothing)
	tab.Write("osd crush set", nothing) // has two signatures
	tab.Read("pg stat", nothing)
	var got map[string]struct {
		Sig    []any
		Module string
		Perm   string
		Flags  int
	}
	if err := json.Unmarshal(tab.Describe(), &got); err != nil {
		t.Fatal(err)
	}
	served := 0
	for _, d := range got {
		if d.Flags&(FlagObsolete|FlagNoForward) == 0 {
			served++
		}
	}
	if served != 4 || len(got) != 4+31 {
		t.Fatalf("%d commands are published, %d of them are served", len(got), served)
	}
	pg, dump := got["cmd000"], got["cmd000"]
	for _, d := range got {
		if len(d.Sig) > 1 && d.Sig[0] == "osd" && d.Sig[1] == "dump" {
			dump = d
		}
	}
	if pg.Flags&FlagMgr == 0 || !reflect.DeepEqual(pg.Sig, []any{"pg", "stat"}) {
		t.Errorf("pg stat: %+v", pg)
	}
	want := []any{"osd", "dump", map[string]any{"name": "epoch", "type": "CephInt", "range": "0", "req": "false"}}
	if dump.Module != "osd" || dump.Perm != "r" || dump.Flags != 0 || !reflect.DeepEqual(dump.Sig, want) {
		t.Errorf("osd dump: %+v", dump)
	}
	if tab.Find("osd dump") == nil || tab.Find("mon_status") != nil {
		t.Error("commands are found where they do not belong")
	}
}

func TestRegisteringMistakes(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(*Table){
		"unknown": func(t *Table) { t.Read("no such thing", nothing) },
		"twice":   func(t *Table) { t.Read("osd dump", nothing); t.Read("osd dump", nothing) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f(NewTable())
		}()
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	tab := NewTable()
	for _, p := range []string{"osd reweight", "osd pool create", "osd down", "osd pool delete", "osd pg-upmap-items"} {
		tab.Write(p, nothing)
	}
	for cmd, bad := range map[string]string{
		`{"prefix":"osd reweight","id":1,"weight":0.5}`:                                                         "",
		`{"prefix":"osd reweight","id":1,"weight":1}`:                                                           "", // a whole number is a number
		`{"prefix":"osd reweight","id":"1","weight":1}`:                                                         "id",
		`{"prefix":"osd reweight","id":1,"weight":"1"}`:                                                         "weight",
		`{"prefix":"osd pool create","pool":"a","pg_num":"8"}`:                                                  "pg_num",
		`{"prefix":"osd pool create","pool":7}`:                                                                 "pool",
		`{"prefix":"osd pool create","pool":"a","bulk":true}`:                                                   "",
		`{"prefix":"osd pool create","pool":"a","bulk":"--bulk"}`:                                               "",
		`{"prefix":"osd pool create","pool":"a","unheard":{"of":1}}`:                                            "?",
		`{"prefix":"osd pool create","pool":"a","unheard":1}`:                                                   "",
		`{"prefix":"osd down","ids":["0","osd.1"]}`:                                                             "",
		`{"prefix":"osd down","ids":"0"}`:                                                                       "",
		`{"prefix":"osd down","ids":[0]}`:                                                                       "ids",
		`{"prefix":"osd pg-upmap-items","pgid":"1.0","id":[1,2]}`:                                               "",
		`{"prefix":"osd pg-upmap-items","pgid":"1.0","id":["1"]}`:                                               "id",
		`{"prefix":"osd pool delete","pool":"a","yes_i_really_really_mean_it":"--yes-i-really-really-mean-it"}`: "",
	} {
		c, err := Parse([]string{cmd})
		if err != nil {
			if bad != "?" {
				t.Errorf("%s: %v", cmd, err)
			}
			continue
		}
		if got, ok := tab.Find(c.Prefix).Check(c); got != bad || ok != (bad == "") {
			t.Errorf("%s: %q, %v", cmd, got, ok)
		}
	}
}

func TestCall(t *testing.T) {
	t.Parallel()
	c, err := Parse([]string{`{"prefix":"x","s":"a","i":-3,"f":1.5,"b":true,"w":"--w","l":["p","q"],"n":[1,2],"pg":"1.1f","z":null,`, `"format":"json"}`})
	if err != nil {
		t.Fatal(err)
	}
	if c.Prefix != "x" || c.Format != JSON || c.Str("s") != "a" || c.Int("i") != -3 || c.Float("f") != 1.5 || c.Float("i") != -3 ||
		!c.Bool("b") || !c.Bool("w") || c.Bool("s") || c.StrOr("none", "d") != "d" || c.IntOr("none", 4) != 4 || c.FloatOr("none", 2) != 2 || c.Has("z") ||
		!slices.Equal(c.Strs("l"), []string{"p", "q"}) || !slices.Equal(c.Strs("s"), []string{"a"}) || c.Strs("none") != nil ||
		!slices.Equal(c.Ints("n"), []int64{1, 2}) || !slices.Equal(c.Ints("i"), []int64{-3}) {
		t.Errorf("%+v", c)
	}
	if pg, err := c.PG("pg"); err != nil || pg.Pool != 1 || pg.Seed != 0x1f {
		t.Errorf("%v, %v", pg, err)
	}
	if _, err := c.PG("s"); err == nil {
		t.Error("a bad pg was parsed")
	}
	if got := c.Names(); !slices.Equal(got, []string{"b", "f", "i", "l", "n", "pg", "s", "w"}) {
		t.Errorf("%v", got)
	}
	d := c.With("y", "s", "other")
	if d.Prefix != "y" || d.Str("s") != "other" || d.Int("i") != -3 || d.Format != JSON || c.Str("s") != "a" {
		t.Errorf("%+v", d)
	}
	for s, want := range map[string]int32{"3": 3, "osd.12": 12, "x": -1, "osd.-1": -1, "": -1, "99999999999": -1} {
		if got, err := ParseOSD(s); got != want || (err == nil) != (want >= 0) {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
}

func TestReply(t *testing.T) {
	t.Parallel()
	if r := Err(errno.ENOTEMPTY); r.Errno != errno.ENOTEMPTY || r.Status != "(39) Directory not empty" {
		t.Errorf("%+v", r)
	}
	c := New("x", map[string]any{"n": 1, "l": []string{"a"}})
	body := func(f *jsonfmt.Formatter) {
		f.Object("o", func() { f.Int("n", c.Int("n")); f.Strs("l", "item", c.Strs("l")) })
	}
	text := func() string { return "plain\n" }
	for _, k := range []struct {
		f    Format
		want string
	}{{Plain, "plain\n"}, {JSON, `{"n":1,"l":["a"]}`}, {JSONPretty, "{\n    \"n\": 1,\n    \"l\": [\n        \"a\"\n    ]\n}\n"}} {
		if got := c.As(k.f).Either(text, body); string(got.Output) != k.want {
			t.Errorf("%d: %q", k.f, got.Output)
		}
	}
	if got := c.As(JSON).Dump(body).Line(); string(got.Output) != "{\"n\":1,\"l\":[\"a\"]}\n" {
		t.Errorf("%q", got.Output)
	}
	if got := (Reply{}).Line(); len(got.Output) != 0 {
		t.Errorf("%q", got.Output)
	}
	if got := NewTable().Unknown("scrub"); got.Errno != errno.EOPNOTSUPP {
		t.Errorf("%+v", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"prefix":"osd pool create","pool":"a","pg_num":8}`, `{"prefix":"auth add","caps":["mon","allow r"],"format":"json"}`,
		`{}`, `[]`, `{"prefix":1e400}`, `{"prefix":"x","a":[[1]]}`, `{"prefix":"x","format":"xml"}`, "\xff", `{"prefix":"x","n":9223372036854775808}`,
	} {
		f.Add(s, "tail")
	}
	tab := NewTable()
	for _, d := range stock() {
		if tab.Find(d.Prefix) == nil {
			tab.Read(d.Prefix, nothing)
		}
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, cmd := range [][]string{{a}, {a, b}} {
			c, err := Parse(cmd)
			if err != nil {
				if errno.Code(err) >= 0 {
					t.Fatalf("%q: %v", cmd, err)
				}
				continue
			}
			for _, n := range c.Names() {
				c.Str(n)
				c.Int(n)
				c.Float(n)
				c.Bool(n)
				c.Strs(n)
				c.Ints(n)
				c.PG(n)
			}
			if e := tab.Find(c.Prefix); e != nil {
				e.Check(c)
			}
			tab.Unknown(c.Prefix)
		}
	})
}
