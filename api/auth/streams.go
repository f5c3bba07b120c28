package auth

import (
	"context"
	"errors"
	"sync"
)

const (
	// StreamsEach is how many a caller may have open unless the server is told otherwise.
	StreamsEach = 100
	// StreamsAll is how many all of them may: one takes about 150 KB of memory.
	StreamsAll = 1200
)

var (
	// ErrOwnStreams: whoever asks has as many streams open as one may have.
	ErrOwnStreams = errors.New("you have as many streams open as one caller may have: close some, or follow all jobs of a workspace by one")
	// ErrAllStreams: the server has as many open as it has memory for.
	ErrAllStreams = errors.New("the server has as many streams open as it may have: try again later")
)

// Streams are the places of answers that last: so many for each of those who ask, whatever
// token they come with, and so many in all.
type Streams struct {
	each, all int

	mutex sync.Mutex
	open  map[string]int
	total int
}

// NewStreams with so many places for each, and in all.
func NewStreams(each, all int) *Streams {
	return &Streams{each: each, all: all, open: map[string]int{}}
}

// Take a place for whoever asks until ctx, which is the request's, ends; or
// [ErrOwnStreams] or [ErrAllStreams].
func (s *Streams) Take(ctx context.Context, who string) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.open[who] >= s.each {
		return ErrOwnStreams
	}
	if s.total >= s.all {
		return ErrAllStreams
	}
	s.open[who]++
	s.total++
	context.AfterFunc(ctx, func() { s.leave(who) })
	return nil
}

func (s *Streams) leave(who string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.total--
	if s.open[who]--; s.open[who] == 0 {
		delete(s.open, who)
	}
}
