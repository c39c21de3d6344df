package entity

import (
	"encoding/hex"
	"fmt"

	"github.com/pulpo-storage/pulpo/wire"
)

// UUID identifies a cluster (its fsid) or an OSD's disk (uuid_d).
type UUID [16]byte

func (u UUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// ParseUUID is the inverse of String; digits of either case are good.
func ParseUUID(s string) (u UUID, err error) {
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' {
		if b, err := hex.DecodeString(s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]); err == nil {
			return UUID(b), nil
		}
	}
	return u, fmt.Errorf("bad uuid %q", s)
}

// IsZero reports whether u is unset.
func (u UUID) IsZero() bool { return u == UUID{} }

func (u UUID) Encode(e *wire.Encoder) { e.Raw(u[:]) }

func (u *UUID) Decode(d *wire.Decoder) { copy(u[:], d.Raw(len(u))) }
