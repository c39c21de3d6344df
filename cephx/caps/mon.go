package caps

import "net/netip"

// Mon are the capabilities on a monitor (MonCap).
type Mon struct{ grants []monGrant }

// monGrant allows something if one of service, command and profile says so, or
// everything if there is none of them (MonCapGrant).
type monGrant struct {
	service string
	command string
	args    constraints // of the command
	profile string
	allow   Perm
	fs      string // file system, of the last form only
	net     network

	expanded []monGrant // what the profile stands for
}

func (g *monGrant) all() bool {
	return g.allow == Any && g.service == "" && g.command == "" && g.profile == "" && g.fs == ""
}

// ParseMon parses the capability of the account NAME (client.admin), which
// matters to profiles of daemons.
func ParseMon(text, name string) (*Mon, error) {
	m := &Mon{}
	sc := &scanner{s: text}
	ok := sc.list(sc.commas, func() bool {
		g, ok := sc.monGrant()
		if ok {
			g.expanded = monProfile(g.profile, name)
			m.grants = append(m.grants, g)
		}
		return ok
	})
	if !ok || sc.rest() != "" {
		return &Mon{}, sc.stoppedAt("mon")
	}
	return m, nil
}

func (sc *scanner) monGrant() (monGrant, bool) {
	at := sc.pos
	sc.spaces(isSep)
	start := sc.pos
	for _, form := range []func() (monGrant, bool){sc.monRWX, sc.monProfile, sc.monService, sc.monCommand} {
		if g, ok := form(); ok {
			sc.spaces(isSep)
			return g, true
		}
		sc.back(start)
	}
	return monGrant{}, sc.back(at)
}

func (sc *scanner) allow() bool { return sc.lit("allow") && sc.spaces(isSep) }

// word is the word of a form, with = or spaces after it.
func (sc *scanner) word(w string) bool { return sc.lit(w) && (sc.lit("=") || sc.spaces(isSep)) }

func (sc *scanner) monRWX() (g monGrant, ok bool) {
	if !sc.allow() || !sc.rwx(&g.allow) {
		return g, false
	}
	g.net = sc.network(isSep)
	at := sc.pos
	if sc.keyword("fsname", isSep) {
		if g.fs = sc.span(isFSName); g.fs == "" {
			sc.back(at)
		}
	}
	return g, true
}

func (sc *scanner) monProfile() (g monGrant, ok bool) {
	if at := sc.pos; !sc.allow() {
		sc.back(at)
	}
	if !sc.word("profile") || !sc.str(&g.profile) {
		return g, false
	}
	g.net = sc.network(isSep)
	return g, true
}

func (sc *scanner) monService() (g monGrant, ok bool) {
	if !sc.allow() || !sc.word("service") || !sc.str(&g.service) || !sc.spaces(isSep) || !sc.rwx(&g.allow) {
		return g, false
	}
	g.net = sc.network(isSep)
	return g, true
}

func (sc *scanner) monCommand() (g monGrant, ok bool) {
	if !sc.allow() || !sc.word("command") || !sc.str(&g.command) {
		return g, false
	}
	g.args = sc.with(false)
	g.net = sc.network(isSep)
	return g, true
}

// AllowAll reports whether everything is allowed, wherever the peer is.
func (m *Mon) AllowAll() bool {
	for i := range m.grants {
		if g := &m.grants[i]; g.all() && !g.net.set {
			return true
		}
	}
	return false
}

// Allows reports whether a peer at an address may use a service of the
// monitor (mon, osd, auth, ...) in the way it needs (MonCap::is_capable). For a
// command, command is its prefix and args are made by [Args].
func (m *Mon) Allows(service, command string, args map[string]string, need Perm, addr netip.Addr) bool {
	var allow Perm
	for i := range m.grants {
		g := &m.grants[i]
		if !g.net.contains(addr) {
			continue
		}
		if g.all() {
			return true
		}
		if allow |= g.allowed(service, command, args); allow.has(need) {
			return true
		}
	}
	return false
}

func (g *monGrant) allowed(service, command string, args map[string]string) Perm {
	switch {
	case g.profile != "":
		var p Perm
		for i := range g.expanded {
			p |= g.expanded[i].allowed(service, command, args)
		}
		return p
	case g.service != "":
		if g.service != service {
			return 0
		}
	case g.command != "":
		if g.command != command || !g.args.match(args) {
			return 0
		}
		return Read | Write | Exec
	case service == "config-key":
		// It has secrets in it: only * reaches there without saying so.
		return 0
	}
	return g.allow
}

// AllowsFS reports whether a file system is visible to the peer
// (MonCap::fs_name_capable).
func (m *Mon) AllowsFS(fs string, need Perm) bool {
	sees := func(g *monGrant) bool {
		return (g.fs == "" || g.fs == fs) && g.allow&need != 0
	}
	for i := range m.grants {
		g := &m.grants[i]
		if g.all() || g.profile == "" && sees(g) {
			return true
		}
		for j := range g.expanded {
			if e := &g.expanded[j]; (e.service == "fs" || e.service == "mds") && sees(e) {
				return true
			}
		}
	}
	return false
}
