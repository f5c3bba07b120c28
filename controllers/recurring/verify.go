package recurring

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	// fewRuns are read one by one. A tenant can cause doubts about thousands.
	fewRuns = 20
	// page is how many runs the API server lists at a time. The metadata of each may have
	// 256 KiB of annotations.
	page = 100
)

// verifyRuns reads these runs from the API server. Of many runs, it reads only those that the
// cache does not have in their newest version.
func (r *Reconciler) verifyRuns(ctx context.Context, o *observed, names []string) error {
	if len(names) > fewRuns {
		var err error
		if names, err = r.outdated(ctx, o, names); err != nil {
			return err
		}
	}
	for _, name := range names {
		run := &v1alpha1.WorkspaceJob{}
		err := r.APIReader.Get(ctx, client.ObjectKey{Namespace: o.recurring.Namespace, Name: name}, run)
		switch {
		case err == nil:
			o.found(run)
		case apierrors.IsNotFound(err):
			o.gone(name)
		default:
			return fmt.Errorf("read WorkspaceJob %q: %w", name, err)
		}
	}
	return nil
}

// outdated returns the runs that were observed in another version than the API server has,
// and takes out those that it no longer has.
func (r *Reconciler) outdated(ctx context.Context, o *observed, names []string) ([]string, error) {
	current := map[string]string{}
	err := r.eachRun(ctx, o, func(run *metav1.PartialObjectMetadata) { current[run.Name] = run.ResourceVersion })
	if err != nil {
		return nil, err
	}
	seen := versionsOf(o)
	var outdated []string
	for _, name := range names {
		switch version := current[name]; version {
		case "":
			o.gone(name)
		case seen[name]:
		default:
			outdated = append(outdated, name)
		}
	}
	return outdated, nil
}

func versionsOf(o *observed) map[string]string {
	versions := make(map[string]string, len(o.runs))
	for i := range o.runs {
		versions[o.runs[i].Name] = o.runs[i].ResourceVersion
	}
	return versions
}

// verifyAllRuns adds the scheduled runs that the API server has and the cache does not show.
// Their ends matter only if the status has counted them: see [unseen].
func (r *Reconciler) verifyAllRuns(ctx context.Context, o *observed) error {
	seen := versionsOf(o)
	var ended []string
	err := r.eachRun(ctx, o, func(listed *metav1.PartialObjectMetadata) {
		run := v1alpha1.WorkspaceJob{ObjectMeta: listed.ObjectMeta}
		_, known := seen[run.Name]
		switch {
		case known || !metav1.IsControlledBy(&run, o.recurring):
		case counted(*o, &run):
			ended = append(ended, run.Name)
		default:
			o.runs = append(o.runs, run)
		}
	}, client.MatchingLabels{v1alpha1.LabelRecurringJob: o.recurring.Name})
	if err != nil {
		return err
	}
	return r.verifyRuns(ctx, o, ended)
}

// eachRun calls visit with the metadata of each WorkspaceJob of the namespace that the API
// server has. Their arguments could fill the operator's memory.
func (r *Reconciler) eachRun(ctx context.Context, o *observed, visit func(*metav1.PartialObjectMetadata), options ...client.ListOption) error {
	list := &metav1.PartialObjectMetadataList{}
	for more := true; more; more = list.Continue != "" {
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("WorkspaceJobList"))
		asked := append([]client.ListOption{client.InNamespace(o.recurring.Namespace), client.Limit(page), client.Continue(list.Continue)}, options...)
		if err := r.APIReader.List(ctx, list, asked...); err != nil {
			return fmt.Errorf("list the runs of %q: %w", o.recurring.Name, err)
		}
		for i := range list.Items {
			visit(&list.Items[i])
		}
	}
	return nil
}
