// Package pglog is what the copies of a placement group know of themselves and
// of the past, and how one tells from it which copy has all that was ever
// acknowledged (pg_info_t, PGLog, PastIntervals, and the choices of
// PeeringState). It is data and maths: package pg asks it and acts.
//
// # The argument
//
// An interval is a run of epochs in which a group has the same members. A write
// is acknowledged when all acting members of its interval have it durably. So
// each of them has, at the end of an interval, all writes that were acknowledged
// in it; perhaps some more that were not.
//
// A primary may serve clients only when the map says that it was alive in the
// interval (up_thru), and when all acting members have noted durably that the
// interval has started (last_epoch_started). So of an interval for which neither
// is on record nothing was ever acknowledged, and it can be passed over; of each
// other one that is newer than the newest start that anybody knows, one member
// must be asked, else what it has is not known and the group is down. [BuildPrior]
// says who is to be asked, [FindBest] whose log then is the authoritative one: of
// those that know of the newest start, the one that goes furthest. What it has
// that was not acknowledged becomes true: nobody has been told otherwise.
//
// A group with fewer members than min_size peers too, and that is no start. It
// acknowledges nothing; but if it counted, what others have beyond its log would be
// taken back, and of objects that it lacks nothing would be left.
//
// # Logs
//
// A version names one entry, since an epoch has one primary. So two logs have the
// same past up to the newest version that both have. What a copy has beyond that
// and the authority has not is divergent: no reader was ever told of it. [Merge]
// takes it back: an object that a divergent entry made goes, and one that it
// changed is missing, as of the version before. What the authority has beyond
// that the copy lacks: the objects that those entries changed are [Missing] until
// they have been copied. Deletes need no copying; they are done at once.
//
// So a log must have all entries above its tail (but for those of other groups that
// it was split from): what seems not to be in it would be taken back elsewhere.
//
// A copy whose log ends before the authority's begins cannot be told what it
// lacks. It is filled by a walk through all objects in their order (backfill):
// Info.LastBackfill is how far that has come.
//
// No compatibility promise.
package pglog
