package osdmap

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/wire"
)

// PoolOptKey is an optional setting of a pool (pool_opts_t::key_t).
type PoolOptKey int32

const (
	OptScrubMinInterval PoolOptKey = iota
	OptScrubMaxInterval
	OptDeepScrubInterval
	OptRecoveryPriority
	OptRecoveryOpPriority
	OptScrubPriority
	OptCompressionMode
	OptCompressionAlgorithm
	OptCompressionRequiredRatio
	OptCompressionMaxBlobSize
	OptCompressionMinBlobSize
	OptCsumType
	OptCsumMaxBlock
	OptCsumMinBlock
	OptFingerprintAlgorithm
	OptPGNumMin
	OptTargetSizeBytes
	OptTargetSizeRatio
	OptPGAutoscaleBias
	OptReadLeaseInterval
	OptDedupTier
	OptDedupChunkAlgorithm
	OptDedupCDCChunkSize
	OptPGNumMax
)

// Types of values on the wire.
const (
	optString = 0
	optInt    = 1
	optFloat  = 2
)

var poolOpts = []struct {
	name string
	typ  int32
}{
	OptScrubMinInterval:         {"scrub_min_interval", optFloat},
	OptScrubMaxInterval:         {"scrub_max_interval", optFloat},
	OptDeepScrubInterval:        {"deep_scrub_interval", optFloat},
	OptRecoveryPriority:         {"recovery_priority", optInt},
	OptRecoveryOpPriority:       {"recovery_op_priority", optInt},
	OptScrubPriority:            {"scrub_priority", optInt},
	OptCompressionMode:          {"compression_mode", optString},
	OptCompressionAlgorithm:     {"compression_algorithm", optString},
	OptCompressionRequiredRatio: {"compression_required_ratio", optFloat},
	OptCompressionMaxBlobSize:   {"compression_max_blob_size", optInt},
	OptCompressionMinBlobSize:   {"compression_min_blob_size", optInt},
	OptCsumType:                 {"csum_type", optInt},
	OptCsumMaxBlock:             {"csum_max_block", optInt},
	OptCsumMinBlock:             {"csum_min_block", optInt},
	OptFingerprintAlgorithm:     {"fingerprint_algorithm", optString},
	OptPGNumMin:                 {"pg_num_min", optInt},
	OptTargetSizeBytes:          {"target_size_bytes", optInt},
	OptTargetSizeRatio:          {"target_size_ratio", optFloat},
	OptPGAutoscaleBias:          {"pg_autoscale_bias", optFloat},
	OptReadLeaseInterval:        {"read_lease_interval", optFloat},
	OptDedupTier:                {"dedup_tier", optInt},
	OptDedupChunkAlgorithm:      {"dedup_chunk_algorithm", optString},
	OptDedupCDCChunkSize:        {"dedup_cdc_chunk_size", optInt},
	OptPGNumMax:                 {"pg_num_max", optInt},
}

func (k PoolOptKey) String() string {
	if k >= 0 && int(k) < len(poolOpts) {
		return poolOpts[k].name
	}
	return "opt" + strconv.Itoa(int(k))
}

// ParsePoolOpt returns the key of a name.
func ParsePoolOpt(name string) (PoolOptKey, bool) {
	for k, o := range poolOpts {
		if o.name == name {
			return PoolOptKey(k), true
		}
	}
	return 0, false
}

// ParseValue makes a value of the option's type from text.
func (k PoolOptKey) ParseValue(s string) (any, error) {
	if k < 0 || int(k) >= len(poolOpts) {
		return nil, errno.EINVAL
	}
	switch poolOpts[k].typ {
	case optInt:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("error parsing int value '%s': %w", s, errno.EINVAL)
		}
		return n, nil
	case optFloat:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil, fmt.Errorf("error parsing float value '%s': %w", s, errno.EINVAL)
		}
		return f, nil
	}
	return s, nil
}

// PoolOpts are the optional settings that were made (pool_opts_t). A value is
// a string, an int64 or a float64.
type PoolOpts map[PoolOptKey]any

// Int returns an integer option, or def.
func (o PoolOpts) Int(k PoolOptKey, def int64) int64 {
	if v, ok := o[k].(int64); ok {
		return v
	}
	return def
}

// Float returns a float option, or def.
func (o PoolOpts) Float(k PoolOptKey, def float64) float64 {
	if v, ok := o[k].(float64); ok {
		return v
	}
	return def
}

// Str returns a string option, or def.
func (o PoolOpts) Str(k PoolOptKey, def string) string {
	if v, ok := o[k].(string); ok {
		return v
	}
	return def
}

// byName returns the keys that are set in the order of their names, which is
// how they are printed.
func (o PoolOpts) byName() []PoolOptKey {
	keys := make([]PoolOptKey, 0, len(o))
	for k := range o {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b PoolOptKey) int { return cmp.Compare(a.String(), b.String()) })
	return keys
}

func (o PoolOpts) Encode(e *wire.Encoder) {
	m := e.Begin(2, 1)
	wire.EncodeMap(e, o, func(k PoolOptKey, v any) {
		e.S32(int32(k))
		switch v := v.(type) {
		case string:
			e.S32(optString)
			e.Str(v)
		case int64:
			e.S32(optInt)
			e.S64(v)
		case float64:
			e.S32(optFloat)
			e.F64(v)
		default:
			panic(fmt.Sprintf("BUG: pool option %v has a value of type %T", k, v))
		}
	})
	e.End(m)
}

func (o *PoolOpts) Decode(d *wire.Decoder) {
	env := d.Begin("pool_opts_t", 2)
	*o = wire.DecodeMap(d, 12, func() (PoolOptKey, any) {
		k := PoolOptKey(d.S32())
		switch t := d.S32(); t {
		case optString:
			return k, d.Str()
		case optInt:
			if env.Version < 2 {
				return k, int64(d.S32())
			}
			return k, d.S64()
		case optFloat:
			return k, d.F64()
		default:
			d.Failf("pool option %v has a value of type %d", k, t)
			return k, nil
		}
	})
	d.End(env)
}
