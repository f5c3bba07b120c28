package policies

import (
	"context"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// TestNoTemplateMakesPodsThatLookLikeRunners checks the objects from whose templates
// Kubernetes' controllers, which the policies exempt, would make such pods.
func TestNoTemplateMakesPodsThatLookLikeRunners(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("templates", image)
	meta := metav1.ObjectMeta{Namespace: home, Name: "own"}
	own := map[string]string{"app": "own"}
	template := func(labels map[string]string) corev1.PodTemplateSpec {
		made := ownPod(home)
		all := map[string]string{"app": "own"}
		for key, value := range labels {
			all[key] = value
		}
		return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: all}, Spec: made.Spec}
	}
	restarting := func(labels map[string]string) corev1.PodTemplateSpec {
		made := template(labels)
		made.Spec.RestartPolicy, made.Spec.ActiveDeadlineSeconds = corev1.RestartPolicyAlways, nil
		return made
	}
	selector := &metav1.LabelSelector{MatchLabels: own}
	for what, labels := range map[string]map[string]string{
		"":                         nil,
		"the operator's label":     {v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
		"the label of a job's run": {v1alpha1.LabelJob: "nightly"},
	} {
		replicas := restarting(labels)
		job := ownJob(home)
		job.Labels = own // without any it would get its pod's
		job.Spec.Template.Labels = labels
		cron := ownCronJob(home)
		cron.Spec.JobTemplate.Spec.Template.Labels = labels
		jobs := ownCronJob(home)
		jobs.Spec.JobTemplate.Labels = labels
		for _, object := range []client.Object{
			&appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Selector: selector, Template: replicas}},
			&appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: replicas}},
			&appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Selector: selector, Template: replicas}},
			&appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: replicas}},
			&corev1.ReplicationController{ObjectMeta: meta, Spec: corev1.ReplicationControllerSpec{Selector: own, Template: &replicas}},
			&corev1.PodTemplate{ObjectMeta: meta, Template: template(labels)},
			job, cron, jobs,
		} {
			err := c.admin.Create(c.Context(), object, client.DryRunAll)
			if what == "" {
				c.accepted("a template of the user's own", err)
				continue
			}
			c.refused(fmt.Sprintf("a %T whose template has %s", object, what), managedObjects, "or its jobs instead", err)
		}
	}
}

// TestNobodyElseChangesARunnersPod checks each way in which a pod that exists can be changed.
func TestNobodyElseChangesARunnersPod(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("changed-pods", image)
	runner, own := pod(home, "runner"), ownPod(home)
	own.Name = "own"
	bound := pod(home, "bound")
	bound.Spec.NodeName = "one"
	child := stored(home)
	child.Name = "child"
	for _, object := range []client.Object{runner, bound, own, child} {
		c.make(object)
	}
	const words = "change the Workspace changed-pods or its jobs instead"
	label := patchOf(`{"metadata":{"labels":{"jobs.openradius.io/job":"another"}}}`)
	strip := patchOf(`{"metadata":{"labels":{"app.kubernetes.io/managed-by":null}}}`)
	forge := patchOf(`{"status":{"phase":"Failed"}}`)
	debug := patchOf(`{"spec":{"ephemeralContainers":[{"name":"debug","image":"busybox","securityContext":{
		"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}}`)
	for what, write := range map[string]func(client.Client, *corev1.Pod) error{
		"to label it": func(w client.Client, p *corev1.Pod) error { return w.Patch(c.Context(), p, label, client.DryRunAll) },
		"to hide it":  func(w client.Client, p *corev1.Pod) error { return w.Patch(c.Context(), p, strip, client.DryRunAll) },
		"to forge its end": func(w client.Client, p *corev1.Pod) error {
			return w.Status().Patch(c.Context(), p, forge, client.DryRunAll)
		},
		"to label it aside": func(w client.Client, p *corev1.Pod) error {
			return w.Status().Patch(c.Context(), p, label, client.DryRunAll)
		},
		"to debug it": func(w client.Client, p *corev1.Pod) error {
			return w.SubResource("ephemeralcontainers").Patch(c.Context(), p, debug, client.DryRunAll)
		},
		"to resize it": func(w client.Client, p *corev1.Pod) error {
			return w.SubResource("resize").Patch(c.Context(), p, patchOf(`{"spec":{"containers":[{"name":"runner","resources":{"requests":{"memory":"32Mi"}}}]}}`), client.DryRunAll)
		},
	} {
		c.refused(what, managedObjects, words, write(c.admin, podNamed(home, "runner")))
	}
	c.refused("to make an own pod a runner", managedObjects, words, c.admin.Patch(c.Context(), podNamed(home, "own"), label, client.DryRunAll))
	c.accepted("to change an own pod", c.admin.Patch(c.Context(), podNamed(home, "own"), patchOf(`{"metadata":{"labels":{"mine":"yes"}}}`), client.DryRunAll))
	c.accepted("to debug an own pod", c.admin.SubResource("ephemeralcontainers").Patch(c.Context(), podNamed(home, "own"), debug, client.DryRunAll))
	kubelet := c.unrestricted("system:node:one", "system:nodes")
	c.accepted("what the kubelet writes", kubelet.Status().Patch(c.Context(), podNamed(home, "bound"), forge, client.DryRunAll))
	scheduler := c.unrestricted("system:kube-scheduler")
	c.accepted("what the scheduler writes", scheduler.Status().Patch(c.Context(), podNamed(home, "runner"),
		patchOf(`{"status":{"conditions":[{"type":"PodScheduled","status":"False"}]}}`), client.DryRunAll))
	finished := patchOf(`{"status":{"succeeded":1}}`)
	c.refused("a Job's forged end", managedObjects, words, c.admin.Status().Patch(c.Context(),
		&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: "child"}}, finished, client.DryRunAll))
}

func patchOf(text string) client.Patch {
	return client.RawPatch(types.StrategicMergePatchType, []byte(text))
}

func podNamed(namespace, name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

// TestANamespaceIsNotChangedAside checks that the subresources of a namespace, which can
// change its labels too, are no way around the policies.
func TestANamespaceIsNotChangedAside(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("aside", image)
	namespace := &corev1.Namespace{}
	if err := c.admin.Get(c.Context(), client.ObjectKey{Name: home}, namespace); err != nil {
		t.Fatal(err)
	}
	for policy, change := range map[string]func(*corev1.Namespace){
		workspaceNamespaces: func(ns *corev1.Namespace) { ns.Labels["pod-security.kubernetes.io/enforce"] = "privileged" },
		runnerImages: func(ns *corev1.Namespace) {
			ns.Annotations[v1alpha1.AnnotationRunnerImage] = "registry.example.net/miner:1"
		},
	} {
		changed := namespace.DeepCopy()
		change(changed)
		c.refused("by namespaces/status", policy, "", c.admin.Status().Update(c.Context(), changed.DeepCopy(), client.DryRunAll))
		c.refused("by namespaces/finalize", policy, "", finalize(c.Context(), c.admin, changed.DeepCopy()))
	}
	operator := c.unrestricted("system:serviceaccount:workspace-jobs-system:workspace-jobs-manager")
	system := &corev1.Namespace{}
	if err := c.admin.Get(c.Context(), client.ObjectKey{Name: "kube-system"}, system); err != nil {
		t.Fatal(err)
	}
	c.refused("the operator by namespaces/status", operatorNamespaces, "only workspaces' namespaces", operator.Status().Update(c.Context(), system.DeepCopy(), client.DryRunAll))
	c.refused("the operator by namespaces/finalize", operatorNamespaces, "only workspaces' namespaces", finalize(c.Context(), operator, system.DeepCopy()))
	c.accepted("what the namespace controller writes", finalize(c.Context(), c.admin, namespace.DeepCopy()))
}

func finalize(ctx context.Context, c client.Client, namespace *corev1.Namespace) error {
	return c.SubResource("finalize").Update(ctx, namespace, client.DryRunAll)
}
