package jsonfmt

import (
	"fmt"
	"time"
)

// farPast is where Ceph stops to take a utime_t for a span since 1970.
const farPast = 60 * 60 * 24 * 365 * 10

// Time renders a time as Ceph prints a utime_t:
// 2026-11-20T12:19:06.303390+0000, always in UTC; 0.000000 for the zero time.
func Time(t time.Time) string { return format(t, "+0000") }

// GMTime is Time with Z for the zone, as in the monitor map.
func GMTime(t time.Time) string { return format(t, "Z") }

func format(t time.Time, zone string) string {
	if t.IsZero() {
		return "0.000000"
	}
	if t.Unix() < farPast {
		return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000)
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000") + zone
}
