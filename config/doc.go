// Package config is Ceph's configuration: the table of options (name, type,
// default, what values are good), the ceph.conf format, and which of several
// settings of an option counts.
//
// The table (options.tsv.gz) has the options of the stock release, so that
// tools and administrators may set what they know; Pulpo acts on few of them.
//
// A setting belongs to a section: global, a daemon type (osd), or one daemon
// (osd.3, client.admin); the more special one counts. Of the places a setting
// can come from, the daemon's own (command line, ceph.conf) comes before the
// central configuration of the monitors, and that before the default.
//
// In names blanks, - and _ mean the same.
//
// No compatibility promise.
package config
