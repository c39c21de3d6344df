package jsonfmt

import "strconv"

// Bytes renders a size with a binary unit (byte_u_t): 12 KiB, 5.2 KiB, 0 B.
func Bytes(n uint64) string {
	return unit(n, 1024, [...]string{" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"})
}

// SI renders a count with a decimal unit (si_u_t): 24, 1k, 1.5M.
func SI(n uint64) string {
	return unit(n, 1000, [...]string{"", "k", "M", "G", "T", "P", "E"})
}

// unit fits a value into seven characters, if it can: as many decimals, up to
// two, as there is room for, and none for a whole multiple.
func unit(n, base uint64, names [7]string) string {
	i, mult := 0, uint64(1)
	for i < len(names)-1 && n/mult >= base {
		mult *= base
		i++
	}
	if n%mult == 0 {
		return strconv.FormatUint(n/mult, 10) + names[i]
	}
	for prec := 2; ; prec-- {
		s := strconv.FormatFloat(float64(n)/float64(mult), 'f', prec, 64) + names[i]
		if prec == 0 || len(s) <= 7 {
			return s
		}
	}
}

// Short renders a double as a C++ stream does by default: six digits.
func Short(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
