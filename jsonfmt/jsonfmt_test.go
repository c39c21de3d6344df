package jsonfmt

import (
	"encoding/json"
	"testing"
)

func sample() *Formatter {
	var f Formatter
	f.Object("", func() {
		f.Int("epoch", -7)
		f.Uint("features", 4540138314316775423)
		f.Str("name", "a\"b\\c\td\ne\x01\x7f/\xff")
		f.Float("full_ratio", float64(float32(0.95)))
		f.Float("weight", 0.019989013671875)
		f.Bool("up", true)
		f.Object("options", func() {})
		f.Array("osds", func() {
			f.Int("osd", 1)
			f.Object("osd", func() { f.Strs("state", "state", []string{"exists", "up"}) })
		})
		f.Array("pools", func() {})
	})
	return &f
}

// The expected texts follow what `ceph osd dump` prints.
func TestStyles(t *testing.T) {
	t.Parallel()
	const compact = `{"epoch":-7,"features":4540138314316775423,"name":"a\"b\\c\td\ne\u0001\u007f/` + "\xff" +
		`","full_ratio":0.94999998807907104,"weight":0.019989013671875,"up":true,"options":{},"osds":[1,{"state":["exists","up"]}],"pools":[]}`
	const pretty = `{
    "epoch": -7,
    "features": 4540138314316775423,
    "name": "a\"b\\c\td\ne\u0001\u007f/` + "\xff" + `",
    "full_ratio": 0.94999998807907104,
    "weight": 0.019989013671875,
    "up": true,
    "options": {},
    "osds": [
        1,
        {
            "state": [
                "exists",
                "up"
            ]
        }
    ],
    "pools": []
}
`
	if got := sample().JSON(); got != compact {
		t.Errorf("compact:\n%s\nwant:\n%s", got, compact)
	}
	if got := sample().Pretty(); got != pretty {
		t.Errorf("pretty:\n%s\nwant:\n%s", got, pretty)
	}
	if !json.Valid([]byte(sample().JSON())) {
		t.Error("not valid JSON")
	}
}

// Floats as printf("%.17g") prints them.
func TestFloat(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]float64{
		"0": 0, "1": 1, "0.5": 0.5, "0.10000000000000001": 0.1, "1.0000000000000001e-05": 1e-5,
		"0.0001": 0.0001, "123456789": 123456789, "10000000000000000": 1e16, "1e+17": 1e17, "-2.25": -2.25,
		"0.6999969482421875": 0.6999969482421875,
	} {
		if got := Float(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func TestUnbalanced(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(*Formatter){
		"open":  func(f *Formatter) { f.OpenArray("x"); f.JSON() },
		"close": func(f *Formatter) { f.Close() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f(new(Formatter))
		}()
	}
}
