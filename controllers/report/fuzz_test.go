package report

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzClip checks that a text or its beginning is kept, within the limit, and that UTF-8
// stays valid, because the API server accepts nothing else.
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
