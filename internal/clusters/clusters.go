// Package clusters gives tests of clients the clusters that they run on: one of
// ours and one of the distribution's packages, for what they do must be the same
// on both. PULPO_TEST_CONF names a cluster to take instead, stock or ours.
package clusters

import (
	"os"
	"testing"

	"github.com/pulpo-storage/pulpo/internal/peer"
	"github.com/pulpo-storage/pulpo/pulpotest"
)

// named is the ceph.conf of the cluster to take; empty: there is none.
func named() string { return os.Getenv("PULPO_TEST_CONF") }

// Each runs a test on each kind of cluster, as subtests "pulpo" and "stock" that
// run in parallel, with the path of the cluster's ceph.conf. The cluster lives
// until the subtest ends. Without Ceph's packages the second is skipped.
func Each(t *testing.T, o pulpotest.Options, f func(t *testing.T, conf string)) {
	t.Helper()
	if conf := named(); conf != "" {
		f(t, conf)
		return
	}
	t.Run("pulpo", func(t *testing.T) {
		t.Parallel()
		f(t, pulpotest.Start(t, o).Conf)
	})
	t.Run("stock", func(t *testing.T) {
		t.Parallel()
		f(t, peer.Conf(t))
	})
}

// One is the ceph.conf of a cluster of ours, or of that which was named.
func One(t testing.TB, o pulpotest.Options) string {
	t.Helper()
	if conf := named(); conf != "" {
		return conf
	}
	return pulpotest.Start(t, o).Conf
}
