package pulpo

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var citation = regexp.MustCompile(`\bdoc/[a-z]+/[A-Za-z0-9_-]+\.md(#[A-Za-z0-9_-]+)?`)

// anchor is what a heading is called in a link.
func anchor(heading string) string {
	s := strings.ToLower(strings.TrimSpace(strings.TrimLeft(heading, "#")))
	s = regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(s, "")
	return strings.ReplaceAll(s, " ", "-")
}

// Code cites the page and the section it goes by; what it cites must be there.
// A section may be named by the beginning of its anchor.
func TestCitationsLeadSomewhere(t *testing.T) {
	t.Parallel()
	anchors := map[string][]string{}
	found := 0
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() && (e.Name() == ".git" || e.Name() == "testdata" || e.Name() == "bin") {
			if e != nil && e.IsDir() && err == nil {
				return fs.SkipDir
			}
			return err
		}
		if ext := filepath.Ext(path); ext != ".go" && ext != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, c := range citation.FindAllString(string(text), -1) {
			found++
			page, section, _ := strings.Cut(c, "#")
			if anchors[page] == nil {
				b, err := os.ReadFile(page)
				if err != nil {
					t.Errorf("%s cites %s, which is not there", path, page)
					continue
				}
				anchors[page] = []string{""}
				for l := range strings.Lines(string(b)) {
					if strings.HasPrefix(l, "#") {
						anchors[page] = append(anchors[page], anchor(l))
					}
				}
			}
			ok := false
			for _, a := range anchors[page] {
				ok = ok || strings.HasPrefix(a, section)
			}
			if !ok {
				t.Errorf("%s cites %s, but that page has no such section", path, c)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 5 {
		t.Fatalf("only %d citations found", found)
	}
}
