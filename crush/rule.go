package crush

// DoRule maps x to devices by a rule: at most numRep of them, fewer or with
// holes (ItemNone) if the rule could not find so many. weights says by device
// which part of the inputs it takes (WeightOne: all, 0 or not listed: it is
// out). chooseArgsKey is the pool, whose choose args are used if it has any,
// else those of DefaultChooseArgs.
//
// It only reads the map; any number of goroutines may call it at once.
func (m *Map) DoRule(rule int, x uint32, numRep int, weights []uint32, chooseArgsKey int64) []int32 {
	return m.AppendRule(nil, rule, x, numRep, weights, chooseArgsKey)
}

// maxStackRep is the number of results up to which no scratch is allocated.
const maxStackRep = 16

// AppendRule is DoRule with the result appended to dst.
func (m *Map) AppendRule(dst []int32, rule int, x uint32, numRep int, weights []uint32, chooseArgsKey int64) []int32 {
	ru := m.Rule(rule)
	if ru == nil || numRep <= 0 {
		return dst
	}
	args, ok := m.ChooseArgs[chooseArgsKey]
	if !ok {
		args = m.ChooseArgs[DefaultChooseArgs]
	}
	s := search{
		m: m, x: x, weights: weights, args: args,
		tries:         int(m.ChooseTotalTries) + 1, // the tunable counts retries
		localTries:    int(m.ChooseLocalTries),
		fallbackTries: int(m.ChooseLocalFallbackTries),
		varyR:         int(m.ChooseLeafVaryR),
		stable:        m.ChooseLeafStable != 0,
	}
	var few [3 * maxStackRep]int32
	scratch := few[:]
	if numRep > maxStackRep {
		scratch = make([]int32, 3*numRep)
	}
	w, out, leaves := scratch[:numRep], scratch[numRep:2*numRep], scratch[2*numRep:3*numRep]
	wlen, found, leafTries := 0, 0, 0

	for _, st := range ru.Steps {
		switch st.Op {
		case OpTake:
			if (st.Arg1 >= 0 && st.Arg1 < m.MaxDevices) || m.Bucket(st.Arg1) != nil {
				w[0], wlen = st.Arg1, 1
			}
		case OpSetChooseTries:
			if st.Arg1 > 0 {
				s.tries = int(st.Arg1)
			}
		case OpSetChooseLeafTries:
			if st.Arg1 > 0 {
				leafTries = int(st.Arg1)
			}
		case OpSetChooseLocalTries:
			if st.Arg1 >= 0 {
				s.localTries = int(st.Arg1)
			}
		case OpSetChooseLocalFallbackTrie:
			if st.Arg1 >= 0 {
				s.fallbackTries = int(st.Arg1)
			}
		case OpSetChooseLeafVaryR:
			if st.Arg1 >= 0 {
				s.varyR = int(st.Arg1)
			}
		case OpSetChooseLeafStable:
			if st.Arg1 >= 0 {
				s.stable = st.Arg1 != 0
			}
		case OpChooseFirstN, OpChooseLeafFirstN, OpChooseIndep, OpChooseLeafIndep:
			if wlen == 0 {
				break
			}
			leaf := st.Op == OpChooseLeafFirstN || st.Op == OpChooseLeafIndep
			olen := 0
			for _, item := range w[:wlen] {
				n := int(st.Arg1)
				if n <= 0 {
					n += numRep
				}
				b := m.Bucket(item) // nil for devices and holes
				if n <= 0 || b == nil {
					continue
				}
				o, l := out[olen:], leaves[olen:]
				if !leaf {
					l = nil
				}
				if st.Op == OpChooseFirstN || st.Op == OpChooseLeafFirstN {
					recurse := leafTries
					if recurse == 0 {
						recurse = s.tries
						if m.ChooseLeafDescendOnce != 0 {
							recurse = 1
						}
					}
					olen += s.firstN(b, n, st.Arg2, o, 0, len(o), s.tries, recurse, s.localTries, l, 0)
				} else {
					size := min(n, len(o))
					s.indep(b, size, n, st.Arg2, o, 0, s.tries, max(leafTries, 1), l, 0)
					olen += size
				}
			}
			if leaf {
				copy(out[:olen], leaves[:olen])
			}
			w, out, wlen = out, w, olen
		case OpEmit:
			n := min(wlen, numRep-found)
			dst = append(dst, w[:n]...)
			found += n
			wlen = 0
		}
	}
	return dst
}

// search is what stays the same during one DoRule.
type search struct {
	m       *Map
	x       uint32
	weights []uint32
	args    []ChooseArg

	tries         int
	localTries    int
	fallbackTries int
	varyR         int
	stable        bool
}

func (s *search) choose(b *Bucket, r int32, position int) int32 {
	var arg *ChooseArg
	if i := int(-1 - b.ID); i < len(s.args) {
		arg = &s.args[i]
	}
	return b.choose(s.x, r, arg, position)
}

// isOut reports whether a device does not take this input: all inputs, or by
// hash the part that its weight leaves.
func (s *search) isOut(device int32) bool {
	if int(device) >= len(s.weights) {
		return true
	}
	w := s.weights[device]
	switch {
	case w >= WeightOne:
		return false
	case w == 0:
		return true
	}
	return Hash32_2(s.x, uint32(device))&0xffff >= w
}

// typeOf returns the type of what was drawn and the bucket it is; ok is false
// for an item that is not in the map.
func (s *search) typeOf(item int32) (typ int32, b *Bucket, ok bool) {
	if item >= 0 {
		return 0, nil, item < s.m.MaxDevices
	}
	if b = s.m.Bucket(item); b == nil {
		return 0, nil, false
	}
	return int32(b.Type), b, true
}

// firstN chooses up to n distinct items of a type below b, into out from pos
// on, at most room of them; it returns the new end. With leaves, it also finds
// a device below each, different from the others, or drops the item.
func (s *search) firstN(b *Bucket, n int, typ int32, out []int32, pos, room, tries, recurseTries, localTries int, leaves []int32, parentR int32) int {
	rep := pos
	if s.stable {
		rep = 0
	}
	for ; rep < n && room > 0; rep++ {
		if item, ok := s.firstNOne(b, rep, typ, out, pos, room, tries, recurseTries, localTries, leaves, parentR); ok {
			out[pos] = item
			pos++
			room--
		}
	}
	return pos
}

// firstNOne finds one item: descend from b, and after a collision or a device
// that is out try again with another r, in the same bucket for a while if the
// tunables say so, else from the top.
func (s *search) firstNOne(top *Bucket, rep int, typ int32, out []int32, pos, room, tries, recurseTries, localTries int, leaves []int32, parentR int32) (int32, bool) {
	failed := 0
	for {
		in := top
		failedHere := 0
		for {
			r := int32(rep) + parentR + int32(failed)
			var item int32
			collide, reject := false, len(in.Items) == 0
			if !reject {
				if s.fallbackTries > 0 && failedHere >= len(in.Items)>>1 && failedHere > s.fallbackTries {
					item = in.choosePerm(s.x, r)
				} else {
					item = s.choose(in, r, pos)
				}
				itemType, b, ok := s.typeOf(item)
				if !ok {
					return 0, false
				}
				if itemType != typ {
					if b == nil {
						return 0, false
					}
					in = b
					continue
				}
				for _, have := range out[:pos] {
					if have == item {
						collide = true
						break
					}
				}
				if !collide && leaves != nil {
					if b != nil {
						var r2 int32
						if s.varyR > 0 {
							r2 = r >> min(s.varyR-1, 31)
						}
						n := pos + 1
						if s.stable {
							n = 1
						}
						reject = s.firstN(b, n, 0, leaves, pos, room, recurseTries, 0, localTries, nil, r2) <= pos
					} else {
						leaves[pos] = item
					}
				}
				if !reject && !collide && itemType == 0 {
					reject = s.isOut(item)
				}
			}
			if !reject && !collide {
				return item, true
			}
			failed++
			failedHere++
			if collide && failedHere <= localTries {
				continue
			}
			if s.fallbackTries > 0 && failedHere <= len(in.Items)+s.fallbackTries {
				continue
			}
			break
		}
		if failed >= tries {
			return 0, false
		}
	}
}

// indep chooses size items of a type below b for the positions of out from pos
// on, breadth first: all positions try once, then those without an item again.
// What is not found stays a hole. n, the number asked for, spaces the attempts.
func (s *search) indep(top *Bucket, size, n int, typ int32, out []int32, pos, tries, recurseTries int, leaves []int32, parentR int32) {
	end := pos + size
	for i := pos; i < end; i++ {
		out[i] = itemUndef
		if leaves != nil {
			leaves[i] = itemUndef
		}
	}
	for failed, left := 0, size; left > 0 && failed < tries; failed++ {
		for rep := pos; rep < end; rep++ {
			if out[rep] != itemUndef {
				continue
			}
			item, verdict := s.indepOne(top, rep, n, failed, typ, out, pos, end, recurseTries, leaves, parentR)
			switch verdict {
			case drawn:
				out[rep] = item
				left--
			case impossible:
				out[rep] = ItemNone
				if leaves != nil {
					leaves[rep] = ItemNone
				}
				left--
			}
		}
	}
	for i := pos; i < end; i++ {
		if out[i] == itemUndef {
			out[i] = ItemNone
		}
		if leaves != nil && leaves[i] == itemUndef {
			leaves[i] = ItemNone
		}
	}
}

type verdict uint8

const (
	again      verdict = iota // nothing this time
	drawn                     // an item
	impossible                // the map is such that trying again is of no use
)

func (s *search) indepOne(in *Bucket, rep, n, failed int, typ int32, out []int32, pos, end, recurseTries int, leaves []int32, parentR int32) (int32, verdict) {
	for {
		r := int32(rep) + parentR
		if in.Alg == Uniform && len(in.Items)%n == 0 {
			// A permutation repeats after as many draws as there are items.
			r += int32((n + 1) * failed)
		} else {
			r += int32(n * failed)
		}
		if len(in.Items) == 0 {
			return 0, again
		}
		item := s.choose(in, r, pos)
		itemType, b, ok := s.typeOf(item)
		if !ok {
			return 0, impossible
		}
		if itemType != typ {
			if b == nil {
				return 0, impossible
			}
			in = b
			continue
		}
		for _, have := range out[pos:end] {
			if have == item {
				return 0, again
			}
		}
		if leaves != nil {
			if b != nil {
				s.indep(b, 1, n, 0, leaves, rep, recurseTries, 0, nil, r)
				if leaves[rep] == ItemNone {
					return 0, again
				}
			} else {
				leaves[rep] = item
			}
		}
		if itemType == 0 && s.isOut(item) {
			return 0, again
		}
		return item, drawn
	}
}
