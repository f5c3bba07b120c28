package auth_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

func TestStreamsHaveTheirPlaces(t *testing.T) {
	t.Parallel()
	s := auth.NewStreams(2, 3)
	first, leave := context.WithCancel(t.Context())
	for i, step := range []struct {
		who  string
		ctx  context.Context
		want error
	}{
		{"ana", first, nil},
		{"ana", t.Context(), nil},
		{"ana", t.Context(), auth.ErrOwnStreams},
		{"ben", t.Context(), nil},
		{"ben", t.Context(), auth.ErrAllStreams},
		{"cora", t.Context(), auth.ErrAllStreams},
	} {
		if _, err := s.Take(step.ctx, "acme", step.who); !errors.Is(err, step.want) {
			t.Errorf("%d: %s is told %v", i, step.who, err)
		}
	}
	leave()
	testenv.Eventually(t, "a place is given back", func(context.Context) error { _, err := s.Take(t.Context(), "acme", "cora"); return err })
	if _, err := s.Take(t.Context(), "acme", "ana"); !errors.Is(err, auth.ErrAllStreams) {
		t.Errorf("more than one place is given back: %v", err)
	}
}

// TestAWorkspaceDoesNotHoldAllStreams: twelve of its callers take all; others still get theirs, and
// none takes one back.
func TestAWorkspaceDoesNotHoldAllStreams(t *testing.T) {
	t.Parallel()
	const each, all = 100, 1200
	s := auth.NewStreams(each, all)
	var greedy []context.Context
	for i := range all {
		ctx, err := s.Take(t.Context(), "acme", fmt.Sprintf("identity-%d", i/each))
		if err != nil {
			t.Fatal(err)
		}
		greedy = append(greedy, ctx)
	}
	open := func() int {
		n := 0
		for i, ctx := range greedy {
			if ctx.Err() == nil {
				n++
			} else if !errors.Is(context.Cause(ctx), auth.ErrMadeRoom) || i > 0 && i+1 < len(greedy) && greedy[i+1].Err() == nil {
				t.Fatalf("stream %d was ended by %v", i, context.Cause(ctx))
			}
		}
		return n
	}
	for i := range 400 {
		for _, workspace := range []string{"globex", "initech"} {
			if _, err := s.Take(t.Context(), workspace, fmt.Sprintf("%s-%d", workspace, i/each)); err != nil {
				t.Fatalf("%s does not get stream %d: %v", workspace, i, err)
			}
		}
		if n := open(); n != all-2*(i+1) {
			t.Fatalf("%d are open", n)
		}
	}
	for _, workspace := range []string{"acme", "globex", "initech"} {
		if _, err := s.Take(t.Context(), workspace, "somebody"); !errors.Is(err, auth.ErrAllStreams) {
			t.Errorf("one more of %s is told %v", workspace, err)
		}
	}
	if _, err := s.Take(t.Context(), "umbrella", "somebody"); err != nil {
		t.Error(err)
	}
}
