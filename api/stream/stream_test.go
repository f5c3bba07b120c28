package stream_test

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/openradius/workspace-jobs/api/stream"
)

// TestNoTextMakesUpAnEvent: to a browser a carriage return ends a line of a stream too.
func TestNoTextMakesUpAnEvent(t *testing.T) {
	t.Parallel()
	answer := httptest.NewRecorder()
	if err := stream.Begin(answer, stream.Events).Send(stream.Event{Name: "log", ID: "7", Data: []byte("one\r\ntwo\revent: live\r\rdata: made up\n\nend")}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(answer.Body.String()), "\n")
	want := []string{"event: log", "id: 7", "data: one", "data: two", "data: event: live", "data: ", "data: data: made up", "data: ", "data: end", "", ""}
	if !slices.Equal(lines, want) {
		t.Errorf("a browser reads %q", lines)
	}
}

func TestAStreamBeginsBeforeItsFirstEvent(t *testing.T) {
	t.Parallel()
	answer := httptest.NewRecorder()
	stream.Begin(answer, stream.Events)
	if !answer.Flushed || answer.Header().Get("Content-Type") != "text/event-stream" {
		t.Errorf("its client waits: flushed %t, %v", answer.Flushed, answer.Header())
	}
}

// TestAStreamIsKeptAlive: longer than the server's own time limit, as long as it is read.
func TestAStreamIsKeptAlive(t *testing.T) {
	t.Parallel()
	const limit, every = 200 * time.Millisecond, 20 * time.Millisecond
	ended := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		gone := make(chan struct{})
		defer stream.Begin(w, stream.Events).KeepAlive(every, func() { close(gone) })()
		select {
		case <-gone:
		case <-r.Context().Done():
		}
	}))
	server.Config.WriteTimeout = limit
	server.Start()
	t.Cleanup(server.Close)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	begun, lines := time.Now(), bufio.NewScanner(response.Body)
	for time.Since(begun) < 2*limit && lines.Scan() {
		if text := lines.Text(); text != "" && text != ": heartbeat" {
			t.Errorf("it says %q", text)
		}
	}
	if err := lines.Err(); err != nil || time.Since(begun) < 2*limit {
		t.Errorf("it has ended after %s: %v", time.Since(begun), err)
	}
	_ = response.Body.Close()
	<-ended
}

// TestATextThatBreaksOffIsNotTheWhole: its client sees that something is missing.
func TestATextThatBreaksOffIsNotTheWhole(t *testing.T) {
	t.Parallel()
	for _, broken := range []error{nil, errors.New("broken")} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			stream.CopyText(w, io.MultiReader(strings.NewReader("text"), iotest.ErrReader(cmp.Or(broken, io.EOF))))
		}))
		t.Cleanup(server.Close)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if text, err := io.ReadAll(answer.Body); string(text) != "text" || (err != nil) != (broken != nil) {
			t.Errorf("%q, %v", text, err)
		}
	}
}
