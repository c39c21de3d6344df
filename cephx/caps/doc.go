// Package caps gives capabilities their meaning: what an account may do on a
// monitor, an OSD, the manager or an MDS. It follows Ceph's MonCap, OSDCap,
// MgrCap and MDSAuthCaps of version 16.2.
//
// # Grammar
//
// A capability is a list of grants with commas or semicolons between them;
// something is allowed if a grant allows it.
//
//	mon   allow RWX [network NET] [fsname=FS]
//	      [allow] profile NAME [network NET]
//	      allow service NAME RWX [network NET]
//	      allow command CMD [with KEY=VALUE|KEY prefix VALUE|KEY regex RE ...] [network NET]
//	mgr   allow RWX [network NET]
//	      [allow] profile NAME [KEY=VALUE ...] [network NET]
//	      allow service NAME RWX [network NET]
//	      allow module NAME [with KEY=VALUE ...] RWX [network NET]
//	      allow command CMD [with KEY=VALUE ...] [network NET]
//	osd   allow SPEC [MATCH] [network NET], or with MATCH before SPEC
//	      profile NAME [pool=POOL] [namespace=NS] [network NET]
//	      SPEC   RWX [class-read] [class-write], class NAME [METHOD]
//	      MATCH  [pool=POOL] [namespace=NS[*]] [object_prefix PREFIX]
//	             [namespace=NS[*]] tag APP KEY=VALUE
//	mds   allow r|rw|rw[f][p][s]|* [fsname=FS] [path=PATH] [root_squash] [network NET]
//	      allow ... [path=PATH] uid=UID [gids=GID,...] [network NET]
//
// RWX is *, all, or letters of r, w, x in this order. Names with other
// characters than letters, digits and _ . / - are quoted, with " or '.
//
// Ceph's parsers are parsing expression grammars: the first alternative that
// fits is taken, and an error tells where the last complete grant ended. The
// parsers here are written the same way, so that they accept the same texts and
// say the same about the others: administrators, and tests of tools, know the
// messages.
//
// Text is parsed once for each session; a value does not change afterwards and
// may be used by any goroutine. With an error the parsers return a value that
// allows nothing, so a session can go on with what it gets.
//
// No compatibility promise.
package caps
