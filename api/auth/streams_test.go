package auth_test

import (
	"context"
	"errors"
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
		if err := s.Take(step.ctx, step.who); !errors.Is(err, step.want) {
			t.Errorf("%d: %s is told %v", i, step.who, err)
		}
	}
	leave()
	testenv.Eventually(t, "a place is given back", func(context.Context) error { return s.Take(t.Context(), "cora") })
	if err := s.Take(t.Context(), "ana"); !errors.Is(err, auth.ErrAllStreams) {
		t.Errorf("more than one place is given back: %v", err)
	}
}
