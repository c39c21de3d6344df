package mgrmon

import (
	"strings"

	"github.com/pulpo-storage/pulpo/errno"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// size renders a number of bytes; statistics that went wrong show as nothing.
func size(n int64) string { return jsonfmt.Bytes(uint64(max(n, 0))) }

// info makes the object that the manager puts around its documents, which says
// first whether all OSDs have reported.
func (s *Service) info(c *command.Call, body func(f *jsonfmt.Formatter)) string {
	return c.Render(func(f *jsonfmt.Formatter) {
		f.Object("pg_info", func() {
			f.Bool("pg_ready", s.ready())
			body(f)
		})
	})
}

// answer succeeds with text, or a document as Ceph prints it where the part
// inside was flushed first: a newline comes before what ends it.
func (s *Service) answer(c *command.Call, plain func() string, body func(f *jsonfmt.Formatter)) command.Reply {
	if c.Format == command.Plain {
		return command.Text(plain())
	}
	doc := s.info(c, body)
	last := max(strings.LastIndexByte(doc, '}'), strings.LastIndex(doc, "</"))
	return command.Text(doc[:last] + "\n" + doc[last:])
}

// answerWhole is answer for documents that are flushed in one piece.
func (s *Service) answerWhole(c *command.Call, plain func() string, body func(f *jsonfmt.Formatter)) command.Reply {
	if c.Format == command.Plain {
		return command.Text(plain())
	}
	return command.Text(s.info(c, body))
}

// refuse fails a command of the manager; who wants a document gets an empty one.
func (s *Service) refuse(c *command.Call, no errno.Errno, format string, args ...any) command.Reply {
	r := command.Fail(no, format, args...)
	if c.Format != command.Plain {
		r.Output = []byte(s.info(c, func(*jsonfmt.Formatter) {}))
	}
	return r
}

// unhandled is for words that no part of the manager knows.
func (s *Service) unhandled(c *command.Call) command.Reply {
	return command.Fail(errno.EINVAL, "No handler found for '%s'", c.Prefix)
}
