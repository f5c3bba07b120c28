// Package runnerjob builds the Kubernetes Jobs that run a workspace's runner image, and
// observes how they run and end. [Build] and [Observe] are pure.
package runnerjob

import (
	"fmt"
	"maps"
	"math"
	"path"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// nonRoot is the user and group of every runner: the "nonroot" of common base
// images, so that an image made elsewhere has it in its passwd file.
const nonRoot = 65532

// terminationGrace is how long a runner has to roll back after SIGTERM.
const terminationGrace = 30 * time.Second

// Spec describes one Job.
type Spec struct {
	// Name of the Job, in the workspace's namespace.
	Name string
	// Owner is the object that the Job is controlled by.
	Owner metav1.OwnerReference
	// Labels and Annotations of the Job and its pod, in addition to those that
	// every object of a workspace has.
	Labels, Annotations map[string]string
	// Command of the runner contract.
	Command string
	// Env is the environment, in addition to the database's variables.
	Env []corev1.EnvVar
	// Resources instead of the workspace's; may be nil.
	Resources *v1alpha1.Resources
	// Timeout of the process. 0 means none.
	Timeout time.Duration
}

// Build returns the Job that runs spec in the workspace. It runs one pod at a time and does
// not retry a failure: the controller that created the Job decides what follows.
//
// The time limit is the pod's, not the Job's: a Job that runs out of time deletes
// its pod, and the log and the termination message with it.
// See docs/decisions/0001-time-limit-on-the-pod.md.
func Build(ws *v1alpha1.Workspace, spec Spec) *batchv1.Job {
	labels := map[string]string{
		v1alpha1.LabelManagedBy: v1alpha1.ManagedBy,
		v1alpha1.LabelWorkspace: ws.Name,
	}
	maps.Copy(labels, spec.Labels)
	return &batchv1.Job{
		TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{
			Name:            spec.Name,
			Namespace:       ws.NamespaceName(),
			Labels:          labels,
			Annotations:     maps.Clone(spec.Annotations),
			OwnerReferences: []metav1.OwnerReference{spec.Owner},
		},
		Spec: batchv1.JobSpec{
			BackoffLimit:         new(int32(0)),
			PodReplacementPolicy: new(batchv1.Failed),
			PodFailurePolicy:     ignoreDisruptions(),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: maps.Clone(labels), Annotations: maps.Clone(spec.Annotations)},
				Spec:       podSpec(ws, spec),
			},
		},
	}
}

// ignoreDisruptions lets Kubernetes replace a pod that was evicted, as from a drained node,
// without counting a failure.
func ignoreDisruptions() *batchv1.PodFailurePolicy {
	return &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
		Action: batchv1.PodFailurePolicyActionIgnore,
		OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
		}},
	}}}
}

func podSpec(ws *v1alpha1.Workspace, spec Spec) corev1.PodSpec {
	volumes, mounts := volumesOf(ws)
	pod := corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		ServiceAccountName:            v1alpha1.RunnerServiceAccount,
		AutomountServiceAccountToken:  new(false),
		EnableServiceLinks:            new(false),
		ImagePullSecrets:              ws.Spec.Runner.ImagePullSecrets,
		TerminationGracePeriodSeconds: new(int64(terminationGrace / time.Second)),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:   new(true),
			RunAsUser:      new(int64(nonRoot)),
			RunAsGroup:     new(int64(nonRoot)),
			FSGroup:        new(int64(nonRoot)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Volumes: volumes,
		Containers: []corev1.Container{{
			Name:                   v1alpha1.RunnerContainer,
			Image:                  ws.Spec.Runner.Image,
			ImagePullPolicy:        ws.Spec.Runner.ImagePullPolicy,
			Args:                   []string{spec.Command},
			Env:                    append(databaseEnv(ws), spec.Env...),
			Resources:              resourcesOf(ws, spec.Resources),
			VolumeMounts:           mounts,
			SecurityContext:        restricted(),
			TerminationMessagePath: contract.TerminationMessagePath,
		}},
	}
	if spec.Timeout > 0 {
		limit := math.Ceil((spec.Timeout + contract.TimeoutGrace).Seconds())
		pod.ActiveDeadlineSeconds = new(int64(limit))
	}
	return pod
}

func restricted() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false),
		ReadOnlyRootFilesystem:   new(true),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

func databaseEnv(ws *v1alpha1.Workspace) []corev1.EnvVar {
	ref := ws.Spec.Database.SecretRef
	return []corev1.EnvVar{
		{Name: contract.EnvWorkspace, Value: ws.Name},
		{Name: contract.EnvAllowSuperuser, Value: strconv.FormatBool(ws.Spec.Database.AllowSuperuser)},
		{Name: contract.EnvLedgerSchema, Value: ws.Spec.Database.Schema},
		{Name: contract.EnvDatabaseURL, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: ref.Name}, Key: ref.Key,
		}}},
	}
}

// volumesOf returns a writable /tmp, because the root file system is read-only, and the
// Secrets that the workspace names.
func volumesOf(ws *v1alpha1.Workspace) ([]corev1.Volume, []corev1.VolumeMount) {
	volumes := []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	mounts := []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}}
	for i, name := range ws.Spec.Runner.Secrets {
		// A Secret's name may be longer than a volume's, and contain dots.
		volume := fmt.Sprintf("secret-%d", i)
		volumes = append(volumes, corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: name},
		}})
		mounts = append(mounts, corev1.VolumeMount{Name: volume, MountPath: path.Join(contract.SecretsPath, name), ReadOnly: true})
	}
	return volumes, mounts
}

// resourcesOf returns the job's resources, else the workspace's, else the LimitRange's.
func resourcesOf(ws *v1alpha1.Workspace, own *v1alpha1.Resources) corev1.ResourceRequirements {
	chosen := own
	if chosen == nil {
		chosen = ws.Spec.Runner.Resources
	}
	if chosen == nil {
		return corev1.ResourceRequirements{}
	}
	requests, limits := chosen.Requests.DeepCopy(), chosen.Limits.DeepCopy()
	for _, name := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		// Without a limit the container would get the LimitRange's, which may be
		// less than what it asks for.
		asked, asks := requests[name]
		if _, limited := limits[name]; asks && !limited {
			if limits == nil {
				limits = corev1.ResourceList{}
			}
			limits[name] = asked
		}
	}
	return corev1.ResourceRequirements{Requests: requests, Limits: limits}
}
