package testenv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/openradius/workspace-jobs/hack/env/quick"
)

// needs is what tests with a control plane need besides Go.
const needs = "a control plane"

// Shared is the one control plane of a test binary, and the operator if tests ask for it.
// Both start when the first test asks, so that tests of pure functions need neither.
//
//	var shared = testenv.Shared{Options: testenv.Options{ControllerManager: true}}
//
//	func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }
type Shared struct {
	Options Options

	once  sync.Once
	env   *Env
	plane *plane
	err   error

	operating   sync.Once
	operator    *Operator
	scratch     string
	operatorErr error

	// explained is done once a test has said why nothing starts, which may be a build log.
	explained sync.Once
}

// Run runs the tests, calls what has to stop before the control plane, and stops the
// control plane if it was started. It returns the exit code.
func (s *Shared) Run(m *testing.M, before ...func()) int {
	quiet()
	return s.stop(m.Run(), before)
}

// RunStarted is Run for a package with examples, which can't ask for what they need: the
// control plane and the operator start before the first test, and then start is called.
// With -short nothing starts and no example runs; tests are left out by their call of Env.
func (s *Shared) RunStarted(m *testing.M, start func(ctx context.Context, env *Env) error, before ...func()) int {
	if quick.WithoutExamples() {
		return m.Run()
	}
	quiet()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if err := s.startAll(ctx, start); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return s.stop(1, before)
	}
	return s.stop(m.Run(), before)
}

func (s *Shared) startAll(ctx context.Context, start func(ctx context.Context, env *Env) error) error {
	s.once.Do(func() { s.start(ctx) })
	if s.err != nil {
		return s.err
	}
	s.operating.Do(func() { s.operate(ctx, nil) })
	if s.operatorErr != nil {
		return s.operatorErr
	}
	if err := start(ctx, s.env); err != nil {
		return errors.Join(err, s.operator.Alive())
	}
	return nil
}

// quiet keeps Kubernetes' libraries from logging what the tests check themselves.
func quiet() {
	discard := logr.FromSlogHandler(slog.DiscardHandler)
	ctrl.SetLogger(discard)
	klog.SetLogger(discard)
}

func (s *Shared) stop(code int, before []func()) int {
	for _, stop := range before {
		stop()
	}
	if err := s.stopOperator(); err != nil {
		fmt.Fprintf(os.Stderr, "stop the operator: %v\n", err)
		code = max(code, 1)
	}
	if err := s.plane.stop(); err != nil {
		fmt.Fprintf(os.Stderr, "stop the control plane: %v\n", err)
		code = max(code, 1)
	}
	return code
}

// Env returns the control plane. A test that can't have one fails: a skipped test would
// look like one that passed. Only -short skips it.
func (s *Shared) Env(t testing.TB) *Env {
	t.Helper()
	quick.LeaveOut(t, needs)
	s.once.Do(func() { s.start(context.Background()) })
	if s.err != nil {
		s.explained.Do(func() { t.Logf("the control plane did not start: %v", s.err) })
		t.Fatal("no control plane to test against; the first test that needed it says why")
	}
	return s.env
}

func (s *Shared) start(ctx context.Context) {
	tool, err := ClusterTool(ctx)
	if err == nil {
		err = checkBuilt(ctx, tool)
	}
	if err == nil {
		s.env, s.plane, err = startWith(ctx, tool, s.Options)
	}
	s.err = err
}

// Operator returns the operator at work on the control plane: the manager's process,
// which is built and started once, with these arguments.
func (s *Shared) Operator(t testing.TB, args ...string) *Operator {
	t.Helper()
	s.Env(t)
	s.operating.Do(func() { s.operate(context.Background(), args) })
	if s.operatorErr != nil {
		s.explained.Do(func() { t.Logf("the operator did not start: %v", s.operatorErr) })
		t.Fatal("no operator to test; the first test that needed it says why")
	}
	return s.operator
}

// operate builds the operator and starts it.
func (s *Shared) operate(ctx context.Context, args []string) {
	if s.scratch, s.operatorErr = os.MkdirTemp("", "workspace-jobs-operator-"); s.operatorErr != nil {
		return
	}
	var binary string
	if binary, s.operatorErr = BuildOperator(ctx, s.scratch); s.operatorErr != nil {
		return
	}
	var operator *Operator
	if operator, s.operatorErr = NewOperator(ctx, s.env, binary, s.scratch, args...); s.operatorErr != nil {
		return
	}
	s.operator, s.operatorErr = operator, operator.Start(ctx)
}

func (s *Shared) stopOperator() error {
	var err error
	if s.operator != nil {
		err = s.operator.Stop()
	}
	return errors.Join(err, os.RemoveAll(s.scratch))
}
