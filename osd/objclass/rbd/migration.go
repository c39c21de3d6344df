package rbd

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// A migration moves an image to another pool or another layout while it is used.
// The headers of both, the source and the destination, say so: the feature
// "migrating" keeps clients out that do not know of migrations, and the key
// migration has the details. An image of format 1 has no features; there another
// text at the beginning of its header does that.
var migrationMethods = objclass.Class{
	"migration_set":       {Flags: rd | wr, Call: migrationSet},
	"migration_set_state": {Flags: rd | wr, Call: migrationSetState},
	"migration_get":       {Flags: rd, Call: migrationGet},
	"migration_remove":    {Flags: rd | wr, Call: migrationRemove},
}

const (
	migrationKey = "migration"
	migratingBit = uint64(clsrbd.Migrating)
)

// What the header of an image of format 1 begins with, with a zero byte.
var (
	textFormat1   = []byte("<<< Rados Block Device Image >>>\n\x00")
	textMigrating = []byte("<<< Migrating RBD Image      >>>\n\x00")
)

// Roles of a header in a migration (cls::rbd::MigrationHeaderType).
const (
	migrationSource      = 1
	migrationDestination = 2
)

// migration is cls::rbd::MigrationSpec: of a source where it goes, of a
// destination where it comes from.
type migration struct {
	role        uint8
	pool        int64
	namespace   string
	name, id    string
	snaps       map[uint64]uint64 // source to destination
	overlap     uint64
	flatten     bool
	mirroring   bool
	state       uint8
	description string
	mirrorMode  uint8
	source      string // description of a source that is no image
}

func (s migration) Encode(e *wire.Encoder) {
	compat := uint8(1)
	if s.source != "" {
		compat = 3
	}
	m := e.Begin(3, compat)
	e.U8(s.role)
	e.S64(s.pool)
	e.Str(s.namespace)
	e.Str(s.name)
	e.Str(s.id)
	wire.EncodeMap(e, s.snaps, func(from, to uint64) { e.U64(from); e.U64(to) })
	e.U64(s.overlap)
	e.Bool(s.flatten)
	e.Bool(s.mirroring)
	e.U8(s.state)
	e.Str(s.description)
	e.U8(s.mirrorMode)
	e.Str(s.source)
	e.End(m)
}

func (s *migration) Decode(d *wire.Decoder) {
	env := d.Begin("MigrationSpec", 3)
	s.role = d.U8()
	s.pool = d.S64()
	s.namespace = d.Str()
	s.name = d.Str()
	s.id = d.Str()
	s.snaps = wire.DecodeMap(d, 16, func() (uint64, uint64) { return d.U64(), d.U64() })
	s.overlap = d.U64()
	s.flatten = d.Bool()
	s.mirroring = d.Bool()
	s.state = d.U8()
	s.description = d.Str()
	if env.Version >= 2 {
		s.mirrorMode = d.U8()
	}
	if env.Version >= 3 {
		s.source = d.Str()
	}
	d.End(env)
}

// headerText says what the header of an image of format 1 says of itself.
func headerText(c objclass.Context) (migrating bool, err error) {
	b, err := c.Read(0, uint64(len(textFormat1)))
	if err != nil && !isMissing(err) {
		return false, err
	}
	switch {
	case bytes.Equal(b, textFormat1):
		return false, nil
	case bytes.Equal(b, textMigrating):
		return true, nil
	}
	return false, fmt.Errorf("no header of format 1: %w", errno.ENXIO)
}

// writeHeaderText leaves the zero byte as it is.
func writeHeaderText(c objclass.Context, text []byte) error {
	return c.Write(0, keep(text[:len(text)-1]))
}

func migrationSet(c objclass.Context, in []byte) ([]byte, error) {
	var s migration
	if err := objclass.Parse(in, s.Decode); err != nil {
		return nil, err
	}
	if _, err := c.OmapValue(migrationKey); err == nil {
		return nil, errno.EEXIST
	} else if !errors.Is(err, errno.ENOENT) {
		return nil, err
	}
	features, err := readU64(c, "features")
	switch {
	case isMissing(err):
		migrating, err := headerText(c)
		if err != nil {
			return nil, err
		}
		if migrating {
			return nil, errno.EEXIST
		}
		if s.role != migrationSource {
			return nil, fmt.Errorf("an image of format 1 can only be a source: %w", errno.EINVAL)
		}
		if err := writeHeaderText(c, textMigrating); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case features&migratingBit == 0:
		if err := writeU64(c, "features", features|migratingBit); err != nil {
			return nil, err
		}
	case s.role != migrationDestination: // which is made with the feature
		return nil, errno.EEXIST
	}
	return nil, writeKey(c, migrationKey, s.Encode)
}

// readMigration returns EINVAL if the image is not in a migration.
func readMigration(c objclass.Context) (s migration, err error) {
	features, err := readU64(c, "features")
	migrating := features&migratingBit != 0
	if isMissing(err) {
		migrating, err = headerText(c)
	}
	if err != nil {
		return s, err
	}
	if !migrating {
		return s, fmt.Errorf("the image is not migrating: %w", errno.EINVAL)
	}
	err = readKey(c, migrationKey, s.Decode)
	return s, err
}

func migrationSetState(c objclass.Context, in []byte) ([]byte, error) {
	var state uint8
	var description string
	if err := objclass.Parse(in, func(d *wire.Decoder) { state, description = d.U8(), d.Str() }); err != nil {
		return nil, err
	}
	s, err := readMigration(c)
	if err != nil {
		return nil, err
	}
	s.state, s.description = state, description
	return nil, writeKey(c, migrationKey, s.Encode)
}

func migrationGet(c objclass.Context, _ []byte) ([]byte, error) {
	s, err := readMigration(c)
	if err != nil {
		return nil, err
	}
	return wire.Marshal(s), nil
}

// migrationRemove is content with an image of format 2 that is not migrating.
func migrationRemove(c objclass.Context, _ []byte) ([]byte, error) {
	features, err := readU64(c, "features")
	switch {
	case isMissing(err):
		migrating, err := headerText(c)
		if err != nil {
			return nil, err
		}
		if !migrating {
			return nil, errno.EINVAL
		}
		if err := writeHeaderText(c, textFormat1); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case features&migratingBit != 0:
		if err := writeU64(c, "features", features&^migratingBit); err != nil {
			return nil, err
		}
	}
	return nil, removeKey(c, migrationKey)
}
