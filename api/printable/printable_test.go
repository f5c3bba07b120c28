package printable_test

import (
	"testing"

	"github.com/openradius/workspace-jobs/api/printable"
)

func TestText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"any language", "žluťoučký 👩‍🔧\n\tשלום", "žluťoučký 👩‍🔧\n\tשלום"},
		{"line ends of Windows", "one\r\ntwo\r\n", "one\ntwo\n"},
		{"a progress bar", "10 %\r20 %\r", "10 %\n20 %\n"},
		{"what a terminal obeys", "\x1b[2Jgone\x00\a\u009b31m", "\uFFFD[2Jgone\uFFFD\uFFFD\uFFFD31m"},
		{"another direction", "invoice\u202exslx.exe\u2066\u200f", "invoice\uFFFDxslx.exe\uFFFD\uFFFD"},
		{"separators that only some programs break a line at", "one\u2028two\u2029three", "one\uFFFDtwo\uFFFDthree"},
		{"bytes that are not UTF-8", "ab\xff\xfec\xc3", "ab\uFFFDc\uFFFD"},
	} {
		if got := printable.Text(c.text); got != c.want {
			t.Errorf("%s: %q is %q, not %q", c.name, c.text, got, c.want)
		}
	}
}
