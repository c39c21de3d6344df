package crush

import (
	"maps"
	"slices"
	"strconv"
)

// Special items (CRUSH_ITEM_UNDEF, CRUSH_ITEM_NONE).
const (
	itemUndef int32 = 0x7ffffffe
	// ItemNone is a hole: a position of the result for which no device was found.
	ItemNone int32 = 0x7fffffff
)

// Alg is a bucket's algorithm.
type Alg uint8

const (
	Uniform Alg = 1 // equal weights, O(1)
	List    Alg = 2 // cheap to append to
	Tree    Alg = 3 // O(log n)
	Straw   Alg = 4 // superseded: moves too much when weights change
	Straw2  Alg = 5
)

// ParseAlg is the inverse of String.
func ParseAlg(s string) (Alg, bool) {
	for a := Uniform; a <= Straw2; a++ {
		if a.String() == s {
			return a, true
		}
	}
	return 0, false
}

func (a Alg) String() string {
	switch a {
	case Uniform:
		return "uniform"
	case List:
		return "list"
	case Tree:
		return "tree"
	case Straw:
		return "straw"
	case Straw2:
		return "straw2"
	}
	return "unknown"
}

// WeightOne is a weight of 1.0.
const WeightOne = 0x10000

// DefaultChooseArgs is the key of the choose args that all pools share which
// have none of their own: the "compat" weight set.
const DefaultChooseArgs int64 = -1

// Map is a CRUSH map.
type Map struct {
	Buckets    []*Bucket // at index -1-id; nil: a free slot
	Rules      []*Rule   // at their id; nil: a free slot
	MaxDevices int32     // above every device id

	Types     map[int32]string // 0 is the device type
	Names     map[int32]string // of devices and buckets
	RuleNames map[int32]string

	Tunables

	Classes     map[int32]int32           // device -> class
	ClassNames  map[int32]string          // class -> name
	ClassBucket map[int32]map[int32]int32 // bucket -> class -> its shadow

	ChooseArgs map[int64][]ChooseArg // by key, each at the index of its bucket
}

// Rule is a placement rule.
type Rule struct {
	Ruleset uint8 // always the rule's id, but in maps from before luminous
	Type    uint8 // of the pools that use it: 1 replicated, 3 erasure
	MinSize uint8
	MaxSize uint8
	Steps   []Step
}

// Rule types, as pool types.
const (
	RuleReplicated = 1
	RuleErasure    = 3
)

// Step is one step of a rule.
type Step struct {
	Op   Op
	Arg1 int32
	Arg2 int32
}

// Op is what a step does.
type Op uint32

const (
	OpNoop                       Op = 0
	OpTake                       Op = 1  // arg1: item
	OpChooseFirstN               Op = 2  // arg1: how many (<= 0: that many fewer than asked for), arg2: type
	OpChooseIndep                Op = 3  // likewise
	OpEmit                       Op = 4  //
	OpChooseLeafFirstN           Op = 6  // as choose, and one device below each
	OpChooseLeafIndep            Op = 7  //
	OpSetChooseTries             Op = 8  // arg1: the value; these override tunables
	OpSetChooseLeafTries         Op = 9  //
	OpSetChooseLocalTries        Op = 10 //
	OpSetChooseLocalFallbackTrie Op = 11 //
	OpSetChooseLeafVaryR         Op = 12 //
	OpSetChooseLeafStable        Op = 13 //
)

// ChooseArg replaces what a bucket's items weigh, or are taken for, in draws.
type ChooseArg struct {
	WeightSet [][]uint32 // by position in the result; the last serves all further ones
	IDs       []int32    // hashed in place of the items
}

// IsZero reports whether it replaces nothing.
func (a *ChooseArg) IsZero() bool { return len(a.WeightSet) == 0 && len(a.IDs) == 0 }

// New returns an empty map with legacy tunables.
func New() *Map {
	return &Map{
		Types: map[int32]string{}, Names: map[int32]string{}, RuleNames: map[int32]string{},
		Classes: map[int32]int32{}, ClassNames: map[int32]string{}, ClassBucket: map[int32]map[int32]int32{},
		ChooseArgs: map[int64][]ChooseArg{},
		Tunables:   TunablesArgonaut,
	}
}

// Bucket returns a bucket by its id, nil if there is none.
func (m *Map) Bucket(id int32) *Bucket {
	if i := -1 - int(id); i >= 0 && i < len(m.Buckets) {
		return m.Buckets[i]
	}
	return nil
}

// Rule returns a rule by its id, nil if there is none.
func (m *Map) Rule(id int) *Rule {
	if id < 0 || id >= len(m.Rules) {
		return nil
	}
	return m.Rules[id]
}

// RuleID returns the id of the rule of that name.
func (m *Map) RuleID(name string) (int, bool) {
	for id, n := range m.RuleNames {
		if n == name {
			return int(id), true
		}
	}
	return 0, false
}

// ItemID returns the id of the device or bucket of that name.
func (m *Map) ItemID(name string) (int32, bool) { return lookup(m.Names, name) }

// TypeID returns the number of a type.
func (m *Map) TypeID(name string) (int32, bool) { return lookup(m.Types, name) }

// ClassID returns the number of a device class.
func (m *Map) ClassID(name string) (int32, bool) { return lookup(m.ClassNames, name) }

func lookup(names map[int32]string, name string) (int32, bool) {
	// Names are unique, so the order of the search does not matter.
	for id, n := range names {
		if n == name {
			return id, true
		}
	}
	return 0, false
}

// ClassOf returns the class name of a device, empty without one.
func (m *Map) ClassOf(item int32) string {
	if c, ok := m.Classes[item]; ok {
		return m.ClassNames[c]
	}
	return ""
}

// ItemName returns the name of an item: what it was given, else "device3" or
// "bucket3" as Ceph's tools make up.
func (m *Map) ItemName(id int32) string {
	if n, ok := m.Names[id]; ok {
		return n
	}
	if id >= 0 {
		return "device" + strconv.Itoa(int(id))
	}
	return "bucket" + strconv.Itoa(-1-int(id))
}

// itemType returns the type of an item: 0 for devices.
func (m *Map) itemType(id int32) int32 {
	if b := m.Bucket(id); b != nil {
		return int32(b.Type)
	}
	return 0
}

// Clone returns a deep copy.
func (m *Map) Clone() *Map {
	c := *m
	c.Buckets = make([]*Bucket, len(m.Buckets))
	for i, b := range m.Buckets {
		if b != nil {
			c.Buckets[i] = b.clone()
		}
	}
	c.Rules = make([]*Rule, len(m.Rules))
	for i, r := range m.Rules {
		if r != nil {
			n := *r
			n.Steps = slices.Clone(r.Steps)
			c.Rules[i] = &n
		}
	}
	c.Types = maps.Clone(m.Types)
	c.Names = maps.Clone(m.Names)
	c.RuleNames = maps.Clone(m.RuleNames)
	c.Classes = maps.Clone(m.Classes)
	c.ClassNames = maps.Clone(m.ClassNames)
	c.ClassBucket = make(map[int32]map[int32]int32, len(m.ClassBucket))
	for id, s := range m.ClassBucket {
		c.ClassBucket[id] = maps.Clone(s)
	}
	c.ChooseArgs = make(map[int64][]ChooseArg, len(m.ChooseArgs))
	for key, args := range m.ChooseArgs {
		c.ChooseArgs[key] = cloneArgs(args)
	}
	return &c
}

func cloneArgs(args []ChooseArg) []ChooseArg {
	c := make([]ChooseArg, len(args))
	for i, a := range args {
		c[i].IDs = slices.Clone(a.IDs)
		if a.WeightSet != nil {
			c[i].WeightSet = make([][]uint32, len(a.WeightSet))
			for p, w := range a.WeightSet {
				c[i].WeightSet[p] = slices.Clone(w)
			}
		}
	}
	return c
}
