// Package crashmon keeps the reports of daemons that crashed (the manager's
// module "crash"). Whatever runs beside the daemons posts a report, one JSON
// object with at least crash_id and timestamp; the cluster warns of it until an
// operator archives it or two weeks have passed, and forgets it after a year.
//
// Reports are values of the key-value store, under the names that the stock
// module gives them (mgr/crash/crash/ID), so that they are replicated and
// "config-key" shows them. Whoever writes there directly may write anything:
// what is no report is left out, never trusted.
//
// No compatibility promise.
package crashmon

import (
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/mon/kvmon"
	"github.com/pulpo-storage/pulpo/mon/service"
)

const (
	prefix = "mgr/crash/crash/"
	after  = "mgr/crash/crash0" // the first key behind those with prefix

	optWarn   = "mgr/crash/warn_recent_interval"
	optRetain = "mgr/crash/retain_interval"

	day         = 24 * time.Hour
	defaultWarn = 14 * day
	defaultKeep = 365 * day

	pruneEvery = 10 * time.Minute
	maxDetail  = 30 // crashes named in the health detail
)

// Service is the module. It has no state of its own: the reports it holds are
// those of the store, read once after each change.
type Service struct {
	host   service.Host
	kv     *kvmon.Service
	option func(name string) string

	read    bool
	reports []report // by id

	nextPrune time.Time
}

// New makes the module over the store; option returns the value that an option
// has for the manager, "" for none.
func New(h service.Host, kv *kvmon.Service, option func(name string) string) *Service {
	return &Service{host: h, kv: kv, option: option}
}

// Changed tells which keys of the store a commit changed.
func (s *Service) Changed(keys []string) {
	for _, k := range keys {
		if strings.HasPrefix(k, prefix) {
			s.Reload()
			return
		}
	}
}

// Reload tells that the store was replaced.
func (s *Service) Reload() { s.read, s.reports = false, nil }

// all are the committed reports by id.
func (s *Service) all() []report {
	if !s.read {
		s.read = true
		for k, v := range s.kv.Reader().Scan(prefix, after) {
			if r, err := parseReport(v); err == nil && prefix+r.id == k {
				s.reports = append(s.reports, r)
			}
		}
	}
	return s.reports
}

// find returns a report as it will be once what is pending is committed.
func (s *Service) find(id string) (report, bool) {
	v := s.kv.Get(prefix + id)
	if v == nil {
		return report{}, false
	}
	r, err := parseReport(v)
	return r, err == nil && r.id == id
}

// interval is the value of an option in seconds.
func (s *Service) interval(name string, def time.Duration) time.Duration {
	v := s.option(name)
	if v == "" {
		return def
	}
	sec, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		n, err := config.ParseSpan(v)
		if err != nil {
			return def
		}
		sec = int64(n)
	}
	const most = 100 * 365 * 24 * 3600 // does not overflow a Duration
	return time.Duration(min(max(sec, 0), most)) * time.Second
}

// prune stages the removal of reports that are not younger than cutoff, and
// reports whether there were any.
func (s *Service) prune(cutoff time.Time) bool {
	found := false
	for _, r := range s.all() {
		if !r.time.After(cutoff) {
			s.kv.Delete(prefix + r.id)
			found = true
		}
	}
	return found
}

// Wake is when old reports are looked for again.
func (s *Service) Wake() time.Time {
	if s.nextPrune.IsZero() {
		return s.host.Now()
	}
	return s.nextPrune
}

// Tick forgets old reports.
func (s *Service) Tick(now time.Time) {
	if now.Before(s.nextPrune) {
		return
	}
	s.nextPrune = now.Add(pruneEvery)
	s.prune(now.Add(-s.interval(optRetain, defaultKeep)))
}

// Checks warns of recent crashes that nobody has looked at.
func (s *Service) Checks(now time.Time) []service.Check {
	cutoff := now.Add(-s.interval(optWarn, defaultWarn))
	var detail []string
	for _, r := range s.all() {
		if r.time.After(cutoff) && !r.archived() {
			detail = append(detail, r.text("entity_name", "unidentified daemon")+
				" crashed on host "+r.text("utsname_hostname", "(unknown)")+" at "+r.text("timestamp", ""))
		}
	}
	n := len(detail)
	if n == 0 {
		return nil
	}
	if n > maxDetail {
		detail = append(detail[:maxDetail], "and "+strconv.Itoa(n-maxDetail)+" more")
	}
	return []service.Check{{
		Code: "RECENT_CRASH", Severity: service.Warn, Count: int64(n), Detail: detail,
		Summary: strconv.Itoa(n) + " daemons have recently crashed",
	}}
}
