package command

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
)

// Reply is the answer to a command.
type Reply struct {
	Errno  errno.Errno // 0: success
	Status string      // one line for stderr
	Output []byte      // for stdout
	// Commit holds the reply back until what the handler staged in its service
	// is committed. Only handlers of kind Write may ask for it.
	Commit bool
}

// Failed reports whether r is a refusal.
func (r Reply) Failed() bool { return r.Errno != 0 }

// Fail refuses a command.
func Fail(no errno.Errno, format string, args ...any) Reply {
	return Reply{Errno: no, Status: fmt.Sprintf(format, args...)}
}

// Err refuses a command with an error's number. The words are Ceph's for
// errors without words of their own.
func Err(err error) Reply {
	no := errno.Errno(-errno.Code(err))
	return Reply{Errno: no, Status: fmt.Sprintf("(%d) %v", int(no), no)}
}

// Say succeeds with words on stderr and no output.
func Say(format string, args ...any) Reply { return Reply{Status: fmt.Sprintf(format, args...)} }

// Text succeeds with plain output.
func Text(out string) Reply { return Reply{Output: []byte(out)} }

// Committed is Say once the staged change is committed.
func Committed(format string, args ...any) Reply {
	return Reply{Status: fmt.Sprintf(format, args...), Commit: true}
}

// Dump succeeds with a document in the caller's format; a caller that wants
// plain output gets json-pretty.
func (c *Call) Dump(body func(f *jsonfmt.Formatter)) Reply {
	return Reply{Output: []byte(c.Render(body))}
}

// Render renders a document in the caller's format (json-pretty for plain). In XML
// what the handler gave no name to is called like the command.
func (c *Call) Render(body func(f *jsonfmt.Formatter)) string {
	var f jsonfmt.Formatter
	body(&f)
	switch c.Format {
	case JSON:
		return f.JSON()
	case XML, XMLPretty:
		return f.XML(c.Prefix, c.Format == XMLPretty)
	}
	return f.Pretty()
}

// Either succeeds with text for a caller that wants plain output, else with a
// document.
func (c *Call) Either(plain func() string, body func(f *jsonfmt.Formatter)) Reply {
	if c.Format == Plain {
		return Text(plain())
	}
	return c.Dump(body)
}

// Line ends the output with a newline, as some of Ceph's handlers do also for
// compact documents.
func (r Reply) Line() Reply {
	if n := len(r.Output); n > 0 && r.Output[n-1] != '\n' {
		r.Output = append(r.Output, '\n')
	}
	return r
}

// LineUnlessPlain is Line for documents.
func (r Reply) LineUnlessPlain(c *Call) Reply {
	return r.LineIf(c.Format != Plain)
}

// LineIf is Line under a condition.
func (r Reply) LineIf(ok bool) Reply {
	if !ok {
		return r
	}
	return r.Line()
}

// As returns the call with another format.
func (c *Call) As(f Format) *Call {
	d := *c
	d.Format = f
	return &d
}
