// Package stream writes long-lived responses: server-sent events, and text as it comes.
package stream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// Events is the content type of server-sent events.
	Events = "text/event-stream"
	// Heartbeat is how often a stream of events shows that it is alive. Proxies end a
	// connection on which nothing is sent, most of them after a minute.
	Heartbeat = 15 * time.Second

	// writeLimit is how long a client may take to accept what is sent to it.
	writeLimit = 30 * time.Second
)

// Writer writes a long-lived response. The server's time limits are for short ones; here each
// write has a limit of its own, and reading ends with the request. A Writer may be used by many
// goroutines, which is how heartbeats come between events and not into them.
type Writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	mutex   sync.Mutex
}

// Begin sends the head of a response, so that its client knows that it has begun even if
// there is nothing to send for a long time.
func Begin(w http.ResponseWriter, contentType string) *Writer {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Accel-Buffering", "no") // asks proxies to pass it on as it comes
	s := &Writer{w: w, control: http.NewResponseController(w)}
	_ = s.control.SetWriteDeadline(time.Now().Add(writeLimit))
	w.WriteHeader(http.StatusOK)
	_ = s.control.Flush() // the first write meets a client that has gone away
	return s
}

// CopyText answers with a text as it comes. If the text can't be read to its end, the connection
// is cut off, so that its client does not take what it has for the whole.
func CopyText(w http.ResponseWriter, text io.Reader) {
	if _, err := io.Copy(Begin(w, "text/plain; charset=utf-8"), text); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// Write sends content at once.
func (s *Writer) Write(content []byte) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	_ = s.control.SetWriteDeadline(time.Now().Add(writeLimit))
	n, err := s.w.Write(content)
	if err != nil {
		return n, err
	}
	return n, s.control.Flush()
}

// Event is one server-sent event.
type Event struct {
	Name string
	// ID is where a client that was cut off resumes; "" leaves the last one.
	ID   string
	Data []byte
}

// Send writes an event. No text in its data can begin another field or event: every end of
// a line is written as \n with a field of its own behind it, since a browser takes \r for
// one too.
func (s *Writer) Send(e Event) error {
	var text bytes.Buffer
	fmt.Fprintf(&text, "event: %s\n", e.Name)
	if e.ID != "" {
		fmt.Fprintf(&text, "id: %s\n", e.ID)
	}
	data := bytes.ReplaceAll(bytes.ReplaceAll(e.Data, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		fmt.Fprintf(&text, "data: %s\n", line)
	}
	text.WriteByte('\n')
	_, err := s.Write(text.Bytes())
	return err
}

// SendJSON writes an event whose data is a JSON value.
func (s *Writer) SendJSON(name, id string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return s.Send(Event{name, id, data})
}

// Position sends an id without an event: where a client that is cut off now resumes.
func (s *Writer) Position(id string) error {
	_, err := fmt.Fprintf(s, "id: %s\n\n", id)
	return err
}

// Retry sends after which time a client that is cut off now is to reconnect.
func (s *Writer) Retry(after time.Duration) error {
	_, err := fmt.Fprintf(s, "retry: %d\n\n", after.Milliseconds())
	return err
}

// Beat sends a comment, which shows that the stream is alive.
func (s *Writer) Beat() error {
	_, err := s.Write([]byte(": heartbeat\n\n"))
	return err
}

// KeepAlive beats at each interval until stop is called, which waits for the last beat. It
// calls gone when a client takes no beat.
func (s *Writer) KeepAlive(every time.Duration, gone func()) (stop func()) {
	done := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if s.Beat() != nil {
				gone()
				return
			}
		}
	})
	return func() {
		close(done)
		beating.Wait()
	}
}
