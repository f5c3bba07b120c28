package main

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/admission"
	"github.com/openradius/workspace-jobs/controllers/cached"
	"github.com/openradius/workspace-jobs/controllers/continuation"
	"github.com/openradius/workspace-jobs/controllers/job"
	"github.com/openradius/workspace-jobs/controllers/recurring"
	"github.com/openradius/workspace-jobs/controllers/report"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
	"github.com/openradius/workspace-jobs/controllers/workspace"
)

// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,namespace=workspace-jobs-system,verbs=get;create;update
// +kubebuilder:rbac:groups="",resources=events,namespace=workspace-jobs-system,verbs=create

func run(ctx context.Context, opts options) error {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	// The API server's priority and fairness limits the operator. A limit in the client
	// would only let one tenant's burst delay another's job.
	config.QPS = -1
	held, err := cached.Options()
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         held,
		Metrics:                       server.Options{BindAddress: opts.metricsAddress},
		HealthProbeBindAddress:        opts.probeAddress,
		LeaderElection:                opts.leaderElect,
		LeaderElectionID:              "workspace-jobs-manager",
		LeaderElectionNamespace:       opts.leaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return fmt.Errorf("set up the operator: %w", err)
	}
	if opts.fence.Image, err = ownImage(ctx, mgr.GetAPIReader(), opts.fence.Namespace); err != nil {
		return err
	}
	if err := addControllers(ctx, mgr, opts); err != nil {
		return err
	}
	for _, add := range []func(string, healthz.Checker) error{mgr.AddHealthzCheck, mgr.AddReadyzCheck} {
		if err := add("ping", healthz.Ping); err != nil {
			return err
		}
	}
	return mgr.Start(ctx)
}

func addControllers(ctx context.Context, mgr ctrl.Manager, opts options) error {
	for _, index := range []func(context.Context, client.FieldIndexer) error{admission.Index, continuation.Index, runnerjob.Index, workspace.Index} {
		if err := index(ctx, mgr.GetFieldIndexer()); err != nil {
			return fmt.Errorf("set up the cache: %w", err)
		}
	}
	workspaces := workspace.New(workspace.Options{
		Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Clock: clock.RealClock{}, Fence: opts.fence,
		Reporter: report.New(mgr.GetClient(), mgr.GetEventRecorder(v1alpha1.ManagedBy), clock.RealClock{}),
	})
	if err := workspaces.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the Workspace controller: %w", err)
	}
	if err := workspace.NewCounter(mgr.GetClient(), clock.RealClock{}).SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the counts of jobs: %w", err)
	}
	measured, err := job.NewMetrics(metrics.Registry, mgr.GetClient(), clock.RealClock{})
	if err != nil {
		return fmt.Errorf("register the metrics: %w", err)
	}
	source := &admission.Cluster{Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Clock: clock.RealClock{}}
	jobs := job.New(job.Options{
		Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(),
		Reporter: report.New(mgr.GetClient(), mgr.GetEventRecorder(v1alpha1.ManagedBy), clock.RealClock{}),
		Clock:    clock.RealClock{}, Metrics: measured, Queues: admission.New(source), Limits: opts.limits, Fence: opts.fence,
	})
	if err := jobs.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the WorkspaceJob controller: %w", err)
	}
	return addRecurring(mgr, opts)
}

func addRecurring(mgr ctrl.Manager, opts options) error {
	measured, err := recurring.NewMetrics(metrics.Registry)
	if err != nil {
		return fmt.Errorf("register the metrics: %w", err)
	}
	schedules := recurring.New(recurring.Options{
		Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(),
		Reporter: report.New(mgr.GetClient(), mgr.GetEventRecorder(v1alpha1.ManagedBy), clock.RealClock{}),
		Clock:    clock.RealClock{}, Metrics: measured, Fence: opts.fence,
	})
	if err := schedules.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the WorkspaceRecurringJob controller: %w", err)
	}
	return nil
}
