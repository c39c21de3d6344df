package crashmon

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/python"
)

// Commands registers crash ... .
func (s *Service) Commands(t *command.Table) {
	t.Read("crash ls", func(c *command.Call) command.Reply { return list(c, s.all()) })
	t.Read("crash ls-new", s.listNew)
	t.Read("crash info", s.info)
	t.Read("crash stat", s.stat)
	t.Read("crash json_report", s.jsonReport)
	t.Write("crash post", s.post)
	t.Write("crash rm", s.remove)
	t.Write("crash archive", s.archive)
	t.Write("crash archive-all", s.archiveAll)
	t.Write("crash prune", s.pruneDays)
}

// missing is the refusal of a command without the argument it needs.
func missing(name string) command.Reply {
	return command.Fail(errno.EINVAL, "missing required parameter %s(<string>)", name)
}

func (s *Service) listNew(c *command.Call) command.Reply {
	var fresh []report
	for _, r := range s.all() {
		if !r.archived() {
			fresh = append(fresh, r)
		}
	}
	return list(c, fresh)
}

// list shows reports: whole as JSON, else one line for each.
func list(c *command.Call, reports []report) command.Reply {
	if c.Format != command.Plain {
		whole := make([]any, len(reports))
		for i, r := range reports {
			whole[i] = r.fields
		}
		return python.Output(python.Indented(whole))
	}
	if len(reports) == 0 {
		return command.Reply{}
	}
	t := python.Table{Align: "llc"}
	t.Row("ID", "ENTITY", "NEW")
	for _, r := range reports {
		mark := "*"
		if r.archived() {
			mark = ""
		}
		t.Row(r.id, r.text("entity_name", "unknown"), mark)
	}
	return python.Output(t.String())
}

func (s *Service) info(c *command.Call) command.Reply {
	if !c.Has("id") {
		return missing("id")
	}
	r, ok := s.find(c.Str("id"))
	if !ok {
		return python.Refuse(errno.EINVAL, "crash info: %s not found", c.Str("id"))
	}
	return python.Output(python.Indented(r.fields))
}

// post keeps a report. One that is there already stays: whoever posts asks
// again when an answer was lost.
func (s *Service) post(c *command.Call) command.Reply {
	if bad, ok := s.kv.Fits(c.Input); !ok {
		return bad
	}
	r, err := parseReport(c.Input)
	if err == nil {
		err = r.sign()
	}
	if err != nil {
		return python.Refuse(errno.EINVAL, "malformed crash metadata: %v", err)
	}
	if _, known := s.find(r.id); known {
		return command.Reply{}
	}
	return s.keep(r)
}

// keep stages a report.
func (s *Service) keep(r report) command.Reply {
	text := []byte(python.Compact(r.fields))
	if bad, ok := s.kv.Fits(text); !ok {
		return bad
	}
	s.kv.Put(prefix+r.id, text)
	return command.Committed("")
}

func (s *Service) remove(c *command.Call) command.Reply {
	if !c.Has("id") {
		return missing("id")
	}
	if _, ok := s.find(c.Str("id")); !ok {
		return command.Reply{}
	}
	s.kv.Delete(prefix + c.Str("id"))
	return command.Committed("")
}

func (s *Service) archive(c *command.Call) command.Reply {
	if !c.Has("id") {
		return missing("id")
	}
	r, ok := s.find(c.Str("id"))
	switch {
	case !ok:
		return python.Refuse(errno.EINVAL, "crash info: %s not found", c.Str("id"))
	case r.archived():
		return command.Reply{}
	}
	s.putArchived(r, c.Now)
	return command.Committed("")
}

// putArchived stages that a report was looked at. That adds a little to a
// report that may be as large as one can be; it is not refused for that.
func (s *Service) putArchived(r report, now time.Time) {
	r.fields["archived"] = archiveTime(now)
	s.kv.Put(prefix+r.id, []byte(python.Compact(r.fields)))
}

func (s *Service) archiveAll(c *command.Call) command.Reply {
	staged := command.Reply{}
	for _, known := range s.all() {
		// What is committed may be removed by what is pending.
		if r, ok := s.find(known.id); ok && !r.archived() {
			s.putArchived(r, c.Now)
			staged = command.Committed("")
		}
	}
	return staged
}

func (s *Service) pruneDays(c *command.Call) command.Reply {
	if !c.Has("keep") {
		return missing("keep")
	}
	days, err := strconv.Atoi(strings.TrimSpace(c.Str("keep")))
	if err != nil {
		return python.Refuse(errno.EINVAL, "keep argument must be integer")
	}
	const most = 10000 * 366 // more than any time of a report can be away
	if !s.prune(c.Now.UTC().AddDate(0, 0, -min(max(days, -most), most))) {
		return command.Reply{}
	}
	return command.Committed("")
}

func (s *Service) stat(c *command.Call) command.Reply {
	var b strings.Builder
	fmt.Fprintf(&b, "%d crashes recorded\n", len(s.all()))
	for _, days := range []int{1, 3, 7} {
		var old []string
		for _, r := range s.all() {
			if !r.time.After(c.Now.Add(-time.Duration(days) * day)) {
				old = append(old, r.id)
			}
		}
		if len(old) > 0 {
			fmt.Fprintf(&b, "%d older than %d days old:\n%s\n", len(old), days, strings.Join(old, "\n"))
		}
	}
	return python.Output(b.String())
}

// jsonReport counts crashes by program. Of the hours that are asked for the
// stock module makes no use, and it answers in the status.
func (s *Service) jsonReport(c *command.Call) command.Reply {
	if !c.Has("hours") {
		return missing("hours")
	}
	if _, err := strconv.Atoi(strings.TrimSpace(c.Str("hours"))); err != nil {
		return python.Refuse(errno.EINVAL, "<hours> argument must be integer")
	}
	counts := map[string]int{}
	for _, r := range s.all() {
		name := r.text("process_name", "")
		if name == "" {
			name = "unknown"
		}
		counts[name]++
	}
	v := map[string]any{}
	for name, n := range counts {
		v[name] = json.Number(strconv.Itoa(n))
	}
	return command.Say("%s", python.Compact(v))
}
