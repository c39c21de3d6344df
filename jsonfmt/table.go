package jsonfmt

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Align says at which side of its column a cell stands.
type Align bool

const (
	Left  Align = false
	Right Align = true
)

// Table is the plain-text counterpart of a Formatter: aligned columns, two
// blanks apart, every cell padded to the width of its column (TextTable).
type Table struct {
	heads  []string
	above  []Align // of the headings
	aligns []Align
	rows   [][]string
}

// Column adds a column. Headings stand left, cells as align says.
func (t *Table) Column(heading string, align Align) {
	t.column(heading, Left, align)
}

// ColumnRight adds a column whose heading and cells stand right.
func (t *Table) ColumnRight(heading string) { t.column(heading, Right, Right) }

func (t *Table) column(heading string, head, align Align) {
	t.heads = append(t.heads, heading)
	t.above = append(t.above, head)
	t.aligns = append(t.aligns, align)
}

// Row adds a row; cells that are not given are empty.
func (t *Table) Row(cells ...string) {
	row := make([]string, len(t.heads))
	copy(row, cells)
	t.rows = append(t.rows, row)
}

// String renders the table.
func (t *Table) String() string {
	width := make([]int, len(t.heads))
	for _, row := range append([][]string{t.heads}, t.rows...) {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	line := func(cells []string, align func(int) Align) {
		for i, c := range cells {
			if i > 0 {
				b.WriteString("  ")
			}
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if align(i) == Right {
				b.WriteString(pad + c)
			} else {
				b.WriteString(c + pad)
			}
		}
		b.WriteByte('\n')
	}
	line(t.heads, func(i int) Align { return t.above[i] })
	for _, row := range t.rows {
		line(row, func(i int) Align { return t.aligns[i] })
	}
	return b.String()
}

// Weight renders a weight in a table: five digits, "-" for one below zero
// (weightf_t).
func Weight(w float64) string {
	switch {
	case w < -0.01:
		return "-"
	case w < 0.000001:
		return "0"
	}
	return strconv.FormatFloat(w, 'f', 5, 64)
}
