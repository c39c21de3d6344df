package caps

import (
	"fmt"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
)

// scanner is a position in a text. Each rule either consumes what it matches
// and returns true, or leaves the position alone and returns false.
type scanner struct {
	s   string
	pos int
}

func (sc *scanner) rest() string { return sc.s[sc.pos:] }

// back returns to a position; its result is that of a rule that failed.
func (sc *scanner) back(pos int) bool {
	sc.pos = pos
	return false
}

func (sc *scanner) lit(s string) bool {
	if strings.HasPrefix(sc.rest(), s) {
		sc.pos += len(s)
		return true
	}
	return false
}

// span consumes characters of a set, as many as there are.
func (sc *scanner) span(in func(c byte) bool) string {
	from := sc.pos
	for sc.pos < len(sc.s) && in(sc.s[sc.pos]) {
		sc.pos++
	}
	return sc.s[from:sc.pos]
}

func alnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isBlank(c byte) bool  { return c == ' ' || c == '\t' }
func isSpace(c byte) bool  { return c == ' ' || c >= '\t' && c <= '\r' }
func isSep(c byte) bool    { return c == ' ' || c == '\n' || c == '\t' }
func isWord(c byte) bool   { return alnum(c) || strings.IndexByte("_./-", c) >= 0 }
func isFSName(c byte) bool { return alnum(c) || strings.IndexByte("_.-", c) >= 0 }
func isNetwork(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' || strings.IndexByte("/.:[]", c) >= 0
}

// spaces is at least one. The parsers differ in what counts as space.
func (sc *scanner) spaces(in func(byte) bool) bool { return sc.span(in) != "" }

// quoted is a text in quotes.
func (sc *scanner) quoted(empty bool) (string, bool) {
	r := sc.rest()
	if r == "" || r[0] != '"' && r[0] != '\'' {
		return "", false
	}
	end := strings.IndexByte(r[1:], r[0])
	if end < 0 || end == 0 && !empty {
		return "", false
	}
	sc.pos += end + 2
	return r[1 : 1+end], true
}

// str is a word or a text in quotes, not empty.
func (sc *scanner) str(dst *string) bool { return sc.text(dst, false) }

func (sc *scanner) text(dst *string, empty bool) bool {
	s, ok := sc.quoted(empty)
	if !ok {
		if s = sc.span(isWord); s == "" {
			return false
		}
	}
	*dst = s
	return true
}

// keyword is: spaces, the word, and = or spaces.
func (sc *scanner) keyword(word string, space func(byte) bool) bool {
	at := sc.pos
	if sc.spaces(space) && sc.lit(word) && (sc.lit("=") || sc.spaces(space)) {
		return true
	}
	return sc.back(at)
}

// network is the clause that ends most grants, if it is there.
func (sc *scanner) network(space func(byte) bool) network {
	at := sc.pos
	if sc.spaces(space) && sc.lit("network") && sc.spaces(space) {
		if s := sc.span(isNetwork); s != "" {
			return parseNetwork(s)
		}
	}
	sc.back(at)
	return network{}
}

// rwx is * or all or some of the letters in their order.
func (sc *scanner) rwx(p *Perm) bool {
	if sc.lit("*") || sc.lit("all") {
		*p = Any
		return true
	}
	*p = sc.letters(Exec)
	return *p != 0
}

func (sc *scanner) letters(exec Perm) (p Perm) {
	if sc.lit("r") {
		p |= Read
	}
	if sc.lit("w") {
		p |= Write
	}
	if sc.lit("x") {
		p |= exec
	}
	return p
}

// list parses grants with separators between them, up to the last one that is
// complete.
func (sc *scanner) list(sep func() bool, grant func() bool) bool {
	if !grant() {
		return false
	}
	for {
		at := sc.pos
		if !sep() || !grant() {
			sc.back(at)
			return true
		}
	}
}

// commas is the separator of all but the OSD's lists, which has no room for
// blanks since its grants take them.
func (sc *scanner) commas() bool {
	at := sc.pos
	onlyBlank := func(c byte) bool { return c == ' ' }
	sc.span(onlyBlank)
	if !sc.lit(";") && !sc.lit(",") {
		return sc.back(at)
	}
	sc.span(onlyBlank)
	return true
}

// stopped is the error for what is left of the text.
func (sc *scanner) stopped(service string) error {
	return &Error{fmt.Sprintf("%s capability parse failed, stopped at '%s' of '%s'", service, sc.rest(), sc.s)}
}

// stoppedAt is stopped in the words of the monitor's and manager's parsers,
// which tell the end from the rest.
func (sc *scanner) stoppedAt(service string) error {
	if sc.rest() == "" {
		return &Error{fmt.Sprintf("%s capability parse failed, stopped at end of '%s'", service, sc.s)}
	}
	return sc.stopped(service)
}

// Error is a capability that does not parse, in Ceph's words.
type Error struct{ msg string }

func (e *Error) Error() string { return e.msg }

// Unwrap gives EINVAL.
func (e *Error) Unwrap() error { return errno.EINVAL }

// Validate checks a capability as the monitor does before it keeps it. The
// error is what `ceph auth caps` prints.
func Validate(service, text string) error {
	var err error
	switch service {
	case "mon":
		_, err = ParseMon(text, "")
	case "osd":
		_, err = ParseOSD(text)
	case "mgr":
		_, err = ParseMgr(text)
	case "mds":
		_, err = ParseMDS(text)
	default:
		err = &Error{fmt.Sprintf("unknown cap type '%s'", service)}
	}
	return err
}
