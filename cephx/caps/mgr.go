package caps

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// Mgr are the capabilities on the manager (MgrCap).
type Mgr struct{ grants []mgrGrant }

// mgrGrant is a MgrCapGrant.
type mgrGrant struct {
	service string
	module  string
	command string
	profile string
	args    constraints // of module, command or profile
	allow   Perm
	net     network

	expanded []mgrGrant // what the profile stands for
}

func (g *mgrGrant) all() bool {
	return g.allow == Any && g.service == "" && g.module == "" && g.command == "" && g.profile == ""
}

// ParseMgr parses a capability. Unlike elsewhere an unknown profile is an
// error.
func ParseMgr(text string) (*Mgr, error) {
	m := &Mgr{}
	sc := &scanner{s: text}
	ok := sc.list(sc.commas, func() bool {
		g, ok := sc.mgrGrant()
		if ok {
			m.grants = append(m.grants, g)
		}
		return ok
	})
	if !ok || sc.rest() != "" {
		return &Mgr{}, sc.stoppedAt("mgr")
	}
	var bad string
	for i := range m.grants {
		if g := &m.grants[i]; g.profile != "" {
			bad += g.expand()
		}
	}
	if bad != "" {
		return &Mgr{}, &Error{"mgr capability parse failed during profile evaluation: " + bad}
	}
	return m, nil
}

func (sc *scanner) mgrGrant() (mgrGrant, bool) {
	at := sc.pos
	sc.spaces(isSep)
	start := sc.pos
	for _, form := range []func() (mgrGrant, bool){sc.mgrRWX, sc.mgrProfile, sc.mgrService, sc.mgrModule, sc.mgrCommand} {
		if g, ok := form(); ok {
			g.net = sc.network(isSep)
			sc.spaces(isSep)
			return g, true
		}
		sc.back(start)
	}
	return mgrGrant{}, sc.back(at)
}

func (sc *scanner) mgrRWX() (g mgrGrant, ok bool) {
	ok = sc.allow() && sc.rwx(&g.allow)
	return g, ok
}

func (sc *scanner) mgrProfile() (g mgrGrant, ok bool) {
	if at := sc.pos; !sc.allow() {
		sc.back(at)
	}
	if !sc.word("profile") || !sc.str(&g.profile) {
		return g, false
	}
	at := sc.pos
	if sc.spaces(isSep) {
		if g.args, ok = sc.pairs(true); !ok {
			g.args = nil
			sc.back(at)
		}
	}
	return g, true
}

func (sc *scanner) mgrService() (g mgrGrant, ok bool) {
	ok = sc.allow() && sc.word("service") && sc.str(&g.service) && sc.spaces(isSep) && sc.rwx(&g.allow)
	return g, ok
}

func (sc *scanner) mgrModule() (g mgrGrant, ok bool) {
	if !sc.allow() || !sc.word("module") || !sc.str(&g.module) {
		return g, false
	}
	g.args = sc.with(true)
	ok = sc.spaces(isSep) && sc.rwx(&g.allow)
	return g, ok
}

func (sc *scanner) mgrCommand() (g mgrGrant, ok bool) {
	if !sc.allow() || !sc.word("command") || !sc.str(&g.command) {
		return g, false
	}
	g.args = sc.with(true)
	return g, true
}

// expand fills in what the profile stands for (MgrCapGrant::expand_profile);
// it returns what is wrong with it.
func (g *mgrGrant) expand() string {
	switch g.profile {
	case "read-only":
		g.expanded = []mgrGrant{{allow: Read}}
	case "read-write":
		g.expanded = []mgrGrant{{allow: Read | Write}}
	case "crash":
		g.expanded = []mgrGrant{{command: "crash post"}}
	case "osd", "mds": // documented, and grant nothing here
	case "rbd", "rbd-read-only":
		for _, key := range slices.Sorted(maps.Keys(g.args)) {
			if key != "pool" && key != "namespace" {
				return fmt.Sprintf("profile '%s' does not recognize key '%s'", g.profile, key)
			}
		}
		p := Read
		if g.profile == "rbd" {
			p |= Write
		}
		g.expanded = []mgrGrant{{module: "rbd_support", args: g.args, allow: p}}
	default:
		return fmt.Sprintf("unrecognized profile '%s'", g.profile)
	}
	return ""
}

// AllowAll reports whether everything is allowed, wherever the peer is.
func (m *Mgr) AllowAll() bool {
	for i := range m.grants {
		if g := &m.grants[i]; g.all() && !g.net.set {
			return true
		}
	}
	return false
}

// Allows reports whether a peer at an address may use a service or a module of
// the manager in the way it needs (MgrCap::is_capable). For a command, command
// is its prefix and args are made by [Args]. A module whose grant has
// constraints lets every one of its commands in and asks again, without a
// command, once it knows what the command is about.
func (m *Mgr) Allows(service, module, command string, args map[string]string, need Perm, addr netip.Addr) bool {
	var allow Perm
	for i := range m.grants {
		g := &m.grants[i]
		if !g.net.contains(addr) {
			continue
		}
		if g.all() {
			return true
		}
		if allow |= g.allowed(service, module, command, args); allow.has(need) {
			return true
		}
	}
	return false
}

func (g *mgrGrant) allowed(service, module, command string, args map[string]string) Perm {
	switch {
	case g.profile != "":
		var p Perm
		for i := range g.expanded {
			p |= g.expanded[i].allowed(service, module, command, args)
		}
		return p
	case g.service != "":
		if g.service != service {
			return 0
		}
	case g.module != "":
		if g.module != module || command == "" && !g.args.match(args) {
			return 0
		}
	case g.command != "":
		if g.command != command || !g.args.match(args) {
			return 0
		}
		return Any
	}
	return g.allow
}
