package monmon

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/service"
)

// Checks: monitors that are away, whose clocks differ, whose disks fill up.
func (m *Service) Checks(time.Time) []service.Check {
	if m.m == nil {
		return nil
	}
	return slices.Concat(m.checkDown(), m.checkClocks(), m.checkSpace())
}

func (m *Service) checkDown() []service.Check {
	q := m.host.Quorum().Names
	out := m.without(q)
	if len(out) == 0 {
		return nil
	}
	c := service.Check{
		Code: "MON_DOWN", Severity: service.Warn, Count: int64(len(out)),
		Summary: fmt.Sprintf("%d/%d mons down, quorum %s", len(out), len(m.m.Ranks), strings.Join(q, ",")),
	}
	for _, n := range out {
		rank, _ := m.m.Rank(n)
		c.Detail = append(c.Detail, fmt.Sprintf("mon.%s (rank %d) addr %v is down (out of quorum)", n, rank, m.m.Mons[n].Addrs))
	}
	return []service.Check{c}
}

// drift is how far clocks may differ.
func (m *Service) drift() time.Duration {
	f, err := strconv.ParseFloat(m.host.Option("mon_clock_drift_allowed"), 64)
	if err != nil {
		f = 0.05
	}
	return time.Duration(f * float64(time.Second))
}

// skewed describes a clock that differs too much, "" if it does not.
func (m *Service) skewed(c Clock) string {
	if max := m.drift(); c.Skew.Abs() > max {
		return fmt.Sprintf("clock skew %ss > max %ss", seconds(c.Skew.Abs()), seconds(max))
	}
	return ""
}

func (m *Service) checkClocks() []service.Check {
	clocks := m.host.Clocks()
	c := service.Check{Code: "MON_CLOCK_SKEW", Severity: service.Warn}
	var names []string
	for _, n := range m.m.Ranks {
		if text := m.skewed(clocks[n]); text != "" {
			names = append(names, " mon."+n)
			c.Detail = append(c.Detail, fmt.Sprintf("mon.%s %s (latency %ss)", n, text, seconds(clocks[n].Latency)))
		}
	}
	if len(names) == 0 {
		return nil
	}
	c.Summary, c.Count = "clock skew detected on"+strings.Join(names, ","), int64(len(names))
	return []service.Check{c}
}

func (m *Service) timeSync(c *command.Call) command.Reply {
	clocks := m.host.Clocks()
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("time_sync", func() {
			if len(clocks) > 0 {
				f.Object("time_skew_status", func() {
					for _, n := range m.host.Quorum().Names {
						f.Object(n, func() {
							text := m.skewed(clocks[n])
							f.Float("skew", clocks[n].Skew.Seconds())
							f.Float("latency", clocks[n].Latency.Seconds())
							if text == "" {
								f.Str("health", "HEALTH_OK")
								return
							}
							f.Str("health", "HEALTH_WARN")
							f.Str("details", text)
						})
					}
				})
			}
			f.Object("timechecks", func() {
				q := m.host.Quorum()
				f.Uint("epoch", q.Epoch)
				round := 0
				if len(clocks) > 0 {
					round = 2 // each round has a beginning and an end
				}
				f.Int("round", int64(round))
				f.Str("round_status", "finished")
			})
		})
	})
}

// percent reads an option that is one.
func (m *Service) percent(name string, def uint64) uint64 {
	if n, err := strconv.ParseUint(m.host.Option(name), 10, 64); err == nil {
		return n
	}
	return def
}

// Percent is the part that is free, rounded down as Ceph does.
func (s Space) Percent() uint64 {
	if s.Total == 0 {
		return 100
	}
	return uint64(float64(s.Available) / float64(s.Total) * 100)
}

// Critical reports whether a monitor with so much space must not go on.
func (m *Service) Critical(s Space) bool {
	return s.Total > 0 && s.Percent() <= m.percent("mon_data_avail_crit", 5)
}

func (m *Service) checkSpace() []service.Check {
	space := m.host.Space()
	low := service.Check{Code: "MON_DISK_LOW", Severity: service.Warn}
	crit := service.Check{Code: "MON_DISK_CRIT", Severity: service.Err}
	names := map[*service.Check][]string{}
	for _, n := range m.m.Ranks {
		s, ok := space[n]
		c := &low
		switch {
		case !ok || s.Percent() > m.percent("mon_data_avail_warn", 30):
			continue
		case m.Critical(s):
			c = &crit
		}
		names[c] = append(names[c], n)
		c.Count++
		c.Detail = append(c.Detail, fmt.Sprintf("mon.%s has %d%% avail", n, s.Percent()))
	}
	var out []service.Check
	for _, c := range []*service.Check{&low, &crit} {
		if c.Count == 0 {
			continue
		}
		very := ""
		if c == &crit {
			very = "very "
		}
		plural, are := "", "is"
		if c.Count > 1 {
			plural, are = "s", "are"
		}
		c.Summary = fmt.Sprintf("mon%s %s %s %slow on available space", plural, strings.Join(names[c], ","), are, very)
		out = append(out, *c)
	}
	return out
}

func seconds(d time.Duration) string { return fmt.Sprintf("%g", d.Seconds()) }
