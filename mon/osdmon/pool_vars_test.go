package osdmon

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/errno"
)

// Each variable: what may be set, how it is shown then, and what is refused.
func TestPoolVars(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.start(0)
	c.Run("osd pool create", "pool", "a", "pg_num", 8)
	c.Advance(0) // all groups are made
	c.Run("osd crush rule create-simple", "name", "second", "root", "default", "type", "osd")
	for _, k := range []struct {
		name, val, plain, json string
	}{
		{"size", "2", "2", "2"},
		{"min_size", "1", "1", "1"},
		{"pgp_num", "4", "4", "4"},
		{"crush_rule", "second", "second", `"second"`},
		{"nodelete", "true", "true", "true"},
		{"nodelete", "0", "false", "false"},
		{"nosizechange", "1", "true", "true"},
		{"nopgchange", "1", "true", "true"},
		{"noscrub", "true", "true", "true"},
		{"nodeep-scrub", "true", "true", "true"},
		{"write_fadvise_dontneed", "true", "true", "true"},
		{"bulk", "true", "true", "true"},
		{"pg_autoscale_mode", "warn", "warn", `"warn"`},
		{"scrub_min_interval", "60.5", "60.5", "60.5"},
		{"scrub_max_interval", "600", "600", "600"},
		{"deep_scrub_interval", "1e6", "1e+06", "1000000"},
		{"recovery_priority", "-3", "-3", "-3"},
		{"recovery_op_priority", "7", "7", "7"},
		{"scrub_priority", "8", "8", "8"},
		{"compression_mode", "force", "force", `"force"`},
		{"compression_algorithm", "zstd", "zstd", `"zstd"`},
		{"compression_required_ratio", ".7", "0.7", "0.69999999999999996"},
		{"compression_max_blob_size", "64Ki", "65536", "65536"},
		{"compression_min_blob_size", "4K", "4096", "4096"},
		{"csum_type", "crc32c", "crc32c", `"crc32c"`},
		{"csum_max_block", "1M", "1048576", "1048576"},
		{"csum_min_block", "512", "512", "512"},
		{"fingerprint_algorithm", "sha256", "sha256", `"sha256"`},
		{"pg_num_min", "4", "4", "4"},
		{"pg_num_max", "64", "64", "64"},
		{"target_size_bytes", "1T", "1099511627776", "1099511627776"},
		{"target_size_ratio", "0.2", "0.2", "0.20000000000000001"},
		{"pg_autoscale_bias", "4", "4", "4"},
		{"dedup_tier", "a", "1", "1"},
		{"dedup_chunk_algorithm", "fixed", "fixed", `"fixed"`},
		{"dedup_cdc_chunk_size", "8192", "8192", "8192"},
	} {
		r := c.Try("osd pool set", "pool", "a", "var", k.name, "val", k.val)
		if r.Failed() || r.Status != fmt.Sprintf("set pool 1 %s to %s", k.name, k.val) {
			t.Errorf("set %s=%s: %v %q", k.name, k.val, r.Errno, r.Status)
			continue
		}
		c.Heard(c.Session(1, "osd.0", "allow *"), 0)
		c.Advance(0) // pgp_num follows
		if got := string(c.Run("osd pool get", "pool", "a", "var", k.name).Output); got != k.name+": "+k.plain+"\n" {
			t.Errorf("get %s: %q, want %q", k.name, got, k.plain)
		}
		want := fmt.Sprintf(`{"pool":"a","pool_id":1,"%s":%s}`, k.name, k.json)
		if got := string(c.Run("osd pool get", "pool", "a", "var", k.name, "format", "json").Output); got != want {
			t.Errorf("get %s: %s, want %s", k.name, got, want)
		}
	}
	all := string(c.Run("osd pool get", "pool", "a", "var", "all").Output)
	if n := strings.Count(all, "\n"); n != 39 {
		t.Errorf("%d variables are shown:\n%s", n, all)
	}
	if out := c.Run("osd pool get", "pool", "a", "var", "all", "format", "json-pretty").Output; !json.Valid(out) {
		t.Errorf("not valid: %s", out)
	}
	if r := c.Run("osd pool set", "pool", "a", "var", "csum_type", "val", "unset"); r.Status != "unset pool 1 csum_type" {
		t.Errorf("%q", r.Status)
	}
	if r := c.Try("osd pool get", "pool", "a", "var", "csum_type"); r.Errno != errno.ENOENT || r.Status != "option 'csum_type' is not set on pool 'a'" {
		t.Errorf("%v %q", r.Errno, r.Status)
	}
	c.Run("osd pool set", "pool", "a", "var", "scrub_priority", "val", "0") // unsets too
	if r := c.Try("osd pool get", "pool", "a", "var", "scrub_priority"); r.Errno != errno.ENOENT {
		t.Errorf("%v %q", r.Errno, r.Status)
	}
}

func TestPoolVarsRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.start(0)
	c.Run("osd pool create", "pool", "a", "pg_num", 8, "size", 2)
	for _, k := range []struct {
		name, val string
		no        errno.Errno
		words     string
	}{
		{"size", "x", errno.EINVAL, "error parsing integer value 'x': Expected option value to be integer, got 'x'"},
		{"size", "0", errno.EINVAL, "pool size must be between 1 and 10"},
		{"size", "11", errno.EINVAL, "pool size must be between 1 and 10"},
		{"min_size", "3", errno.EINVAL, "pool min_size must be between 1 and size, which is set to 2"},
		{"pg_num", "0", errno.ERANGE, "'pg_num' must be greater than 0 and less than or equal to 65536 (you may adjust 'mon max pool pg num' for higher values)"},
		{"pg_num", "60000", errno.ERANGE, "pool id 1 pg_num 60000 size 2 would mean 120000 total pgs, which exceeds max 750 (mon_max_pg_per_osd 250 * num_in_osds 3)"},
		{"pg_num", "4", errno.EOPNOTSUPP, "decreasing pg_num is not supported yet: the OSDs cannot merge placement groups"},
		{"pg_num", "16", errno.EOPNOTSUPP, "increasing pg_num is not supported yet: not all up OSDs can split placement groups"},
		{"pgp_num", "9", errno.EINVAL, "specified pgp_num 9 > pg_num 8"},
		{"pgp_num", "0", errno.EINVAL, "specified pgp_num must > 0, but you set to 0"},
		{"crush_rule", "nope", errno.ENOENT, "crush rule nope does not exist"},
		{"nodelete", "maybe", errno.EINVAL, "expecting value 'true', 'false', '0', or '1'"},
		{"hashpspool", "false", errno.EPERM, "are you SURE?  this will remap all placement groups in this pool, this triggers large data movement, pass --yes-i-really-mean-it if you really do."},
		{"hit_set_type", "bloom", errno.EACCES, "(13) Permission denied"},
		{"target_max_objects", "5", errno.EACCES, "(13) Permission denied"},
		{"pg_autoscale_mode", "x", errno.EINVAL, "specified invalid mode x"},
		{"fast_read", "1", errno.EINVAL, "fast read is not supported in replication pool"},
		{"allow_ec_overwrites", "true", errno.EINVAL, "ec overwrites can only be enabled for an erasure coded pool"},
		{"compression_mode", "x", errno.EINVAL, "unrecognized compression mode 'x'"},
		{"compression_algorithm", "x", errno.EINVAL, "unrecognized compression_algorithm 'x'"},
		{"compression_required_ratio", "2", errno.EINVAL, "compression_required_ratio is out of range (0-1): '2'"},
		{"csum_type", "md5", errno.EINVAL, "unrecognized csum_type 'md5'"},
		{"recovery_priority", "11", errno.EINVAL, "pool recovery_priority must be between -10 and 10"},
		{"pg_num_min", "9", errno.EINVAL, "specified pg_num_min 9 > pg_num 8"},
		{"pg_num_max", "7", errno.EINVAL, "specified pg_num_max 7 < pg_num 8"},
		{"dedup_tier", "7", errno.EINVAL, "expecting value 'pool name'"},
		{"bogus", "1", errno.EINVAL, "unrecognized variable 'bogus'"},
	} {
		e := c.Map().Epoch
		r := c.Try("osd pool set", "pool", "a", "var", k.name, "val", k.val)
		if r.Errno != k.no || r.Status != k.words {
			t.Errorf("set %s=%s: %v %q\nwant %v %q", k.name, k.val, r.Errno, r.Status, k.no, k.words)
		}
		if c.Commit(); c.Map().Epoch != e {
			t.Errorf("set %s=%s changed the map", k.name, k.val)
		}
	}
}

// Pools grow where all OSDs can split groups: first groups, then placements.
func TestPoolGrows(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	p := c.start(0)
	c.meta[0] = map[string]string{SplitKey: "true"}
	c.Run("osd pool create", "pool", "a", "pg_num", 8)
	c.Run("osd pool set", "pool", "a", "var", "pg_num", "val", "16")
	var seen []string
	for range 5 {
		q := c.Map().Pools[1]
		seen = append(seen, fmt.Sprintf("%d/%d", q.PGNum, q.PGPNum))
		c.Heard(p.sess, 0)
		c.Advance(0)
	}
	if got := strings.Join(seen, " "); got != "8/8 16/8 16/16 16/16 16/16" {
		t.Errorf("pg_num/pgp_num: %s", got)
	}
}
