package rbd

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
)

// TestTranscripts does what stock OSDs did.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.jsonl.gz")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts: ", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".jsonl.gz"), func(t *testing.T) {
			t.Parallel()
			classtest.Replay(t, f, Class())
		})
	}
}

func FuzzMethods(f *testing.F) { classtest.Fuzz(f, Class(), "testdata/*.jsonl.gz") }
