package policies

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

const (
	sizes       = "workspace-jobs-sizes"
	lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
)

func argsOf(text string) *apiextensionsv1.JSON {
	return &apiextensionsv1.JSON{Raw: fmt.Appendf(nil, `{"a":%q}`, text)}
}

// TestWhatIsTooLargeIsRefused checks that no object of a tenant can be larger than the
// operator and etcd are sized for, and that a job of the largest size is let through.
func TestWhatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("sizes", image)
	kib := func(n int) string { return strings.Repeat("x", n<<10) }
	job := func(change func(*v1alpha1.WorkspaceJob)) *v1alpha1.WorkspaceJob {
		return objects.MakeWorkspaceJob("sized").In(home).Handler("sql").With(change).Obj()
	}
	recurring := func(change func(*v1alpha1.WorkspaceRecurringJob)) *v1alpha1.WorkspaceRecurringJob {
		return objects.MakeWorkspaceRecurringJob("sized").In(home).Schedule("0 * * * *", "Etc/UTC").With(change).Obj()
	}
	for what, object := range map[string]client.Object{
		"a job with large args and a copy of them": job(func(j *v1alpha1.WorkspaceJob) {
			j.Spec.Args = argsOf(kib(63))
			j.Annotations = map[string]string{lastApplied: kib(64), "example.com/a": kib(15)}
		}),
		"a schedule with large args": recurring(func(r *v1alpha1.WorkspaceRecurringJob) { r.Spec.Template.Args = argsOf(kib(63)) }),
	} {
		c.accepted(what, c.admin.Create(c.Context(), object, client.DryRunAll))
	}
	for what, attempt := range map[string]struct {
		object client.Object
		words  string
	}{
		"args": {job(func(j *v1alpha1.WorkspaceJob) { j.Spec.Args = argsOf(kib(64)) }), "at most 65536 (64 KiB)"},
		"args in a language that takes more bytes": {
			job(func(j *v1alpha1.WorkspaceJob) { j.Spec.Args = argsOf(strings.Repeat("語", 22<<10)) }), "put the data into the database",
		},
		"a template's args": {recurring(func(r *v1alpha1.WorkspaceRecurringJob) { r.Spec.Template.Args = argsOf(kib(64)) }), "at most 65536 (64 KiB)"},
		"an annotation":     {job(func(j *v1alpha1.WorkspaceJob) { j.Annotations = map[string]string{"example.com/a": kib(16)} }), "at most 16384 (16 KiB)"},
		"owners": {
			job(func(j *v1alpha1.WorkspaceJob) {
				for i := range 200 {
					j.OwnerReferences = append(j.OwnerReferences, metav1.OwnerReference{
						APIVersion: "example.com/v1", Kind: "Owner", Name: "owner", UID: types.UID(fmt.Sprintf("%0100d", i)),
					})
				}
			}), "at most 16384 (16 KiB)",
		},
		"a copy that kubectl keeps": {
			job(func(j *v1alpha1.WorkspaceJob) { j.Annotations = map[string]string{lastApplied: kib(192)} }), "kubectl apply --server-side",
		},
		"an annotation of a schedule": {
			recurring(func(r *v1alpha1.WorkspaceRecurringJob) { r.Annotations = map[string]string{"example.com/a": kib(16)} }), "at most 16384 (16 KiB)",
		},
		"an annotation of a Workspace": {
			objects.MakeWorkspace("sized").With(func(ws *v1alpha1.Workspace) { ws.Annotations = map[string]string{"example.com/a": kib(16)} }).Obj(), "at most 16384 (16 KiB)",
		},
	} {
		c.tooLarge("to create large "+what, attempt.words, c.admin.Create(c.Context(), attempt.object, client.DryRunAll))
	}

	small := job(func(*v1alpha1.WorkspaceJob) {})
	if err := c.admin.Create(c.Context(), small); err != nil {
		t.Fatal(err)
	}
	grow := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{"example.com/a":%q}}}`, kib(16)))
	c.tooLarge("to let a job grow", "at most 16384 (16 KiB)", c.admin.Patch(c.Context(), small, grow, client.DryRunAll))
}

// TestWhatIsTooLargeAlreadyCanBeCancelled makes a job that is stored before the policy is in
// force. Other tests do not run meanwhile.
func TestWhatIsTooLargeAlreadyCanBeCancelled(t *testing.T) { //nolint:paralleltest // it switches a policy off
	c := newCluster(t)
	home := c.workspace("sizes-before", image)
	old := objects.MakeWorkspaceJob("old").In(home).Handler("sql").ArgsOf(map[string]string{"a": strings.Repeat("x", 100<<10)}).Obj()
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: sizes}}
	if err := c.admin.Get(t.Context(), client.ObjectKeyFromObject(binding), binding); err != nil {
		t.Fatal(err)
	}
	if err := c.admin.Delete(t.Context(), binding.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the job is stored", func(ctx context.Context) error { return c.admin.Create(ctx, old.DeepCopy()) })
	binding.ResourceVersion = ""
	if err := c.admin.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	again := old.DeepCopy()
	again.Name = "again"
	testenv.Eventually(t, "the policy is in force again", func(ctx context.Context) error {
		if err := c.admin.Create(ctx, again.DeepCopy(), client.DryRunAll); err == nil {
			return errors.New("it lets a large job through")
		}
		return nil
	})
	cancel := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"cancelled":true}}`))
	c.accepted("to cancel a job that is too large", c.admin.Patch(t.Context(), old, cancel))
	grow := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, lastApplied, strings.Repeat("x", 200<<10)))
	c.tooLarge("to let it grow", "at most 196608 (192 KiB)", c.admin.Patch(t.Context(), old, grow, client.DryRunAll))
}

// tooLarge fails the test unless the policy refused the write with these words.
func (c *cluster) tooLarge(what, words string, err error) {
	c.Helper()
	if !apierrors.IsRequestEntityTooLargeError(err) || !strings.Contains(fmt.Sprint(err), "ValidatingAdmissionPolicy '"+sizes+"'") || !strings.Contains(fmt.Sprint(err), words) {
		c.Errorf("%s is not refused with %q, but: %v", what, words, err)
		return
	}
	remember(sizes, err)
}
