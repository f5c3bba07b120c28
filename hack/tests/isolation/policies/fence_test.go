package policies

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/controllers/runnerjob"
)

const (
	fenceCheck    = "workspace-jobs-fence-check"
	operatorImage = "localhost/workspace-jobs/manager:dev" // as in config/manager
)

// checked returns a Job as the operator creates it for a workspace with network.waitForFence,
// with changes to its init container.
func checked(namespace string, changes ...func(*corev1.Container)) *batchv1.Job {
	return job(namespace, guard(changes...))
}

func guard(changes ...func(*corev1.Container)) func(*jobParts) {
	return func(j *jobParts) {
		ws := &v1alpha1.Workspace{Spec: v1alpha1.WorkspaceSpec{Network: &v1alpha1.Network{WaitForFence: true}}}
		runnerjob.Fence{Namespace: "workspace-jobs-system", Image: operatorImage, Limit: 30 * time.Second}.Guard(ws, &j.Spec)
		for _, change := range changes {
			change(&j.pod.InitContainers[0])
		}
	}
}

func TestTheOperatorPutsOnlyItsCheckInFront(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("fence-check", image)
	create := func(object client.Object) error { return c.operator.Create(c.Context(), object, client.DryRunAll) }
	c.accepted("the check in a Job", create(checked(home)))
	c.accepted("the check in a CronJob", create(cronJob(home, guard())))
	for what, change := range map[string]func(*corev1.Container){
		"another image":       func(check *corev1.Container) { check.Image = image },
		"another name":        func(check *corev1.Container) { check.Name = "first" },
		"a command":           func(check *corev1.Container) { check.Command = []string{"/manager"} },
		"the operator itself": func(check *corev1.Container) { check.Args = []string{"--leader-elect=false", "--limit=30s"} },
		"more arguments":      func(check *corev1.Container) { check.Args = append(check.Args, "--more") },
		"another canary":      func(check *corev1.Container) { check.Args[2] = "--canary=workspace-jobs-canary.fence-check.svc" },
		"no arguments":        func(check *corev1.Container) { check.Args = nil },
		"a variable":          func(check *corev1.Container) { check.Env = []corev1.EnvVar{{Name: "A", Value: "b"}} },
		"a Secret": func(check *corev1.Container) {
			check.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "database"}}}}
		},
		"a volume": func(check *corev1.Container) {
			check.VolumeMounts = []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}}
		},
		"a port":     func(check *corev1.Container) { check.Ports = []corev1.ContainerPort{{ContainerPort: 80}} },
		"a restart":  func(check *corev1.Container) { check.RestartPolicy = new(corev1.ContainerRestartPolicyAlways) },
		"a terminal": func(check *corev1.Container) { check.TTY = true },
	} {
		const words = "the only init container"
		c.refused("a Job with "+what, fenceCheck, words, create(checked(home, change)))
		c.refused("a CronJob with "+what, fenceCheck, words, create(cronJob(home, guard(change))))
	}
	c.refused("two checks", fenceCheck, "the only init container", create(job(home, guard(), func(j *jobParts) {
		second := j.pod.InitContainers[0].DeepCopy()
		second.Name = "second"
		j.pod.InitContainers = append(j.pod.InitContainers, *second)
	})))
}

// TestAWaitingRunWithAnEarlierCheckStarts checks that a schedule's Job that was created before
// the operator was upgraded can still start.
func TestAWaitingRunWithAnEarlierCheckStarts(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("earlier-check", image)
	waiting := stored(home, guard(func(check *corev1.Container) { check.Image = "registry.example.net/manager:0" }), func(j *jobParts) { j.Spec.Suspend = new(true) })
	// As Kubernetes' CronJob controller does.
	if err := c.unrestricted("system:serviceaccount:kube-system:cronjob-controller", serviceAccounts("kube-system")...).Create(c.Context(), waiting); err != nil {
		t.Fatal(err)
	}
	started := waiting.DeepCopy()
	started.Spec.Suspend = new(false)
	c.accepted("to start it", c.operator.Patch(c.Context(), started, client.MergeFrom(waiting)))
}
