package classes

import (
	"bytes"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/internal/peer"
	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
	"github.com/pulpo-storage/pulpo/osd/objclass/rbd"
)

func init() {
	families = append(families, family{"matrix", "rbd", rbd.Class(), matrixScenario})
}

// matrixScenario calls every method on every kind of object, most of which it is
// not for: a trash as a header, a header as an object map. What kinds there are,
// and with what inputs, the transcripts of the other scenarios say.
func matrixScenario(s *scenario) {
	states, inputs := s.recorded()
	s.verbatim = true
	for _, kind := range slices.Sorted(maps.Keys(states)) {
		s.put(kind, states[kind])
		for _, method := range slices.Sorted(maps.Keys(s.f.methods)) {
			if slices.Contains(fatal[method], kind) {
				continue
			}
			for _, in := range inputs[method] {
				if _, result := s.one(kind, method, in, false); result >= 0 && s.f.methods[method].Flags&2 != 0 {
					s.put(kind, states[kind])
				}
			}
		}
	}
}

// fatal has the kinds of objects on which a method kills Ceph's OSD, by an
// exception that nobody catches.
var fatal = map[string][]string{
	"trash_list": {"directory", "groupdir"},
}

// recorded returns for each transcript the state with most in it, of those that
// are no longer than a page, and for each method some inputs, those that it once
// took well before others.
func (s *scenario) recorded() (states map[string]*classtest.State, inputs map[string][][]byte) {
	const most = 3 // inputs
	others := map[string][][]byte{}
	add := func(to map[string][][]byte, step classtest.Step) {
		known := to[step.Method]
		if len(known) < most && !slices.ContainsFunc(known, func(b []byte) bool { return bytes.Equal(b, step.In) }) {
			to[step.Method] = append(known, step.In)
		}
	}
	files, err := filepath.Glob(filepath.Join(peer.Root(), "osd/objclass/rbd/testdata/*.jsonl.gz"))
	if err != nil || len(files) == 0 {
		s.t.Fatal("no transcripts: ", err)
	}
	states = map[string]*classtest.State{"none": nil, "empty": {}}
	inputs = map[string][][]byte{}
	for _, f := range files {
		kind := strings.TrimSuffix(filepath.Base(f), ".jsonl.gz")
		if kind == s.f.name {
			continue
		}
		tr, err := classtest.ReadTranscript(f)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, step := range tr.Steps {
			if st := step.After; st != nil && len(st.Omap) <= 30 && (states[kind] == nil || len(st.Omap) > len(states[kind].Omap)) && harmless(st.Data) {
				states[kind] = st
			}
			if step.Result == ok {
				add(inputs, step)
			} else {
				add(others, step)
			}
		}
	}
	for m, in := range others {
		inputs[m] = append(inputs[m], in[:min(len(in), most-len(inputs[m]))]...)
	}
	return states, inputs
}

// harmless tells that data is none that makes Ceph read memory it should not: it
// believes the lengths in a header of format 1.
func harmless(data []byte) bool {
	const headerOfV1 = 112
	return len(data) < headerOfV1 || bytes.HasPrefix(data, []byte("<<< Rados"))
}
