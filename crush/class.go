package crush

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
)

// classID returns the number of a class, which is made if it is new.
func (m *Map) classID(name string) int32 {
	if id, ok := m.ClassID(name); ok {
		return id
	}
	id := int32(0)
	for c := range m.ClassNames {
		id = max(id, c+1)
	}
	m.ClassNames[id] = name
	return id
}

// NameDevice names a device that is in no bucket yet, so that it can have a
// class before it has a place.
func (m *Map) NameDevice(device int32, name string) error {
	if device < 0 || device >= maxDevices || !ValidName(name) {
		return fmt.Errorf("device %d '%s': %w", device, name, errno.EINVAL)
	}
	if id, ok := m.ItemID(name); ok && id != device {
		return fmt.Errorf("device name '%s' already exists as id %d: %w", name, id, errno.EEXIST)
	}
	m.Names[device] = name
	m.MaxDevices = max(m.MaxDevices, device+1)
	return nil
}

// SetDeviceClass puts a device into a class, new or not. A device that is in
// another one must be taken out of it first.
func (m *Map) SetDeviceClass(device int32, class string) error {
	if device < 0 || m.Names[device] == "" {
		return fmt.Errorf("device %d: %w", device, errno.ENOENT)
	}
	if !ValidName(class) {
		return fmt.Errorf("class name '%s': %w", class, errno.EINVAL)
	}
	if old := m.ClassOf(device); old != "" && old != class {
		return fmt.Errorf("osd.%d has already bound to class '%s', can not reset class to '%s'; "+
			"use 'ceph osd crush rm-device-class <id>' to remove old class first: %w", device, old, class, errno.EBUSY)
	}
	m.Classes[device] = m.classID(class)
	return m.RebuildShadows()
}

// RemoveDeviceClass takes a device out of its class.
func (m *Map) RemoveDeviceClass(device int32) error {
	if device < 0 || m.Names[device] == "" {
		return fmt.Errorf("osd.%d does not have a name: %w", device, errno.ENOENT)
	}
	delete(m.Classes, device)
	return m.RebuildShadows()
}

// CreateClass makes a class without devices. It lasts until the next rebuild
// finds no use of it.
func (m *Map) CreateClass(class string) error {
	if !ValidName(class) {
		return fmt.Errorf("class name '%s': %w", class, errno.EINVAL)
	}
	m.classID(class)
	return nil
}

// RemoveClass drops a class and takes its devices out of it. Rules must not
// use it.
func (m *Map) RemoveClass(class string) error {
	id, ok := m.ClassID(class)
	if !ok {
		return fmt.Errorf("class '%s': %w", class, errno.ENOENT)
	}
	if rules := m.RulesByClass(class); len(rules) > 0 {
		names := make([]string, len(rules))
		for i, r := range rules {
			names[i] = "'" + m.RuleNames[int32(r)] + "'"
		}
		return fmt.Errorf("class '%s' still referenced by crush_rule(s): %s: %w", class, strings.Join(names, ","), errno.EBUSY)
	}
	maps.DeleteFunc(m.Classes, func(item, c int32) bool { return item >= 0 && c == id })
	if err := m.RebuildShadows(); err != nil {
		return err
	}
	delete(m.ClassNames, id)
	return nil
}

// RenameClass renames a class and its shadows.
func (m *Map) RenameClass(from, to string) error {
	id, ok := m.ClassID(from)
	if !ok {
		return fmt.Errorf("class '%s': %w", from, errno.ENOENT)
	}
	if _, ok := m.ClassID(to); ok {
		return fmt.Errorf("class '%s': %w", to, errno.EEXIST)
	}
	if !ValidName(to) {
		return fmt.Errorf("class name '%s': %w", to, errno.EINVAL)
	}
	for item, c := range m.Classes {
		if item < 0 && c == id {
			base, _, _ := strings.Cut(m.Names[item], "~")
			m.Names[item] = base + "~" + to
		}
	}
	m.ClassNames[id] = to
	return nil
}

// RebuildShadows makes the shadow trees anew from the tree and the classes of
// the devices (rebuild_roots_with_classes). A shadow keeps its id, since rules
// refer to it. The editing methods call it where Ceph does.
func (m *Map) RebuildShadows() error {
	m.dropDeadClasses()
	old := m.ClassBucket
	for i := range m.Buckets {
		if id := int32(-1 - i); m.Buckets[i] != nil && m.isShadow(id) {
			m.dropBucket(id)
		}
	}
	m.ClassBucket = map[int32]map[int32]int32{}
	return m.buildShadows(old)
}

// dropDeadClasses forgets the classes that no device is in and no rule uses.
func (m *Map) dropDeadClasses() {
	live := map[int32]bool{}
	for item, c := range m.Classes {
		if item >= 0 {
			live[c] = true
		}
	}
	takes := map[int32]bool{}
	for _, r := range m.Rules {
		if r != nil {
			for _, s := range r.Steps {
				if s.Op == OpTake {
					takes[s.Arg1] = true
				}
			}
		}
	}
	for _, shadows := range m.ClassBucket {
		for c, id := range shadows {
			if takes[id] {
				live[c] = true
			}
		}
	}
	maps.DeleteFunc(m.ClassNames, func(c int32, _ string) bool { return !live[c] })
}

// buildShadows makes the shadows of all buckets and classes, with the ids that
// old has for them.
func (m *Map) buildShadows(old map[int32]map[int32]int32) error {
	used := map[int32]bool{}
	for _, shadows := range old {
		for _, id := range shadows {
			used[id] = true
		}
	}
	for _, root := range m.Roots(false) {
		for _, class := range slices.Sorted(maps.Keys(m.ClassNames)) {
			if _, err := m.buildShadow(root, class, old, used); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Map) buildShadow(id, class int32, old map[int32]map[int32]int32, used map[int32]bool) (int32, error) {
	if shadow, ok := m.ClassBucket[id][class]; ok {
		return shadow, nil // linked into the tree twice
	}
	b := m.Bucket(id)
	name, ok := m.Names[id]
	if !ok {
		return 0, fmt.Errorf("bucket %d has no name: %w", id, errno.ENOENT)
	}
	var (
		items   []int32
		weights []uint32
		from    []int // position in b
	)
	for i, item := range b.Items {
		w := b.ItemWeightAt(i)
		if item >= 0 {
			if c, ok := m.Classes[item]; !ok || c != class {
				continue
			}
		} else {
			var err error
			if item, err = m.buildShadow(item, class, old, used); err != nil {
				return 0, err
			}
			w = m.Bucket(item).Weight
		}
		items, weights, from = append(items, item), append(weights, w), append(from, i)
	}
	shadow, ok := old[id][class]
	if !ok {
		for shadow = -1; m.Bucket(shadow) != nil || used[shadow]; shadow-- {
		}
	}
	if _, err := m.placeBucket(shadow, b.Alg, b.Type, items, weights); err != nil {
		return 0, err
	}
	m.Classes[shadow] = class
	m.Names[shadow] = name + "~" + m.ClassNames[class]
	if m.ClassBucket[id] == nil {
		m.ClassBucket[id] = map[int32]int32{}
	}
	m.ClassBucket[id][class] = shadow
	m.shadowWeightSets(id, shadow, items, from)
	return shadow, nil
}

// shadowWeightSets gives a shadow the weight sets of its original: of devices
// the same weights, of buckets the sums of their shadows.
func (m *Map) shadowWeightSets(id, shadow int32, items []int32, from []int) {
	for _, args := range m.ChooseArgs {
		orig := args[-1-id].WeightSet
		if orig == nil {
			continue
		}
		sets := make([][]uint32, len(orig))
		for p := range sets {
			sets[p] = make([]uint32, len(items))
			for i, item := range items {
				if item >= 0 {
					sets[p][i] = orig[p][from[i]]
				} else if child := args[-1-item].WeightSet; p < len(child) {
					for _, w := range child[p] {
						sets[p][i] += w
					}
				}
			}
		}
		args[-1-shadow] = ChooseArg{WeightSet: sets}
	}
}
