package crush

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
)

// Compile makes a map of its text form, as `crushtool -c` does:
//
//	tunable NAME N | device ID NAME [class NAME] | type N NAME
//	TYPE NAME { id -N [class NAME] ... alg ALG hash 0 item NAME [weight W] [pos N] ... }
//	rule [NAME] { id N type replicated|erasure min_size N max_size N step ... }
//	choose_args KEY { { bucket_id -N weight_set [ [ W ... ] ... ] ids [ N ... ] } ... }
//
// A # starts a comment. What is not said about tunables is as in the first
// release, so that a text means the same for ever.
func Compile(text string) (*Map, error) {
	p := &parser{toks: tokenize(text), m: New(), weights: map[int32]uint32{}, shadows: map[int32]map[int32]int32{}, buckets: map[string]*bucketText{}}
	p.m.StrawCalcVersion = 0
	p.parse()
	if p.err != nil {
		return nil, p.err
	}
	return p.m, p.m.check()
}

type token struct {
	text string
	line int
}

// tokenize splits at blanks; braces and brackets are tokens by themselves.
func tokenize(text string) []token {
	var toks []token
	line := 0
	for l := range strings.Lines(text) {
		line++
		l, _, _ = strings.Cut(l, "#")
		for _, c := range "{}[]" {
			l = strings.ReplaceAll(l, string(c), " "+string(c)+" ")
		}
		for _, f := range strings.Fields(l) {
			toks = append(toks, token{f, line})
		}
	}
	return toks
}

// parser reads tokens and keeps its first error; after one it sees no more
// tokens.
type parser struct {
	toks []token
	pos  int
	err  error
	m    *Map

	weights map[int32]uint32          // of the buckets so far
	shadows map[int32]map[int32]int32 // ids that buckets name for their shadows
	buckets map[string]*bucketText
	order   []*bucketText
}

func (p *parser) failf(format string, args ...any) {
	if p.err != nil {
		return
	}
	line := 1
	if n := len(p.toks); n > 0 {
		line = p.toks[min(max(p.pos-1, 0), n-1)].line
	}
	p.err = fmt.Errorf("line %d: %s: %w", line, fmt.Sprintf(format, args...), errno.EINVAL)
}

func (p *parser) peek() string {
	if p.err != nil || p.pos >= len(p.toks) {
		return ""
	}
	return p.toks[p.pos].text
}

func (p *parser) next() string {
	t := p.peek()
	if t == "" {
		p.failf("unexpected end of the map")
	}
	p.pos++
	return t
}

func (p *parser) accept(t string) bool {
	if p.peek() != t {
		return false
	}
	p.pos++
	return true
}

func (p *parser) expect(t string) {
	if got := p.next(); got != t && p.err == nil {
		p.failf("'%s' expected, not '%s'", t, got)
	}
}

func (p *parser) name() string {
	t := p.next()
	if !ValidName(t) {
		p.failf("'%s' is not a name", t)
	}
	return t
}

func (p *parser) int(lo, hi int64) int64 {
	t := p.next()
	n, err := strconv.ParseInt(t, 10, 64)
	if (err != nil || n < lo || n > hi) && p.err == nil {
		p.failf("'%s' is not a number from %d to %d", t, lo, hi)
		return 0
	}
	return n
}

// weight reads a fraction in single precision, as Ceph's compiler does.
func (p *parser) weight() uint32 {
	t := p.next()
	f, err := strconv.ParseFloat(t, 32)
	if err != nil && p.err == nil {
		p.failf("'%s' is not a weight", t)
		return 0
	}
	w, err := WeightOf(f)
	if err != nil {
		p.failf("'%s' is not a weight", t)
	}
	return w
}

func (p *parser) parse() {
	for p.peek() != "" {
		switch p.peek() {
		case "tunable":
			p.tunable()
		case "device":
			p.device()
		case "type":
			p.next()
			id := int32(p.int(0, math.MaxUint16))
			p.m.Types[id] = p.name()
		default:
			p.bucketsAndRules()
			return
		}
	}
}

func (p *parser) tunable() {
	p.next()
	name, v := p.name(), p.int(0, math.MaxInt32)
	small := func() uint8 {
		if v > math.MaxUint8 {
			p.failf("tunable %s %d is out of range", name, v)
		}
		return uint8(v)
	}
	switch name {
	case "choose_local_tries":
		p.m.ChooseLocalTries = uint32(v)
	case "choose_local_fallback_tries":
		p.m.ChooseLocalFallbackTries = uint32(v)
	case "choose_total_tries":
		p.m.ChooseTotalTries = uint32(v)
	case "chooseleaf_descend_once":
		p.m.ChooseLeafDescendOnce = uint32(v)
	case "chooseleaf_vary_r":
		p.m.ChooseLeafVaryR = small()
	case "chooseleaf_stable":
		p.m.ChooseLeafStable = small()
	case "straw_calc_version":
		p.m.StrawCalcVersion = small()
	case "allowed_bucket_algs":
		p.m.AllowedBucketAlgs = uint32(v)
	default:
		p.failf("tunable %s not recognized", name)
	}
}

func (p *parser) device() {
	p.next()
	id, name := int32(p.int(0, maxDevices-1)), p.name()
	if _, ok := p.m.ItemID(name); ok {
		p.failf("item %s defined twice", name)
	}
	p.m.Names[id] = name
	if p.accept("class") {
		p.m.Classes[id] = p.m.classID(p.name())
	}
}

// bucketText is a bucket as it was written.
type bucketText struct {
	name  string
	typ   int32
	id    int32 // 0: not given
	alg   Alg
	ids   map[int32]int32 // class -> shadow
	items []itemText
	at    int // token, for messages
	state uint8
}

type itemText struct {
	name   string
	weight uint32
	given  bool // the weight
	pos    int  // -1: where there is room
}

func (p *parser) bucketsAndRules() {
	seenRule := false
	for t := p.peek(); t != "" && t != "choose_args"; t = p.peek() {
		if t == "rule" {
			if !seenRule {
				seenRule = true
				p.placeBuckets()
			}
			p.rule()
			continue
		}
		if seenRule {
			p.failf("buckets must be defined before rules")
			return
		}
		p.bucket()
	}
	if !seenRule {
		p.placeBuckets()
	}
	p.m.countDevices()
	for p.peek() != "" {
		p.chooseArgs()
	}
}

func (p *parser) bucket() {
	b := &bucketText{at: p.pos, ids: map[int32]int32{}}
	typeName := p.name()
	typ, ok := p.m.TypeID(typeName)
	if !ok || typ == 0 {
		p.failf("bucket type '%s' is not defined", typeName)
	}
	b.typ, b.name = typ, p.name()
	_, isItem := p.m.ItemID(b.name)
	if isItem || p.buckets[b.name] != nil {
		p.failf("bucket or device '%s' is already defined", b.name)
	}
	p.expect("{")
	for !p.accept("}") && p.err == nil {
		switch tag := p.next(); tag {
		case "id":
			id := int32(p.int(-maxBuckets, -1))
			if !p.accept("class") {
				b.id = id
				break
			}
			// Not checked to exist: it may be that of a tree that is empty
			// now, which a rule still takes.
			class := p.name()
			c := p.m.classID(class)
			if _, dup := b.ids[c]; dup {
				p.failf("duplicate device class %s for bucket %s", class, b.name)
			}
			b.ids[c] = id
		case "alg":
			name := p.name()
			if b.alg, ok = ParseAlg(name); !ok {
				p.failf("unknown bucket alg '%s'", name)
			}
		case "hash":
			if h := p.next(); h != "0" && h != "rjenkins1" {
				p.failf("unknown bucket hash '%s'", h)
			}
		case "item":
			i := itemText{name: p.name(), pos: -1}
			if p.accept("weight") {
				i.weight, i.given = p.weight(), true
			}
			if p.accept("pos") {
				i.pos = int(p.int(0, math.MaxUint16))
			}
			b.items = append(b.items, i)
		default:
			p.failf("unknown '%s' in bucket '%s'", tag, b.name)
		}
	}
	if b.alg == 0 {
		p.failf("bucket '%s' has no alg", b.name)
	}
	p.buckets[b.name] = b
	p.order = append(p.order, b)
}

// placeBuckets puts the buckets into the map, each after those it holds, in
// whatever order they were written.
func (p *parser) placeBuckets() {
	used := map[int32]bool{}
	for _, b := range p.order {
		if used[b.id] && b.id != 0 {
			p.failf("duplicate bucket id %d", b.id)
		}
		used[b.id] = true
		for _, id := range b.ids {
			used[id] = true
		}
	}
	for _, b := range p.order {
		p.placeBucket(b, used)
	}
	if p.err == nil && len(p.order) > 0 {
		if err := p.m.buildShadows(p.shadows); err != nil {
			p.failf("%v", err)
		}
	}
}

func (p *parser) placeBucket(b *bucketText, used map[int32]bool) {
	const (
		open = 1
		done = 2
	)
	if p.err != nil || b.state == done {
		return
	}
	if b.state == open {
		p.pos = b.at + 1
		p.failf("bucket '%s' is below itself", b.name)
		return
	}
	b.state = open
	for _, i := range b.items {
		if c := p.buckets[i.name]; c != nil {
			p.placeBucket(c, used)
		}
	}
	b.state = done
	end := p.pos
	p.pos = b.at + 1
	p.place(b, used)
	p.pos = end
}

func (p *parser) place(b *bucketText, used map[int32]bool) {
	n := len(b.items)
	items, weights := make([]int32, n), make([]uint32, n)
	taken := make([]bool, n)
	for _, i := range b.items {
		if i.pos >= n {
			p.failf("item '%s' in bucket '%s' has pos %d >= size %d", i.name, b.name, i.pos, n)
			return
		}
		if i.pos >= 0 {
			if taken[i.pos] {
				p.failf("item '%s' in bucket '%s' has explicit pos %d, which is occupied", i.name, b.name, i.pos)
				return
			}
			taken[i.pos] = true
		}
	}
	for k, i := range b.items {
		id, ok := p.m.ItemID(i.name)
		if !ok {
			p.failf("item '%s' in bucket '%s' is not defined", i.name, b.name)
			return
		}
		w := i.weight
		if !i.given {
			w = WeightOne
			if bw, ok := p.weights[id]; ok {
				w = bw
			}
		}
		if k > 0 && b.alg == Uniform && w != weights[b.firstPos()] {
			p.failf("item '%s' in uniform bucket '%s' has another weight than the ones before; uniform bucket items must all have identical weights", i.name, b.name)
			return
		}
		pos := i.pos
		if pos < 0 {
			pos = slices.Index(taken, false)
			taken[pos] = true
		}
		if k == 0 {
			b.items[0].pos = pos
		}
		items[pos], weights[pos] = id, w
	}
	id := b.id
	if id == 0 {
		for id = -1; used[id] || p.m.Bucket(id) != nil; id-- {
		}
	}
	if _, err := p.m.placeBucket(id, b.alg, uint16(b.typ), items, weights); err != nil {
		p.failf("bucket '%s': %v", b.name, err)
		return
	}
	p.m.Names[id] = b.name
	p.weights[id] = p.m.Bucket(id).Weight
	if len(b.ids) > 0 {
		p.shadows[id] = b.ids
	}
}

// firstPos is where the first item went.
func (b *bucketText) firstPos() int { return max(b.items[0].pos, 0) }

func (p *parser) rule() {
	p.next()
	r, name := &Rule{}, ""
	if p.peek() != "{" {
		name = p.name()
	}
	if _, ok := p.m.RuleID(name); ok && name != "" {
		p.failf("rule name '%s' already defined", name)
	}
	p.expect("{")
	if !p.accept("ruleset") {
		p.expect("id")
	}
	id := int(p.int(0, math.MaxUint8))
	p.expect("type")
	switch t := p.next(); t {
	case "replicated":
		r.Type = RuleReplicated
	case "erasure":
		r.Type = RuleErasure
	default:
		p.failf("rule type '%s' is not replicated or erasure", t)
	}
	p.expect("min_size")
	r.MinSize = uint8(p.int(0, math.MaxUint8))
	p.expect("max_size")
	r.MaxSize = uint8(p.int(0, math.MaxUint8))
	for p.err == nil && !p.accept("}") {
		p.expect("step")
		r.Steps = append(r.Steps, p.step(name))
	}
	if p.err == nil && len(r.Steps) == 0 {
		p.failf("rule '%s' has no steps", name)
	}
	if p.err == nil {
		if err := p.m.addRule(id, name, r); err != nil {
			p.failf("%v", err)
		}
	}
}

func (p *parser) step(rule string) Step {
	verb := p.next()
	for op, name := range setSteps {
		if name == verb {
			return Step{Op: op, Arg1: int32(p.int(0, math.MaxInt32))}
		}
	}
	switch verb {
	case "noop":
		return Step{Op: OpNoop}
	case "emit":
		return Step{Op: OpEmit}
	case "take":
		return Step{Op: OpTake, Arg1: p.take(rule)}
	case "choose", "chooseleaf":
		mode := p.next()
		n := int32(p.int(math.MinInt32, math.MaxInt32))
		p.expect("type")
		typeName := p.name()
		typ, ok := p.m.TypeID(typeName)
		if !ok {
			p.failf("in rule '%s' type '%s' not defined", rule, typeName)
		}
		for op, name := range opNames {
			if name == verb+"_"+mode {
				return Step{Op: op, Arg1: n, Arg2: typ}
			}
		}
		p.failf("in rule '%s' '%s' is not firstn or indep", rule, mode)
	default:
		p.failf("in rule '%s' unknown step '%s'", rule, verb)
	}
	return Step{}
}

func (p *parser) take(rule string) int32 {
	item := p.name()
	id, ok := p.m.ItemID(item)
	if !ok {
		p.failf("in rule '%s' item '%s' not defined", rule, item)
	}
	if !p.accept("class") {
		return id
	}
	class := p.name()
	c, ok := p.m.ClassID(class)
	shadow, ok2 := p.m.ClassBucket[id][c]
	if !ok || !ok2 {
		p.failf("in rule '%s' step take %s no matching bucket for class %s", rule, item, class)
	}
	return shadow
}

func (p *parser) chooseArgs() {
	p.expect("choose_args")
	t := p.next()
	// The key is read as Ceph does: what does not fit an int wraps around, so
	// that the decompiled form of -1 comes back as -1.
	u, err := strconv.ParseUint(t, 10, 64)
	if err != nil && p.err == nil {
		p.failf("'%s' is not a choose_args key", t)
	}
	key := int64(int32(min(u, math.MaxInt64)))
	if _, dup := p.m.ChooseArgs[key]; dup {
		p.failf("choose_args %s duplicated", t)
	}
	args := make([]ChooseArg, len(p.m.Buckets))
	p.expect("{")
	for p.err == nil && !p.accept("}") {
		p.expect("{")
		p.expect("bucket_id")
		id := int32(p.int(math.MinInt32, -1))
		b := p.m.Bucket(id)
		if b == nil {
			p.failf("bucket %d does not exist", id)
			return
		}
		a := &args[-1-id]
		if p.accept("weight_set") {
			p.expect("[")
			for p.err == nil && !p.accept("]") {
				p.expect("[")
				w := []uint32{}
				for p.err == nil && !p.accept("]") {
					w = append(w, p.weight())
				}
				if len(w) != len(b.Items) {
					p.failf("%d needs exactly %d weights but got %d", id, len(b.Items), len(w))
				}
				a.WeightSet = append(a.WeightSet, w)
			}
		}
		if p.accept("ids") {
			p.expect("[")
			for p.err == nil && !p.accept("]") {
				a.IDs = append(a.IDs, int32(p.int(math.MinInt32, math.MaxInt32)))
			}
			if len(a.IDs) != len(b.Items) {
				p.failf("%d needs exactly %d ids but got %d", id, len(b.Items), len(a.IDs))
			}
		}
		p.expect("}")
	}
	p.m.ChooseArgs[key] = args
}
