package report

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzClip: a text is kept or its beginning is, within the limit, and what was
// UTF-8 stays so: the API server takes nothing else.
func FuzzClip(f *testing.F) {
	f.Add("aé€😀", 7)
	f.Add(strings.Repeat("\x80", 20), 3)
	f.Add("…", 3)
	f.Add("", 0)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = max(limit, len("…"))
		got := Clip(text, limit)
		if len(text) <= limit {
			if got != text {
				t.Errorf("%q becomes %q", text, got)
			}
			return
		}
		kept, marked := strings.CutSuffix(got, "…")
		if len(got) > limit || !marked || !strings.HasPrefix(text, kept) || utf8.ValidString(text) && !utf8.ValidString(got) {
			t.Errorf("%q becomes %q", text, got)
		}
		if utf8.ValidString(text) && len(kept) < limit-len("…")-utf8.UTFMax+1 {
			t.Errorf("only %d of %d bytes are used", len(got), limit)
		}
	})
}
