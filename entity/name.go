// Package entity names the parties of a cluster and their addresses: daemons
// and clients by number (entity_name_t), accounts by name (EntityName), and
// network addresses (entity_addr_t, entity_addrvec_t).
//
// No compatibility promise.
package entity

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/wire"
)

// Type is the kind of a party; the numbers are bits, so that a set of types is
// an OR of them.
type Type uint8

const (
	Mon    Type = 1
	MDS    Type = 2
	OSD    Type = 4
	Client Type = 8
	Mgr    Type = 16
	Auth   Type = 32 // the ticket-granting service of the monitors; never a peer
)

func (t Type) String() string {
	switch t {
	case Mon:
		return "mon"
	case MDS:
		return "mds"
	case OSD:
		return "osd"
	case Client:
		return "client"
	case Mgr:
		return "mgr"
	case Auth:
		return "auth"
	}
	return "unknown"
}

// ParseType is the inverse of String.
func ParseType(s string) (Type, bool) {
	for _, t := range []Type{Mon, MDS, OSD, Client, Mgr, Auth} {
		if t.String() == s {
			return t, true
		}
	}
	return 0, false
}

// Name is a session's identity: osd.3, client.4123 (entity_name_t).
type Name struct {
	Type Type
	Num  int64
}

func (n Name) String() string {
	if n.Num < 0 {
		return n.Type.String() + ".?"
	}
	return n.Type.String() + "." + strconv.FormatInt(n.Num, 10)
}

func (n Name) Encode(e *wire.Encoder) {
	e.U8(uint8(n.Type))
	e.S64(n.Num)
}

func (n *Name) Decode(d *wire.Decoder) {
	n.Type = Type(d.U8())
	n.Num = d.S64()
}

// AuthName is an account: client.admin, osd.3 (EntityName).
type AuthName struct {
	Type Type
	ID   string
}

func (n AuthName) String() string { return n.Type.String() + "." + n.ID }

// ParseAuthName parses TYPE.ID; "mon." is the monitors' shared account.
func ParseAuthName(s string) (AuthName, error) {
	ts, id, ok := strings.Cut(s, ".")
	t, known := ParseType(ts)
	if !ok || !known {
		return AuthName{}, fmt.Errorf("bad entity name %q: want TYPE.ID with TYPE one of mon, osd, mds, mgr, client, auth", s)
	}
	return AuthName{t, id}, nil
}

func (n AuthName) Encode(e *wire.Encoder) {
	e.U32(uint32(n.Type))
	e.Str(n.ID)
}

func (n *AuthName) Decode(d *wire.Decoder) {
	n.Type = Type(d.U32())
	n.ID = d.Str()
}

// Compare orders accounts as Ceph does: by type, then id.
func (n AuthName) Compare(m AuthName) int {
	return cmp.Or(cmp.Compare(n.Type, m.Type), cmp.Compare(n.ID, m.ID))
}
