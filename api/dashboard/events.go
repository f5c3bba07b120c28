package dashboard

import (
	"bytes"
	"net/http"
	"time"
)

// event that a page's stream sends: htmx puts its HTML where the page says.
type event struct {
	name string
	html []byte
}

// writer of events.
type writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// begin a stream. The server's time limits are for answers that end: each write has one of
// its own, and that of reading ends with the request.
func begin(w http.ResponseWriter) *writer {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream; charset=utf-8")
	header.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	return &writer{w, http.NewResponseController(w)}
}

// send an event. Its text has no end of line but \n: a \r would begin another field, and
// so another event, that whoever wrote the text has made up.
func (s *writer) send(e event) error {
	var buffer bytes.Buffer
	buffer.WriteString("event: " + e.name + "\n")
	text := bytes.ReplaceAll(bytes.ReplaceAll(e.html, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		buffer.WriteString("data: ")
		buffer.Write(line)
		buffer.WriteByte('\n')
	}
	buffer.WriteByte('\n')
	return s.write(buffer.Bytes())
}

func (s *writer) beat() error { return s.write([]byte(": still here\n\n")) }

func (s *writer) write(text []byte) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(patience))
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	return s.control.Flush()
}

// end tells the page that nothing more comes, and why.
func (s *writer) end(message string) {
	text, err := render("live-ended", message)
	if err == nil && s.send(event{"live", text}) == nil {
		_ = s.send(event{"end", []byte("end")})
	}
}
