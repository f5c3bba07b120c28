package auth

import (
	"context"
	"errors"
	"sync"
)

const (
	// StreamsEach is how many streams a caller may have open by default.
	StreamsEach = 100
	// StreamsAll is how many all callers may have open by default. One takes about 150 KB of
	// memory.
	StreamsAll = 1200
)

var (
	// ErrOwnStreams is returned to a caller who has reached the limit for each.
	ErrOwnStreams = errors.New("you have as many streams open as one caller may have: close some, or follow all jobs of a workspace with one stream")
	// ErrAllStreams is returned when the server has reached its own limit.
	ErrAllStreams = errors.New("the server has as many streams open as it can hold: try again later")
)

// Streams limits how many streams are open: for each caller, whatever tokens it uses, and in
// total.
type Streams struct {
	each, all int

	mutex sync.Mutex
	open  map[string]int
	total int
}

// NewStreams returns a limit of streams for each caller and in total.
func NewStreams(each, all int) *Streams {
	return &Streams{each: each, all: all, open: map[string]int{}}
}

// Take counts a stream of the caller until ctx, which is the request's, ends. It returns
// [ErrOwnStreams] or [ErrAllStreams] if there are too many already.
func (s *Streams) Take(ctx context.Context, caller string) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.open[caller] >= s.each {
		return ErrOwnStreams
	}
	if s.total >= s.all {
		return ErrAllStreams
	}
	s.open[caller]++
	s.total++
	context.AfterFunc(ctx, func() { s.leave(caller) })
	return nil
}

func (s *Streams) leave(caller string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.total--
	if s.open[caller]--; s.open[caller] == 0 {
		delete(s.open, caller)
	}
}
