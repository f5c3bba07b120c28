package auth

import (
	"container/list"
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
	// ErrMadeRoom is the cause with which the context of a stream ends that another workspace's
	// stream has replaced.
	ErrMadeRoom = errors.New("the stream has made room for another workspace's")
)

// Streams limits how many streams are open: for each caller, whatever tokens it uses, and in
// total. The total is shared fairly between workspaces.
type Streams struct {
	each, all int

	mutex   sync.Mutex
	callers map[string]int
	// workspaces have their open streams, the oldest first.
	workspaces map[string]*list.List
	total      int
}

// openStream is one that is counted.
type openStream struct {
	workspace, caller string
	end               context.CancelCauseFunc
	// at is its place in the workspace's list; nil once it is not counted any more.
	at *list.Element
}

// NewStreams returns a limit of streams for each caller and in total.
func NewStreams(each, all int) *Streams {
	return &Streams{each: each, all: all, callers: map[string]int{}, workspaces: map[string]*list.List{}}
}

// Take counts a stream of the caller in a workspace until ctx, which is the request's, ends. The
// stream must end with the context that Take returns: with [ErrMadeRoom] if another workspace
// needs its place. Take returns [ErrOwnStreams] or [ErrAllStreams] if there are too many
// already.
func (s *Streams) Take(ctx context.Context, workspace, caller string) (context.Context, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.callers[caller] >= s.each {
		return nil, ErrOwnStreams
	}
	if s.total >= s.all && !s.makeRoom(workspace) {
		return nil, ErrAllStreams
	}
	ctx, end := context.WithCancelCause(ctx)
	opened := &openStream{workspace: workspace, caller: caller, end: end}
	s.enter(opened)
	context.AfterFunc(ctx, func() {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		s.leave(opened)
	})
	return ctx, nil
}

// makeRoom ends the newest stream of the workspace that has the most, if it then still has no
// fewer than the one that needs room will have. So no two workspaces take a place from each
// other in turn.
func (s *Streams) makeRoom(workspace string) bool {
	var most *list.List
	for _, streams := range s.workspaces {
		if most == nil || streams.Len() > most.Len() {
			most = streams
		}
	}
	own := 0
	if streams := s.workspaces[workspace]; streams != nil {
		own = streams.Len()
	}
	if most == nil || most.Len() < own+2 {
		return false
	}
	newest, ok := most.Back().Value.(*openStream)
	if ok {
		s.leave(newest)
		newest.end(ErrMadeRoom)
	}
	return ok
}

func (s *Streams) enter(opened *openStream) {
	streams := s.workspaces[opened.workspace]
	if streams == nil {
		streams = list.New()
		s.workspaces[opened.workspace] = streams
	}
	opened.at = streams.PushBack(opened)
	s.callers[opened.caller]++
	s.total++
}

// leave counts a stream no more. It may be called again.
func (s *Streams) leave(opened *openStream) {
	if opened.at == nil {
		return
	}
	streams := s.workspaces[opened.workspace]
	streams.Remove(opened.at)
	opened.at = nil
	if streams.Len() == 0 {
		delete(s.workspaces, opened.workspace)
	}
	s.total--
	if s.callers[opened.caller]--; s.callers[opened.caller] == 0 {
		delete(s.callers, opened.caller)
	}
}
