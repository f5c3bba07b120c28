package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"time"
	"unicode/utf8"
)

// Message is the termination message: what a process reports about its run, as JSON.
type Message struct {
	// Result is the result of a run that succeeded: any JSON of at most [MaxResult]
	// bytes.
	Result json.RawMessage `json:"result,omitempty"`
	// Error says, for people and without secrets, what went wrong.
	Error string `json:"error,omitempty"`
	// RetryAfter goes with [ExitLater]: how long to wait, as a Go duration of at
	// least 0. If it is empty, the job's retry policy decides.
	RetryAfter string `json:"retryAfter,omitempty"`
}

// Encode returns m as one line of JSON of at most [MaxMessage] bytes. It cuts an
// error text that is too long and marks the cut with "…". It fails if the result is
// too long or not JSON, or if RetryAfter is not a duration.
func (m Message) Encode() ([]byte, error) {
	if len(m.Result) > MaxResult {
		return nil, fmt.Errorf("the result is %d bytes long; at most %d fit: store the rest in the database", len(m.Result), MaxResult)
	}
	if m.RetryAfter != "" {
		delay, ok := m.Delay()
		if !ok {
			return nil, errors.New("retryAfter is not a duration of at least 0")
		}
		m.RetryAfter = delay.String()
	}
	encoded, err := m.marshal()
	if err != nil || len(encoded) <= MaxMessage {
		return encoded, err
	}
	return m.encodeShortened()
}

// encodeShortened keeps as much of the error text as fits, which depends on what
// JSON has to escape.
func (m Message) encodeShortened() ([]byte, error) {
	text := m.Error
	fits := func(keep int) ([]byte, bool) {
		m.Error = shorten(text, keep)
		encoded, err := m.marshal()
		return encoded, err == nil && len(encoded) <= MaxMessage
	}
	tooLong := sort.Search(min(len(text), MaxMessage), func(keep int) bool {
		_, ok := fits(keep)
		return !ok
	})
	encoded, ok := fits(max(0, tooLong-1))
	if !ok {
		return nil, fmt.Errorf("the termination message does not fit in %d bytes", MaxMessage)
	}
	return encoded, nil
}

// marshal leaves <, > and & as they are: people and JSON parsers read the message,
// not a browser.
func (m Message) marshal() ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(m); err != nil {
		return nil, fmt.Errorf("encode the termination message: %w", err)
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}

// shorten keeps at most the first keep bytes of text, in whole characters, and
// marks the cut.
func shorten(text string, keep int) string {
	for keep > 0 && !utf8.RuneStart(text[keep]) {
		keep--
	}
	if keep == 0 {
		return ""
	}
	return text[:keep] + "…"
}

// ParseMessage reads a termination message. The text comes from a tenant's code, so
// ParseMessage returns a Message within the limits or an error for any input, and
// never panics.
func ParseMessage(text string) (Message, error) {
	var m Message
	if text == "" {
		return m, errors.New("the termination message is empty")
	}
	if len(text) > MaxMessage {
		return m, fmt.Errorf("the termination message is %d bytes long; at most %d are read", len(text), MaxMessage)
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return Message{}, errors.New("the termination message is not the JSON object of the runner contract")
	}
	if len(m.Result) > MaxResult {
		return Message{}, fmt.Errorf("the result is %d bytes long; at most %d are read", len(m.Result), MaxResult)
	}
	return m, nil
}

// Delay returns RetryAfter as a duration, and reports whether there is one that can
// be used.
func (m Message) Delay() (time.Duration, bool) {
	d, err := time.ParseDuration(m.RetryAfter)
	if err != nil || d < 0 {
		return 0, false
	}
	return d, true
}
