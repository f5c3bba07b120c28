package benchmark

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// control is the pod template that the operator creates for an ordinary job.
var control corev1.PodTemplateSpec

// made is the number of jobs that were created, for their names.
var made atomic.Int32

// plainJob returns an ordinary WorkspaceJob or WorkspaceRecurringJob.
func plainJob(kind string) *unstructured.Unstructured {
	template := map[string]any{"handler": "sql", "args": map[string]any{"statements": []any{"SELECT 1"}}}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": kind,
		"metadata": map[string]any{"name": fmt.Sprintf("try-%d", made.Add(1)), "namespace": acmeSpace},
		"spec":     template,
	}}
	if kind == recurringKind {
		object.Object["spec"] = map[string]any{"schedule": "0 0 1 1 *", "suspend": true, "template": template}
	}
	return object
}

const (
	jobKind       = "WorkspaceJob"
	recurringKind = "WorkspaceRecurringJob"
)

// makeControl creates an ordinary job and waits for its pod, which shows that nothing
// refuses such a pod.
func (c *clusterT) makeControl() {
	c.Helper()
	object := plainJob(jobKind)
	c.createAs(editor(acme), object, false)
	defer c.remove(object)
	child := &batchv1.Job{}
	c.waitFor(child, object.GetName()+"-1")
	c.env.PodOf(c, child)
	control = child.Spec.Template
	if name := control.Labels[v1alpha1.LabelWorkspace]; name != acme {
		c.Fatalf("the control's pods are of workspace %q", name)
	}
}

// as returns a client of a user.
func (c *clusterT) as(user string, lax bool) client.Client {
	c.Helper()
	made, err := c.env.ClientAs(user)
	if err != nil {
		c.Fatal(err)
	}
	validation := "Strict"
	if lax {
		validation = "Ignore"
	}
	return client.WithFieldValidation(made, client.FieldValidation(validation))
}

// createAs creates the object as a user.
func (c *clusterT) createAs(user string, object client.Object, lax bool) {
	c.Helper()
	if err := c.as(user, lax).Create(c.Context(), object); err != nil {
		c.Fatalf("create %T %q: %v", object, object.GetName(), err)
	}
}

// submit creates the object as a tenant's editor, and returns the pod template that the
// operator creates for it.
func (c *clusterT) submit(object *unstructured.Unstructured, lax bool) corev1.PodTemplateSpec {
	c.Helper()
	c.createAs(editor(acme), object, lax)
	defer c.remove(object)
	if object.GetKind() == recurringKind {
		cronJob := &batchv1.CronJob{}
		c.waitFor(cronJob, object.GetName())
		return cronJob.Spec.JobTemplate.Spec.Template
	}
	child := &batchv1.Job{}
	c.waitFor(child, object.GetName()+"-1")
	return child.Spec.Template
}

func (c *clusterT) waitFor(object client.Object, name string) {
	c.Helper()
	testenv.Eventually(c, fmt.Sprintf("%T %s exists", object, name), func(ctx context.Context) error {
		return c.Get(ctx, client.ObjectKey{Namespace: acmeSpace, Name: name}, object)
	})
}

// carriers returns fields in which a tenant might try to set a field of a pod or of its
// container.
func carriers(podField, containerField map[string]any) map[string]any {
	all := map[string]any{}
	maps.Copy(all, containerField)
	maps.Copy(all, podField)
	pod := maps.Clone(podField)
	if pod == nil {
		pod = map[string]any{}
	}
	if containerField != nil {
		container := map[string]any{"name": v1alpha1.RunnerContainer}
		maps.Copy(container, containerField)
		pod["containers"] = []any{container}
		pod["initContainers"] = []any{container}
		all["runner"] = containerField
		all["container"] = containerField
		all["containers"] = []any{container}
	}
	all["podSpec"] = pod
	all["podTemplate"] = map[string]any{"spec": pod}
	all["jobTemplate"] = map[string]any{"spec": map[string]any{"template": map[string]any{"spec": pod}}}
	all["patches"] = []any{map[string]any{"spec": pod}}
	all["overrides"] = pod
	return all
}

// kindsCannotSay checks that neither of the tenants' kinds has a field for it, and that
// nothing that looks like one has an effect.
func (c *clusterT) kindsCannotSay(s *seen, podField, containerField map[string]any) {
	c.Helper()
	fields := carriers(podField, containerField)
	c.fieldsAreUnknown(fields)
	c.fieldsAreDropped(fields)
	c.nothingElseCounts(fields)
	names := slices.Concat(slices.Collect(maps.Keys(podField)), slices.Collect(maps.Keys(containerField)))
	s.say(kinds, "no field %s; in args, labels and annotations it changes nothing in the pod", code(distinct(names)...))
}

// places are the paths at which a kind's fields could be.
var places = map[string][][]string{
	jobKind:       {{"spec"}},
	recurringKind: {{"spec"}, {"spec", "template"}},
}

// with adds the fields to an ordinary object, at the paths.
func with(fields map[string]any, kind string, paths ...[]string) (object *unstructured.Unstructured, named []string) {
	object = plainJob(kind)
	for _, path := range paths {
		for name, value := range fields {
			at := append(slices.Clone(path), name)
			if err := unstructured.SetNestedField(object.Object, copyOf(value), at...); err != nil {
				panic(err)
			}
			named = append(named, strings.Join(at, "."))
		}
	}
	slices.Sort(named)
	return object, named
}

// copyOf returns a value as it is read from JSON.
func copyOf(value any) any {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	var read any
	if err := json.Unmarshal(text, &read); err != nil {
		panic(err)
	}
	return read
}

// fieldsAreUnknown checks that strict validation, which kubectl uses, refuses all of them by
// name, and nothing else.
func (c *clusterT) fieldsAreUnknown(fields map[string]any) {
	c.Helper()
	for kind, paths := range places {
		r := c.resource(v1alpha1.Group, strings.ToLower(kind)+"s")
		object, _ := with(nil, kind)
		if _, err := c.ask(editor(acme), request{verb: "create", resource: r, namespace: acmeSpace, body: object}); err != nil {
			c.Fatalf("an ordinary %s was refused: %v", kind, err)
		}
		object, named := with(fields, kind, paths...)
		_, err := c.ask(editor(acme), request{verb: "create", resource: r, namespace: acmeSpace, body: object})
		got := refusalOf(err)
		said := strings.Fields(got.why)
		slices.Sort(said)
		if got.who != bySchema || !slices.Equal(said, named) {
			c.Errorf("a %s with %q was refused by %s, for %q", kind, named, got.who, said)
		}
	}
}

// fieldsAreDropped checks that without validation the object is created without the fields,
// and so is the pod.
func (c *clusterT) fieldsAreDropped(fields map[string]any) {
	c.Helper()
	for kind, paths := range places {
		object, _ := with(fields, kind, paths...)
		want := plainJob(kind)
		template := c.submit(object, true)
		if diff := cmp.Diff(withoutDefaults(want), withoutDefaults(object)); diff != "" {
			c.Errorf("a %s keeps unknown fields (-want +got):\n%s", kind, diff)
		}
		c.sameAsControl(kind+" with fields that it doesn't have", template)
	}
}

// withoutDefaults returns the object's spec without what the API server adds.
func withoutDefaults(object *unstructured.Unstructured) any {
	spec, _, _ := unstructured.NestedMap(object.Object, "spec")
	for _, name := range []string{"timeZone", "concurrencyPolicy", "history"} {
		delete(spec, name)
	}
	return spec
}

// nothingElseCounts checks that args, labels and annotations, which a tenant may write
// freely, change nothing in the pod.
func (c *clusterT) nothingElseCounts(fields map[string]any) {
	c.Helper()
	text, err := json.Marshal(fields)
	if err != nil {
		c.Fatal(err)
	}
	for kind, argsAt := range map[string][]string{jobKind: {"spec", "args"}, recurringKind: {"spec", "template", "args"}} {
		object := plainJob(kind)
		if err := unstructured.SetNestedField(object.Object, copyOf(fields), argsAt...); err != nil {
			c.Fatal(err)
		}
		labels := map[string]string{v1alpha1.LabelWorkspace: globex, v1alpha1.LabelManagedBy: "somebody", "app": "web"}
		annotations := map[string]string{
			v1alpha1.AnnotationTemplate: string(text), v1alpha1.AnnotationJobUID: "1", v1alpha1.AnnotationConcurrencyKey: "key",
			"container.apparmor.security.beta.kubernetes.io/" + v1alpha1.RunnerContainer: "unconfined",
		}
		for name := range fields {
			labels[name] = "true"
			annotations[name] = string(text)
			annotations[v1alpha1.Group+"/"+name] = string(text)
		}
		object.SetLabels(labels)
		object.SetAnnotations(annotations)
		c.sameAsControl(kind+" with args, labels and annotations", c.submit(object, false))
	}
}

// sameAsControl checks that a pod template is the same as that of an ordinary job.
func (c *clusterT) sameAsControl(what string, template corev1.PodTemplateSpec) {
	c.Helper()
	if diff := cmp.Diff(specOf(control), specOf(template)); diff != "" {
		c.Errorf("%s: the pod differs (-control +pod):\n%s", what, diff)
	}
	for _, key := range []string{v1alpha1.LabelWorkspace, v1alpha1.LabelManagedBy} {
		if template.Labels[key] != control.Labels[key] {
			c.Errorf("%s: the pod's label %s is %q", what, key, template.Labels[key])
		}
	}
	// These say which job a pod belongs to. A schedule's runs get most of them when they
	// start.
	bookkeeping := []string{
		v1alpha1.LabelJob, v1alpha1.LabelAttempt, v1alpha1.LabelRecurringJob, v1alpha1.AnnotationJobUID, v1alpha1.AnnotationRun,
		batchv1.ControllerUidLabel, batchv1.JobNameLabel, "controller-uid", "job-name",
	}
	for _, pair := range [][2]map[string]string{{control.Labels, template.Labels}, {control.Annotations, template.Annotations}} {
		for key, value := range pair[1] {
			if known, found := pair[0][key]; (!found || known != value) && !slices.Contains(bookkeeping, key) {
				c.Errorf("%s: the pod has %s=%s", what, key, value)
			}
		}
	}
}

// specOf returns a pod's spec without the handler's arguments.
func specOf(template corev1.PodTemplateSpec) *corev1.PodSpec {
	spec := template.Spec.DeepCopy()
	for i := range spec.Containers {
		for j := range spec.Containers[i].Env {
			if env := &spec.Containers[i].Env[j]; env.Name == contract.EnvArgs {
				env.Value = ""
			}
		}
	}
	return spec
}
