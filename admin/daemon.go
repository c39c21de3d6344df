package admin

import (
	"fmt"
	"strings"

	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
)

// Version is what "version" tells.
type Version struct {
	Number  string // 16.2.15-pulpo
	Release string // pacific
	Type    string // stable
	Git     string // hash of the commit it was built of
}

// ParseVersion cuts up what daemons say they are: "ceph version 16.2.15
// (618f44...) pacific (stable)".
func ParseVersion(text string) (v Version) {
	words := strings.Fields(strings.TrimPrefix(text, "ceph version "))
	for i, to := range []*string{&v.Number, &v.Git, &v.Release, &v.Type} {
		if i < len(words) {
			*to = strings.Trim(words[i], "()")
		}
	}
	return v
}

// Daemon is what the commands that all daemons have work with.
type Daemon struct {
	Config  *config.Config
	Version Version
	// Changed is told after settings were changed.
	Changed func()
	// Perf writes the answer to one of metric.Commands; nil: there are no
	// counters.
	Perf func(f *jsonfmt.Formatter, command, group, counter string)
	// ReopenLog makes the daemon go on with a new file for its log, after the old
	// one was renamed.
	ReopenLog func() error
}

// Reply is the answer to a command.
type Reply struct {
	Errno  errno.Errno
	Status string                     // for stderr
	Body   func(f *jsonfmt.Formatter) // nil: no document
	Output []byte                     // instead of a document
}

func fail(no errno.Errno, format string, args ...any) Reply {
	return Reply{Errno: no, Status: fmt.Sprintf(format, args...)}
}

// object is a document with an object around its fields.
func object(name string, fields func(f *jsonfmt.Formatter)) Reply {
	return Reply{Body: func(f *jsonfmt.Formatter) { f.Object(name, func() { fields(f) }) }}
}

// Handler carries out a command of [Daemon].
type Handler func(d *Daemon, a Args) Reply

// Each yields the commands that all daemons have.
func Each(yield func(sig, help string, do Handler)) {
	yield("version", "get ceph version", (*Daemon).version)
	yield("git_version", "get git sha1", (*Daemon).gitVersion)
	yield("config show", "dump current config settings", (*Daemon).configShow)
	yield("config get name=var,type=CephString", "config get <field>: get the config value", (*Daemon).configGet)
	yield("config set name=var,type=CephString name=val,type=CephString,n=N",
		"config set <field> <val> [<val> ...]: set a config variable", (*Daemon).configSet)
	yield("config unset name=var,type=CephString", "config unset <field>: unset a config variable", (*Daemon).configUnset)
	yield("config diff", "dump diff of current config and default config", (*Daemon).configDiff)
	yield("config diff get name=var,type=CephString",
		"dump diff get <field>: dump diff of current and default config setting <field>", (*Daemon).configDiff)
	yield("config help name=var,type=CephString,req=false", "get config setting schema and descriptions", (*Daemon).configHelp)
	yield("injectargs name=injected_args,type=CephString,n=N", "inject configuration arguments into running daemon", (*Daemon).injectArgs)
	const one = " name=logger,type=CephString,req=false name=counter,type=CephString,req=false"
	yield("perf dump"+one, "dump perfcounters value", (*Daemon).perf)
	yield("perf schema", "dump perfcounters schema", (*Daemon).perf)
	yield("perf reset name=var,type=CephString", "perf reset <name>: perf reset all or one perfcounter name", (*Daemon).perf)
	yield("perf histogram dump"+one, "dump perf histogram values", (*Daemon).perf)
	yield("perf histogram schema", "dump perf histogram schema", (*Daemon).perf)
	yield("perfcounters_dump", "", (*Daemon).perf) // of old
	yield("perfcounters_schema", "", (*Daemon).perf)
	yield("log flush", "flush log entries to log file", (*Daemon).log)
	yield("log reopen", "reopen log file", (*Daemon).log)
	yield("log dump", "dump recent log entries to log file", (*Daemon).log)
}

func (d *Daemon) version(Args) Reply {
	return object("version", func(f *jsonfmt.Formatter) {
		f.Str("version", d.Version.Number)
		f.Str("release", d.Version.Release)
		f.Str("release_type", d.Version.Type)
	})
}

func (d *Daemon) gitVersion(Args) Reply {
	return object("git_version", func(f *jsonfmt.Formatter) { f.Str("git_version", d.Version.Git) })
}

// perf answers questions for counters.
func (d *Daemon) perf(a Args) Reply {
	prefix, group := a.Str("prefix"), a.Str("logger")
	switch prefix {
	case "perfcounters_dump":
		prefix = "perf dump"
	case "perfcounters_schema":
		prefix = "perf schema"
	case "perf reset":
		group = a.Str("var")
	}
	if d.Perf == nil {
		return object(prefix, func(*jsonfmt.Formatter) {})
	}
	return Reply{Body: func(f *jsonfmt.Formatter) { d.Perf(f, prefix, group, a.Str("counter")) }}
}

// log flushes the log, which is never behind and has everything that there is, or
// goes on with a new file.
func (d *Daemon) log(a Args) Reply {
	if a.Str("prefix") == "log reopen" && d.ReopenLog != nil {
		if err := d.ReopenLog(); err != nil {
			return fail(errno.Errno(-errno.Code(err)), "%v", err)
		}
	}
	return object("log", func(*jsonfmt.Formatter) {})
}

// Heap is about an allocator that daemons here do not use.
func Heap(*Daemon, Args) Reply {
	return fail(errno.EOPNOTSUPP, "could not issue heap profiler command -- not using tcmalloc!")
}

// HeapSig is its signature with the given verbs.
func HeapSig(verbs string) string {
	return "heap name=heapcmd,type=CephChoices,strings=" + verbs + " name=value,type=CephString,req=false"
}

// HeapHelp describes it.
const HeapHelp = "show heap usage info (available only if compiled with tcmalloc)"

// Smart is what the media that the daemon uses say of their health: nothing that
// it could read.
func Smart(*Daemon, Args) Reply { return Reply{Output: []byte("{\n}\n")} }
