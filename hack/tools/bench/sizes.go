package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// sizesPolicy is the name of the policy on sizes and of its binding.
const sizesPolicy = "workspace-jobs-sizes"

func sizesCommand(flags *flag.FlagSet) func(context.Context) error {
	o := labFlags(flags)
	n := flags.Int("n", 200, "how many jobs of each size are created, each time")
	rounds := flags.Int("rounds", 3, "how often the policy is removed and put back")
	return func(ctx context.Context) error {
		return inLab(ctx, o, func(ctx context.Context, l *lab) error { return measureSizes(ctx, l, max(*n, 1), max(*rounds, 1)) })
	}
}

// measureSizes compares how long the API server takes to answer to a new job with and without
// the policy on sizes. It takes turns, since the machine may get slower meanwhile, and stores
// nothing.
func measureSizes(ctx context.Context, l *lab, n, rounds int) error {
	jobs := []struct {
		title         string
		job           *v1alpha1.WorkspaceJob
		with, without []time.Duration
	}{
		{title: "a small job", job: enlarged(workspaceJob("sizes", "sized"), 100, 0)},
		{title: "a job with 60 KiB of arguments", job: enlarged(workspaceJob("sizes", "sized"), 60<<10, 0)},
		{title: "the largest job", job: enlarged(workspaceJob("sizes", "sized"), 60<<10, 120<<10)},
	}
	if err := l.plainNamespace(ctx, jobs[0].job.Namespace); err != nil {
		return err
	}
	for round := range 2 * rounds {
		enforced := round%2 == 0
		if err := l.enforceSizes(ctx, enforced); err != nil {
			return err
		}
		for i := range jobs {
			took, err := l.createDry(ctx, jobs[i].job, n)
			if err != nil {
				return err
			}
			if enforced {
				jobs[i].with = append(jobs[i].with, took...)
			} else {
				jobs[i].without = append(jobs[i].without, took...)
			}
		}
	}
	t := table{{"to answer to", "p50 with the policy", "without", "ratio", "p99 with the policy", "without", "ratio"}}
	for _, j := range jobs {
		row := []string{"  " + j.title}
		for _, share := range []float64{0.5, 0.99} {
			row = append(row, milliseconds(quantile(j.with, share)), milliseconds(quantile(j.without, share)), ratio(j.with, j.without, share))
		}
		t.row(row...)
	}
	return t.write(os.Stdout)
}

// enlarged returns the job with so many bytes of arguments, and of a manifest that kubectl keeps.
func enlarged(job *v1alpha1.WorkspaceJob, args, manifest int) *v1alpha1.WorkspaceJob {
	job.Spec.Args = &apiextensionsv1.JSON{Raw: fmt.Appendf(nil, `{"a":%q}`, strings.Repeat("x", args))}
	if manifest > 0 {
		job.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": strings.Repeat("x", manifest)}
	}
	return job
}

// createDry creates the job n times without storing it.
func (l *lab) createDry(ctx context.Context, job *v1alpha1.WorkspaceJob, n int) ([]time.Duration, error) {
	took := make([]time.Duration, n)
	for i := range took {
		copied := job.DeepCopy()
		begin := time.Now()
		if err := l.client.Create(ctx, copied, client.DryRunAll); err != nil {
			return nil, err
		}
		took[i] = time.Since(begin)
	}
	return took, nil
}

// enforceSizes puts the policy's binding in place or removes it, and returns once the API
// server acts by it.
func (l *lab) enforceSizes(ctx context.Context, enforced bool) error {
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: sizesPolicy},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: sizesPolicy, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}
	change := l.client.Delete
	if enforced {
		change = func(ctx context.Context, object client.Object, _ ...client.DeleteOption) error {
			return l.client.Create(ctx, object)
		}
	}
	tooLarge := enlarged(workspaceJob("sizes", "sized"), 70<<10, 0)
	if err := change(ctx, binding); err != nil && (!enforced || !apierrors.IsAlreadyExists(err)) {
		return err
	}
	return until(ctx, 2*time.Minute, "the policy is changed", func(ctx context.Context) (bool, error) {
		err := l.client.Create(ctx, tooLarge.DeepCopy(), client.DryRunAll)
		if err != nil && !apierrors.IsRequestEntityTooLargeError(err) {
			return false, err
		}
		return (err != nil) == enforced, nil
	})
}
