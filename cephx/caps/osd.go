package caps

import (
	"net/netip"
	"strings"
)

// OSD are the capabilities on an OSD (OSDCap).
type OSD struct {
	grants []osdGrant
	all    bool // a grant allows everything to everybody: nothing to check
}

// osdGrant is an OSDCapGrant. A profile is a list of grants under the network
// of its own.
type osdGrant struct {
	match   osdMatch
	allow   Perm
	class   string // allow class CLASS [METHOD]
	method  string
	net     network
	profile bool
	grants  []osdGrant // of the profile
}

// osdMatch says which objects a grant is about (OSDCapMatch).
type osdMatch struct {
	pool         string  // empty: any
	ns           *string // nil: any
	nsPrefix     bool    // ns ended with *
	app          string  // application of the pool; empty: any
	key, value   string  // of the application's metadata; * for any
	objectPrefix string
}

func (m *osdMatch) everything() bool {
	return m.pool == "" && m.ns == nil && m.app == "" && m.objectPrefix == ""
}

// ParseOSD parses a capability.
func ParseOSD(text string) (*OSD, error) {
	c := &OSD{}
	sc := &scanner{s: text}
	sc.spaces(isSpace)
	ok := sc.list(func() bool { return sc.lit(";") || sc.lit(",") }, func() bool {
		g, ok := sc.osdGrant()
		if ok {
			c.grants = append(c.grants, g)
			c.all = c.all || g.everything()
		}
		return ok
	})
	if ok {
		sc.spaces(isSpace)
	}
	if !ok || sc.rest() != "" {
		return &OSD{}, sc.stopped("osd")
	}
	return c, nil
}

func (sc *scanner) osdGrant() (osdGrant, bool) {
	at := sc.pos
	sc.spaces(isBlank)
	start := sc.pos
	for _, form := range []func() (osdGrant, bool){sc.osdSpecMatch, sc.osdMatchSpec, sc.osdProfile} {
		if g, ok := form(); ok {
			g.net = sc.network(isSpace)
			sc.spaces(isBlank)
			return g, true
		}
		sc.back(start)
	}
	return osdGrant{}, sc.back(at)
}

func (sc *scanner) osdSpecMatch() (g osdGrant, ok bool) {
	if !sc.lit("allow") || !sc.osdSpec(&g) {
		return g, false
	}
	g.match = sc.osdMatch()
	return g, true
}

func (sc *scanner) osdMatchSpec() (g osdGrant, ok bool) {
	if !sc.lit("allow") {
		return g, false
	}
	g.match = sc.osdMatch()
	ok = sc.osdSpec(&g)
	return g, ok
}

// osdSpec is what is allowed.
func (sc *scanner) osdSpec(g *osdGrant) bool {
	at := sc.pos
	if sc.spaces(isSpace) && sc.wildcard() {
		g.allow = Any
		return true
	}
	sc.back(at)
	if sc.spaces(isSpace) {
		if g.allow = sc.letters(ClassExec); g.allow == 0 {
			sc.back(at)
		}
	}
	for _, class := range []struct {
		word string
		perm Perm
	}{{"class-read", ClassRead}, {"class-write", ClassWrite}} {
		before := sc.pos
		if sc.spaces(isSpace) && sc.lit(class.word) {
			g.allow |= class.perm
		} else {
			sc.back(before)
		}
	}
	if g.allow != 0 {
		return true
	}
	if !sc.spaces(isSpace) || !sc.lit("class") || !sc.spaces(isSpace) || !sc.str(&g.class) {
		return sc.back(at)
	}
	before := sc.pos
	if !sc.spaces(isSpace) || !sc.str(&g.method) {
		sc.back(before)
	}
	return true
}

func (sc *scanner) wildcard() bool { return sc.lit("*") || sc.lit("all") }

// osdMatch is what it is about; nothing said means everything.
func (sc *scanner) osdMatch() (m osdMatch) {
	if sc.poolTag(&m) {
		return m
	}
	at := sc.pos
	if sc.namespace(&m) && sc.poolTag(&m) {
		return m
	}
	sc.back(at)
	m = osdMatch{}
	sc.pool(&m)
	sc.namespace(&m)
	sc.objectPrefix(&m)
	return m
}

func (sc *scanner) pool(m *osdMatch) {
	at := sc.pos
	if !sc.keyword("pool", isSpace) || !sc.str(&m.pool) {
		sc.back(at)
	}
}

func (sc *scanner) namespace(m *osdMatch) bool {
	at := sc.pos
	var ns string
	if !sc.keyword("namespace", isSpace) || !sc.text(&ns, true) {
		return sc.back(at)
	}
	if sc.lit("*") {
		ns += "*"
	}
	// A * in quotes is one too.
	ns, m.nsPrefix = strings.CutSuffix(ns, "*")
	m.ns = &ns
	return true
}

func (sc *scanner) objectPrefix(m *osdMatch) {
	at := sc.pos
	if !sc.spaces(isSpace) || !sc.lit("object_prefix") || !sc.spaces(isSpace) || !sc.str(&m.objectPrefix) {
		sc.back(at)
	}
}

func (sc *scanner) poolTag(m *osdMatch) bool {
	at := sc.pos
	wild := func(dst *string) bool {
		if sc.wildcard() {
			*dst = "*"
			return true
		}
		return sc.str(dst)
	}
	var app, key, value string
	if !sc.spaces(isSpace) || !sc.lit("tag") || !sc.spaces(isSpace) || !sc.str(&app) ||
		!sc.spaces(isSpace) || !wild(&key) {
		return sc.back(at)
	}
	sc.spaces(isSpace)
	if !sc.lit("=") {
		return sc.back(at)
	}
	sc.spaces(isSpace)
	if !wild(&value) {
		return sc.back(at)
	}
	m.app, m.key, m.value = app, key, value
	return true
}

func (sc *scanner) osdProfile() (g osdGrant, ok bool) {
	var name string
	if !sc.lit("profile") || !sc.lit("=") && !sc.spaces(isSpace) || !sc.str(&name) {
		return g, false
	}
	var m osdMatch
	sc.pool(&m)
	sc.namespace(&m)
	return osdGrant{profile: true, grants: osdProfileGrants(name, m)}, true
}

// osdProfileGrants is what a profile stands for (OSDCapGrant::expand_profile);
// an unknown one stands for nothing.
func osdProfileGrants(name string, m osdMatch) []osdGrant {
	const rwx = Read | Write | ClassExec
	inAnyPool := func(object string) osdMatch { return osdMatch{objectPrefix: object} }
	// Image metadata of the pool is in the default namespace, whichever one
	// the client is confined to.
	none := ""
	metadata := osdGrant{
		match: osdMatch{pool: m.pool, ns: &none, objectPrefix: "rbd_info"},
		class: "rbd", method: "metadata_list",
	}
	switch name {
	case "read-only":
		return []osdGrant{{match: m, allow: Read}}
	case "read-write":
		return []osdGrant{{match: m, allow: Read | Write}}
	case "rbd":
		return []osdGrant{
			{match: inAnyPool("rbd_info"), allow: Read},
			{match: inAnyPool("rbd_children"), allow: ClassRead},
			{match: inAnyPool("rbd_mirroring"), allow: ClassRead},
			metadata,
			{match: m, allow: rwx},
		}
	case "rbd-read-only":
		header := m
		header.objectPrefix = "rbd_header."
		return []osdGrant{
			metadata,
			{match: m, allow: Read | ClassRead},
			{match: header, class: "rbd", method: "child_attach"},
			{match: header, class: "rbd", method: "child_detach"},
		}
	}
	return nil
}

// everything reports whether the grant lets everybody do everything.
func (g *osdGrant) everything() bool {
	return !g.profile && g.allow == Any && g.match.everything() && !g.net.set
}

// ClassCall is a call of an object class method in an operation.
type ClassCall struct {
	Class, Method string
	Read, Write   bool // flags of the method
	// Allowed: the class is in osd_class_default_list, where x reaches it;
	// others need * or their own grant.
	Allowed bool
}

// OSDRequest is an operation on an object. A request that only calls classes
// needs neither Read nor Write.
type OSDRequest struct {
	Pool      string
	Namespace string
	PoolApps  map[string]map[string]string // application metadata of the pool
	Object    string
	Read      bool
	Write     bool
	Classes   []ClassCall
}

// AllowAll reports whether everything is allowed, wherever the peer is.
func (c *OSD) AllowAll() bool { return c.all }

// Allows reports whether a peer at an address may do what it asks for
// (OSDCap::is_capable). One grant must allow its reads and writes; the class
// calls may be allowed by several.
func (c *OSD) Allows(r *OSDRequest, addr netip.Addr) bool {
	if c.all {
		return true
	}
	var few [8]bool
	calls := few[:min(len(r.Classes), len(few))]
	if len(r.Classes) > len(few) {
		calls = make([]bool, len(r.Classes))
	}
	for i := range c.grants {
		if c.grants[i].allows(r, addr, calls) {
			return true
		}
	}
	return false
}

// allows marks the calls that this grant allows, and reports whether all are
// allowed by now.
func (g *osdGrant) allows(r *OSDRequest, addr netip.Addr, calls []bool) bool {
	if !g.net.contains(addr) {
		return false
	}
	if g.profile {
		for i := range g.grants {
			if g.grants[i].allows(r, addr, calls) {
				return true
			}
		}
		return false
	}
	if !g.match.matches(r) || r.Read && !g.allow.has(Read) || r.Write && !g.allow.has(Write) {
		return false
	}
	if g.allow == Any {
		return true
	}
	all := true
	for i := range r.Classes {
		call := &r.Classes[i]
		switch {
		case g.class != "" && g.class == call.Class && (g.method == "" || g.method == call.Method):
			calls[i] = true
		case call.Allowed && (!call.Read || g.allow.has(ClassRead)) && (!call.Write || g.allow.has(ClassWrite)):
			calls[i] = true
		}
		all = all && calls[i]
	}
	return all
}

func (m *osdMatch) matches(r *OSDRequest) bool {
	if m.pool != "" && m.pool != r.Pool {
		return false
	}
	if m.ns != nil && *m.ns != r.Namespace && !(m.nsPrefix && strings.HasPrefix(r.Namespace, *m.ns)) {
		return false
	}
	if m.app != "" && !m.tagged(r.PoolApps) {
		return false
	}
	return strings.HasPrefix(r.Object, m.objectPrefix)
}

func (m *osdMatch) tagged(apps map[string]map[string]string) bool {
	meta, ok := apps[m.app]
	switch {
	case !ok:
		return false
	case m.key == "*" && m.value == "*":
		return true
	case m.key == "*":
		for _, v := range meta {
			if v == m.value {
				return true
			}
		}
		return false
	}
	v, ok := meta[m.key]
	return ok && (m.value == "*" || m.value == v)
}
