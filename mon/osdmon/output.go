package osdmon

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// streamed is what Ceph's commands print that go through a stream: lines, each
// with its newline, without the empty ones.
func streamed(text string) []byte {
	var b strings.Builder
	for l := range strings.SplitSeq(text, "\n") {
		if l != "" {
			b.WriteString(l + "\n")
		}
	}
	return []byte(b.String())
}

// stream succeeds with text, or a document in the format the caller asked for,
// either of them streamed.
func stream(c *command.Call, plain func() string, body func(f *jsonfmt.Formatter)) command.Reply {
	if c.Format == command.Plain {
		return command.Reply{Output: streamed(plain())}
	}
	return command.Reply{Output: streamed(c.Render(body))}
}

// withNewline is for documents that Ceph ends with one newline more.
func withNewline(r command.Reply) command.Reply {
	r.Output = append(r.Output, '\n')
	return r
}

// words returns an error's text without the number's, which travels apart.
func words(err error) string {
	s := err.Error()
	var no errno.Errno
	if errors.As(err, &no) {
		s = strings.TrimSuffix(strings.TrimSuffix(s, no.Error()), ": ")
	}
	return s
}

// refuse fails with an error's number and words.
func refuse(err error) command.Reply {
	if w := words(err); w != "" {
		return command.Fail(errno.Errno(-errno.Code(err)), "%s", w)
	}
	return command.Err(err)
}

// osdList prints [1,0,2].
func osdList(osds []int32) string {
	return "[" + commas(osds) + "]"
}

func commas(osds []int32) string {
	s := make([]string, len(osds))
	for i, o := range osds {
		s[i] = fmt.Sprint(o)
	}
	return strings.Join(s, ",")
}

func dumpInts(f *jsonfmt.Formatter, name, elem string, osds []int32) {
	f.Array(name, func() {
		for _, o := range osds {
			f.Int(elem, int64(o))
		}
	})
}
