package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Message is the termination message: what a process says of its run, as JSON.
type Message struct {
	// Result of a run that succeeded: any JSON, at most [MaxResult] bytes.
	Result json.RawMessage `json:"result,omitempty"`
	// Error is one text for a person, without secrets.
	Error string `json:"error,omitempty"`
	// RetryAfter goes with [ExitLater]: how long to wait, as a Go duration of at
	// least 0. Empty: the job's retry policy decides.
	RetryAfter string `json:"retryAfter,omitempty"`
}

// Encode returns m as JSON of at most [MaxMessage] bytes. An error text that is
// too long is cut, with "…" at its end; a result that is too long is an error.
func (m Message) Encode() ([]byte, error) {
	if len(m.Result) > MaxResult {
		return nil, fmt.Errorf("the result is %d bytes long; at most %d fit: store the rest in the database", len(m.Result), MaxResult)
	}
	for {
		encoded, err := json.Marshal(m)
		if err != nil {
			return nil, fmt.Errorf("encode the termination message: %w", err)
		}
		over := len(encoded) - MaxMessage
		if over <= 0 {
			return encoded, nil
		}
		m.Error = shorten(m.Error, over)
	}
}

// shorten takes at least over bytes from the end of text and marks the cut.
func shorten(text string, over int) string {
	const mark = "…"
	keep := max(0, len(text)-over-len(mark))
	for keep > 0 && !utf8.RuneStart(text[keep]) {
		keep--
	}
	if keep == 0 {
		return ""
	}
	return text[:keep] + mark
}

// ParseMessage reads a termination message. It takes text that a tenant's code
// wrote: whatever it holds, it answers with a Message within the limits or with
// an error, and never panics.
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
	return m, nil
}

// Delay is RetryAfter as a duration; false if there is none, or none that can
// be used.
func (m Message) Delay() (time.Duration, bool) {
	d, err := time.ParseDuration(m.RetryAfter)
	if err != nil || d < 0 {
		return 0, false
	}
	return d, true
}
