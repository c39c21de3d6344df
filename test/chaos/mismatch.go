package chaos

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Verdict says what kind of harm an object came to.
type Verdict int

const (
	// Damaged: a part of the object is as it never was.
	Damaged Verdict = iota
	// Lost: the object is whole, as it was before acknowledged operations.
	Lost
	// Torn: each part is as it once was, but not all after the same operation.
	Torn
)

func (v Verdict) String() string {
	return [...]string{"damaged", "lost acknowledged operations", "torn: parts of different operations"}[v]
}

// Mismatch is an object that is not what it may be.
type Mismatch struct {
	Object  string
	Verdict Verdict
	Detail  string // lines
}

func (m *Mismatch) Error() string { return m.Verdict.String() + "\n" + m.Detail }

// remembered bounds how far back a loss can be named.
const remembered = 48

// history is what an object was after its last acknowledged operations.
type history []moment

type moment struct {
	op string
	digest
}

func (h *history) add(op string, s *State) { *h = h.with(op, s) }

func (h history) with(op string, s *State) history {
	if len(h) == 2*remembered {
		h = slices.Clone(h[remembered:])
	}
	return append(h, moment{op, s.digest()})
}

// newMismatch describes an object that is neither as acknowledged nor as after
// the operation in doubt, if there is one.
func newMismatch(o *object, after, got *State) *Mismatch {
	m := &Mismatch{Object: o.name}
	moments := slices.Clone(o.past)
	if after != nil {
		moments = append(moments, moment{o.doubt.String() + " (in doubt)", after.digest()})
	}
	d := got.digest()
	m.Verdict = Torn
	whole := -1
	var seen [parts][]string // operations after which the part was as it is now
	for i, at := range moments {
		if at.digest == d {
			whole = i
		}
		for p := range parts {
			if at.digest[p] == d[p] {
				seen[p] = append(seen[p], at.op)
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  acknowledged: %s\n", moments[len(o.past)-1].op)
	if o.doubt != nil {
		fmt.Fprintf(&b, "  in doubt: %v\n", o.doubt)
	}
	if whole >= 0 {
		m.Verdict = Lost
		fmt.Fprintf(&b, "  found: as after %s\n", moments[whole].op)
		for _, at := range moments[whole+1 : len(o.past)] {
			fmt.Fprintf(&b, "  lost: %s\n", at.op)
		}
		m.Detail = b.String()
		return m
	}
	for p := range parts {
		switch n := len(seen[p]); {
		case n == 0:
			m.Verdict = Damaged
			fmt.Fprintf(&b, "  %v: as never before\n", p)
			got.differences(&b, p, o.state, after)
		case d[p] == moments[len(o.past)-1].digest[p]:
			fmt.Fprintf(&b, "  %v: as acknowledged\n", p)
		default:
			fmt.Fprintf(&b, "  %v: as after %s\n", p, seen[p][n-1])
		}
	}
	m.Detail = b.String()
	return m
}

// differences tells how a part differs from what was acknowledged.
func (s *State) differences(b *strings.Builder, p part, want, after *State) {
	switch p {
	case dataPart:
		if s.Exists != want.Exists {
			fmt.Fprintf(b, "    exists: %v, want %v\n", s.Exists, want.Exists)
		}
		if len(s.Data) != len(want.Data) {
			fmt.Fprintf(b, "    size %d, want %d\n", len(s.Data), len(want.Data))
		}
		dataDifferences(b, s.Data, want, after)
	case xattrPart:
		mapDifferences(b, s.Xattrs, want.Xattrs)
	case omapPart:
		if s.Header != want.Header {
			fmt.Fprintf(b, "    header %q, want %q\n", s.Header, want.Header)
		}
		mapDifferences(b, s.Omap, want.Omap)
	}
}

// most bounds the lines of a list.
const most = 12

func dataDifferences(b *strings.Builder, got []byte, want, after *State) {
	n := min(len(got), len(want.Data))
	lines := 0
	for i := 0; i < n; i++ {
		if got[i] == want.Data[i] {
			continue
		}
		// Bytes that agree by chance do not end a run.
		end, last := i+1, i
		for ; end < n && end-last <= 8; end++ {
			if got[end] != want.Data[end] {
				last = end
			}
		}
		end = last + 1
		if lines++; lines > most {
			fmt.Fprintf(b, "    and more\n")
			return
		}
		run := got[i:end]
		what := "bytes " + hex.EncodeToString(run[:min(len(run), 16)])
		switch {
		case after != nil && end <= len(after.Data) && string(run) == string(after.Data[i:end]):
			what = "as after the operation in doubt"
		case len(strings.Trim(string(run), "\x00")) == 0:
			what = "zeros"
		}
		fmt.Fprintf(b, "    [%d, %d): %s\n", i, end, what)
		i = end
	}
}

func mapDifferences(b *strings.Builder, got, want map[string]string) {
	all := maps.Clone(want)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, got)
	lines := 0
	for _, k := range slices.Sorted(maps.Keys(all)) {
		g, gok := got[k]
		w, wok := want[k]
		if g == w && gok == wok {
			continue
		}
		if lines++; lines > most {
			fmt.Fprintf(b, "    and more\n")
			return
		}
		fmt.Fprintf(b, "    %s: %s, want %s\n", k, shown(g, gok), shown(w, wok))
	}
}

func shown(s string, ok bool) string {
	if !ok {
		return "missing"
	}
	if len(s) > 40 {
		return fmt.Sprintf("%q... (%d bytes)", s[:40], len(s))
	}
	return fmt.Sprintf("%q", s)
}
