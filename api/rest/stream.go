package rest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// streamWrite is how long a client may take to accept what is sent to it.
const streamWrite = 30 * time.Second

// stream is an answer that lasts. The server's time limits are for answers that don't: here
// each write has its own, and that of reading ends with the request.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	// mutex: heartbeats come between events, not into them.
	mutex sync.Mutex
}

// begin an answer of this type.
func begin(ctx huma.Context, contentType string) *stream {
	_, w := humago.Unwrap(ctx)
	s := &stream{w: w, control: http.NewResponseController(w)}
	ctx.SetHeader("Content-Type", contentType)
	ctx.SetHeader("X-Accel-Buffering", "no") // proxies: pass it on as it comes
	ctx.SetStatus(http.StatusOK)
	// That it has begun is told though there may be nothing to send for long.
	_ = s.control.SetWriteDeadline(time.Now().Add(streamWrite))
	_ = s.control.Flush() // who has gone away is met at the first write
	return s
}

// Write sends at once.
func (s *stream) Write(content []byte) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	_ = s.control.SetWriteDeadline(time.Now().Add(streamWrite))
	n, err := s.w.Write(content)
	if err != nil {
		return n, err
	}
	return n, s.control.Flush()
}

// event of a server-sent stream. Its data is JSON, so that no text in it can be taken for
// another event; id "" leaves the last one.
func (s *stream) event(name, id string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	var event strings.Builder
	fmt.Fprintf(&event, "event: %s\n", name)
	if id != "" {
		fmt.Fprintf(&event, "id: %s\n", id)
	}
	fmt.Fprintf(&event, "data: %s\n\n", text)
	_, err = io.WriteString(s, event.String())
	return err
}

// position tells where to go on from, and nothing else.
func (s *stream) position(id string) error {
	_, err := fmt.Fprintf(s, "id: %s\n\n", id)
	return err
}

func (s *stream) heartbeat() error {
	_, err := io.WriteString(s, ": heartbeat\n\n")
	return err
}

// End is why a stream ends for good.
type End struct {
	Reason string `json:"reason"`
}

// end tells a client not to come back.
func (s *stream) end(reason string) { _ = s.event("end", "", End{reason}) } // it is over in any case
