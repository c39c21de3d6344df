package chaos

import (
	"strings"
	"testing"
	"time"
)

// TestHistories checks that the checker finds each kind of harm in a history, and
// nothing in those where there is none.
func TestHistories(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, lines, says string }{
		{"in order", `
["b",1,0,10,"o","full",2]
["e",1,20,0,null]
["b",2,0,30,"o","both",3,1]
["e",2,40,0,null]
["b",3,1,50,"o","read"]
["e",3,60,0,[1,1,0,2]]
["b",4,1,70,"o","keys"]
["e",4,80,0,{"k1":2}]
["b",5,0,90,"o","delete"]
["e",5,100,0,null]
["b",6,0,110,"o","read"]
["e",6,120,2,null]
`, ""},
		{"lost", `
["b",1,0,10,"o","full",1]
["e",1,20,0,null]
["b",2,0,30,"o","read"]
["e",2,40,2,null]
`, "no order"},
		{"stale", `
["b",1,0,10,"o","full",1]
["e",1,20,0,null]
["b",2,0,30,"o","full",1]
["e",2,40,0,null]
["b",3,1,50,"o","read"]
["e",3,60,0,[1]]
`, "no order"},
		{"at the same time", `
["b",1,0,10,"o","full",1]
["e",1,20,0,null]
["b",2,0,30,"o","full",1]
["b",3,1,31,"o","read"]
["e",3,32,0,[1]]
["e",2,40,0,null]
`, ""},
		{"seen and gone", `
["b",1,0,10,"o","full",1]
["e",1,20,0,null]
["b",2,0,30,"o","full",1]
["b",3,1,31,"o","read"]
["e",3,32,0,[2]]
["b",4,1,33,"o","read"]
["e",4,34,0,[1]]
["e",2,40,0,null]
`, "no order"},
		{"torn", `
["b",1,0,10,"o","full",1]
["e",1,20,0,null]
["b",2,0,30,"o","read"]
["e",2,40,0,"torn record 0 of 8192 bytes: 00"]
`, "torn record 0"},
		{"done twice", `
["b",1,0,10,"o","append"]
["e",1,20,0,null]
["b",2,0,30,"o","read"]
["e",2,40,0,[1,1]]
`, "no order"},
		{"half", `
["b",1,0,10,"o","both",0,0]
["b",2,1,30,"o","read"]
["e",2,40,0,[1]]
["b",3,1,50,"o","keys"]
["e",3,60,0,{}]
`, "no order"},
		{"no answer, done later", `
["b",1,0,10,"o","full",1]
["b",2,1,30,"o","read"]
["e",2,40,2,null]
["b",3,1,50,"o","read"]
["e",3,60,0,[1]]
`, ""},
		{"no answer, never done", `
["b",1,0,10,"o","delete"]
["b",2,1,20,"o","append"]
["e",2,25,0,null]
["b",3,1,30,"o","read"]
["e",3,40,0,[2]]
["b",4,1,50`, ""},
		{"no object, says delete", `
["b",1,0,10,"o","omap",0]
["e",1,20,0,null]
["b",2,0,30,"o","delete"]
["e",2,40,2,null]
`, "no order"},
	}
	for _, test := range tests {
		calls, err := parseHistory(strings.NewReader(strings.TrimPrefix(test.lines, "\n")))
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		err = checkObject(byObject(calls)["o"], time.Minute)
		if (err != nil) != (test.says != "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q", test.name, err, test.says)
		}
	}
}

func TestHistoryErrors(t *testing.T) {
	t.Parallel()
	const lines = `["b",1,0,10,"o","full",1]
["e",1,30,110,null]
["b",2,0,40,"o","delete"]
["e",2,50,2,null]
`
	calls, err := parseHistory(strings.NewReader(lines))
	if err != nil {
		t.Fatal(err)
	}
	if !calls[0].refused() || calls[1].refused() {
		t.Errorf("errors: %v", calls)
	}
	if err := checkObject(calls, time.Minute); err != nil {
		t.Error(err)
	}
	if d, c := stall(calls, 25, 60, func(*call) bool { return true }); d != 10 || c != calls[1] {
		t.Errorf("longest stall %v, %v", d, c)
	}
	for _, bad := range []string{"{}\n", `["e",1,2,0,null]` + "\n", `["b","x",1,2,"o","read"]` + "\n", `["b",1,1,2,"o"]` + "\n"} {
		if _, err := parseHistory(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is a history", bad)
		}
	}
}
