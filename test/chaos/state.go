package chaos

import (
	"bytes"
	"hash/maphash"
	"maps"
	"slices"
)

// State is all that can be seen of an object. The zero value is none.
type State struct {
	Exists bool
	Data   []byte
	Xattrs map[string]string
	Omap   map[string]string
	Header string // of the omap
}

// Clone is a copy that shares nothing.
func (s *State) Clone() *State {
	c := *s
	c.Data, c.Xattrs, c.Omap = bytes.Clone(s.Data), maps.Clone(s.Xattrs), maps.Clone(s.Omap)
	return &c
}

// Equal compares bit for bit.
func (s *State) Equal(o *State) bool {
	return s.Exists == o.Exists && bytes.Equal(s.Data, o.Data) && s.Header == o.Header &&
		maps.Equal(s.Xattrs, o.Xattrs) && maps.Equal(s.Omap, o.Omap)
}

// resize sets the length of the data; what is new are zeros.
func (s *State) resize(n int) {
	if n <= len(s.Data) {
		s.Data = s.Data[:n]
		return
	}
	// What lies behind the end of a slice may be what was cut off before.
	s.Data = append(s.Data, make([]byte, n-len(s.Data))...)
}

// part is an aspect of an object that a store keeps apart from the others, and
// so may lose apart from them.
type part int

const (
	dataPart part = iota
	xattrPart
	omapPart
	parts
)

func (p part) String() string { return [...]string{"data", "xattrs", "omap"}[p] }

// digest stands for a state where keeping it would cost too much.
type digest [parts]uint64

var digestSeed = maphash.MakeSeed()

func (s *State) digest() (d digest) {
	var h maphash.Hash
	h.SetSeed(digestSeed)
	if s.Exists {
		h.WriteByte(1)
	}
	h.Write(s.Data)
	d[dataPart] = h.Sum64()
	d[xattrPart] = digestMap(s.Xattrs, "")
	d[omapPart] = digestMap(s.Omap, s.Header)
	return d
}

func digestMap(m map[string]string, extra string) uint64 {
	var h maphash.Hash
	h.SetSeed(digestSeed)
	write := func(s string) {
		maphash.WriteComparable(&h, len(s))
		h.WriteString(s)
	}
	write(extra)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		write(k)
		write(m[k])
	}
	return h.Sum64()
}
