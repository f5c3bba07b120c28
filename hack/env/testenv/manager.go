package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// Manager runs a package's controllers in the tests' own process, once for all of them,
// with exactly the rights of config/rbac. [Operator] is the whole operator as a
// process of its own.
type Manager struct {
	Shared

	once   sync.Once
	err    error
	cancel context.CancelFunc
	ended  chan error
}

// Run is like [Shared.Run], and stops the manager before the control plane.
func (m *Manager) Run(tests *testing.M) int { return m.Shared.Run(tests, m.stop) }

// Start starts the manager, if it doesn't run yet, with this cache; setUp adds
// the controllers.
func (m *Manager) Start(t *testing.T, held func() (cache.Options, error), setUp func(context.Context, ctrl.Manager) error) *Env {
	t.Helper()
	env := m.Env(t)
	m.once.Do(func() { m.err = m.start(env, held, setUp) })
	if m.err != nil {
		t.Fatal(m.err)
	}
	return env
}

func (m *Manager) start(env *Env, held func() (cache.Options, error), setUp func(context.Context, ctrl.Manager) error) error {
	options, err := held()
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(env.As(ManagerUser), ctrl.Options{
		Scheme: env.Scheme, Metrics: server.Options{BindAddress: "0"}, Cache: options,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := setUp(ctx, mgr); err != nil {
		cancel()
		return err
	}
	m.cancel, m.ended = cancel, make(chan error, 1)
	go func() { m.ended <- mgr.Start(ctx) }()
	filled, stopWaiting := context.WithTimeout(ctx, PollLimit)
	defer stopWaiting()
	if !mgr.GetCache().WaitForCacheSync(filled) {
		return errors.New("the cache did not fill")
	}
	return nil
}

func (m *Manager) stop() {
	if m.cancel == nil {
		return
	}
	m.cancel()
	if err := <-m.ended; err != nil {
		fmt.Fprintf(os.Stderr, "the operator ended: %v\n", err)
	}
}
