package pg

import "github.com/pulpo-storage/pulpo/osd/pglog"

// What copies know of themselves is package pglog's; here by the names that this
// package knows it under.
type (
	Info      = pglog.Info
	History   = pglog.History
	Stats     = pglog.Stats
	Entry     = pglog.Entry
	EntryKind = pglog.EntryKind
	OpReturn  = pglog.OpReturn
)

const (
	EntryModify = pglog.EntryModify
	EntryClone  = pglog.EntryClone
	EntryDelete = pglog.EntryDelete
	EntryError  = pglog.EntryError

	EntryLostRevert = pglog.EntryLostRevert
	EntryLostDelete = pglog.EntryLostDelete

	logPrefix = pglog.KeyPrefix
)
