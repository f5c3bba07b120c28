package main

import (
	"context"
	"errors"
	"flag"
	"os"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// options are the options that all measurements in a lab have.
type options struct {
	tool    string
	manager string
}

func labFlags(flags *flag.FlagSet) *options {
	o := &options{}
	flags.StringVar(&o.tool, "cluster", os.Getenv("CLUSTER"), "`path` of the cluster tool (default bin/cluster in the repository)")
	flags.StringVar(&o.manager, "manager", "", "`path` of the operator's binary (default: it is built)")
	return o
}

// lab is a control plane with a played node, and the operator at work on it.
type lab struct {
	client    client.Client
	clientset *kubernetes.Clientset
	env       *testenv.Env
	operator  *testenv.Operator
	stops     []func() error
}

// inLab starts a lab, measures in it, and removes it.
func inLab(ctx context.Context, o *options, measure func(context.Context, *lab) error) (err error) {
	l := &lab{}
	defer func() { err = errors.Join(cause(ctx, err), l.stop()) }()
	if err := l.start(ctx, o); err != nil {
		return err
	}
	return measure(ctx, l)
}

// cause adds why the context ended to an error that only says that it did.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && !errors.Is(err, context.Cause(ctx)) {
		return errors.Join(context.Cause(ctx), err)
	}
	return err
}

func (l *lab) start(ctx context.Context, o *options) error {
	tool := o.tool
	if tool == "" {
		var err error
		if tool, err = testenv.ClusterTool(ctx); err != nil {
			return err
		}
	}
	scratch, err := os.MkdirTemp("", "workspace-jobs-bench-")
	if err != nil {
		return err
	}
	l.stops = append(l.stops, func() error { return os.RemoveAll(scratch) })
	manager := o.manager
	if manager == "" {
		say("building the operator")
		if manager, err = testenv.BuildOperator(ctx, scratch); err != nil {
			return err
		}
	}
	say("starting a control plane with a played node")
	env, stop, err := testenv.Start(ctx, tool, testenv.Options{Node: true, Policies: true})
	if err != nil {
		return err
	}
	l.stops = append(l.stops, stop)
	l.env, l.client = env, env.Client
	if l.clientset, err = kubernetes.NewForConfig(env.Config); err != nil {
		return err
	}
	if l.operator, err = testenv.NewOperator(ctx, env, manager, scratch); err != nil {
		return err
	}
	l.stops = append(l.stops, l.operator.Stop)
	return l.operator.Start(ctx)
}

// stop removes everything that was started, the newest first.
func (l *lab) stop() error {
	var all error
	for i := len(l.stops) - 1; i >= 0; i-- {
		all = errors.Join(all, l.stops[i]())
	}
	return all
}
