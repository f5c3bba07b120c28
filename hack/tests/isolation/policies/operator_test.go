package policies

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

const (
	operatorNamespaces = "workspace-jobs-operator-namespaces"
	operatorJobs       = "workspace-jobs-operator-jobs"
	operatorFences     = "workspace-jobs-operator-fences"
	runnerImages       = "workspace-jobs-runner-images"
)

func TestTheOperatorMakesOnlyRunners(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("only-runners", image)
	elsewhere := c.namespace("only-runners-elsewhere", nil)
	create := func(object client.Object) error { return c.operator.Create(c.Context(), object, client.DryRunAll) }
	c.accepted("a runner's Job", create(job(home)))
	c.accepted("a schedule's CronJob", create(cronJob(home)))
	c.refused("a Job outside workspaces", operatorJobs, "has no label jobs.openradius.io/workspace", create(job(elsewhere)))
	c.refused("a Job in kube-system", operatorJobs, "has no label jobs.openradius.io/workspace", create(job("kube-system")))
	for _, test := range []struct {
		what, words string
		change      func(*jobParts)
	}{
		{"another ServiceAccount", `ServiceAccount "runner"`, func(j *jobParts) { j.pod.ServiceAccountName = "default" }},
		{"no ServiceAccount", `ServiceAccount "runner"`, func(j *jobParts) { j.pod.ServiceAccountName = "" }},
		{"a mounted token", "must not mount a token", func(j *jobParts) { j.pod.AutomountServiceAccountToken = new(true) }},
		{"a token by default", "must not mount a token", func(j *jobParts) { j.pod.AutomountServiceAccountToken = nil }},
		{"another image", "must be the one that the Workspace sets", func(j *jobParts) { j.runner.Image = "registry.example.net/miner:1" }},
		{"a second container", "must have exactly one container", func(j *jobParts) {
			second := j.runner.DeepCopy()
			second.Name = "second"
			j.pod.Containers = append(j.pod.Containers, *second)
		}},
		{"a command", "must start with its image's command", func(j *jobParts) { j.runner.Command = []string{"/bin/sh"} }},
		{"other arguments", "must start with its image's command", func(j *jobParts) { j.runner.Args = []string{"run", "--debug"} }},
		{"a token as a volume", "may have only emptyDir and Secret volumes", func(j *jobParts) {
			j.pod.Volumes = append(j.pod.Volumes, corev1.Volume{Name: "token", VolumeSource: corev1.VolumeSource{
				Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}}},
			}})
		}},
		{"a claim on storage", "may have only emptyDir and Secret volumes", func(j *jobParts) {
			j.pod.Volumes = append(j.pod.Volumes, corev1.Volume{Name: "disk", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "disk"},
			}})
		}},
	} {
		c.refused("a Job with "+test.what, operatorJobs, test.words, create(job(home, test.change)))
		c.refused("a CronJob with "+test.what, operatorJobs, test.words, create(cronJob(home, test.change)))
	}
}

// TestAWaitingRunOfAnEarlierImageStarts checks that a schedule's Job that was created
// before the Workspace's image changed can still start.
func TestAWaitingRunOfAnEarlierImageStarts(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("earlier-image", image)
	waiting := stored(home, func(j *jobParts) { j.Spec.Suspend = new(true) })
	if err := c.operator.Create(c.Context(), waiting); err != nil {
		t.Fatal(err)
	}
	c.change("earlier-image", "registry.example.net/runner:2")
	started := waiting.DeepCopy()
	started.Spec.Suspend = new(false)
	c.accepted("to start it", c.operator.Patch(c.Context(), started, client.MergeFrom(waiting)))
	c.refused("another with its image", operatorJobs, `annotated with "registry.example.net/runner:2"`,
		c.operator.Create(c.Context(), job(home), client.DryRunAll))
	schedule := cronJob(home, func(j *jobParts) { j.runner.Image = "registry.example.net/runner:2" })
	if err := c.operator.Create(c.Context(), schedule); err != nil {
		t.Fatal(err)
	}
	c.change("earlier-image", "registry.example.net/runner:3")
	halted := schedule.DeepCopy()
	halted.Spec.Suspend = new(true)
	c.accepted("to suspend a schedule of an earlier image", c.operator.Patch(c.Context(), halted, client.MergeFrom(schedule)))
	elsewhere := cronJob(c.namespace("earlier-image-elsewhere", nil))
	c.make(elsewhere)
	stopped := elsewhere.DeepCopy()
	stopped.Spec.Suspend = new(true)
	c.accepted("to suspend one whose namespace is no longer a workspace's", c.operator.Patch(c.Context(), stopped.DeepCopy(), client.MergeFrom(elsewhere), client.DryRunAll))
	stopped.Spec.Suspend, stopped.Spec.Schedule = nil, "* * * * *"
	c.refused("to resume it", operatorJobs, "has no label", c.operator.Patch(c.Context(), stopped, client.MergeFrom(elsewhere), client.DryRunAll))
	changed := halted.DeepCopy()
	changed.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image = image
	c.refused("to change a CronJob's image", operatorJobs, "must be the one", c.operator.Patch(c.Context(), changed, client.MergeFrom(halted)))
}

func TestTheOperatorMakesOnlyNamespacesOfWorkspaces(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.workspace("of-workspaces", image)
	create := func(change func(*corev1.Namespace)) error {
		namespace := namespaceOf("of-workspaces-new", "workspace-of-workspaces-new", image)
		change(namespace)
		return c.operator.Create(c.Context(), namespace, client.DryRunAll)
	}
	c.accepted("a workspace's namespace", create(func(*corev1.Namespace) {}))
	for _, test := range []struct {
		what, policy, words string
		change              func(*corev1.Namespace)
	}{
		{"no label", operatorNamespaces, "must be owned by the Workspace", func(ns *corev1.Namespace) { delete(ns.Labels, v1alpha1.LabelWorkspace) }},
		{"no owner", operatorNamespaces, "must be owned by the Workspace", func(ns *corev1.Namespace) { ns.OwnerReferences = nil }},
		{"another owner", operatorNamespaces, "must be owned by the Workspace", func(ns *corev1.Namespace) { ns.OwnerReferences[0].Name = "of-workspaces" }},
		{"an owner of another kind", operatorNamespaces, "must be owned by the Workspace", func(ns *corev1.Namespace) {
			ns.OwnerReferences[0].Kind, ns.OwnerReferences[0].APIVersion = "ConfigMap", "v1"
		}},
		{"a reserved name", operatorNamespaces, "only workspaces' namespaces, not kube-mine", func(ns *corev1.Namespace) { ns.Name = "kube-mine" }},
		{"no Pod Security", workspaceNamespaces, "must keep the label pod-security", func(ns *corev1.Namespace) { delete(ns.Labels, "pod-security.kubernetes.io/enforce") }},
		{"weaker Pod Security", workspaceNamespaces, "must keep the label pod-security", func(ns *corev1.Namespace) { ns.Labels["pod-security.kubernetes.io/enforce"] = "baseline" }},
		{"an image that its Workspace does not have", runnerImages, `allows jobs.openradius.io/runner-image "` + image, func(ns *corev1.Namespace) {
			ns.Labels[v1alpha1.LabelWorkspace], ns.OwnerReferences[0].Name, ns.Name = "of-workspaces", "of-workspaces", "workspace-of-workspaces"
			ns.Annotations[v1alpha1.AnnotationRunnerImage] = "registry.example.net/miner:1"
		}},
		{"another name than its Workspace says", runnerImages, "does not have the namespace", func(ns *corev1.Namespace) {
			ns.Labels[v1alpha1.LabelWorkspace], ns.OwnerReferences[0].Name = "of-workspaces", "of-workspaces"
		}},
	} {
		c.refused("a namespace with "+test.what, test.policy, test.words, create(test.change))
	}
}

// TestANamespaceOfNoWorkspaceIsCollected checks that the garbage collector deletes a
// namespace whose Workspace does not exist, which the policy on images can't notice.
func TestANamespaceOfNoWorkspaceIsCollected(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	namespace := namespaceOf("of-nobody", "workspace-of-nobody", "registry.example.net/miner:1")
	namespace.OwnerReferences[0].UID = "11111111-2222-3333-4444-555555555555"
	if err := c.operator.Create(c.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	c.gone(namespace)
}

func TestTheOperatorChangesOnlyNamespacesOfWorkspaces(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	made := c.workspace("changes-only", image)
	adopted := c.namespace("changes-only-adopted", map[string]string{v1alpha1.LabelWorkspace: "changes-only-adopted"})
	foreign := c.namespace("changes-only-foreign", nil)
	patch := func(name, text string) error {
		return c.operator.Patch(c.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}},
			client.RawPatch("application/merge-patch+json", []byte(text)), client.DryRunAll)
	}
	const restricted = `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`
	c.accepted("Pod Security of a namespace that it created", patch(made, restricted))
	c.accepted("Pod Security of an adopted namespace", patch(adopted, restricted))
	c.refused("an unrelated namespace", operatorNamespaces, "may adopt only", patch(foreign, restricted))
	c.refused("to take one over", operatorNamespaces, "may adopt only", patch(foreign,
		`{"metadata":{"labels":{"jobs.openradius.io/workspace":"changes-only","pod-security.kubernetes.io/enforce":"restricted"}}}`))
	for _, name := range []string{"kube-system", "default", "workspace-jobs-system"} {
		c.refused("to take over "+name, operatorNamespaces, "only workspaces' namespaces, not "+name, patch(name,
			`{"metadata":{"labels":{"jobs.openradius.io/workspace":"changes-only","pod-security.kubernetes.io/enforce":"restricted"}}}`))
	}
	c.refused("to give one away", operatorNamespaces, "may not change that label", patch(adopted,
		`{"metadata":{"labels":{"jobs.openradius.io/workspace":"other","pod-security.kubernetes.io/enforce":"restricted"}}}`))
	// Some API servers require the right to delete an object to set its owner. There RBAC
	// refuses this, too.
	c.refused("to own an adopted one", operatorNamespaces, "may not change the owners", c.unrestricted(testenv.ManagerUser).Patch(c.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: adopted}}, client.RawPatch("application/merge-patch+json", []byte(
			`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"},"ownerReferences":[{"apiVersion":"jobs.openradius.io/v1alpha1","kind":"Workspace","name":"changes-only-adopted","uid":"1"}]}}`)), client.DryRunAll))
	c.refused("weaker Pod Security", workspaceNamespaces, "must keep the label pod-security", patch(made, `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"baseline"}}}`))
	c.refused("another image", runnerImages, "allows jobs.openradius.io/runner-image", patch(made, `{"metadata":{"annotations":{"jobs.openradius.io/runner-image":"registry.example.net/miner:1"}}}`))
}

func TestTheOperatorWritesOnlyItsOwnFences(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("own-fences", image)
	elsewhere := c.namespace("own-fences-elsewhere", nil)
	create := func(object client.Object) error { return c.operator.Create(c.Context(), object, client.DryRunAll) }
	c.accepted("the runners' ServiceAccount", create(account(home, "runner")))
	c.accepted("members' rights", create(roleBinding(home, "workspace-jobs-editor", "workspace-jobs-editor")))
	c.accepted("the policy that denies", create(networkPolicy(home, "workspace-jobs-default-deny", denyAll())))
	c.accepted("the runners' egress", create(networkPolicy(home, "workspace-jobs-runner", egress())))
	c.accepted("a quota", create(&corev1.ResourceQuota{ObjectMeta: managed(home, "workspace-jobs")}))
	c.accepted("a LimitRange", create(&corev1.LimitRange{ObjectMeta: managed(home, "workspace-jobs")}))

	for what, object := range map[string]client.Object{
		"a ServiceAccount": account(elsewhere, "runner"),
		"a RoleBinding":    roleBinding(elsewhere, "workspace-jobs-editor", "workspace-jobs-editor"),
		"a NetworkPolicy":  networkPolicy("kube-system", "workspace-jobs-runner", egress()),
		"a quota":          &corev1.ResourceQuota{ObjectMeta: managed("default", "workspace-jobs")},
		"a WorkspaceJob":   &v1alpha1.WorkspaceJob{ObjectMeta: metav1.ObjectMeta{Namespace: elsewhere, Name: "any"}, Spec: v1alpha1.WorkspaceJobSpec{JobTemplate: v1alpha1.JobTemplate{Handler: "sql"}}},
	} {
		c.refused(what+" outside workspaces", operatorFences, "has no label jobs.openradius.io/workspace", create(object))
	}
	opened, admitted := denyAll(), egress()
	opened.Ingress = []networkingv1.NetworkPolicyIngressRule{{}}
	admitted.PolicyTypes = append(admitted.PolicyTypes, networkingv1.PolicyTypeIngress)
	narrowed := denyAll()
	narrowed.PodSelector.MatchLabels = map[string]string{"a": "b"}
	unlabelled, mounting := account(home, "runner"), account(home, "runner")
	unlabelled.Labels, mounting.AutomountServiceAccountToken = nil, nil
	for _, test := range []struct {
		what, words string
		object      client.Object
	}{
		{"an account of another name", "may not write serviceaccounts named deployer", account(home, "deployer")},
		{"an account without its label", "only objects with the label", unlabelled},
		{"an account with a token", "must not mount a token", mounting},
		{"a binding of another name", "may not write rolebindings named mine", roleBinding(home, "mine", "workspace-jobs-editor")},
		{"a binding to another of the roles", "RoleBinding of the same name", roleBinding(home, "workspace-jobs-viewer", "workspace-jobs-admin")},
		{"a policy of another name", "may not write networkpolicies named allow", networkPolicy(home, "allow", egress())},
		{"a denial that lets in", "must deny all traffic", networkPolicy(home, "workspace-jobs-default-deny", opened)},
		{"a denial of some pods", "must deny all traffic", networkPolicy(home, "workspace-jobs-default-deny", narrowed)},
		{"egress that lets in", "must not allow traffic to a runner", networkPolicy(home, "workspace-jobs-runner", admitted)},
	} {
		c.refused(test.what, operatorFences, test.words, create(test.object))
	}
	// RBAC does not let it bind another role, and neither does a policy.
	err := c.unrestricted(testenv.ManagerUser).Create(c.Context(),
		roleBinding(home, "workspace-jobs-admin", "cluster-admin"), client.DryRunAll)
	c.refused("a binding to cluster-admin", operatorFences, "RoleBinding of the same name", err)
}

func TestTheOperatorDeletesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("own-deletions", image)
	elsewhere := c.namespace("own-deletions-elsewhere", nil)
	remove := func(object client.Object) error { return c.operator.Delete(c.Context(), object, client.DryRunAll) }
	runner, other, system := pod(home, "runner"), pod(home, "other"), pod(elsewhere, "runner")
	other.Labels = nil
	for _, each := range []*corev1.Pod{runner, other, system} {
		c.make(each)
	}
	c.accepted("a runner's pod", remove(runner))
	c.refused("another user's pod", operatorFences, "only objects with the label", remove(other))
	c.refused("a pod outside workspaces", operatorFences, "has no label jobs.openradius.io/workspace", remove(system))
	own, foreign := stored(home), ownJob(home)
	c.make(own)
	c.make(foreign)
	c.accepted("an attempt's Job", remove(own))
	c.refused("another user's Job", operatorFences, "only objects with the label", remove(foreign))
}

// make creates an object as a user whom the policies exempt.
func (c *cluster) make(object client.Object) {
	c.Helper()
	kubernetes := c.unrestricted("system:serviceaccount:kube-system:job-controller", serviceAccounts("kube-system")...)
	if err := kubernetes.Create(context.Background(), object); err != nil {
		c.Fatal(err)
	}
}
