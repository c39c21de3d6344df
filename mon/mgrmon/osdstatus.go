package mgrmon

import (
	"path"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/python"
)

func (s *Service) statusCommands(t *command.Table) { t.Read("osd status", s.osdStatus) }

// osdStatus shows the OSDs and what clients do with them; of all, or of those
// right below the buckets that a pattern names.
func (s *Service) osdStatus(c *command.Call) command.Reply {
	p := s.pgmap()
	var shown map[int32]bool
	if pattern := c.Str("bucket"); pattern != "" {
		for id, name := range p.m.Crush.Names {
			if match, _ := path.Match(pattern, name); id >= 0 || !match && name != pattern {
				continue
			}
			if shown == nil {
				shown = map[int32]bool{}
			}
			if b := p.m.Crush.Bucket(id); b != nil {
				for _, item := range b.Items {
					shown[item] = true
				}
			}
		}
		if shown == nil {
			return python.Output("Bucket '" + pattern + "' not found") // with success, as in Ceph
		}
	}
	table := python.Table{Align: "rlrrrrrrl"}
	table.Row("ID", "HOST", "USED", "AVAIL", "WR OPS", "WR DATA", "RD OPS", "RD DATA", "STATE")
	for o := range p.m.MaxOSD {
		if !p.m.Exists(o) || shown != nil && !shown[o] {
			continue
		}
		host, used, avail := "", int64(0), int64(0)
		w := &window{}
		if r := p.osds[o]; r != nil {
			st, _ := p.stat(o)
			host, used, avail = s.osd.Metadata(o)["hostname"], usedRaw(&st.Store)>>10<<10, st.Store.Available>>10<<10
			w = &r.window
		}
		table.Row(strconv.Itoa(int(o)), host, python.Bytes(used, 5), python.Bytes(avail, 5),
			python.Count(w.per(w.sum.Writes), 5), python.Bytes(w.writeBytes(), 5),
			python.Count(w.per(w.sum.Reads), 5), python.Bytes(w.readBytes(), 5),
			strings.Join(p.m.State[o].Names(), ","))
	}
	return python.Output(table.String())
}

// maxWidth bounds a line of iostat.
const maxWidth = 1000

// IOStat is one line of the table that "ceph iostat" polls for.
func (s *Service) IOStat(c *command.Call) command.Reply {
	w := &s.pgmap().window
	rd, wr, reads, writes := w.readBytes(), w.writeBytes(), w.per(w.sum.Reads), w.per(w.sum.Writes)
	cells := []string{iec(rd) + "B/s", iec(wr) + "B/s", iec(rd+wr) + "B/s",
		strconv.FormatInt(reads, 10), strconv.FormatInt(writes, 10), strconv.FormatInt(reads+writes, 10)}
	column := int(max(0, min(c.IntOr("width", 80), maxWidth))) / len(cells)
	row := func(cells []string) string {
		out := "|"
		for _, cell := range cells {
			out += strings.Repeat(" ", max(0, column-2-len(cell))) + cell + " |"
		}
		return out + "\n"
	}
	out := ""
	if c.Bool("print_header") {
		line := "+" + strings.Repeat(strings.Repeat("-", max(0, column-1))+"+", len(cells)) + "\n"
		out = line + row([]string{"Read", "Write", "Total", "Read IOPS", "Write IOPS", "Total IOPS"}) + line
	}
	return python.Output(out + row(cells))
}

// iec renders a number with the largest binary prefix that leaves more than ten
// of it.
func iec(n int64) string {
	for i, prefix := range []string{"Pi", "Ti", "Gi", "Mi", "Ki"} {
		if bits := 50 - 10*i; n > 10<<bits {
			return strconv.FormatInt(n>>bits, 10) + " " + prefix
		}
	}
	return strconv.FormatInt(n, 10) + " "
}
