package configmon

import (
	"strings"

	"github.com/pulpo-storage/pulpo/entity"
)

// target says for whom a setting is: a section, and what limits it there
// (OptionMask). Its text form is section/class:CLASS/TYPE:NAME, with masks in
// the order location, class; it is part of the setting's key.
type target struct {
	section  string // global, osd, osd.3
	class    string // device class
	locType  string // rack
	locValue string // a
}

func (t target) masks() string {
	var s []string
	if t.locType != "" {
		s = append(s, t.locType+":"+t.locValue)
	}
	if t.class != "" {
		s = append(s, "class:"+t.class)
	}
	return strings.Join(s, "/")
}

func (t target) String() string {
	if m := t.masks(); m != "" {
		return t.section + "/" + m
	}
	return t.section
}

// types are the sections by type, in the order in which they are listed.
var types = []string{"mon", "mgr", "osd", "mds", "client"}

func sectionOK(s string) bool {
	if s == "global" {
		return true
	}
	typ, _, _ := strings.Cut(s, ".")
	for _, t := range types {
		if t == typ {
			return true
		}
	}
	return false
}

// parseTarget parses what a setting is for. Words before the last section are
// replaced, as in Ceph: "mon_x" alone is not a section but is let pass there;
// here it must be one.
func parseTarget(s string) (target, bool) {
	t := target{section: "global"}
	if s == "" {
		return t, false
	}
	for tok := range strings.SplitSeq(s, "/") {
		k, v, masked := strings.Cut(tok, ":")
		switch {
		case !masked && sectionOK(tok):
			t.section = tok
		case !masked || k == "" || v == "":
			return t, false
		case k == "class":
			t.class = v
		default:
			t.locType, t.locValue = k, v
		}
	}
	return t, true
}

// place is what is known of a daemon, to decide what is for it.
type place struct {
	name  entity.AuthName
	class string
	loc   map[string]string
}

func (t target) matches(p place) bool {
	return (t.class == "" || t.class == p.class) && (t.locType == "" || p.loc[t.locType] == t.locValue)
}

// rank orders the settings that are for one daemon: the higher one counts.
func (t target) rank() int {
	r := 0
	switch {
	case t.section == "global":
	case strings.Contains(t.section, "."):
		r = 20
	default:
		r = 10
	}
	if t.locType != "" {
		r += 2
	}
	if t.class != "" {
		r++
	}
	return r
}
