package pg

import (
	"time"

	"github.com/pulpo-storage/pulpo/osd/scrub"
)

// Config are the limits of an OSD's groups, under Ceph's option names. A group
// reads them when it needs them; who changes one replaces the whole.
type Config struct {
	MaxObjectSize     uint64 // osd_max_object_size
	MaxWriteSize      int    // osd_max_write_size, bytes
	MaxNameLen        int    // osd_max_object_name_len
	MaxNamespaceLen   int    // osd_max_object_namespace_len
	MaxAttrNameLen    int    // osd_max_attr_name_len
	MaxAttrSize       int    // osd_max_attr_size; 0: no limit
	MaxOmapEntries    uint64 // osd_max_omap_entries_per_request
	MaxOmapBytes      int    // osd_max_omap_bytes_per_request
	MaxList           uint64 // osd_max_pgls
	MaxWriteReply     int    // osd_max_write_op_reply_len
	CopyChunk         uint64 // osd_copyfrom_max_chunk
	ContextCache      int    // osd_pg_object_context_cache_count
	LogEntries        int    // entries that a group keeps
	LogTrim           int    // osd_pg_log_trim_min: how many are trimmed at once
	DupsTracked       int    // osd_pg_log_dups_tracked: ids kept below the log's tail
	ComplaintTime     time.Duration
	WatchTimeout      time.Duration // osd_client_watch_timeout
	NotifyTimeout     time.Duration // osd_default_notify_timeout
	TrimBatch         int           // osd_pg_max_concurrent_snap_trims: clones trimmed in one transaction
	TrimGroups        int           // osd_max_trimming_pgs: groups that trim at once, of those that share a loop
	TrimSleep         time.Duration // osd_snap_trim_sleep
	RemoveBatch       int           // objects removed at once of a group that is gone
	BackoffOnInactive bool
	Scrub             scrub.Options
	RecoveryMaxActive int           // osd_recovery_max_active: objects of a group that are copied at once
	RecoveryChunk     int           // osd_recovery_max_chunk: bytes of an object in one message
	RecoveryBytes     int           // that the groups of a loop hold for that, or one chunk
	RecoverySleep     time.Duration // osd_recovery_sleep, between objects
	RecoveryRetry     time.Duration // osd_recovery_retry_interval, after an OSD was full
	BackfillScan      int           // osd_backfill_scan_max: objects that are compared at once
	CloneOverlapLimit int           // osd_recover_clone_overlap_limit
	ReadLease         time.Duration // osd_heartbeat_grace times osd_pool_default_read_lease_ratio
	// DefaultClasses are the object classes that the capability x reaches.
	DefaultClasses map[string]bool
}

// DefaultConfig is Ceph's, but for shorter logs: theirs cost a gigabyte of
// memory in an OSD with 100 groups, and few clients have more than a thousand
// requests under way that they might send again.
func DefaultConfig() *Config {
	c := &Config{
		MaxObjectSize: 128 << 20, MaxWriteSize: 90 << 20, MaxNameLen: 2048, MaxNamespaceLen: 256, MaxAttrNameLen: 100,
		MaxOmapEntries: 1024, MaxOmapBytes: 1 << 30, MaxList: 1024, MaxWriteReply: 64, CopyChunk: 8 << 20,
		ContextCache: 256, LogEntries: 1000, LogTrim: 100, DupsTracked: 1000, ComplaintTime: 30 * time.Second,
		WatchTimeout: 30 * time.Second, NotifyTimeout: 30 * time.Second,
		TrimBatch: 2, TrimGroups: 1, RemoveBatch: 64, BackoffOnInactive: true, RecoveryMaxActive: 10, RecoveryChunk: 8 << 20,
		RecoveryBytes: 64 << 20, RecoveryRetry: 30 * time.Second, BackfillScan: 512, CloneOverlapLimit: 1000, ReadLease: 16 * time.Second,
		Scrub: scrub.DefaultOptions(), DefaultClasses: map[string]bool{},
	}
	for _, name := range []string{"cephfs", "hello", "journal", "lock", "log", "numops", "otp", "rbd", "refcount", "rgw",
		"rgw_gc", "timeindex", "user", "version", "cas", "cmpomap", "queue", "2pc_queue", "fifo"} {
		c.DefaultClasses[name] = true
	}
	return c
}
