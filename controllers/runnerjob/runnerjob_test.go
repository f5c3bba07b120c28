package runnerjob

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/runner/contract"
)

var born = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func when(seconds int) metav1.Time {
	return metav1.NewTime(born.Add(time.Duration(seconds) * time.Second))
}

func makeWorkspace() *v1alpha1.Workspace {
	return &v1alpha1.Workspace{
		ObjectMeta: metav1.ObjectMeta{Name: "acme"},
		Spec: v1alpha1.WorkspaceSpec{
			Database: v1alpha1.Database{SecretRef: v1alpha1.SecretKeyRef{Name: "database", Key: "url"}, Schema: "hangfire"},
			Runner:   v1alpha1.Runner{Image: "example.com/runner:1", Secrets: []string{"crm", "a.very.long." + strings.Repeat("x", 200)}},
		},
	}
}

// TestBuildIsRestricted checks that the pod meets Pod Security's "restricted" standard and
// the product's own promises.
func TestBuildIsRestricted(t *testing.T) {
	t.Parallel()
	job := Build(makeWorkspace(), Spec{Name: "nightly-1", Command: contract.CommandRun, Timeout: time.Minute})
	pod := job.Spec.Template.Spec
	container := pod.Containers[0]
	for what, ok := range map[string]bool{
		"one try":             *job.Spec.BackoffLimit == 0 && pod.RestartPolicy == corev1.RestartPolicyNever,
		"no token":            !*pod.AutomountServiceAccountToken,
		"its own account":     pod.ServiceAccountName == v1alpha1.RunnerServiceAccount,
		"no service links":    !*pod.EnableServiceLinks,
		"non-root":            *pod.SecurityContext.RunAsNonRoot && *pod.SecurityContext.RunAsUser > 0,
		"seccomp":             pod.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"no escalation":       !*container.SecurityContext.AllowPrivilegeEscalation,
		"no capabilities":     cmp.Equal(container.SecurityContext.Capabilities.Drop, []corev1.Capability{"ALL"}),
		"read-only root":      *container.SecurityContext.ReadOnlyRootFilesystem,
		"nothing of the host": !pod.HostNetwork && !pod.HostPID && !pod.HostIPC,
		"drains cost nothing": job.Spec.PodFailurePolicy.Rules[0].Action == batchv1.PodFailurePolicyActionIgnore,
		"one pod at a time":   *job.Spec.PodReplacementPolicy == batchv1.Failed,
		"the limit is the pod's, with grace": *pod.ActiveDeadlineSeconds == 90 &&
			job.Spec.ActiveDeadlineSeconds == nil,
		"logs are not mistaken for a message": container.TerminationMessagePolicy != corev1.TerminationMessageFallbackToLogsOnError,
	} {
		if !ok {
			t.Errorf("%s: not so", what)
		}
	}
	for _, volume := range pod.Volumes {
		if len(volume.Name) > 63 || strings.Contains(volume.Name, ".") {
			t.Errorf("volume name %q", volume.Name)
		}
	}
	if got := container.VolumeMounts[1].MountPath; got != contract.SecretsPath+"/crm" {
		t.Errorf("the first Secret is mounted at %q", got)
	}
}

// A verified TLS connection needs its CA's file at the migration too.
func TestBuildGivesEachCommandTheDatabaseAndTheSecrets(t *testing.T) {
	t.Parallel()
	ws := makeWorkspace()
	for _, allowed := range []bool{false, true} {
		ws.Spec.Database.AllowSuperuser = allowed
		for _, command := range []string{contract.CommandRun, contract.CommandMigrate} {
			container := Build(ws, Spec{Command: command}).Spec.Template.Spec.Containers[0]
			var names []string
			for _, variable := range container.Env {
				names = append(names, variable.Name)
				if variable.Name == contract.EnvAllowSuperuser && variable.Value != strconv.FormatBool(allowed) {
					t.Errorf("%s: a superuser is allowed: %s; want %v", command, variable.Value, allowed)
				}
			}
			if diff := cmp.Diff([]string{contract.EnvWorkspace, contract.EnvAllowSuperuser, contract.EnvLedgerSchema, contract.EnvDatabaseURL}, names); diff != "" {
				t.Errorf("%s: %s", command, diff)
			}
			if len(container.VolumeMounts) != 3 || container.VolumeMounts[1].MountPath != contract.SecretsPath+"/crm" {
				t.Errorf("%s mounts %v", command, container.VolumeMounts)
			}
		}
	}
}

func TestBuildTakesTheJobsResourcesBeforeTheWorkspaces(t *testing.T) {
	t.Parallel()
	of := func(memory string) *v1alpha1.Resources {
		return &v1alpha1.Resources{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)}}
	}
	ws := makeWorkspace()
	limit := func(own *v1alpha1.Resources) string {
		job := Build(ws, Spec{Resources: own})
		return job.Spec.Template.Spec.Containers[0].Resources.Limits.Memory().String()
	}
	if got := limit(nil); got != "0" {
		t.Errorf("none set: %s", got)
	}
	ws.Spec.Runner.Resources = of("1Gi")
	if got := limit(nil); got != "1Gi" {
		t.Errorf("the workspace's: %s", got)
	}
	if got := limit(of("2Gi")); got != "2Gi" {
		t.Errorf("the job's: %s", got)
	}
	asks := &v1alpha1.Resources{Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("3Gi")}}
	if got := limit(asks); got != "3Gi" {
		t.Errorf("a request without a limit is limited to %s", got)
	}
}

func makeJob(kind batchv1.JobConditionType) *batchv1.Job {
	job := &batchv1.Job{}
	if kind != "" {
		job.Status.Conditions = []batchv1.JobCondition{
			{Type: batchv1.JobSuspended, Status: corev1.ConditionFalse},
			{Type: kind, Status: corev1.ConditionTrue, Reason: "TheReason", Message: "the message", LastTransitionTime: when(100)},
		}
	}
	return job
}

type podMaker struct{ corev1.Pod }

func makePod(created int) *podMaker {
	return &podMaker{corev1.Pod{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: when(created)}}}
}

func (m *podMaker) state(state corev1.ContainerState) *podMaker {
	m.Status.ContainerStatuses = []corev1.ContainerStatus{
		{Name: "sidecar-of-a-mesh", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: when(-5)}}},
		{Name: v1alpha1.RunnerContainer, State: state},
	}
	return m
}

func (m *podMaker) waiting(reason, message string) *podMaker {
	return m.state(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}})
}

func (m *podMaker) exited(code int32, reason, message string) *podMaker {
	return m.state(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, Message: message, StartedAt: when(3), FinishedAt: when(9),
	}})
}

func (m *podMaker) reason(reason, message string) *podMaker {
	m.Status.Reason, m.Status.Message = reason, message
	return m
}

func TestObserve(t *testing.T) {
	t.Parallel()
	unschedulable := makePod(0)
	unschedulable.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes"}}
	started := new(when(3))
	cases := map[string]struct {
		job  *batchv1.Job
		pods []*podMaker
		want Observation
	}{
		"no pod yet":        {makeJob(""), nil, Observation{}},
		"on its way":        {makeJob(""), []*podMaker{makePod(0).waiting("ContainerCreating", "")}, Observation{}},
		"no image":          {makeJob(""), []*podMaker{makePod(0).waiting("ImagePullBackOff", "not there")}, Observation{Waiting: "its pod can't start (ImagePullBackOff): not there"}},
		"no room":           {makeJob(""), []*podMaker{unschedulable}, Observation{Waiting: "no node can run its pod (Unschedulable): 0/1 nodes"}},
		"running":           {makeJob(""), []*podMaker{makePod(0).state(corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: when(3)}})}, Observation{StartedAt: started}},
		"ended, unreported": {makeJob(""), []*podMaker{makePod(0).exited(0, "Completed", "")}, Observation{StartedAt: started}},
		"done, pod is gone": {makeJob(batchv1.JobComplete), nil, Observation{End: &End{At: when(100), Succeeded: true}}},
		"done": {
			makeJob(batchv1.JobComplete), []*podMaker{makePod(0).exited(0, "Completed", `{"result":{"rows":3}}`)},
			Observation{StartedAt: started, End: &End{At: when(9), Succeeded: true, ExitCode: new(int32(0)), Reason: "Completed", Message: contract.Message{Result: []byte(`{"rows":3}`)}}},
		},
		"done by the pod that replaced a drained one": {
			makeJob(batchv1.JobComplete), []*podMaker{makePod(50).exited(0, "Completed", `{"result":2}`), makePod(0).exited(143, "Error", `{"error":"stopped"}`)},
			Observation{StartedAt: started, End: &End{At: when(9), Succeeded: true, ExitCode: new(int32(0)), Reason: "Completed", Message: contract.Message{Result: []byte("2")}}},
		},
		"failed with a message": {
			makeJob(batchv1.JobFailed), []*podMaker{makePod(0).exited(1, "Error", `{"error":"no table"}`)},
			Observation{StartedAt: started, End: &End{At: when(9), ExitCode: new(int32(1)), Reason: "Error", Message: contract.Message{Error: "no table"}, Error: "no table"}},
		},
		"failed with what a terminal would obey": {
			makeJob(batchv1.JobFailed), []*podMaker{makePod(0).exited(1, "Error", `{"error":"\u001b[2Jžluť\r\n\u202eno\u0000 👩‍🔧\n\ttable"}`)},
			Observation{StartedAt: started, End: &End{At: when(9), ExitCode: new(int32(1)), Reason: "Error",
				Message: contract.Message{Error: "\ufffd[2Jžluť\n\ufffdno\ufffd 👩‍🔧\n\ttable"}, Error: "\ufffd[2Jžluť\n\ufffdno\ufffd 👩‍🔧\n\ttable"}},
		},
		"failed with rubbish": {
			makeJob(batchv1.JobFailed), []*podMaker{makePod(0).exited(2, "Error", `{"error":`)},
			Observation{StartedAt: started, End: &End{At: when(9), ExitCode: new(int32(2)), Reason: "Error", Error: "the runner exited with code 2 and left no message; its log may say more"}},
		},
		"out of memory": {
			makeJob(batchv1.JobFailed), []*podMaker{makePod(0).exited(137, "OOMKilled", "")},
			Observation{StartedAt: started, End: &End{At: when(9), ExitCode: new(int32(137)), Reason: "OOMKilled", Error: "the runner ran out of memory (OOMKilled): raise resources.limits.memory of the job or of the workspace"}},
		},
		// So the kubelet reports a container that it has lost, or whose pod it evicted.
		"ended at an unknown time": {
			makeJob(batchv1.JobFailed), []*podMaker{makePod(0).state(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				ExitCode: 137, Reason: "ContainerStatusUnknown",
			}})},
			Observation{End: &End{At: when(100), ExitCode: new(int32(137)), Reason: "ContainerStatusUnknown", Error: "the runner exited with code 137 and left no message; its log may say more"}},
		},
		"ended at the epoch": {
			makeJob(batchv1.JobFailed), []*podMaker{makePod(0).state(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				ExitCode: 1, Reason: "Error", StartedAt: metav1.Unix(0, 0), FinishedAt: metav1.Unix(0, 0),
			}})},
			Observation{End: &End{At: when(100), ExitCode: new(int32(1)), Reason: "Error", Error: "the runner exited with code 1 and left no message; its log may say more"}},
		},
		"out of time": {
			makeJob(batchv1.JobFailed), []*podMaker{makePod(0).exited(137, "Error", "").reason("DeadlineExceeded", "Pod was active too long")},
			Observation{StartedAt: started, End: &End{At: when(9), ExitCode: new(int32(137)), Reason: "DeadlineExceeded", Error: "the attempt's timeout ran out and the runner did not stop by itself"}},
		},
		"evicted before it ran": {
			makeJob(batchv1.JobFailed), []*podMaker{makePod(0).reason("Evicted", "the node is short of memory")},
			Observation{End: &End{At: when(100), Reason: "Evicted", Error: "Evicted: the node is short of memory"}},
		},
		"failed, pod is gone": {
			makeJob(batchv1.JobFailed), nil,
			Observation{End: &End{At: when(100), Reason: "TheReason", Error: "the attempt's pod is gone and left no message (TheReason: the message)"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var pods []corev1.Pod
			for _, m := range c.pods {
				pods = append(pods, m.Pod)
			}
			if diff := cmp.Diff(c.want, Observe(c.job, pods)); diff != "" {
				t.Errorf("Observe (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTroubleKeepsItsWordsFromTryToTry(t *testing.T) {
	t.Parallel()
	first := nameless(&corev1.Event{Message: `pods "nightly-1-x7k2p" is forbidden: exceeded quota`}, "nightly-1")
	second := nameless(&corev1.Event{Message: `pods "nightly-1-b9fqz" is forbidden: exceeded quota`}, "nightly-1")
	if want := `pods "nightly-1-*" is forbidden: exceeded quota`; first != want || second != want {
		t.Errorf("%q, %q; want %q", first, second, want)
	}
}

func TestASuspendedJobIsOverWithoutPods(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*batchv1.Job){
		"not suspended yet": func(j *batchv1.Job) { j.Spec.Suspend = new(false) },
		"a pod is active":   func(j *batchv1.Job) { j.Status.Active = 1 },
		"a pod terminates":  func(j *batchv1.Job) { j.Status.Terminating = new(int32(1)) },
		"one has succeeded": func(j *batchv1.Job) { j.Status.Succeeded = 1 },
		"one is not counted yet": func(j *batchv1.Job) {
			j.Status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{Succeeded: []types.UID{"pod"}}
		},
		"not reported yet": func(j *batchv1.Job) { j.Status.Conditions = nil },
	} {
		child := suspendedJob()
		change(child)
		if Over(child) != nil {
			t.Errorf("%s: called over", name)
		}
	}
	if Over(suspendedJob()) == nil {
		t.Error("a suspended Job without pods is not called over")
	}
}

func suspendedJob() *batchv1.Job {
	return &batchv1.Job{
		Spec:   batchv1.JobSpec{Suspend: new(true)},
		Status: batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: batchv1.JobSuspended, Status: corev1.ConditionTrue}}},
	}
}
