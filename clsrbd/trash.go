package clsrbd

import (
	"time"

	"github.com/pulpo-storage/pulpo/wire"
)

// TrashSource tells who moved an image to the trash (TrashImageSource).
type TrashSource uint8

const (
	TrashUser TrashSource = iota
	TrashMirroring
	TrashMigration
	TrashRemoving   // it is being removed
	TrashUserParent // by its user, while it has clones
)

// TrashState is how far a move to or from the trash has come (TrashImageState).
type TrashState uint8

const (
	TrashNormal TrashState = iota
	TrashMoving
	TrashRemovingState
	TrashRestoring
)

// TrashSpec is an image in the trash (cls::rbd::TrashImageSpec).
type TrashSpec struct {
	Source   TrashSource
	Name     string // it had
	Deleted  time.Time
	Deferred time.Time // it must not be removed before
	State    TrashState
}

// Encode appends the image (version 2).
func (t *TrashSpec) Encode(e *wire.Encoder) {
	m := e.Begin(2, 1)
	e.U8(uint8(t.Source))
	e.Str(t.Name)
	e.Time(t.Deleted)
	e.Time(t.Deferred)
	e.U8(uint8(t.State))
	e.End(m)
}

// Decode is the inverse of Encode; version 1 knew no states.
func (t *TrashSpec) Decode(d *wire.Decoder) {
	env := d.Begin("TrashImageSpec", 2)
	*t = TrashSpec{Source: TrashSource(d.U8()), Name: d.Str(), Deleted: d.Time(), Deferred: d.Time()}
	if env.Version >= 2 {
		t.State = TrashState(d.U8())
	}
	d.End(env)
}
