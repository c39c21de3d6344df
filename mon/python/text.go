package python

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// Refuse fails with a number of the wrong sign, as modules do that return
// errno.EINVAL. Tools take such a result as success and show the words; so it
// stays, or scripts that go on from there would break.
func Refuse(no errno.Errno, format string, args ...any) command.Reply {
	return command.Fail(-no, format, args...)
}

// Output is text as the manager hands a module's on: without empty lines, and
// with an end to the last one.
func Output(text string) command.Reply {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return command.Text(b.String())
}

// Float renders a number as repr does: the shortest form, with a point or an
// exponent.
func Float(v float64) string {
	s := strconv.FormatFloat(v, 'e', -1, 64)
	_, exp, _ := strings.Cut(s, "e")
	if n, err := strconv.Atoi(exp); err != nil || n < -4 || n >= 16 {
		return s
	}
	s = strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// Bytes fits a size into width characters, the last being a binary unit or
// blank (mgr_util.format_bytes).
func Bytes(n int64, width int) string { return unit(n, width, 1024) }

// Count is Bytes for what has no dimension, with decimal units
// (mgr_util.format_dimless).
func Count(n int64, width int) string { return unit(n, width, 1000) }

func unit(n int64, width int, factor int64) string {
	const units = " kMGTPE"
	i, div := 0, int64(1)
	for i < len(units)-1 && len(strconv.FormatInt(n/div, 10)) > width-1 {
		i++
		div *= factor
	}
	if i == 0 {
		return fmt.Sprintf("%*d ", width-1, n)
	}
	s := fmt.Sprintf("%f", float64(n)/float64(div))[:width-1]
	if before, ok := strings.CutSuffix(s, "."); ok {
		s = " " + before
	}
	return s + units[i:i+1]
}

// Table is text in columns as PrettyTable makes it without a border: each
// column is as wide as its widest cell, headings included, and two blanks follow
// it. The first row is the headings.
type Table struct {
	Align string // a letter for each column: l, r or c
	rows  [][]string
}

// Row adds a row, which has a cell for each column.
func (t *Table) Row(cells ...string) { t.rows = append(t.rows, cells) }

// String renders the table, without a newline at the end; one without any rows
// but the headings is empty.
func (t *Table) String() string {
	if len(t.rows) < 2 {
		return ""
	}
	width := make([]int, len(t.Align))
	for _, row := range t.rows {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	lines := make([]string, len(t.rows))
	for n, row := range t.rows {
		var b strings.Builder
		for i, c := range row {
			pad := width[i] - utf8.RuneCountInString(c)
			left := 0
			switch t.Align[i] {
			case 'r':
				left = pad
			case 'c':
				// What is left over goes where it makes the other gap even.
				if left = pad / 2; pad%2 == 1 && utf8.RuneCountInString(c)%2 == 0 {
					left++
				}
			}
			b.WriteString(strings.Repeat(" ", left) + c + strings.Repeat(" ", pad-left) + "  ")
		}
		lines[n] = b.String()
	}
	return strings.Join(lines, "\n")
}
