package dashboard

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestNoTextMakesUpAnEvent: to a browser a carriage return ends a line of a stream too. All
// texts of pages lose theirs before; this holds for those that do not.
func TestNoTextMakesUpAnEvent(t *testing.T) {
	t.Parallel()
	answer := httptest.NewRecorder()
	if err := begin(answer).send(event{"log", []byte("one\r\ntwo\revent: live\r\rdata: made up\n\nend")}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(answer.Body.String()), "\n")
	want := []string{"event: log", "data: one", "data: two", "data: event: live", "data: ", "data: data: made up", "data: ", "data: end", "", ""}
	if !slices.Equal(lines, want) {
		t.Errorf("a browser reads %q", lines)
	}
}
