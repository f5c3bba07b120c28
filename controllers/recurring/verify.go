package recurring

import (
	"context"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/cached"
)

// fewRuns are read one by one. A tenant can cause doubts about thousands.
const fewRuns = 20

// verify reads what is in doubt from the API server.
func (r *Reconciler) verify(ctx context.Context, o *observed, in doubts) error {
	if in.recurring {
		if err := r.verifyRecurring(ctx, o); err != nil {
			return err
		}
	}
	for _, name := range in.ticks {
		if err := r.verifyTick(ctx, o, name); err != nil {
			return err
		}
	}
	if err := r.verifyRuns(ctx, o, in.runs); err != nil {
		return err
	}
	if in.allRuns {
		if err := r.verifyAllRuns(ctx, o); err != nil {
			return err
		}
	}
	o.verified.note(in)
	return nil
}

func (r *Reconciler) verifyRecurring(ctx context.Context, o *observed) error {
	current, err := cached.Uncached(ctx, r.APIReader, o.recurring)
	if err != nil {
		return err
	}
	o.recurring = current
	return nil
}

// verifyTick reads a tick with all of its template. A tick that is gone loses its template, so
// that its run gets the recurring job's.
func (r *Reconciler) verifyTick(ctx context.Context, o *observed, name string) error {
	at := slices.IndexFunc(o.ticks, func(tick batchv1.Job) bool { return tick.Name == name })
	if at < 0 {
		return nil
	}
	tick, err := cached.Uncached(ctx, r.APIReader, &o.ticks[at])
	switch {
	case apierrors.IsNotFound(err) || apierrors.IsConflict(err):
		tick = o.ticks[at].DeepCopy()
		delete(tick.Annotations, v1alpha1.AnnotationTemplate)
	case err != nil:
		return err
	}
	o.ticks[at] = *tick
	return nil
}

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
// server has.
func (r *Reconciler) eachRun(ctx context.Context, o *observed, visit func(*metav1.PartialObjectMetadata), options ...client.ListOption) error {
	options = append(options, client.InNamespace(o.recurring.Namespace))
	return cached.EachUncached(ctx, r.APIReader, v1alpha1.GroupVersion.WithKind("WorkspaceJob"), visit, options...)
}
