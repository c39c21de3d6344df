package caps

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// MDSPerm is what a grant on an MDS allows (MDSCapSpec).
type MDSPerm uint8

const (
	MDSRead     MDSPerm = 1 << iota
	MDSWrite            // implies reading
	MDSFull             // f: beyond quota and full flags
	MDSVxattr           // p: layouts and quotas
	MDSSnapshot         // s
	MDSAll      MDSPerm = 0xff
)

// MDS are the capabilities on an MDS (MDSAuthCaps).
type MDS struct{ grants []mdsGrant }

type mdsGrant struct {
	allow      MDSPerm
	fs         string // empty: any
	path       string // without the leading /; empty: any
	rootSquash bool
	uid        *uint32
	gids       []uint32
	net        network
}

// mdsPerms are the spellings, longest first.
var mdsPerms = []struct {
	text string
	perm MDSPerm
}{
	{"*", MDSAll}, {"all", MDSAll},
	{"rwfps", MDSRead | MDSWrite | MDSFull | MDSVxattr | MDSSnapshot},
	{"rwps", MDSRead | MDSWrite | MDSVxattr | MDSSnapshot},
	{"rwfp", MDSRead | MDSWrite | MDSFull | MDSVxattr},
	{"rwfs", MDSRead | MDSWrite | MDSFull | MDSSnapshot},
	{"rwp", MDSRead | MDSWrite | MDSVxattr},
	{"rws", MDSRead | MDSWrite | MDSSnapshot},
	{"rwf", MDSRead | MDSWrite | MDSFull},
	{"rw", MDSRead | MDSWrite},
	{"r", MDSRead},
}

// ParseMDS parses a capability. "allow" alone is an old form for rwps.
func ParseMDS(text string) (*MDS, error) {
	if text == "allow" {
		return &MDS{[]mdsGrant{{allow: MDSRead | MDSWrite | MDSVxattr | MDSSnapshot}}}, nil
	}
	c := &MDS{}
	sc := &scanner{s: text}
	sc.spaces(isSpace)
	ok := sc.list(sc.commas, func() bool {
		g, ok := sc.mdsGrant()
		if ok {
			c.grants = append(c.grants, g)
		}
		return ok
	})
	if ok {
		sc.spaces(isSpace)
	}
	if !ok || sc.rest() != "" {
		return &MDS{}, sc.stopped("mds")
	}
	return c, nil
}

func (sc *scanner) mdsGrant() (g mdsGrant, ok bool) {
	at := sc.pos
	if !sc.lit("allow") || !sc.spaces(isSep) {
		return g, sc.back(at)
	}
	i := slices.IndexFunc(mdsPerms, func(p struct {
		text string
		perm MDSPerm
	}) bool {
		return sc.lit(p.text)
	})
	if i < 0 {
		return g, sc.back(at)
	}
	g.allow = mdsPerms[i].perm
	// Either users are told apart, in which case a path but no file system may
	// be named, or not.
	before := sc.pos
	sc.mdsPath(&g)
	if !sc.mdsUsers(&g) {
		sc.back(before)
		g.path = ""
		sc.mdsFS(&g)
		sc.mdsPath(&g)
		if at := sc.pos; sc.spaces(isSep) && sc.lit("root_squash") {
			g.rootSquash = true
		} else {
			sc.back(at)
		}
	}
	g.net = sc.network(isSep)
	return g, true
}

func (sc *scanner) mdsFS(g *mdsGrant) {
	at := sc.pos
	if sc.spaces(isSep) && sc.lit("fsname=") {
		if g.fs = sc.span(isFSName); g.fs != "" {
			return
		}
	}
	sc.back(at)
}

func (sc *scanner) mdsPath(g *mdsGrant) {
	at := sc.pos
	if !sc.spaces(isSep) || !sc.lit("path=") || !sc.text(&g.path, true) {
		sc.back(at)
		return
	}
	g.path = strings.TrimLeft(g.path, "/")
}

func (sc *scanner) mdsUsers(g *mdsGrant) bool {
	at := sc.pos
	var uid uint32
	if !sc.spaces(isSep) || !sc.lit("uid=") || !sc.uint(&uid) {
		return sc.back(at)
	}
	if int32(uid) != -1 { // MDS_AUTH_UID_ANY
		g.uid = &uid
	}
	at = sc.pos
	var gid uint32
	if !sc.spaces(isSep) || !sc.lit("gids=") || !sc.list(func() bool { return sc.lit(",") }, func() bool {
		ok := sc.uint(&gid)
		if ok {
			g.gids = append(g.gids, gid)
		}
		return ok
	}) {
		sc.back(at)
	}
	return true
}

func (sc *scanner) uint(v *uint32) bool {
	at := sc.pos
	n, err := strconv.ParseUint(sc.span(func(c byte) bool { return c >= '0' && c <= '9' }), 10, 32)
	if err != nil {
		return sc.back(at)
	}
	*v = uint32(n)
	return true
}

// AllowAll reports whether everything is allowed to everybody.
func (c *MDS) AllowAll() bool {
	for i := range c.grants {
		if g := &c.grants[i]; g.allow == MDSAll && g.fs == "" && g.path == "" && g.uid == nil && !g.rootSquash && !g.net.set {
			return true
		}
	}
	return false
}

// Access are the kinds of access to an inode (MAY_*).
type Access uint16

const (
	MayRead Access = 1 << iota
	MayWrite
	MayExecute
	MayChown
	MayChgrp
	MaySetVxattr
	MaySnapshot
	MayFull
)

// MDSRequest is an access to an inode.
type MDSRequest struct {
	FS   string
	Path string // without the leading /
	// Owner and mode of the inode.
	InodeUID, InodeGID uint32
	InodeMode          uint32
	// The caller.
	UID, GID uint32
	Groups   []uint32
	Access   Access
	// Owner to be, of MayChown and MayChgrp.
	NewUID, NewGID uint32
}

// AllowsFS reports whether something in a file system is allowed.
func (c *MDS) AllowsFS(fs string) bool {
	return slices.ContainsFunc(c.grants, func(g mdsGrant) bool { return g.fs == "" || g.fs == fs })
}

// AllowsPath reports whether some access to a path may be allowed; which one
// depends on the inode (MDSAuthCaps::path_capable).
func (c *MDS) AllowsPath(path string) bool {
	return slices.ContainsFunc(c.grants, func(g mdsGrant) bool { return g.under(path) })
}

// Allows reports whether a peer at an address may do what it asks for
// (MDSAuthCaps::is_capable). A grant for one uid also checks the inode's mode.
func (c *MDS) Allows(r *MDSRequest, addr netip.Addr) bool {
	for i := range c.grants {
		if c.grants[i].allows(r, addr) {
			return true
		}
	}
	return false
}

// under reports whether the path is that of the grant or below it.
func (g *mdsGrant) under(path string) bool {
	rest, ok := strings.CutPrefix(path, g.path)
	return ok && (g.path == "" || rest == "" || strings.HasSuffix(g.path, "/") || rest[0] == '/')
}

func (g *mdsGrant) allows(r *MDSRequest, addr netip.Addr) bool {
	must := func(access Access, perm MDSPerm) bool {
		return r.Access&access == 0 || g.allow&perm != 0
	}
	if !g.net.contains(addr) || g.fs != "" && g.fs != r.FS || !g.under(r.Path) ||
		!must(MayRead|MayExecute, MDSRead) || !must(MayWrite, MDSWrite) ||
		!must(MaySetVxattr, MDSVxattr) || !must(MaySnapshot, MDSSnapshot) || !must(MayFull, MDSFull) {
		return false
	}
	if g.rootSquash && (r.UID == 0 || r.GID == 0) && r.Access&MayWrite != 0 {
		return false
	}
	if g.uid == nil {
		return true
	}
	// The caller acts with those of its groups that are named here.
	var groups []uint32
	for _, gid := range append([]uint32{r.GID}, r.Groups...) {
		if slices.Contains(g.gids, gid) {
			groups = append(groups, gid)
		}
	}
	if *g.uid != r.UID || len(g.gids) > 0 && len(groups) == 0 {
		return false
	}
	if r.Access&MayChown != 0 && (r.NewUID != r.UID || r.InodeUID != r.UID) {
		return false
	}
	if r.Access&MayChgrp != 0 && (r.InodeUID != r.UID || !slices.Contains(groups, r.NewGID)) {
		return false
	}
	mode := r.InodeMode
	switch {
	case r.InodeUID == r.UID:
		mode >>= 6
	case slices.Contains(groups, r.InodeGID):
		mode >>= 3
	}
	for access, bit := range map[Access]uint32{MayRead: 4, MayWrite: 2, MayExecute: 1} {
		if r.Access&access != 0 && mode&bit == 0 {
			return false
		}
	}
	return true
}
