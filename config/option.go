package config

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// Type is the type of an option's value.
type Type string

const (
	Str       Type = "str"
	Bool      Type = "bool"
	Int       Type = "int"
	Uint      Type = "uint"
	Float     Type = "float"
	Size      Type = "size" // bytes; K, M, G are powers of 1024
	Secs      Type = "secs" // seconds; 1d, 2h30m
	Millisecs Type = "millisecs"
	Addr      Type = "addr"
	AddrVec   Type = "addrvec"
	UUID      Type = "uuid"
)

// Option describes an option. Values are in their normal form.
type Option struct {
	Name          string
	Type          Type
	Level         string // basic, advanced, dev
	Default       string
	DaemonDefault string // "" if it is that of everybody
	Min, Max      string
	Enum          []string
	Services      []string
	Flags         []string // runtime, startup, no_mon_update, create, cluster_create
	Runtime       bool     // a change takes effect at once
	Desc          string
}

// Has reports whether a flag is set.
func (o *Option) Has(flag string) bool { return slices.Contains(o.Flags, flag) }

// DefaultFor returns the default of a daemon or of a client.
func (o *Option) DefaultFor(daemon bool) string {
	if daemon && o.DaemonDefault != "" {
		return o.DaemonDefault
	}
	return o.Default
}

//go:embed options.tsv.gz
var tableData []byte

type optionTable struct {
	list   []*Option
	byName map[string]*Option
}

var table = sync.OnceValue(func() *optionTable {
	t, err := readTable(tableData)
	if err != nil {
		panic("BUG: option table: " + err.Error())
	}
	return t
})

func readTable(gz []byte) (*optionTable, error) {
	r, err := gzip.NewReader(bytes.NewReader(gz))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	t := &optionTable{byName: map[string]*Option{}}
	for line := range strings.Lines(string(text)) {
		if line[0] == '#' {
			continue
		}
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 11 {
			return nil, fmt.Errorf("%q has %d fields", line, len(f))
		}
		o := &Option{
			Name: f[0], Type: Type(f[1]), Level: f[2], Default: f[3], DaemonDefault: f[4], Min: f[5], Max: f[6],
			Enum: list(f[7]), Services: list(f[8]), Flags: list(f[9]), Runtime: f[10] == "rw", Desc: descriptions[f[0]],
		}
		if sub, ok := strings.CutPrefix(o.Name, "debug_"); ok && o.Desc == "" {
			o.Desc = "Debug level for " + sub
		}
		t.list = append(t.list, o)
		t.byName[o.Name] = o
	}
	return t, nil
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// Find returns the option of a name in normal form, nil if there is none.
func Find(name string) *Option { return table().byName[name] }

// Options are all options in the order of the stock release.
func Options() []*Option { return table().list }

// Listed are the options that "config ls" names: not the debug levels, of which
// every subsystem has one.
var Listed = sync.OnceValue(func() []*Option {
	return slices.DeleteFunc(slices.Clone(Options()), (*Option).isLevel)
})

// isLevel reports whether an option is the debug level of a subsystem.
func (o *Option) isLevel() bool { return strings.HasPrefix(o.Name, "debug_") && levelPair(o.Default) }

// Name brings a name into its normal form: blanks and dashes become
// underscores.
func Name(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '-' {
			return '_'
		}
		return r
	}, strings.TrimSpace(s))
}

// descriptions say what an option does, of those that Pulpo acts on.
var descriptions = map[string]string{
	"auth_client_required":                  "authentication methods clients accept",
	"auth_cluster_required":                 "authentication methods between daemons",
	"auth_mon_ticket_ttl":                   "lifetime of tickets for the monitors, in seconds",
	"auth_service_required":                 "authentication methods services accept",
	"auth_service_ticket_ttl":               "lifetime of tickets for services, in seconds",
	"fsid":                                  "the cluster's uuid",
	"keyring":                               "where keys are looked for",
	"log_file":                              "path of the log file",
	"mon_allow_pool_delete":                 "whether pools may be deleted",
	"mon_allow_pool_size_one":               "whether pools of one replica may be made",
	"mon_data":                              "directory of the monitor's data",
	"mon_host":                              "addresses of the monitors",
	"mon_max_pg_per_osd":                    "placement groups an OSD may have before no more are made",
	"mon_osd_down_out_interval":             "seconds until an OSD that is down is marked out",
	"mon_osd_full_ratio":                    "usage above which a new cluster takes no writes",
	"mon_osd_nearfull_ratio":                "usage above which a new cluster warns",
	"osd_class_default_list":                "object classes that are loaded",
	"osd_crush_chooseleaf_type":             "failure domain of a new cluster's first rule, as bucket type",
	"osd_heartbeat_grace":                   "seconds without a sign of life after which an OSD is down",
	"osd_max_backfills":                     "backfills at a time on one OSD",
	"osd_max_object_size":                   "largest object, in bytes",
	"osd_max_write_size":                    "largest write, in MiB",
	"osd_memory_target":                     "memory an OSD stays below, in bytes",
	"osd_objectstore":                       "kind of store of a new OSD",
	"osd_op_complaint_time":                 "seconds after which a request is slow",
	"osd_pool_default_min_size":             "replicas a new pool needs to serve writes; 0: more than half",
	"osd_pool_default_pg_num":               "placement groups of a new pool",
	"osd_pool_default_size":                 "replicas of a new pool",
	"public_addr":                           "address daemons serve clients at",
	"public_network":                        "network of addresses for clients",
	"rbd_cache":                             "whether images are cached by their users",
	"rbd_default_features":                  "features of new images",
	"auth_allow_insecure_global_id_reclaim": "whether old clients may take up their global id without proof",
}
