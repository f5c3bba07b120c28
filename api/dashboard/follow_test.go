package dashboard

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestABrokenLogIsNotCalledComplete checks also that it is not called empty.
func TestABrokenLogIsNotCalledComplete(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text  string
		fault error
		want  string
	}{
		"empty":                    {"", io.EOF, "The attempt has written nothing."},
		"complete":                 {"one\n", io.EOF, ""},
		"broken before a line":     {"", io.ErrUnexpectedEOF, "\n… The connection to the log broke. Reload the page to see the rest.\n"},
		"broken after a line":      {"one\n", io.ErrUnexpectedEOF, "\n… The connection to the log broke. Reload the page to see the rest.\n"},
		"longer than a page holds": {strings.Repeat("one\n", followedLines+1), io.EOF, "\n… The log is longer than this page can show. Open the whole log.\n"},
	} {
		log := io.MultiReader(strings.NewReader(c.text), iotest.ErrReader(c.fault))
		if got := lastWords(sendLines(t.Context(), log, func(string) {})); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
