package jsonfmt

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// The output of a stock "ceph osd tree -f xml-pretty", cut short.
func TestXML(t *testing.T) {
	t.Parallel()
	var f Formatter
	f.Object("tree", func() {
		f.Array("nodes", func() {
			f.Object("item", func() {
				f.Int("id", -1)
				f.Str("name", `<a & "b">`+"\x01'")
				f.Array("pool_weights", func() {})
				f.Array("children", func() { f.Int("child", -3) })
				f.Float("crush_weight", 0.0194854736328125)
				f.Bool("up osd", true)
			})
		})
	})
	const pretty = `<tree>
 <nodes>
  <item>
   <id>-1</id>
   <name>&lt;a &amp; &quot;b&quot;&gt;&#x01;&apos;</name>
   <pool_weights>
   </pool_weights>
   <children>
    <child>-3</child>
   </children>
   <crush_weight>0.0194854736328125</crush_weight>
   <up_osd>true</up_osd>
  </item>
 </nodes>
</tree>

`
	if got := f.XML("root", true); got != pretty {
		t.Errorf("got\n%s", got)
	}
	lines := strings.Split(strings.TrimSpace(pretty), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	if got := f.XML("root", false); got != strings.Join(lines, "") {
		t.Errorf("got\n%s", got)
	}
	// The same tree, without names.
	f = Formatter{}
	f.Array("", func() { f.Strs("", "", []string{"x"}); f.Str("", "\tö\n") })
	if got := f.XML("osd tree", false); got != "<osd_tree><item><item>x</item></item><item>\tö\n</item></osd_tree>" {
		t.Errorf("got %s", got)
	}
	if got := new(Formatter).XML("root", true); got != "" {
		t.Errorf("nothing is %q", got)
	}
}

// Whatever a string holds, it is text, and comes back from a reader of XML if XML
// can have it.
func FuzzXML(f *testing.F) {
	f.Add("a<b>&c;", "]]>")
	f.Add("\x00", "'\"")
	f.Fuzz(func(t *testing.T, a, b string) {
		var doc Formatter
		doc.Object("doc", func() { doc.Str("a", a); doc.Array("list", func() { doc.Str("b", b) }) })
		for _, pretty := range []bool{false, true} {
			d := xml.NewDecoder(strings.NewReader(doc.XML("", pretty)))
			var texts []string
			for in := ""; ; {
				tok, err := d.Token()
				if err != nil {
					var bad *xml.SyntaxError // a character that XML has no way to write
					if !errors.Is(err, io.EOF) && (!errors.As(err, &bad) || strings.Contains(bad.Msg, "element") || strings.Contains(bad.Msg, "expected")) {
						t.Fatalf("%q: %v", doc.XML("", pretty), err)
					}
					return
				}
				switch tok := tok.(type) {
				case xml.StartElement:
					in = tok.Name.Local
					if in == "a" || in == "b" {
						texts = append(texts, "")
					}
				case xml.CharData:
					if in == "a" || in == "b" {
						texts[len(texts)-1] += string(tok)
					}
				case xml.EndElement:
					in = ""
					if tok.Name.Local == "doc" && (len(texts) != 2 || plain(texts[0]) != plain(a) || plain(texts[1]) != plain(b)) {
						t.Fatalf("%q and %q became %q", a, b, texts)
					}
				}
			}
		}
	})
}

// plain is what a reader of XML makes of the ends of lines.
func plain(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}
