package crush

import (
	"fmt"
	"math"

	"github.com/pulpo-storage/pulpo/errno"
)

// AddSimpleRule makes the usual rule: size many items of the failure domain
// below root, of a device class if one is given, and a device in each. mode is
// "firstn" or "indep".
func (m *Map) AddSimpleRule(name, root, failureDomain, class, mode string, ruleType uint8) (int, error) {
	if _, ok := m.RuleID(name); ok {
		return 0, fmt.Errorf("rule %s exists: %w", name, errno.EEXIST)
	}
	if !ValidName(name) {
		return 0, fmt.Errorf("rule name '%s': %w", name, errno.EINVAL)
	}
	take, ok := m.ItemID(root)
	if !ok {
		return 0, fmt.Errorf("root item %s does not exist: %w", root, errno.ENOENT)
	}
	var typ int32
	if failureDomain != "" {
		if typ, ok = m.TypeID(failureDomain); !ok {
			return 0, fmt.Errorf("unknown type %s: %w", failureDomain, errno.EINVAL)
		}
	}
	if class != "" {
		c, ok := m.ClassID(class)
		if !ok {
			return 0, fmt.Errorf("device class %s does not exist: %w", class, errno.EINVAL)
		}
		if take, ok = m.ClassBucket[take][c]; !ok {
			return 0, fmt.Errorf("root %s has no devices with class %s: %w", root, class, errno.EINVAL)
		}
	}
	r := &Rule{Type: ruleType}
	var choose, chooseLeaf Op
	switch mode {
	case "firstn":
		choose, chooseLeaf = OpChooseFirstN, OpChooseLeafFirstN
		r.MinSize, r.MaxSize = 1, 10
	case "indep":
		choose, chooseLeaf = OpChooseIndep, OpChooseLeafIndep
		r.MinSize, r.MaxSize = 3, 20
		// A hole is worse than a longer search.
		r.Steps = append(r.Steps, Step{Op: OpSetChooseLeafTries, Arg1: 5}, Step{Op: OpSetChooseTries, Arg1: 100})
	default:
		return 0, fmt.Errorf("unknown mode %s: %w", mode, errno.EINVAL)
	}
	if typ > 0 {
		choose = chooseLeaf
	}
	r.Steps = append(r.Steps, Step{Op: OpTake, Arg1: take}, Step{Op: choose, Arg2: typ}, Step{Op: OpEmit})
	id := 0
	for m.Rule(id) != nil || m.rulesetExists(id) {
		id++
	}
	if id > math.MaxUint8 {
		return 0, fmt.Errorf("too many rules: %w", errno.ENOSPC)
	}
	return id, m.addRule(id, name, r)
}

// AddErasureRule makes the rule of an erasure-coded pool: chunks items of the
// failure domain, whose positions are kept.
func (m *Map) AddErasureRule(name, root, failureDomain, class string, chunks int) (int, error) {
	if chunks < 1 || chunks > math.MaxUint8 {
		return 0, fmt.Errorf("%d chunks: %w", chunks, errno.EINVAL)
	}
	id, err := m.AddSimpleRule(name, root, failureDomain, class, "indep", RuleErasure)
	if err == nil {
		m.Rules[id].MinSize, m.Rules[id].MaxSize = uint8(min(chunks, 3)), uint8(chunks)
	}
	return id, err
}

// addRule puts a rule at an id.
func (m *Map) addRule(id int, name string, r *Rule) error {
	if id < 0 || id > math.MaxUint8 {
		return fmt.Errorf("rule id %d: %w", id, errno.ERANGE)
	}
	if m.Rule(id) != nil {
		return fmt.Errorf("rule with ruleno %d exists: %w", id, errno.EEXIST)
	}
	r.Ruleset = uint8(id)
	for id >= len(m.Rules) {
		m.Rules = append(m.Rules, nil)
	}
	m.Rules[id] = r
	if name != "" {
		m.RuleNames[int32(id)] = name
	}
	return nil
}

func (m *Map) rulesetExists(id int) bool {
	for _, r := range m.Rules {
		if r != nil && int(r.Ruleset) == id {
			return true
		}
	}
	return false
}

// RemoveRule drops a rule.
func (m *Map) RemoveRule(id int) error {
	if m.Rule(id) == nil {
		return fmt.Errorf("rule %d: %w", id, errno.ENOENT)
	}
	m.Rules[id] = nil
	delete(m.RuleNames, int32(id))
	return m.RebuildShadows()
}

// RenameRule renames a rule.
func (m *Map) RenameRule(from, to string) error {
	id, ok := m.RuleID(from)
	if !ok {
		return fmt.Errorf("source rule name '%s' does not exist: %w", from, errno.ENOENT)
	}
	if _, ok := m.RuleID(to); ok {
		return fmt.Errorf("destination rule name '%s' already exists: %w", to, errno.EEXIST)
	}
	m.RuleNames[int32(id)] = to
	return nil
}

// FindRule returns the rule that a pool of that type and size uses when it
// names a rule set: the first that fits, -1 without one.
func (m *Map) FindRule(ruleset int, ruleType, size uint8) int {
	for id, r := range m.Rules {
		if r != nil && int(r.Ruleset) == ruleset && r.Type == ruleType && r.MinSize <= size && size <= r.MaxSize {
			return id
		}
	}
	return -1
}
