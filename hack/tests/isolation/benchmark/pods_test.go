package benchmark

import (
	"context"
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/hack/env/objects"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// mainContainer is the name of the pods' main container.
const mainContainer = "main"

// compliantPod returns a pod that nothing refuses.
func compliantPod(name, namespace string) *corev1.Pod {
	return &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot:   new(true),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{compliantContainer(mainContainer)},
		},
	}
}

func compliantContainer(name string) corev1.Container {
	return corev1.Container{
		Name: name, Image: "localhost/none:none",
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
}

// violation makes a compliant pod break one rule.
type violation struct {
	// what says what is wrong, as in a manifest.
	what string
	// pod or container makes the change. Only one of them is set.
	pod       func(*corev1.PodSpec)
	container func(*corev1.Container)
	// why is Pod Security's whole message, with CONTAINER for the container's name.
	why string
	// notEphemeral says that ephemeral containers don't have the field.
	notEphemeral bool
}

func (v violation) reason(container string) refusal {
	return refusal{byPodSecurity, strings.ReplaceAll(v.why, "CONTAINER", container)}
}

// spoiled returns pods that break the rule, by the container that does.
func (v violation) spoiled(name, namespace string) map[string]*corev1.Pod {
	pod := compliantPod(name, namespace)
	if v.pod != nil {
		v.pod(&pod.Spec)
		return map[string]*corev1.Pod{mainContainer: pod}
	}
	v.container(&pod.Spec.Containers[0])
	initial := compliantPod(name, namespace)
	first := compliantContainer("first")
	v.container(&first)
	initial.Spec.InitContainers = []corev1.Container{first}
	return map[string]*corev1.Pod{mainContainer: pod, "first": initial}
}

// podCheck is a check of pods.
type podCheck struct {
	violations []violation
	// podField and containerField are fields with which a tenant might try to set it in a
	// job or schedule.
	podField, containerField map[string]any
}

func (p podCheck) check(c *clusterT, s *seen) {
	c.membersMakeNoPods(s)
	c.makerIsStopped(s, p.violations)
	c.operatorIsStopped(s, p.violations)
	c.kindsCannotSay(s, p.podField, p.containerField)
}

// makesPods are the resources that create pods, or lead into one.
var makesPods = map[string][]string{
	"":      {"pods", "podtemplates", "replicationcontrollers"},
	"apps":  {"daemonsets", "deployments", "replicasets", "statefulsets"},
	"batch": {"cronjobs", "jobs"},
}

func (c *clusterT) membersMakeNoPods(s *seen) {
	c.Helper()
	var requests []request
	for group, names := range makesPods {
		for _, name := range names {
			requests = append(requests, writes(c.family(group, name), acmeSpace, "any")...)
		}
	}
	count := c.wantRBAC(membersOf(acme), requests)
	s.say(members, "RBAC refuses all %d requests to create or change pods or workloads, or to enter a pod", count)
}

// makerIsStopped checks that a user who may create pods can create the compliant one, but
// not the others.
func (c *clusterT) makerIsStopped(s *seen, violations []violation) {
	c.Helper()
	pods := c.resource("", "pods")
	try := func(pod *corev1.Pod) refusal {
		_, err := c.ask(deployer, request{verb: "create", resource: pods, namespace: acmeSpace, body: pod})
		return refusalOf(err)
	}
	if got := try(compliantPod("compliant", acmeSpace)); got.who != byNobody {
		c.Fatalf("a compliant pod was refused by %s", got)
	}
	live := compliantPod("bystander", acmeSpace)
	c.create(live)
	var reasons []string
	for _, v := range violations {
		for container, pod := range v.spoiled("spoiled", acmeSpace) {
			if got := try(pod); got != v.reason(container) {
				c.Errorf("a pod with %s in %q was refused by\n%s, not by\n%s", v.what, container, got, v.reason(container))
			}
		}
		reasons = append(reasons, strings.ReplaceAll(v.why, "CONTAINER", "…"))
		c.liveStaysCompliant(live, v)
	}
	s.say(maker, "Pod Security refuses %s; a running pod can't be changed to it", code(distinct(reasons)...))
}

// liveStaysCompliant checks that a running pod can't be changed to break the rule.
func (c *clusterT) liveStaysCompliant(live *corev1.Pod, v violation) {
	c.Helper()
	for container, pod := range v.spoiled(live.Name, acmeSpace) {
		_, err := c.ask(deployer, request{verb: "update", resource: c.resource("", "pods"), namespace: acmeSpace, name: live.Name, body: pod})
		if got := refusalOf(err); got.who != byValidation || !strings.Contains(got.why, "pod updates may not") {
			c.Errorf("a pod was updated with %s in %q: %s", v.what, container, got)
		}
	}
	if v.container == nil || v.notEphemeral {
		return
	}
	for name, spoil := range map[string]func(*corev1.Container){"late": v.container, "compliant": func(*corev1.Container) {}} {
		container := compliantContainer(name)
		spoil(&container)
		pod := live.DeepCopy()
		pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
		pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: name, Image: container.Image, SecurityContext: container.SecurityContext,
		}}}
		want := v.reason(name)
		if name == "compliant" {
			want = refusal{who: byNobody}
		}
		_, err := c.ask(deployer, request{verb: "update", resource: apiResource{corev1.SchemeGroupVersion, "pods/ephemeralcontainers", true, nil}, namespace: acmeSpace, name: live.Name, body: pod})
		if got := refusalOf(err); got != want {
			c.Errorf("an ephemeral container with %s: %s, not %s", v.what, got, want)
		}
	}
}

// operatorIsStopped checks that a Job of the operator with such a pod gets no pod.
func (c *clusterT) operatorIsStopped(s *seen, violations []violation) {
	c.Helper()
	operator, err := c.env.ClientAs(testenv.ManagerUser)
	if err != nil {
		c.Fatal(err)
	}
	for i, v := range violations {
		job := objects.MakeJob(fmt.Sprintf("spoiled-%d", i)).In(acmeSpace).Pod(v.spoiled("", "")[mainContainer].Spec).Obj()
		testenv.CreateFor(c, operator, job)
		want := v.reason(mainContainer)
		testenv.Eventually(c, "the pod of a Job with "+v.what+" is refused", func(ctx context.Context) error {
			var pods corev1.PodList
			if err := c.List(ctx, &pods, client.MatchingLabels{batchv1.ControllerUidLabel: string(job.UID)}); err != nil || len(pods.Items) > 0 {
				c.Fatalf("a Job with %s has a pod (%v)", v.what, err)
			}
			return c.hasEvent(ctx, job, func(said string) bool {
				_, why, found := strings.Cut(said, `violates PodSecurity "restricted:`)
				return found && strings.HasSuffix(why, `": `+want.why)
			})
		})
		c.remove(job)
	}
	s.say(kinds, "the operator's own Job with such a pod gets none: Pod Security")
}

// hasEvent returns an error unless the object has a wanted event.
func (c *clusterT) hasEvent(ctx context.Context, object client.Object, wanted func(message string) bool) error {
	clientset, err := kubernetes.NewForConfig(c.env.Config)
	if err != nil {
		return err
	}
	events, err := clientset.CoreV1().Events(object.GetNamespace()).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.uid=" + string(object.GetUID())})
	if err != nil {
		return err
	}
	var messages []string
	for _, event := range events.Items {
		if wanted(event.Message) {
			return nil
		}
		messages = append(messages, event.Message)
	}
	return fmt.Errorf("its events are %q", messages)
}
