package report

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClipKeepsCharactersWhole(t *testing.T) {
	t.Parallel()
	for limit := 4; limit < 40; limit++ {
		got := Clip(strings.Repeat("aé€", 20), limit)
		if len(got) > limit || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
			t.Errorf("limit %d: %q", limit, got)
		}
	}
}
