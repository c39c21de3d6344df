package crashmon

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pulpo-storage/pulpo/mon/python"
)

// report is what is known of one crash. Only a few members mean something here;
// all are kept.
type report struct {
	id     string
	time   time.Time
	fields map[string]any
}

func (r report) archived() bool { return r.fields["archived"] != nil }

// text is a member as words.
func (r report) text(name, def string) string {
	switch v := r.fields[name].(type) {
	case nil:
		return def
	case string:
		return v
	default:
		return python.Compact(v)
	}
}

// parseReport reads a report. The words of its errors are those of the stock
// module, which are Python's.
func parseReport(b []byte) (report, error) {
	var text json.RawMessage
	if err := json.Unmarshal(b, &text); err != nil {
		return report{}, syntaxError(b, err)
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber() // a number is kept as it came
	if err := dec.Decode(&v); err != nil {
		return report{}, err
	}
	fields, ok := v.(map[string]any)
	if !ok {
		switch v.(type) {
		case []any, string:
			return report{}, errors.New("missing 'crash_id' field")
		}
		return report{}, fmt.Errorf("argument of type '%s' is not iterable", typeName(v))
	}
	for _, name := range []string{"crash_id", "timestamp"} {
		if _, ok := fields[name]; !ok {
			return report{}, fmt.Errorf("missing '%s' field", name)
		}
	}
	stamp, ok := fields["timestamp"].(string)
	if !ok {
		return report{}, fmt.Errorf("'%s' object has no attribute 'rstrip'", typeName(fields["timestamp"]))
	}
	r := report{fields: fields}
	if r.id, ok = fields["crash_id"].(string); !ok {
		return report{}, errors.New("'crash_id' is not a string")
	}
	var err error
	r.time, err = parseTime(stamp)
	return r, err
}

// typeName is Python's name for the type of a JSON value.
func typeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case json.Number:
		if strings.ContainsAny(string(v), ".eE") {
			return "float"
		}
		return "int"
	case string:
		return "str"
	case []any:
		return "list"
	}
	return "dict"
}

// syntaxError puts what is wrong with a text in the words of the stock module.
func syntaxError(b []byte, err error) error {
	var s *json.SyntaxError
	if !errors.As(err, &s) {
		return err
	}
	at, what, said := int(s.Offset)-1, "Expecting value", s.Error()
	switch {
	case strings.Contains(said, "unexpected end"):
		at = len(b)
		if last := bytes.TrimRight(b, " \t\r\n"); len(last) > 0 && last[len(last)-1] == '{' {
			what = "Expecting property name enclosed in double quotes"
		}
	case strings.Contains(said, "in literal"):
		for at > 0 && b[at-1] >= 'a' && b[at-1] <= 'z' {
			at--
		}
	case strings.Contains(said, "object key string"):
		what = "Expecting property name enclosed in double quotes"
	case strings.Contains(said, "after object key:value pair"), strings.Contains(said, "after array element"):
		what = "Expecting ',' delimiter"
	case strings.Contains(said, "after object key"):
		what = "Expecting ':' delimiter"
	case strings.Contains(said, "after top-level value"):
		what = "Extra data"
	case strings.Contains(said, "in string literal"):
		what = "Invalid control character at"
	}
	head := b[:min(max(at, 0), len(b))]
	line := bytes.Count(head, []byte("\n")) + 1
	column := utf8.RuneCount(head[bytes.LastIndexByte(head, '\n')+1:]) + 1
	return fmt.Errorf("%s: line %d column %d (char %d)", what, line, column, utf8.RuneCount(head))
}

var stampForm = regexp.MustCompile(`^(\d{4})-(\d{1,2})-(\d{1,2})[T ](\d{1,2}):(\d{1,2}):(\d{1,2})\.(\d{1,6})`)

// parseTime reads a time of a report, in UTC with or without saying so. Old
// daemons have a blank where newer ones have a T.
func parseTime(given string) (time.Time, error) {
	s := strings.TrimRight(given, "Z")
	bad := fmt.Errorf("time data '%s' does not match format '%%Y-%%m-%%d %%H:%%M:%%S.%%f'", s)
	m := stampForm.FindStringSubmatch(s)
	if m == nil {
		return time.Time{}, bad
	}
	if rest := s[len(m[0]):]; rest != "" {
		return time.Time{}, fmt.Errorf("unconverted data remains: %s", rest)
	}
	var n [6]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // at most four digits
	}
	micro, _ := strconv.Atoi((m[7] + "00000")[:6])
	if n[0] < 1 || n[1] < 1 || n[1] > 12 || n[2] < 1 || n[2] > 31 || n[3] > 23 || n[4] > 59 || n[5] > 59 {
		return time.Time{}, bad
	}
	t := time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], micro*1000, time.UTC)
	if t.Day() != n[2] {
		return time.Time{}, errors.New("day is out of range for month")
	}
	return t, nil
}

// archiveTime is how the time of archiving is written.
func archiveTime(t time.Time) string {
	t = t.UTC().Truncate(time.Microsecond)
	if t.Nanosecond() == 0 {
		return t.Format("2006-01-02 15:04:05")
	}
	return t.Format("2006-01-02 15:04:05.000000")
}

// assertForm picks what does not vary between two crashes at the same assertion:
// not the thread, the time, or the line in the file.
var assertForm = regexp.MustCompile(`(?s)^(.*) thread .* time .*(: .*)\n`)

// sign adds the signature of the stack, which is equal for crashes at the same
// place: the hash of the functions' names and the assertion.
func (r report) sign() error {
	trace, ok := r.fields["backtrace"]
	if !ok {
		return nil
	}
	list, ok := trace.([]any)
	if !ok {
		return errors.New("'backtrace' is not a list")
	}
	h := sha256.New()
	for _, frame := range list {
		s, ok := frame.(string)
		if !ok {
			return errors.New("'backtrace' is not a list of strings")
		}
		h.Write([]byte(function(s)))
	}
	switch v := r.fields["assert_msg"].(type) {
	case nil:
	case string:
		if v == "" {
			break
		}
		m := assertForm.FindStringSubmatch(v)
		if m == nil {
			return errors.New("'assert_msg' is not that of an assertion")
		}
		h.Write([]byte(m[1] + m[2]))
	default:
		return errors.New("'assert_msg' is not a string")
	}
	r.fields["stack_sig"] = hex.EncodeToString(h.Sum(nil))
	return nil
}

// function is the name in a frame: "(raise()+0x10b) [0x7f6]" is of "raise()".
func function(frame string) string {
	if i := strings.LastIndexByte(frame, ' '); i >= 0 {
		frame = frame[:i]
	}
	_, first := utf8.DecodeRuneInString(frame)
	_, last := utf8.DecodeLastRuneInString(frame)
	if first+last > len(frame) {
		return ""
	}
	name, _, _ := strings.Cut(frame[first:len(frame)-last], "+")
	return name
}
