package sim

import "testing"

// said is a record of an operation with its answer.
func said(call, ret int64, verb, token string, result int32, c content) *record {
	return &record{object: "o", in: input{verb: verb, token: token}, call: call, ret: ret, out: output{result, c}}
}

// The history checker tells what must not be from what may.
func TestModel(t *testing.T) {
	t.Parallel()
	put := func(token string) content {
		return content{token, token, "k" + token[len(token)-1:] + "=" + token + ";"}
	}
	one, two := put("t.1"), put("t.2")
	twoAfterOne := content{"t.2", "t.2", "k1=t.1;k2=t.2;"}
	for _, c := range []struct {
		why     string
		good    bool
		records []*record
	}{
		{"a read of the last write", true, []*record{said(1, 2, "put", "t.1", 0, content{}), said(3, 4, "get", "", 0, one)}},
		{"an acknowledged write is lost", false, []*record{said(1, 2, "put", "t.1", 0, content{}), said(3, 4, "get", "", -2, content{})}},
		{"a stale read", false, []*record{said(1, 2, "put", "t.1", 0, content{}), said(3, 4, "put", "t.2", 0, content{}), said(5, 6, "get", "", 0, one)}},
		{"two writes in turn", true, []*record{said(1, 2, "put", "t.1", 0, content{}), said(3, 4, "put", "t.2", 0, content{}), said(5, 6, "get", "", 0, twoAfterOne)}},
		{"concurrent writes in either order", true, []*record{said(1, 4, "put", "t.1", 0, content{}), said(2, 3, "put", "t.2", 0, content{}), said(5, 6, "get", "", 0, twoAfterOne)}},
		{"a torn write", false, []*record{said(1, 2, "put", "t.1", 0, content{}), said(3, 0, "put", "t.2", 0, content{}), said(5, 6, "get", "", 0, content{"t.2", "t.1", "k1=t.1;"})}},
		{"an unanswered write that happened", true, []*record{said(1, 0, "put", "t.1", 0, content{}), said(3, 4, "get", "", 0, one)}},
		{"an unanswered write that did not", true, []*record{said(1, 0, "put", "t.1", 0, content{}), said(3, 4, "get", "", -2, content{})}},
		{"it comes and goes", false, []*record{said(1, 0, "put", "t.1", 0, content{}), said(3, 4, "get", "", 0, one), said(5, 6, "get", "", -2, content{})}},
		{"an append done twice", false, []*record{said(1, 2, "append", "t.1", 0, content{}), said(3, 4, "get", "", 0, content{"t.1t.1", "t.1", ""})}},
		{"created twice", false, []*record{said(1, 2, "create", "t.1", 0, content{}), said(3, 4, "create", "t.2", 0, content{})}},
		{"another's omap key", false, []*record{said(1, 2, "put", "t.2", 0, content{}), said(3, 4, "get", "", 0, content{two.data, two.attr, ""})}},
	} {
		h := history{records: c.records}
		if ok, text := h.linearizable("o"); ok != c.good {
			t.Errorf("%s: %v\n%s", c.why, ok, text)
		}
	}
}

// Snapshots are of the moment at which the next write knew of them.
func TestModelSnapshots(t *testing.T) {
	t.Parallel()
	s := state{}
	do := func(verb, token string, snaps ...uint64) output {
		var out output
		out, s = s.apply(&input{verb: verb, token: token, snaps: snaps})
		return out
	}
	at := func(snap uint64) string {
		out, _ := s.apply(&input{verb: "getsnap", snap: snap})
		if out.result != 0 {
			return "nothing"
		}
		return out.content.data
	}
	want := func(now string, snaps ...string) {
		t.Helper()
		for i, w := range snaps {
			if got := at(uint64(i + 1)); got != w {
				t.Errorf("%s: snapshot %d is %q, want %q", now, i+1, got, w)
			}
		}
	}
	want("before anything", "nothing")
	do("put", "a1", 1)
	want("made after snapshot 1", "nothing", "a1")
	do("put", "b1", 3, 2, 1)
	want("changed after 2 and 3", "nothing", "a1", "a1", "b1")
	do("delete", "", 3, 2, 1)
	want("deleted", "nothing", "a1", "a1", "nothing")
	do("put", "c1", 4, 3, 2, 1)
	want("made again", "nothing", "a1", "a1", "nothing", "c1")
}
