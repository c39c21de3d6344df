package cas

import (
	"testing"

	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
)

// TestTranscript does what a stock OSD did.
func TestTranscript(t *testing.T) {
	t.Parallel()
	classtest.Replay(t, "testdata/cas.jsonl.gz", Class())
}

func FuzzMethods(f *testing.F) { classtest.Fuzz(f, Class(), "testdata/*.jsonl.gz") }
