package pg

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
)

// TamperOp is what to do to one copy of an object.
type TamperOp uint8

const (
	TamperOmapSet    TamperOp = iota // Key, Value
	TamperOmapRemove                 // Key
	TamperOmapHeader                 // Value
	TamperTruncate                   // Size
	TamperOmapGet                    // changes nothing
)

// Tamper changes this copy of an object alone, past the log and the other copies
// (TestOpsSocketHook): who tests scrub and repair asks for it.
type Tamper struct {
	Op         TamperOp
	Object     object.ID
	Key, Value string
	Size       uint64
}

// Tamper does it, and returns Ceph's words: "ok", what was asked for, or
// "error=-2" where there is no such object here.
func (p *PG) Tamper(t *Tamper) string {
	p.stepToken = p.nextToken
	defer p.stepped()
	if !p.created || p.broken != nil || p.role == roleGone || p.role == roleSplitting {
		return tamperError(errno.EAGAIN)
	}
	if t.Op == TamperOmapGet {
		return p.omapText(t.Object)
	}
	if _, err := p.env.Store.Stat(p.coll, t.Object); err != nil {
		return tamperError(err)
	}
	txn := new(objstore.Txn)
	switch t.Op {
	case TamperOmapSet:
		txn.OmapSet(p.coll, t.Object, []objstore.KV{{Key: t.Key, Value: []byte(t.Value)}})
	case TamperOmapRemove:
		txn.OmapRm(p.coll, t.Object, []string{t.Key})
	case TamperOmapHeader:
		txn.OmapSetHeader(p.coll, t.Object, []byte(t.Value))
	case TamperTruncate:
		txn.Truncate(p.coll, t.Object, t.Size)
	}
	if err := txn.Check(); err != nil {
		return tamperError(err) // a key that no object can have
	}
	p.submitLocal(txn)
	return "ok"
}

// omapMost bounds what is printed of an omap.
const omapMost = 4 << 20

var errOmapSize = errors.New("the omap is too large to print")

// omapText is an object's omap on one line.
func (p *PG) omapText(id object.ID) string {
	header, err := p.env.Store.OmapHeader(p.coll, id)
	if err != nil {
		return tamperError(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "header=%s", header)
	whole := true
	err = p.env.Store.OmapScan(p.coll, id, "", func(key string, value []byte) bool {
		fmt.Fprintf(&b, " key=%s val=%s", key, value)
		whole = b.Len() < omapMost
		return whole
	})
	if err == nil && !whole {
		err = fmt.Errorf("%w: %w", errOmapSize, errno.E2BIG)
	}
	if err != nil {
		return tamperError(err)
	}
	return b.String()
}

func tamperError(err error) string { return fmt.Sprintf("error=%d", errno.Code(err)) }
